"""zarr format 2, on zarr 2.18 and on zarr 3."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import snr_of

import inrcodec
from inrcodec import INRCodec, volume_scope

zarr = pytest.importorskip("zarr")

ZARR_3 = hasattr(zarr, "create_array")
# zarr 3.1.0 gives the warning that is meant for format 3 to arrays of format 2 as well.
ORDER_WARNS = pytest.mark.filterwarnings("ignore:The `order` keyword argument:RuntimeWarning")
FORMAT_2: dict[str, Any] = {"zarr_format": 2} if ZARR_3 else {}
BOUND = 0.02


def new_array(path: Path, volume: np.ndarray, codec: INRCodec | None = None, **options: Any) -> Any:
    """An empty array for a volume, made as the README says."""
    return zarr.open(
        str(path),
        mode="w",
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=options.pop("chunks", (16, 16, 16)),
        compressor=codec or INRCodec(max_error=BOUND, effort=0),
        **FORMAT_2,
        **options,
    )


@ORDER_WARNS
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("chunks", [(16, 16, 16), (9, 30, 11)], ids=str)
def test_round_trip(tmp_path: Path, volume: np.ndarray, order: str, chunks: tuple[int, ...]) -> None:
    new_array(tmp_path / "x", volume, order=order, chunks=chunks)[:] = volume
    array = zarr.open(str(tmp_path / "x"), mode="r")
    assert np.abs(array[:] - volume).max() <= BOUND
    np.testing.assert_array_equal(array[3:20, 5, ::3], array[:][3:20, 5, ::3])
    # zarr 2.18 decodes a whole chunk straight into the result.
    np.testing.assert_array_equal(
        array[: chunks[0], : chunks[1], : chunks[2]], array[:][tuple(map(slice, chunks))]
    )


@ORDER_WARNS
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f4", "<f8", "f2", ">i2", "u1", "i1"])
def test_dtypes(tmp_path: Path, volume: np.ndarray, dtype: str, order: str) -> None:
    original = (volume * 50).astype(dtype)
    new_array(tmp_path / "x", original, INRCodec(max_error=1, effort=0), order=order)[:] = original
    restored = zarr.open(str(tmp_path / "x"), mode="r")[:]
    assert restored.dtype == original.dtype
    assert np.abs(restored.astype(float) - original.astype(float)).max() <= 1


def test_snr_holds_in_every_chunk(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume, INRCodec(snr=30, effort=0), chunks=(14, 13, 12))[:] = volume
    restored = zarr.open(str(tmp_path / "x"), mode="r")[:]
    for x, y, z in np.ndindex(2, 2, 2):
        box = (slice(14 * x, 14 * x + 14), slice(13 * y, 13 * y + 13), slice(12 * z, 12 * z + 12))
        assert snr_of(volume[box], restored[box]) >= 30 - 0.01


@pytest.mark.needs_torch
def test_default_codec(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume, INRCodec(), chunks=volume.shape)[:] = volume
    assert snr_of(volume, zarr.open(str(tmp_path / "x"), mode="r")[:]) >= 30 - 0.01


def test_metadata_is_plain_json(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume, INRCodec(27, effort=0, device="cpu"))
    metadata = json.loads((tmp_path / "x" / ".zarray").read_text())
    assert metadata["compressor"] == {"id": "inr", "snr": 27.0, "effort": 0}


def test_chunks_are_payloads(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume)[:] = volume
    payload = (tmp_path / "x" / "0.0.0").read_bytes()
    assert payload == INRCodec(max_error=BOUND, effort=0).encode(volume[:16, :16, :16])
    assert inrcodec.inspect(payload).shape == (16, 16, 16)
    # Edge chunks are padded by zarr and stored at full shape.
    assert inrcodec.inspect((tmp_path / "x" / "1.1.1").read_bytes()).shape == (16, 16, 16)


def test_empty_chunks_are_not_written(tmp_path: Path, volume: np.ndarray) -> None:
    sparse = volume.copy()
    sparse[16:] = 0
    options = {} if ZARR_3 else {"write_empty_chunks": False}
    new_array(tmp_path / "x", volume, fill_value=0, **options)[:] = sparse
    stored = {path.name for path in (tmp_path / "x").iterdir() if not path.name.startswith(".")}
    assert stored == {"0.0.0", "0.0.1", "0.1.0", "0.1.1"}
    np.testing.assert_array_equal(zarr.open(str(tmp_path / "x"), mode="r")[16:], 0)


def test_partial_writes(tmp_path: Path, volume: np.ndarray) -> None:
    array = new_array(tmp_path / "x", volume)
    array[:] = volume
    array[3:9, 10:20, 5] = 0.25
    expected = volume.copy()
    expected[3:9, 10:20, 5] = 0.25
    # Chunks that were touched were encoded twice.
    assert np.abs(array[:] - expected).max() <= 2 * BOUND


def test_fresh_process_reads_without_importing_inrcodec(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume)[:] = volume
    reader = (
        "import sys, numpy, zarr\n"
        "numpy.save(sys.argv[2], zarr.open(sys.argv[1], mode='r')[:])\n"
        "assert 'inrcodec' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", reader, tmp_path / "x", tmp_path / "out.npy"], check=True)
    assert np.abs(np.load(tmp_path / "out.npy") - volume).max() <= BOUND


def test_many_threads_write_and_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(8 * 12, 12, 12)).astype(np.float32)
    array = new_array(tmp_path / "x", volume, chunks=(12, 12, 12))
    slabs = [slice(start, start + 12) for start in range(0, len(volume), 12)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda slab: array.__setitem__(slab, volume[slab]), slabs))
        restored = np.concatenate(list(pool.map(array.__getitem__, slabs)))
    assert np.abs(restored - volume).max() <= BOUND


def test_unsupported_dtype_writes_no_chunk(tmp_path: Path) -> None:
    integers = np.arange(4**3).reshape(4, 4, 4)
    array = new_array(tmp_path / "x", integers)
    with pytest.raises(TypeError, match="int64"):
        array[:] = integers
    assert all(path.name.startswith(".") for path in (tmp_path / "x").iterdir())


@pytest.mark.skipif(not ZARR_3, reason="zarr.create_array came with zarr 3")
@pytest.mark.parametrize("order", ["C", "F"])
def test_create_array(volume: np.ndarray, order: str) -> None:
    array = zarr.create_array(
        {},
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=(16, 16, 16),
        compressors=INRCodec(max_error=BOUND, effort=0),
        zarr_format=2,
        order=order,
    )
    array[:] = volume
    assert np.abs(array[:] - volume).max() <= BOUND


@pytest.mark.needs_torch
def test_fit_takes_the_chunks_of_the_array(tmp_path: Path, volume: np.ndarray, monkeypatch: Any) -> None:
    seen = []
    train = volume_scope.fit
    monkeypatch.setattr(volume_scope, "fit", lambda *a, **k: seen.append(a[2]) or train(*a, **k))
    source = zarr.open(
        str(tmp_path / "x"), mode="w", shape=volume.shape, chunks=(14, 26, 12), dtype="f4", **FORMAT_2
    )
    source[:] = volume
    codec = INRCodec.fit(source, snr=25, effort=1)
    assert seen == [(14, 26, 12)]
    new_array(tmp_path / "y", volume, codec, chunks=(14, 26, 12))[:] = source[:]
    assert snr_of(volume, zarr.open(str(tmp_path / "y"), mode="r")[:]) >= 25 - 0.1
