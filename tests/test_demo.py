"""The demonstration, small and quick."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from inrcodec import demo


@pytest.fixture
def small():
    return demo.synthetic.generate((24, 24, 24), voxel_size=1.0, resolution=3.0)


def test_table():
    lines = []
    assert demo.run(size=24, snr=25.0, effort=0, say=lines.append)
    assert "24^3 float32, 55,296 bytes" in lines[0]
    assert [line.split()[0] for line in lines[2:6]] == ["inrcodec", "zlib", "rounded,", "SPERR"]
    assert lines[6].endswith("Target snr 25 dB: met")


def test_rounding_gives_the_error_of_its_step(small):
    row = demo._rounded_zlib(small, 0.01)
    assert np.mean((row.decoded - small) ** 2) == pytest.approx(0.0001 / 12, rel=0.05)
    assert row.decoded.dtype == small.dtype
    assert "exact" in demo._rounded_zlib(small, 0.0).note


@pytest.mark.skipif(not (find_spec("hdf5plugin") and find_spec("h5py")), reason="hdf5plugin is not installed")
def test_sperr_reaches_the_same_snr_at_the_least_bytes(small):
    row = demo._sperr(small, 25.0)
    assert 25 <= demo.metrics.snr(small, row.decoded) < 25.2
    assert 0 < row.nbytes < demo._sperr(small, 35.0).nbytes
    assert "nothing lossy" in demo._sperr(small, float("inf")).note


@pytest.mark.parametrize("missing", ["hdf5plugin", "h5py"])
def test_without_hdf5plugin(small, monkeypatch, missing):
    monkeypatch.setattr(
        demo.importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    assert demo._sperr(small, 25.0).note == f"skipped: {missing} not installed"


def test_without_torch(monkeypatch):
    monkeypatch.setattr(
        demo.importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    lines = []
    assert demo.run(size=16, effort=3, say=lines.append)
    assert "effort 0" in lines[0]


def test_picture(tmp_path):
    path = tmp_path / "demo.png"
    if find_spec("matplotlib") is None:
        with pytest.raises(ValueError, match="matplotlib"):
            demo.run(size=16, effort=0, picture=str(path))
        pytest.skip("matplotlib is not installed")
    demo.run(size=16, effort=0, picture=str(path), say=lambda line: None)
    assert path.read_bytes().startswith(b"\x89PNG")
