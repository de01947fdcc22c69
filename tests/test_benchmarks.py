"""The benchmarks run, and the peers keep the quality that they are asked for."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrcodec import synthetic

pytest.importorskip("hdf5plugin")
pytest.importorskip("tqdm")
mrcfile = pytest.importorskip("mrcfile")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def volume() -> Any:
    return synthetic.generate((24, 20, 28), noise=0.1, mask="soft")


@pytest.fixture
def maps(tmp_path: Path, volume: Any) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, data in (("a.mrc", volume), ("b.map.gz", np.round(volume * 10).astype(np.int8))):
        with mrcfile.new(folder / name, data, compression="gzip" if name.endswith("gz") else None) as mrc:
            mrc.voxel_size = 1.5
    (folder / "README.txt").write_text("not a map")
    return folder


@pytest.mark.parametrize("codec", ["sperr", "sz3", "zfp", "zlib", "blosc"])
@pytest.mark.parametrize("snr", [15.0, 35.0])
def test_peer_is_just_within_the_squared_error(codec: str, snr: float, volume: Any) -> None:
    from benchmarks import peers

    found = peers.at_snr(codec, volume, snr)
    slack = {"sperr": 0.1, "sz3": 0.3, "zfp": 6.0, "zlib": 7.0, "blosc": 7.0}[codec]
    assert snr <= found.snr < snr + slack
    assert 0 < found.nbytes < volume.nbytes
    again = peers.at_snr(codec, volume, squared_error=found.squared_error)
    assert again.nbytes <= 1.03 * found.nbytes  # SZ3's size is not monotonic on a small volume
    assert again.squared_error <= found.squared_error * (1 + 1e-6)


@pytest.mark.parametrize("mode", [("psnr", 45.0), ("rate", 1.0), ("bound", 0.05)])
def test_sperr_knows_which_axis_is_the_fastest(mode: tuple[str, float], volume: Any) -> None:
    from benchmarks import peers

    upright = peers.measure("sperr", volume, *mode)
    lying = peers.measure("sperr", np.ascontiguousarray(volume.transpose(2, 1, 0)), *mode)
    assert lying.nbytes == pytest.approx(upright.nbytes, rel=0.05)
    assert lying.snr == pytest.approx(upright.snr, abs=0.6)
    assert volume.shape != volume.shape[::-1]


@pytest.mark.parametrize("codec", ["sperr", "sz3", "zfp"])
def test_peer_keeps_a_largest_error(codec: str, volume: Any) -> None:
    from benchmarks import peers

    found = peers.at_max_error(codec, volume, 0.05)
    assert 0 < found.max_error <= 0.05 * (1 + 1e-5)


def test_lossless_peers_and_wrong_modes(volume: Any) -> None:
    from benchmarks import peers

    assert peers.lossless("zlib", volume).nbytes < volume.nbytes
    assert peers.lossless("blosc", volume.astype(np.int16)).squared_error == 0
    with pytest.raises(ValueError, match="no bound"):
        peers.at_max_error("zlib", volume, 0.1)
    with pytest.raises(ValueError, match="not lossless"):
        peers.lossless("sperr", volume)
    with pytest.raises(ValueError, match="give snr"):
        peers.at_snr("sperr", volume)


def test_round_bits_is_to_nearest() -> None:
    from benchmarks import peers

    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for bits in (1, 7, 22):
        relative = np.abs(peers.round_bits(values, bits) / values - 1)
        assert relative.max() <= 2.0 ** -(bits + 1)
    np.testing.assert_array_equal(peers.round_bits(values, 23), values)


def test_find_and_read_maps(maps: Path, volume: Any) -> None:
    from benchmarks import report

    found = report.find_maps([maps])
    assert [report.map_name(path) for path in found] == ["a", "b"]
    np.testing.assert_array_equal(report.read_map(found[0]), volume)
    assert report.read_map(found[1], crop=16).shape == (16, 16, 16)
    assert report.read_map(found[1]).dtype == np.int8
    with pytest.raises(FileNotFoundError):
        report.find_maps([maps / "none.mrc"])


def test_chunks_cover_the_volume(volume: Any) -> None:
    from benchmarks import core

    chunks = core.split(volume, 16)
    assert len(chunks) == 8
    assert sum(c.size for c in chunks) == volume.size
    assert chunks[-1].shape == (8, 4, 12)


def test_core_benchmark(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import core

    out = tmp_path / "out"
    assert core.main([str(maps), "--quick", "--effort", "0", "--out", str(out)]) == 0
    assert core.main([str(maps), "--quick", "--effort", "0", "--max-error", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "sperr/ours: median" in printed
    with (out / "snr.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["map"] for row in rows] == ["a", "b"]
    assert all(float(row["bytes"]) > 0 and float(row["snr"]) > 15 for row in rows)
    with (out / "max_error.csv").open() as file:
        assert [row["violations"] for row in csv.DictReader(file)] == ["0", "0"]
    assert (out / "snr.md").read_text().startswith("## snr")


def test_device_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    from benchmarks import device

    small = ["--sizes", "16", "--batch", "2", "--efforts", "0", "--repeats", "1"]
    assert device.main(["--device", "cpu", "--out", str(tmp_path), *small]) == 0
    (result,) = tmp_path.glob("device-*.json")
    found = json.loads(result.read_text())
    assert {row["batch"] for row in found["throughput"]} == {1, 2}
    assert all(row["numpy"] == row["torch cpu 2 threads"] == "same" for row in found["exactness"])
    assert "0 differ" in capsys.readouterr().out


def test_device_benchmark_notices_a_wrong_record(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks import device
    from inrcodec import core

    (payload,) = core.encode_many([synthetic.generate((12, 12, 12))], core.Settings(effort=0))
    (tmp_path / "x.inr").write_bytes(payload)
    (tmp_path / "x.sha256").write_text("0" * 64 + "\n")
    (row,) = device.exactness(tmp_path, "cpu", [])
    assert row["numpy"].startswith("DIFFERS")
