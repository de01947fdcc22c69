"""Basis functions of blocks at the ends of an axis, where no neighbour overlaps them.

A cosine arrives flat at an end. Density does not, and its slope there spreads over all frequencies: as much
as a fifth of a chunk's bits. So the cosines of an end block are turned into the functions that decorrelate
smooth density best (Karhunen-Loeve): the eigenvectors of its covariance after folding. They are found by a
few sweeps of Jacobi rotations from the cosines, so that they keep their order. All operations are such that
IEEE 754 fixes them to the last bit, and in a fixed order, so that tables built from them are identical
everywhere (``docs/format.md``, section 3). Where density is flat at the faces, as in solvent, cosines
stay best: one kind leaves them as they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

COSINES = 64
EDGES = (8, 13, COSINES, 5)  # kinds: 64 times what the correlation of neighbouring voxels lacks of 1
_SWEEPS = 3
_FLOOR = 2.0**-11  # of the variance is noise; it falls towards the Nyquist frequency, as equal eigenvalues
_FLOOR_SLOPE = 2.0**-13  # would leave their eigenvectors undetermined
_NEGLIGIBLE = 2.0**-60  # a covariance as small is none: denormals are not the same everywhere
_TURNED = 1e-18  # a covariance of two functions as small is left alone

Array = np.ndarray[Any, Any]
Fold = tuple[Array, Array]


def edges_name(kind: int) -> str:
    """A kind of edges in words: ``cosines``, or what the correlation of neighbouring voxels lacks of 1."""
    return "cosines" if EDGES[kind] == COSINES else f"{EDGES[kind]}/64"


def edge_functions(cosines: Array, left: Fold, right: Fold, kind: int) -> Array:
    """The functions of a block with an end of the axis, (samples, functions) orthonormal, before unfolding.

    Args:
        cosines: (samples, functions) orthonormal, to start from.
        left: sines and cosines of the fold angles at 1/2, 3/2, ... samples from the left border; empty at
            an end.
        right: the same of the right border.
        kind: index into ``EDGES``.
    """
    if EDGES[kind] == COSINES:
        return cosines
    covariance = _folded_covariance(len(cosines), left, right, kind)
    # summed one by one, as the order of a matrix product's sums is not fixed
    half = np.zeros_like(covariance)
    for i, row in enumerate(cosines):
        half += covariance[:, i, None] * row
    turned = np.zeros_like(covariance)
    for i, row in enumerate(cosines):
        turned += row[:, None] * half[i]
    return _rotate(turned, cosines.T.copy()).T


def _folded_covariance(size: int, left: Fold, right: Fold, kind: int) -> Array:
    """(size, size) of a block's samples after each was folded with its mirror image in a border."""
    at = np.arange(size)
    image, own, other = at.copy(), np.ones(size), np.zeros(size)
    for count, (sine, cosine), here, there, sign in (
        (len(left[0]), left, at, -1 - at, 1.0),
        (len(right[0]), right, at[::-1], size + at, -1.0),
    ):
        folded = here[:count]
        image[folded], own[folded], other[folded] = there[:count], sine, sign * cosine
    between = _covariance(2 * size, kind)

    def weighted(a: Array, b: Array, from_: Array, to: Array) -> Array:
        return a[:, None] * b * between[np.abs(from_[:, None] - to)]

    direct = weighted(own, own, at, at) + weighted(own, other, at, image)
    return direct + (weighted(other, own, image, at) + weighted(other, other, image, image))


def _covariance(count: int, kind: int) -> Array:
    """Covariance of smooth density with itself 0 to ``count`` - 1 voxels on: a Gaussian, and the floor."""
    correlation = 1.0 - EDGES[kind] / 64
    out, value, factor = np.zeros(count), 1.0, correlation
    for distance in range(count):
        out[distance] = value
        value *= factor
        factor *= correlation * correlation
        if value < _NEGLIGIBLE:
            break
    out[0] += _FLOOR
    out[1:2] += _FLOOR_SLOPE
    return out


@lru_cache(maxsize=128)
def _rounds(size: int) -> tuple[tuple[Array, Array], ...]:
    """Every pair of functions once, in rounds of pairs that share none (a round-robin tournament)."""
    even = size + size % 2
    out = []
    for turn in range(even - 1):
        ring = np.concatenate([[0], (np.arange(even - 1) - turn) % (even - 1) + 1])
        pairs = np.sort(np.stack([ring[: even // 2], ring[::-1][: even // 2]]), axis=0)
        pairs = pairs[:, pairs[1] < size]
        out.append((pairs[0], pairs[1]))
    return tuple(out)


def _rotate(covariance: Array, functions: Array) -> Array:
    """Jacobi's method for eigenvectors, with as many sweeps as pay: rows of ``functions``, rotated."""
    for _ in range(_SWEEPS):
        for p, q in _rounds(len(functions)):
            cross = covariance[p, q]
            live = np.abs(cross) > _TURNED
            ratio = (covariance[q, q] - covariance[p, p]) / (2.0 * np.where(live, cross, 1.0))
            tangent = 1.0 / (np.abs(ratio) + np.sqrt(1.0 + ratio * ratio))
            tangent = np.where(live, np.where(ratio < 0, -tangent, tangent), 0.0)
            cosine = (1.0 / np.sqrt(1.0 + tangent * tangent))[:, None]
            sine = tangent[:, None] * cosine
            for rows in (covariance, covariance.T, functions):
                a, b = rows[p], rows[q]
                rows[p], rows[q] = cosine * a - sine * b, sine * a + cosine * b
    return functions
