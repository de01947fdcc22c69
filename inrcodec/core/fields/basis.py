"""Windowed local cosine bases along one axis.

An axis is split into blocks. At every border between two blocks their samples are folded into each other
with a smooth window (time-domain aliasing; Princen & Bradley 1986, Malvar 1990, Coifman & Meyer 1991), then
each block has a type-IV DCT; the first and the last block, which lack a neighbour, have functions made for
that (:mod:`inrcodec.core.fields.edges`). The basis is orthonormal: analysis is the transpose of synthesis.

A *block* is named by one number everywhere: its nominal length, 1 to 64 voxels, plus 64 times the kind of
its edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from inrcodec.core.exact import PI, cos_quadrant, cos_rational
from inrcodec.core.fields.edges import edge_functions

MAX_BLOCK = 64  # voxels: exact synthesis has room for sums over no longer ones
TABLE_BITS = 20  # integer tables hold the basis in units of 2**-20

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Block:
    """One block's basis functions on the samples they reach: ``table`` is (samples, latents) from ``low``."""

    low: int
    high: int
    table: Array

    @property
    def integer_table(self) -> Array:
        """The table in units of 2**-TABLE_BITS, as whole numbers in float64."""
        return np.rint(self.table * 2.0**TABLE_BITS)


@dataclass(frozen=True)
class AxisBasis:
    """The blocks of one axis.

    Attributes:
        length: samples along the axis.
        latents: latents per block, the longest block's length (shorter blocks leave the last one unused).
        sizes: block lengths.
        blocks: their basis functions.
    """

    length: int
    latents: int
    sizes: tuple[int, ...]
    blocks: tuple[Block, ...]

    def matrix(self) -> Array:
        """Synthesis as one matrix, (length, blocks * latents) float64."""
        out = np.zeros((self.length, len(self.blocks), self.latents))
        for b, block in enumerate(self.blocks):
            out[block.low : block.high, b] = block.table
        return out.reshape(self.length, -1)


def block_length(block: int) -> int:
    """Nominal length of a block, in voxels."""
    return (block - 1) % MAX_BLOCK + 1


def edge_kind(block: int) -> int:
    """Index of the block's edges in ``EDGES``."""
    return (block - 1) // MAX_BLOCK


def with_edges(block: int, kind: int) -> int:
    """The block of the same length with edges of a kind."""
    return block_length(block) + MAX_BLOCK * kind


def block_sizes(length: int, block: int) -> tuple[int, ...]:
    """Split an axis into blocks as near to the nominal length as can be; lengths differ by one at most."""
    block = block_length(block)
    count = max(1, (2 * length + block) // (2 * block))
    base, longer = divmod(length, count)
    return (base + 1,) * longer + (base,) * (count - longer)


@lru_cache(maxsize=256)
def axis_basis(length: int, block: int) -> AxisBasis:
    """The basis of an axis of ``length`` samples in blocks."""
    sizes = block_sizes(length, block)
    latents = max(sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    blocks = []
    for b, size in enumerate(sizes):
        left = min(sizes[b - 1], size) // 2 if b else 0
        right = min(size, sizes[b + 1]) // 2 if b + 1 < len(sizes) else 0
        table = _block_table(size, left, right, latents, edge_kind(block))
        blocks.append(Block(int(starts[b]) - left, int(starts[b + 1]) + right, table))
    return AxisBasis(length, latents, sizes, tuple(blocks))


@lru_cache(maxsize=1024)
def _block_table(size: int, left: int, right: int, latents: int, kind: int) -> Array:
    """The table of a block with so many samples folded at its borders: none at an end of the axis."""
    folds = _window(left), _window(right)
    phi = _cosines(size, last=not right)
    if not (left and right):
        phi = edge_functions(phi, *folds, kind)
    table = np.zeros((left + size + right, latents))
    table[left : left + size, :size] = phi
    if left:
        sine, cosine = folds[0]
        table[left : 2 * left, :size] = sine[:, None] * phi[:left]
        table[:left, :size] = (cosine[:, None] * phi[:left])[::-1]
    if right:
        sine, cosine = folds[1]
        edge = phi[::-1][:right]
        table[left + size - right : left + size, :size] = (sine[:, None] * edge)[::-1]
        table[left + size :, :size] = -cosine[:, None] * edge
    table.setflags(write=False)
    return table


def _cosines(size: int, last: bool) -> Array:
    n = 2 * np.arange(size)[:, None] + 1
    if not last:
        return cos_rational(n * (2 * np.arange(size) + 1), 4 * size) * np.sqrt(2.0 / size)
    phi = cos_rational(n * np.arange(size), 2 * size) * np.sqrt(2.0 / size)
    phi[:, 0] = np.sqrt(1.0 / size)
    return phi


def _window(half: int) -> tuple[Array, Array]:
    """Sine and cosine of the fold angle at 1/2, 3/2, ... samples from the border.

    The angle lies halfway between that of the sine window and that of the Vorbis power-sine window.
    """
    u = (np.arange(half) + 0.5) / max(half, 1)
    sine_window = PI / 4 * (1.0 + u)
    power_sine = PI / 4 * (1.0 + cos_quadrant(PI / 2 * (1.0 - u)))
    angle = 0.5 * (sine_window + power_sine)
    return cos_quadrant(PI / 2 - angle), cos_quadrant(angle)
