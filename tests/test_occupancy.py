"""Occupancy masks: every mask comes back, rounded outwards to cells; bombs do not go off."""

from __future__ import annotations

import gzip
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inrcodec.core.occupancy import CELLS, coarsen, compress, decompress, refine
from inrcodec.core.payload import PayloadError, pack_varint
from inrcodec.synthetic import generate

SHAPES = st.tuples(*[st.integers(1, 13)] * 3)


def ball(size: int) -> np.ndarray:
    grid = np.indices((size,) * 3) - (size - 1) / 2
    return (grid**2).sum(axis=0) < (0.4 * size) ** 2


@pytest.mark.parametrize("cell", CELLS)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(mask=SHAPES.flatmap(lambda shape: hnp.arrays(bool, shape)))
def test_round_trip(cell: int, mask: np.ndarray) -> None:
    decoded = decompress(compress(mask, cell), mask.shape)
    assert decoded.dtype == bool
    assert decoded.shape == mask.shape
    assert decoded[mask].all()  # rounded outwards: no represented voxel is lost
    np.testing.assert_array_equal(decoded, refine(coarsen(mask, cell), cell, mask.shape))
    if cell == 1:
        np.testing.assert_array_equal(decoded, mask)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("value", [False, True])
def test_all_equal(cell: int, value: bool) -> None:
    mask = np.full((5, 16, 9), value)
    np.testing.assert_array_equal(decompress(compress(mask, cell), mask.shape), mask)


def test_coarse_cells_hold_any_voxel() -> None:
    mask = np.zeros((5, 4, 3), bool)
    mask[4, 3, 2] = True
    cells = coarsen(mask, 2)
    assert cells.shape == (3, 2, 2)
    assert np.argwhere(cells).tolist() == [[2, 1, 1]]
    assert np.argwhere(refine(cells, 2, mask.shape)).tolist() == [[4, 2, 2], [4, 3, 2]]


def test_equal_masks_give_equal_bytes() -> None:
    assert compress(ball(16), 1) == compress(np.asfortranarray(ball(16)), 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_coarseness_saves_bytes_and_contexts_beat_gzip(seed: int) -> None:
    mask = generate((48, 48, 48), mask="hard", seed=seed) != 0
    sizes = [len(compress(mask, cell)) for cell in CELLS]
    assert all(fine > 1.5 * coarse for fine, coarse in pairwise(sizes))
    assert sizes[0] <= 0.4 * len(gzip.compress(np.packbits(mask).tobytes(), 9, mtime=0))


def test_noise_costs_little_more_than_a_bit_a_cell() -> None:
    mask = np.random.default_rng(0).random((20, 20, 20)) < 0.5
    assert len(compress(mask, 1)) <= 1.2 * 20**3 / 8


def damaged() -> dict[str, bytes]:
    good = compress(ball(16), 1)
    return {
        "empty": b"",
        "cells of 3": pack_varint(3) + good[1:],
        "cells of 0": pack_varint(0) + good[1:],
        "huge cells": pack_varint(2**60) + good[1:],
        "cut short": good[:-8],
        "not whole words": good[:-1],
        "zeros": pack_varint(1) + b"\0" * 40,
        "too long": good[:1] + b"\1\2\3\4" + good[1:],
    }


@pytest.mark.parametrize("name", damaged())
def test_damage_is_refused(name: str) -> None:
    with pytest.raises(PayloadError):
        decompress(damaged()[name], (16, 16, 16))


def test_bombs_take_no_memory() -> None:
    bomb = compress(np.ones((4, 4, 4), bool), 1)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match="too short"):
            decompress(bomb, (1024, 1024, 1024))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
