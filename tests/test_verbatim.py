"""Voxels kept bit for bit beside the field."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inrcodec.core.payload import PayloadError, pack_varint
from inrcodec.core.verbatim import decode_into, encode

DTYPES = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">u2"]


def section(positions: list[int], values: bytes, count: int | None = None) -> bytes:
    """A section as the format has it: count, gaps, values."""
    gaps = np.diff(positions, prepend=0).astype("<u4").tobytes()
    return pack_varint(len(positions) if count is None else count) + zlib.compress(gaps + values)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, derandomize=True, max_examples=10)
@given(data=st.data())
def test_round_trip(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    size = int(np.prod(shape))
    raw = data.draw(hnp.arrays(np.uint8, size * np.dtype(dtype).itemsize))  # any bits, NaN payloads too
    chunk = raw.view(dtype).reshape(shape)
    mask = data.draw(hnp.arrays(bool, shape))
    out = np.zeros(shape, dtype)
    decode_into(encode(chunk, mask), out)
    assert out[mask].tobytes() == chunk[mask].tobytes()
    assert not out[~mask].any()


def test_nan_payloads_and_signed_zeros_survive() -> None:
    chunk = np.zeros((2, 2, 2), np.float32)
    bits = chunk.view(np.uint32)
    bits[0, 0] = 0x7FC00001, 0xFFC12345
    bits[1, 1] = 0x80000000, 0x7F800000
    mask = np.zeros(chunk.shape, bool)
    mask[0, 0] = mask[1, 1] = True
    out = np.ones_like(chunk)
    decode_into(encode(chunk, mask), out)
    assert out[mask].tobytes() == chunk[mask].tobytes()
    assert (out[~mask] == 1).all()


def test_a_regular_mask_takes_few_bytes() -> None:
    chunk = np.full((32, 32, 32), np.nan, np.float32)
    mask = np.zeros(chunk.shape, bool)
    mask[8:24] = True
    assert len(encode(chunk, mask)) < 300


def damaged() -> dict[str, bytes]:
    good = section([1, 5, 63], np.arange(3, dtype="<f4").tobytes())
    return {
        "empty": b"",
        "no body": pack_varint(3),
        "cut short": good[:-6],
        "not zlib": pack_varint(1) + b"\xff" * 20,
        "more claimed": section([1, 2], bytes(8), count=3),
        "fewer claimed": section([1, 2], bytes(8), count=1),
        "more than the chunk": section(list(range(65)), bytes(65 * 4)),
        "outside the chunk": section([1, 64], bytes(8)),
        "far outside": section([2**32 - 1], bytes(4)),
        "huge count": pack_varint(2**60) + good[1:],
    }


@pytest.mark.parametrize("name", damaged())
def test_damage_is_refused(name: str) -> None:
    with pytest.raises(PayloadError):
        decode_into(damaged()[name], np.zeros((4, 4, 4), np.float32))


def test_bombs_take_no_memory() -> None:
    chunk = np.broadcast_to(np.float32(0), (2**24,))
    few = pack_varint(2**24) + zlib.compress(bytes(2**16), 9)
    much = pack_varint(1) + zlib.compress(bytes(2**24), 9)
    for bomb in (few, much):
        tracemalloc.start()
        try:
            with pytest.raises(PayloadError, match="verbatim"):
                decode_into(bomb, chunk)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_a_box_gets_the_voxels_that_lie_in_it() -> None:
    chunk = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    mask = np.random.default_rng(0).random(chunk.shape) < 0.3
    whole, box = np.zeros_like(chunk), np.zeros((2, 3, 4), np.float32)
    decode_into(encode(chunk, mask), whole)
    decode_into(encode(chunk, mask), box, chunk.shape, (3, 1, 2))
    np.testing.assert_array_equal(box, whole[3:5, 1:4, 2:6])
