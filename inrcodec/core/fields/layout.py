"""How latents are ordered: frequency bands first, blocks last, even blocks before odd ones.

A *band* is one frequency (k_z, k_y, k_x) over all blocks; latents of a chunk are an array (bands, blocks).
Bands are decoded by shells of k_z + k_y + k_x, and inside a shell the blocks of one colour of a
checkerboard before those of the other, so that a whole half shell is one vectorised step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from inrcodec.core.fields.basis import AxisBasis, axis_basis

BINS = 32  # radial bins of the spectral envelope
PAD = 2  # empty bands kept below frequency 0, so that lower neighbours always exist
_RADIUS_MAX = 1.75  # a little over sqrt(3), the largest radius in units of a block's own Nyquist frequency

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Layout:
    """The latents of a box of voxels.

    Attributes:
        shape: (d, h, w) of the box, in voxels.
        block: number of the block (:mod:`inrcodec.core.fields.basis`): nominal length and kind of edges.
    """

    shape: tuple[int, int, int]
    block: int

    @cached_property
    def axes(self) -> tuple[AxisBasis, AxisBasis, AxisBasis]:
        d, h, w = (axis_basis(n, self.block) for n in self.shape)
        return d, h, w

    @cached_property
    def grid(self) -> tuple[int, int, int]:
        """Blocks per axis."""
        d, h, w = (len(axis.sizes) for axis in self.axes)
        return d, h, w

    @cached_property
    def latents(self) -> tuple[int, int, int]:
        """Latents per block and axis."""
        d, h, w = (axis.latents for axis in self.axes)
        return d, h, w

    @property
    def bands(self) -> int:
        d, h, w = self.latents
        return d * h * w

    @property
    def blocks(self) -> int:
        d, h, w = self.grid
        return d * h * w

    @cached_property
    def frequency(self) -> Array:
        """(3, bands) integer frequencies."""
        return np.indices(self.latents).reshape(3, -1)

    @cached_property
    def shell(self) -> Array:
        """(bands,) the decoding order: shells of equal k_z + k_y + k_x."""
        return self.frequency.sum(axis=0)

    @cached_property
    def radius(self) -> Array:
        """(bands,) distance from frequency zero, 1 at the Nyquist frequency of an axis."""
        scaled = self.frequency / np.array(self.latents, np.float64)[:, None]
        # added one by one, as a sum over an axis may be reordered and rounded differently
        return np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)

    @cached_property
    def bin(self) -> Array:
        """(bands,) radial bin of the spectral envelope."""
        return (self.radius * (BINS / _RADIUS_MAX)).astype(np.int64)

    @cached_property
    def padded_strides(self) -> tuple[int, int, int]:
        """Steps to the next higher frequency along each axis, in the padded band index."""
        _, h, w = self.latents
        return ((h + PAD) * (w + PAD), w + PAD, 1)

    @property
    def padded_bands(self) -> int:
        d, h, w = self.latents
        # one plane more, as neighbours may lie one frequency higher: elsewhere that is the next row's padding
        return (d + PAD + 1) * (h + PAD) * (w + PAD)

    @cached_property
    def padded(self) -> Array:
        """(bands,) padded band index."""
        strides = np.array(self.padded_strides)
        return strides @ (self.frequency + PAD)

    @cached_property
    def order(self) -> Array:
        """(blocks,) row-major index of each block in coding order: even colour first."""
        colour = np.indices(self.grid).sum(axis=0).ravel() % 2
        return np.argsort(colour, kind="stable")

    @cached_property
    def inverse_order(self) -> Array:
        return np.argsort(self.order, kind="stable")

    @property
    def even(self) -> int:
        """Number of even blocks: the first ones in coding order."""
        return (self.blocks + 1) // 2

    @cached_property
    def ends(self) -> Array:
        """(blocks in coding order,) number of axes along which a block is the first or the last."""
        at = [(i == 0) | (i == n - 1) for i, n in zip(np.indices(self.grid), self.grid, strict=True)]
        return np.sum(at, axis=0).ravel()[self.order]

    @cached_property
    def neighbours(self) -> Array:
        """(6, blocks) the blocks beside each, all in coding order; ``blocks`` where there is none."""
        numbers = np.full([n + 2 for n in self.grid], self.blocks)
        numbers[1:-1, 1:-1, 1:-1] = self.inverse_order.reshape(self.grid)
        steps = [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)]
        d, h, w = self.grid
        beside = [numbers[z : z + d, y : y + h, x : x + w].ravel() for z, y, x in steps]
        return np.stack(beside)[:, self.order]

    @cached_property
    def neighbour_weight(self) -> Array:
        """(blocks in coding order,) 256 over the number of the six neighbours that exist; 0 if none."""
        counts = (self.neighbours < self.blocks).sum(axis=0)
        return np.where(counts > 0, 256 // np.maximum(counts, 1), 0)


@lru_cache(maxsize=32)
def get_layout(shape: tuple[int, int, int], block: int) -> Layout:
    """A cached :class:`Layout`."""
    return Layout(shape, block)
