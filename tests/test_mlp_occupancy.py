"""Occupancy as the seed paper stores it: packed bits, gzipped."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inrcodec.core.mlp import occupancy
from inrcodec.core.payload import PayloadError


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=9)))
def test_round_trip(mask: np.ndarray) -> None:
    data = occupancy.compress(mask)
    np.testing.assert_array_equal(occupancy.decompress(data, mask.shape), mask)
    assert gzip.decompress(data) == np.packbits(mask).tobytes()


def test_bytes_do_not_depend_on_the_day() -> None:
    assert occupancy.compress(np.ones((2, 2, 2), bool))[4:8] == bytes(4)


@given(st.binary(max_size=60))
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(PayloadError):
        occupancy.decompress(data, (40, 5, 5))


@pytest.mark.parametrize("shape", [(3, 3, 4), (3, 3, 1), (1000, 1000, 1000)])
def test_another_number_of_voxels(shape: tuple[int, ...]) -> None:
    with pytest.raises(PayloadError):
        occupancy.decompress(occupancy.compress(np.ones((3, 3, 3), bool)), shape)


def test_bits_beyond_the_last_voxel() -> None:
    with pytest.raises(PayloadError, match="beyond the last voxel"):
        occupancy.decompress(gzip.compress(b"\xff"), (1, 1, 7))
