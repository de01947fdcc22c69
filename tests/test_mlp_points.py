"""Training points and their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.mlp.points import MOST_VALIDATION, PointArray, batches, held_out, slab_pairs


def numbered(count: int, part: int | None = None) -> PointArray:
    """Points whose density is their number."""
    pairs = np.zeros((count, 4), np.float32)
    pairs[:, 3] = np.arange(count)
    points = PointArray(pairs)
    points.part = part or count
    return points


def test_pairs_of_a_slab() -> None:
    volume = np.arange(2 * 3 * 5, dtype=float).reshape(2, 3, 5)
    pairs = slab_pairs(volume, volume > 20, (4, 3, 5), 2)
    assert pairs.dtype == np.float32
    assert pairs[:, 3].tolist() == list(range(21, 30))
    # voxel 21 is section 3 of four, row 1 of three, column 1 of five
    np.testing.assert_allclose(pairs[0], [-0.5, 0, 1, 21])


@pytest.mark.parametrize(
    ("count", "share", "held"),
    [(100, 0.1, 10), (5, 0.1, 0), (1, 0.5, 0), (10**9, 0.1, MOST_VALIDATION), (2, 0.5, 1)],
)
def test_held_out(count: int, share: float, held: int) -> None:
    assert held_out(count, share) == held


@settings(deadline=None)
@given(
    count=st.integers(2, 400),
    part=st.integers(1, 120),
    batch=st.integers(1, 60),
    cut=st.integers(0, 40),
    seed=st.integers(0, 9),
)
def test_a_training_taken_up_again_sees_the_same_batches(
    count: int, part: int, batch: int, cut: int, seed: int
) -> None:
    points, held, last = numbered(count, part), held_out(count, 0.1), 45
    whole = [pairs for pairs, _ in batches(points, held, batch, seed, 0, last)]
    rest = [pairs for pairs, _ in batches(points, held, batch, seed, cut, last)]
    assert len(whole) == last
    assert len(rest) == last - cut
    for one, other in zip(whole[cut:], rest, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(1 <= len(pairs) <= batch for pairs in whole)
    assert all((pairs[:, 3] >= held).all() for pairs in whole)


def test_an_epoch_sees_every_point_once() -> None:
    seen = np.concatenate([p[:, 3] for p, _ in batches(numbered(130, 40), 10, 10, 0, 0, 12)])
    assert sorted(seen) == list(range(10, 130))
    assert (np.diff(seen) != 1).mean() > 0.8
