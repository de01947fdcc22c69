"""The benchmark of prediction between the volumes of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mrcfile")
pytest.importorskip("h5py")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_what_it_prints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import half_maps

    monkeypatch.setattr(half_maps, "FULL", ("mean", "sharpened"))
    half_maps.main(["--size", "32", "--snr", "20"])
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert "half2 predicted" in head
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    assert [row[:3] for row in rows] == [
        [halves, full, "20"] for halves in ("unfiltered", "regularised") for full in ("mean", "sharpened")
    ]
    assert all(0 <= float(row[-1]) < 0.3 for row in rows)
    assert all(-40 < float(row[-2]) <= 0 for row in rows)
    assert all(float(row[-3]) < -90 for row in rows if row[1] == "mean")


def test_a_missed_target_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import half_maps
    from inrcodec.pack import Quality
    from inrcodec.synthetic_half_maps import half_maps as generated

    monkeypatch.setattr(Quality, "meets", lambda *_: False)
    with pytest.raises(RuntimeError, match=r"half1\.mrc.* miss 20"):
        half_maps.measured(generated(24), "mean", 20, 0)
