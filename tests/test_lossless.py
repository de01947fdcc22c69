"""The lossless fallback."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core.lossless import compress, decompress
from inrcodec.core.payload import PayloadError

DTYPES = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">i2", "<u2", ">u2"]


def noise(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.random.default_rng(0).integers(0, 256, count, np.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (7,), (5, 6), (9, 8, 7), (2, 3, 4, 5)], ids=str)
def test_round_trip_of_any_bits(dtype: str, shape: tuple[int, ...]) -> None:
    chunk = noise(dtype, shape)
    decoded = decompress(compress(chunk), shape, chunk.dtype)
    assert decoded.dtype == chunk.dtype
    assert decoded.shape == shape
    assert decoded.tobytes() == chunk.tobytes()
    assert decoded.flags.writeable


@pytest.mark.parametrize("chunk", [np.asfortranarray(blobs((6, 7, 8))), blobs((6, 7, 8))[::2, ::-1]])
def test_any_memory_order(chunk: np.ndarray) -> None:
    np.testing.assert_array_equal(decompress(compress(chunk), chunk.shape, chunk.dtype), chunk)


def test_smooth_data_shrinks_and_noise_hardly_grows() -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32), (16, 16, 32))
    assert len(compress(ramp)) < ramp.nbytes / 50
    chunk = noise("<f4", (16, 16, 16))
    assert len(compress(chunk)) <= chunk.nbytes + 64


@pytest.mark.parametrize("length", [0, 1, 15, 16, 40])
def test_cut_short(length: int) -> None:
    chunk = noise("<f4", (8, 8, 8))
    with pytest.raises(PayloadError, match="lossless"):
        decompress(compress(chunk)[:length], chunk.shape, chunk.dtype)


@pytest.mark.parametrize(("shape", "dtype"), [((8, 8, 9), "<f4"), ((8, 8, 8), "<f8"), ((10**4,) * 3, "<f4")])
def test_sizes_must_agree(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(PayloadError, match="needs"):
        decompress(compress(noise("<f4", (8, 8, 8))), shape, np.dtype(dtype))


def test_a_frame_that_lies_about_its_length() -> None:
    chunk = noise("<f4", (8, 8, 8))
    data = bytearray(compress(chunk))
    struct.pack_into("<I", data, 12, len(data) + 1)
    with pytest.raises(PayloadError):
        decompress(bytes(data), chunk.shape, chunk.dtype)
