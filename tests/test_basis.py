"""Windowed local cosine bases along one axis."""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import pytest
import reference_decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.fields import basis
from inrcodec.core.fields.basis import TABLE_BITS, axis_basis, block_sizes

TABLES_SHA256 = "2535baa006598595e89d38e02c48306d593bc8ffd4ddfc5a946eedb71c05b511"
LENGTHS = st.integers(1, 80)
BLOCKS = st.builds(basis.with_edges, st.integers(4, 40), st.integers(0, 3))
LONGEST = 96  # voxels of the longest block: just under 3/2 of the largest nominal length


def used_latents(axis: basis.AxisBasis) -> np.ndarray:
    """Columns of the synthesis matrix that have a function."""
    return np.concatenate([np.arange(axis.latents) < size for size in axis.sizes])


@given(length=st.integers(1, 5000), block=st.integers(1, 64))
@settings(derandomize=True, deadline=None)
def test_blocks_fill_the_axis(length: int, block: int) -> None:
    sizes = block_sizes(length, block)
    assert sum(sizes) == length
    assert max(sizes) - min(sizes) <= 1
    assert sizes == tuple(sorted(sizes, reverse=True))
    assert max(sizes) < LONGEST
    if length >= block:
        assert 2 * block / 3 <= length / len(sizes) <= 3 * block / 2


@given(length=LENGTHS, block=BLOCKS)
@settings(derandomize=True, deadline=None, max_examples=200)
def test_orthonormal(length: int, block: int) -> None:
    axis = axis_basis(length, block)
    matrix = axis.matrix()
    assert matrix.shape == (length, len(axis.sizes) * axis.latents)
    used = matrix[:, used_latents(axis)]
    np.testing.assert_array_equal(matrix[:, ~used_latents(axis)], 0)
    np.testing.assert_allclose(used.T @ used, np.eye(length), rtol=0, atol=1e-14)


@pytest.mark.parametrize("length", range(1, 81))
def test_every_length_is_rebuilt(length: int) -> None:
    values = np.random.default_rng(length).normal(size=length)
    for block in (4, 7, 16, 40):
        matrix = axis_basis(length, block).matrix()
        np.testing.assert_allclose(matrix @ (matrix.T @ values), values, rtol=0, atol=1e-13)


@given(length=st.integers(1, 64), kind=st.integers(0, 3))
def test_numbers_of_blocks(length: int, kind: int) -> None:
    block = basis.with_edges(length, kind)
    assert 1 <= block <= 256
    assert (basis.block_length(block), basis.edge_kind(block)) == (length, kind)
    assert basis.with_edges(block, 0) == length
    assert block_sizes(100, block) == block_sizes(100, length)


@pytest.mark.parametrize(("length", "block"), [(40, 8), (41, 10), (60, 16)])
def test_edges_change_end_blocks_only(length: int, block: int) -> None:
    plain, other = (axis_basis(length, basis.with_edges(block, kind)).blocks for kind in (0, 2))
    same = [np.array_equal(a.table, b.table) for a, b in zip(plain, other, strict=True)]
    assert same == [False, *[True] * (len(plain) - 2), False]


@given(half=st.integers(1, 48))
@settings(derandomize=True, deadline=None)
def test_windows(half: int) -> None:
    sine, cosine = basis._window(half)
    np.testing.assert_allclose(sine**2 + cosine**2, 1, rtol=0, atol=1e-14)
    assert (np.diff(sine) > 0).all()
    assert (sine > cosine).all()
    assert (cosine > 0).all()


@pytest.mark.parametrize(("length", "block"), [(64, 16), (50, 8), (17, 6)])
def test_only_neighbours_overlap(length: int, block: int) -> None:
    axis = axis_basis(length, block)
    starts = np.concatenate([[0], np.cumsum(axis.sizes)])
    for b, at in enumerate(axis.blocks):
        assert starts[max(b - 1, 0)] <= at.low <= starts[b]
        assert starts[b + 1] <= at.high <= starts[min(b + 2, len(axis.sizes))]
        assert at.table.shape == (at.high - at.low, axis.latents)


def test_smooth_density_needs_few_latents() -> None:
    """A smooth bump across a border: most energy in the lowest frequencies, no seam."""
    x = np.arange(48)
    bump = np.exp(-((x - 16) ** 2) / 30)
    latents = axis_basis(48, 16).matrix().T @ bump
    largest = np.sort(latents**2)[::-1]
    assert largest[:14].sum() > 0.999 * largest.sum()


def tables() -> dict[tuple[int, int, int], np.ndarray]:
    """Every table of a block between others that the format allows, by size, left and right overlap."""
    return {
        (size, left, right): basis._block_table.__wrapped__(size, left, right, size, 0)
        for size in range(2, LONGEST)
        for left, right in product({(size - 1) // 2, size // 2} - {0}, repeat=2)
    }


def test_integer_tables_are_pinned_and_far_from_rounding_differently() -> None:
    digest, margin = hashlib.sha256(), 1.0
    for _, table in sorted(tables().items()):
        scaled = table * 2.0**TABLE_BITS
        margin = min(margin, float(np.abs(scaled - np.floor(scaled) - 0.5).min()))
        digest.update(np.rint(scaled).astype("<i4").tobytes())
    assert margin > 6e-8, "double precision is good to 1e-9 here"
    assert digest.hexdigest() == TABLES_SHA256, "stored payloads depend on these tables"


@pytest.mark.parametrize(("length", "block"), [(13, 4), (64, 16), (95, 64), (31, 10), (1, 8)])
def test_integer_tables_agree_with_the_description(length: int, block: int) -> None:
    described = reference_decoder.basis(length, block)
    for ours, (low, table) in zip(axis_basis(length, block).blocks, described, strict=True):
        assert ours.low == low
        np.testing.assert_array_equal(ours.integer_table[:, : table.shape[1]], table)
        np.testing.assert_array_equal(ours.integer_table[:, table.shape[1] :], 0)


def test_tables_are_shared_and_read_only() -> None:
    assert axis_basis(64, 16) is axis_basis(64, 16)
    with pytest.raises(ValueError, match="read-only"):
        axis_basis(64, 16).blocks[0].table[0, 0] = 1
