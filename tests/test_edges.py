"""Basis functions of blocks at the ends of an axis."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from inrcodec.core.fields import basis, edges
from inrcodec.core.fields.basis import axis_basis
from inrcodec.core.fields.edges import COSINES, EDGES

TABLES_SHA256 = "ad51dd365c4b7c8768ab90cf25c9045a961ba9cc45a5574640ffa4288087c66e"
KINDS = [kind for kind, lacking in enumerate(EDGES) if lacking != COSINES]


def covariance(count: int, kind: int) -> np.ndarray:
    """Of smooth density, voxel by voxel, as the formula says."""
    at = np.arange(count)
    distance = np.abs(at[:, None] - at)
    smooth = (1 - EDGES[kind] / 64) ** (distance.astype(float) ** 2)
    return smooth + 2.0**-11 * (distance == 0) + 2.0**-13 * (distance == 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 8, 15, 32, 64])
def test_a_block_alone_has_the_eigenvectors_of_the_covariance(size: int, kind: int) -> None:
    (block,) = axis_basis(size, basis.with_edges(min(size, 64), kind)).blocks
    np.testing.assert_allclose(block.table.T @ block.table, np.eye(size), rtol=0, atol=1e-13)
    between = block.table.T @ covariance(size, kind) @ block.table
    # three sweeps do not find them to the last digit, nor need to
    assert np.abs(between - np.diag(between.diagonal())).max() < 1e-3
    exact = np.linalg.eigvalsh(covariance(size, kind))
    np.testing.assert_allclose(np.sort(between.diagonal()), exact, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("length", "block"), [(40, 8), (41, 10), (64, 32), (70, 16)])
def test_end_blocks_decorrelate_what_folding_leaves(length: int, block: int, kind: int) -> None:
    axis = axis_basis(length, basis.with_edges(block, kind))
    whole = covariance(length, kind)
    for end in (axis.blocks[0], axis.blocks[-1]):
        between = end.table.T @ whole[end.low : end.high, end.low : end.high] @ end.table
        assert np.abs(between - np.diag(between.diagonal())).max() < 1e-3
        # in the order of their frequencies, but for those that are noise
        loud = between.diagonal() > 2.0**-9
        assert (np.diff(between.diagonal()[loud]) < 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [8, 16, 32])
def test_smooth_density_takes_fewer_bits_than_in_cosines(size: int, kind: int) -> None:
    """Coding gain: half the mean logarithm of variances is bits a voxel at equal, small error."""
    (block,) = axis_basis(size, basis.with_edges(size, kind)).blocks
    bits = [
        np.mean(np.log2(np.diag(functions.T @ covariance(size, kind) @ functions))) / 2
        for functions in (block.table, basis._cosines(size, last=True))
    ]
    assert bits[0] < bits[1] - 0.005


def test_one_kind_leaves_cosines() -> None:
    (alone,) = axis_basis(24, basis.with_edges(24, EDGES.index(COSINES))).blocks
    np.testing.assert_array_equal(alone.table, basis._cosines(24, last=True))
    assert [edges.edges_name(kind) for kind in range(4)] == ["8/64", "13/64", "cosines", "5/64"]


def test_rounds_pair_every_two_functions_once() -> None:
    for size in range(1, 20):
        rounds = edges._rounds(size)
        pairs = [(int(p), int(q)) for one in rounds for p, q in zip(*one, strict=True)]
        assert sorted(pairs) == [(p, q) for p in range(size) for q in range(p + 1, size)]
        assert all(len({*p.tolist(), *q.tolist()}) == 2 * len(p) for p, q in rounds)


def test_tables_are_pinned() -> None:
    """Every table of an end block that the format allows: stored payloads depend on them."""
    digest = hashlib.sha256()
    for kind in range(len(EDGES)):
        for size in range(1, 96):
            for left, right in ((0, 0), (0, size // 2), (0, (size - 1) // 2), (size // 2, 0)):
                table = basis._block_table.__wrapped__(size, left, right, size, kind)
                digest.update(np.rint(table * 2.0**basis.TABLE_BITS).astype("<i4").tobytes())
    assert digest.hexdigest() == TABLES_SHA256
