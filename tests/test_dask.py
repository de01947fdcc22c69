"""Dask arrays from and to zarr with the codec: schedulers of threads and of processes, both formats."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrcodec import INRCodec

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
zarr = pytest.importorskip("zarr")
pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")

BOUND = 0.02
CHUNKS = (16, 16, 16)
FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])
SCHEDULERS = pytest.mark.parametrize("scheduler", ["threads", "processes"])


@pytest.fixture(scope="module", params=["chunk", "volume"])
def codec(request: pytest.FixtureRequest, volume: np.ndarray) -> INRCodec:
    if request.param == "chunk":
        return INRCodec(max_error=BOUND, effort=0)
    return INRCodec.fit(volume, max_error=BOUND, effort=0, chunks=16)


def how(codec: INRCodec, zarr_format: int) -> dict[str, Any]:
    if zarr_format == 2:
        return {"zarr_format": 2, "compressors": codec}
    return {"zarr_format": 3, "serializer": codec.serializer(), "compressors": None}


@FORMATS
@SCHEDULERS
def test_to_zarr_and_from_zarr(
    tmp_path: Path, volume: np.ndarray, codec: INRCodec, zarr_format: int, scheduler: str
) -> None:
    path = str(tmp_path / "x.zarr")
    with dask.config.set(scheduler=scheduler, num_workers=2):
        da.to_zarr(da.from_array(volume, chunks=CHUNKS), path, **how(codec, zarr_format))
        array = da.from_zarr(path)
        decoded = array.compute()
        mean = array[3:20, :, 5].mean().compute()
    stored = zarr.open_array(path, mode="r")
    assert stored.metadata.zarr_format == zarr_format
    assert array.chunks == ((16, 12), (16, 10), (16, 8))
    np.testing.assert_array_equal(decoded, stored[...])
    assert np.abs(decoded - volume).max() <= BOUND
    assert mean == pytest.approx(decoded[3:20, :, 5].mean(), rel=1e-5)


@FORMATS
@SCHEDULERS
def test_into_an_array_that_is_there(
    tmp_path: Path, volume: np.ndarray, codec: INRCodec, zarr_format: int, scheduler: str
) -> None:
    array = zarr.create_array(
        str(tmp_path / "x.zarr"), shape=volume.shape, dtype="f4", chunks=CHUNKS, **how(codec, zarr_format)
    )
    with dask.config.set(scheduler=scheduler, num_workers=2):
        da.from_array(volume, chunks=CHUNKS).store(array, lock=False)
    for index in np.ndindex(2, 2, 2):
        # every worker wrote what the codec makes of whole chunks, padded as zarr does
        chunk = volume[tuple(slice(16 * i, 16 * i + 16) for i in index)]
        padded = np.zeros(CHUNKS, "f4")
        padded[tuple(map(slice, chunk.shape))] = chunk
        key = array.metadata.encode_chunk_key(index)
        assert (tmp_path / "x.zarr" / key).read_bytes() == codec.encode(padded)


def test_codecs_are_small_when_pickled(codec: INRCodec) -> None:
    for kind in (codec, codec.serializer()):
        data = pickle.dumps(kind)
        assert len(data) < 10_000
        assert pickle.loads(data) == kind


def test_a_fresh_process_unpickles_without_an_import(codec: INRCodec, volume: np.ndarray) -> None:
    payload = codec.encode(volume[:16, :16, :16])
    code = (
        "import pickle, sys; codec, payload = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(codec.decode(payload).tobytes())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps((codec, payload)), capture_output=True, check=True
    )
    assert out.stdout == codec.decode(payload).tobytes()
