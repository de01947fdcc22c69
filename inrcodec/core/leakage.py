"""Where in Fourier space the error of a latent lands, and what error in it may cost.

The functions of a block are not plane waves: windows, and the faces of chunks that have none, spread each
over neighbouring Fourier shells. Per axis the mean power spectrum of a frequency's functions says how far,
once over the blocks inside and once over the two at the ends, which faces cut off; in three dimensions it is
the product of three. With it an error known per band becomes one per shell, and a weight per shell becomes
one per band: the sum of the shells' weights, each by the share of the band's power that it takes. The step
that spends bits best is the inverse root of that.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from inrcodec.core.fields.basis import axis_basis
from inrcodec.core.fields.layout import Layout
from inrcodec.core.shells import AXES, END_PARTS, MAX_NODES, NODES, ShellTable, end_nodes

Array = np.ndarray[Any, Any]

MAX_BINS = 128  # of an axis: finer is not worth its time
_STEEPEST = 2.0**-15  # smallest step over the largest that the table's exponents are made to hold


class Leakage:
    """The spread of a layout's bands over radial bins of spatial frequency.

    Errors and weights of latents are arrays of (4, MAX_NODES): for each number of axes at whose ends a block
    lies, near each node of a table of shells.

    Args:
        layout: of a chunk.
        voxel_size: (3,) angstrom per voxel.
        width: of a bin, 1/angstrom; bins are centred on its multiples, as Fourier shells are.
        bins: number of bins, the first of them around frequency zero.
        ends: whether :meth:`weights` tells blocks apart by the ends they lie at.
    """

    def __init__(
        self, layout: Layout, voxel_size: Array, width: float, bins: int, *, ends: bool = True
    ) -> None:
        self.layout = layout
        self.ends = ends
        self.bins = bins
        self._spread = [
            _axis_spectra(n, layout.block, 0.5 / size, width)
            for n, size in zip(layout.shape, voxel_size, strict=True)
        ]
        self._blocks = [np.array([max(n - 2, 0), min(n, 2)]) for n in layout.grid]
        z, y, x = (np.arange(s.shape[2], dtype=np.float64) ** 2 for s in self._spread)
        radius = np.sqrt(z[:, None, None] + y[:, None] + x)
        self._bin = np.minimum((radius + 0.5).astype(np.intp), bins)
        self.node = nodes(layout)
        self._counts = np.bincount(self.node, minlength=MAX_NODES)
        self._held = np.flatnonzero(self._counts)

    def error(self, energy: Array) -> Array:
        """(bins,) squared error that each bin gets of the error of latents near each node."""
        # a node without a band of its own (another layout's) gives to the nearest that has some
        nearest = self._held[np.abs(np.arange(MAX_NODES)[:, None] - self._held).argmin(axis=1)]
        blocks = np.bincount(self.layout.ends, minlength=AXES + 1)
        bands = np.zeros((2, 2, 2, *self.layout.latents))
        for place in np.ndindex(2, 2, 2):
            ends = sum(place)
            share = np.prod([n[i] for n, i in zip(self._blocks, place, strict=True)]) / max(blocks[ends], 1)
            moved = np.bincount(nearest, energy[ends], MAX_NODES) / np.maximum(self._counts, 1)
            bands[place] = share * moved[self.node].reshape(self.layout.latents)
        for axis in range(
            AXES
        ):  # both places of the first axis, and its frequencies, become the last axis: bins
            bands = np.tensordot(bands, self._spread[axis], ((0, AXES - axis), (0, 1)))
        return np.bincount(self._bin.ravel(), bands.ravel(), self.bins + 1)[: self.bins]

    def weights(self, weight: Array) -> Array:
        """Weight of an error of latents near each node, of the (bins,) weights of bins.

        (1, MAX_NODES), the mean of all blocks, where these are not told apart.
        """
        field = np.append(weight, 0.0)[self._bin]
        for spread in self._spread:  # each turn transforms the first axis to places and frequencies
            field = np.tensordot(field, spread, (0, 2))
        field = field.transpose(0, 2, 4, 1, 3, 5)
        sums, blocks = np.zeros((AXES + 1, MAX_NODES)), np.zeros(AXES + 1)
        for place in np.ndindex(2, 2, 2):
            count = np.prod([n[i] for n, i in zip(self._blocks, place, strict=True)])
            sums[sum(place)] += count * np.bincount(self.node, field[place].ravel(), MAX_NODES)
            blocks[sum(place)] += count
        if self.ends:
            sums[blocks == 0], blocks[blocks == 0] = sums.sum(axis=0), blocks.sum()
        else:
            sums, blocks = sums.sum(axis=0, keepdims=True), blocks.sum(keepdims=True)
        means = sums[:, self._held] / self._counts[self._held] / blocks[:, None]
        means = np.maximum(means, means.max() * 1e-15)
        every = np.arange(MAX_NODES)
        return np.exp([np.interp(every, self._held, np.log(row)) for row in means])


def no_error() -> Array:
    """(4, MAX_NODES) zeros."""
    return np.zeros((AXES + 1, MAX_NODES))


def nodes(layout: Layout) -> Array:
    """(bands,) the table's node nearest to each band."""
    return np.minimum((layout.radius * NODES + 0.5).astype(np.intp), MAX_NODES - 1)


def table(weight: Array, cutoff: int = MAX_NODES) -> tuple[float, ShellTable]:
    """Smallest step and table of steps of the weights of an error, of ``cutoff`` nodes.

    A step of unit weight is the one whose rounding error has unit variance.

    Args:
        weight: (4, MAX_NODES) or (1, MAX_NODES), as :meth:`Leakage.weights` gives them.
    """
    steps = np.sqrt(12 / weight[:, :cutoff])
    # clipped from above: the strongest shells are coded finer than need be, rather than none too coarse
    steps = np.minimum(steps, steps.min() / _STEEPEST)
    limits = None if len(steps) == 1 else np.exp(np.log(steps[1:]) @ _hats(cutoff))
    found = ShellTable.of_steps(steps[0], limits)
    return float(steps.min() if limits is None else min(steps[0].min(), limits.min())), found


@cache
def _hats(nodes: int) -> Array:
    """(nodes, limits) that gives a table's limits at the ends: least squares of the line between them."""
    position = np.arange(nodes)[:, None] / END_PARTS - np.arange(end_nodes(nodes))
    hats = np.maximum(0.0, 1 - np.abs(position))
    return np.linalg.pinv(hats, rcond=1e-3).T


def _axis_spectra(length: int, block: int, nyquist: float, width: float) -> Array:
    """(2, latents, bins) share of power in each frequency bin of an axis: blocks inside, and at the ends.

    Rows sum to 1, or 0 where unused.
    """
    basis = axis_basis(length, block)
    functions = basis.matrix().reshape(length, -1, basis.latents)
    padded = 2 * length if length > 1 else 1
    power = np.abs(np.fft.fft(functions, padded, axis=0)) ** 2 / padded
    frequency = np.abs(np.fft.fftfreq(padded)) * 2 * nyquist
    index = np.rint(frequency / width).astype(np.intp)
    out = np.zeros((2, basis.latents, int(index.max()) + 1))
    ends = power[:, [0, -1]].mean(axis=1)
    inside = power[:, 1:-1].mean(axis=1) if power.shape[1] > 2 else np.zeros_like(ends)
    for place, mean in enumerate((inside, ends)):
        np.add.at(out[place].T, index, mean)
    return out
