"""``inrcodec pack``, ``unpack`` and ``info`` of a container."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlp_cases import QUICK, smooth_map

mrcfile = pytest.importorskip("mrcfile")
pytest.importorskip("h5py")
pytest.importorskip("torch")

from inrcodec import pack  # noqa: E402
from inrcodec.cli import BAD_INPUT, INTERRUPTED, NOT_MET, OK, main  # noqa: E402
from inrcodec.synthetic_half_maps import half_maps  # noqa: E402

NETWORK = json.dumps(QUICK)


@pytest.fixture
def maps(tmp_path: Path) -> list[str]:
    for name in "ab":
        mrcfile.write(tmp_path / f"{name}.mrc", smooth_map(ord(name), (9, 10, 11)), voxel_size=2.0)
    return [str(tmp_path / f"{name}.mrc") for name in "ab"]


def test_there_and_back(maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "set.inr")
    assert main(["pack", *maps, "-o", out, "--network", NETWORK, "--weight-bits", "8"]) == OK
    said = capsys.readouterr().out
    assert "layers of 6, 6, 5, 1, 18 inputs, residual alternate" in said
    assert "of 8 bits" in said
    assert "map             a.mrc:" in said
    assert main(["info", out]) == OK
    said = capsys.readouterr().out
    assert "container       2 maps, field mlp" in said
    assert "map             b.mrc: 9 x 10 x 11 float32" in said
    assert main(["unpack", out, "-d", str(tmp_path / "back")]) == OK
    assert {path.name for path in (tmp_path / "back").iterdir()} == {"a.mrc", "b.mrc"}
    assert main(["unpack", out, "-d", str(tmp_path / "back")]) == BAD_INPUT
    assert "a.mrc exists" in capsys.readouterr().err


def test_local_fourier(maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "set.inr")
    command = ["pack", *maps, "-o", out, "--field", "local-fourier", "--snr", "20", "--effort", "0"]
    assert main(command) == OK
    assert "network         that of prior" in capsys.readouterr().out
    assert main(["info", out]) == OK
    assert "field local-fourier" in capsys.readouterr().out


def test_prediction_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generated = half_maps(24, voxel_size=1.5, resolution=5.0, regularised=True)
    paths = [str(tmp_path / name) for name in ("half1.mrc", "half2.mrc", "full.mrc")]
    for path, data in zip(paths, (generated.half1, generated.half2, generated.mean), strict=True):
        mrcfile.write(path, data)
    out = str(tmp_path / "set.inr")
    command = ["pack", *paths, "-o", out, "--field", "local-fourier", "--snr", "20", "--effort", "0"]
    assert main(command) == OK
    said = capsys.readouterr().out
    (full,) = (line for line in said.splitlines() if "full.mrc:" in line)
    assert "; predicted from half1.mrc, half2.mrc: " in full
    assert "bytes saved" in full
    assert main(["info", out]) == OK
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "full.mrc:" in line)
    assert told.endswith(full[full.index("; predicted") :])
    assert main([*command, "--no-predict", "--overwrite"]) == OK
    assert "predicted" not in capsys.readouterr().out


def test_a_missed_target_is_said(
    maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack.Quality, "meets", lambda *_: False)
    out = str(tmp_path / "set.inr")
    command = ["pack", maps[0], "-o", out, "--field", "local-fourier", "--max-error", "1", "--effort", "0"]
    assert main(command) == NOT_MET
    assert "target NOT MET" in capsys.readouterr().out


def test_interruption(
    maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = str(tmp_path / "set.inr")
    monkeypatch.setattr(pack, "decode_map", stop)  # after the training
    assert main(["pack", *maps, "-o", out, "--network", NETWORK]) == INTERRUPTED
    assert "goes on from the last checkpoint" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["pack", *maps, "-o", out, "--network", NETWORK]) == OK
    assert "resumed         at step 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "{"], "is not JSON"),
        (["--network", "[3]"], "is not a JSON object"),
        (["--weight-bits", "12"], "invalid choice"),
        (["--snr", "3", "--max-error", "3"], "not allowed with"),
    ],
    ids=str,
)
def test_bad_usage(
    arguments: list[str], words: str, maps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["pack", *maps, "-o", "x.inr", *arguments])
    assert stopped.value.code == BAD_INPUT
    assert words in capsys.readouterr().err


def test_bad_input(maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "set.inr")
    assert main(["pack", *maps, "-o", out, "--snr", "30"]) == BAD_INPUT
    assert "no quality target" in capsys.readouterr().err
    for command, words in (("info", "not a packed file"), ("unpack", "not an inrcodec container")):
        assert main([command, maps[0]]) == BAD_INPUT
        assert words in capsys.readouterr().err
