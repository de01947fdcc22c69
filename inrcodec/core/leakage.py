"""Where in Fourier space the error of a latent lands, and what error in it may cost.

The functions of a block are not plane waves: windows, and the faces of chunks that have none, spread each
over neighbouring Fourier shells. Per axis the mean power spectrum of a frequency's functions over its blocks
says how far; in three dimensions it is the product of three. With it an error known per band becomes one per
shell, and a weight per shell becomes one per band: the sum of the shells' weights, each by the share of the
band's power that it takes. The step that spends bits best is the inverse root of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core.fields.basis import axis_basis
from inrcodec.core.fields.layout import Layout
from inrcodec.core.shells import MAX_NODES, NODES, ShellTable

Array = np.ndarray[Any, Any]

MAX_BINS = 128  # of an axis: finer is not worth its time
_STEEPEST = 2.0**-15  # smallest step over the largest that the table's exponents are made to hold


class Leakage:
    """The spread of a layout's bands over radial bins of spatial frequency.

    Args:
        layout: of a chunk.
        voxel_size: (3,) angstrom per voxel.
        width: of a bin, 1/angstrom; bins are centred on its multiples, as Fourier shells are.
        bins: number of bins, the first of them around frequency zero.
    """

    def __init__(self, layout: Layout, voxel_size: Array, width: float, bins: int) -> None:
        self.layout = layout
        self.bins = bins
        self._spread = [
            _axis_spectrum(n, layout.block, 0.5 / size, width)
            for n, size in zip(layout.shape, voxel_size, strict=True)
        ]
        z, y, x = (np.arange(s.shape[1], dtype=np.float64) ** 2 for s in self._spread)
        radius = np.sqrt(z[:, None, None] + y[:, None] + x)
        self._bin = np.minimum((radius + 0.5).astype(np.intp), bins)
        self.node = nodes(layout)

    def error(self, energy: Array) -> Array:
        """(bins,) squared error that each bin gets of the (MAX_NODES,) error of latents near each node."""
        counts = np.bincount(self.node, minlength=MAX_NODES)
        held = np.flatnonzero(counts)
        # a node without a band of its own (another layout's) gives to the nearest that has some
        nearest = held[np.abs(np.arange(MAX_NODES)[:, None] - held).argmin(axis=1)]
        moved = np.bincount(nearest, energy, MAX_NODES) / np.maximum(counts, 1)
        bands = moved[self.node].reshape(self.layout.latents)
        for spread in self._spread:  # each turn transforms the first axis and makes it the last
            bands = np.tensordot(bands, spread, (0, 0))
        return np.bincount(self._bin.ravel(), bands.ravel(), self.bins + 1)[: self.bins]

    def weights(self, weight: Array) -> Array:
        """(MAX_NODES,) weight of an error of latents near each node, of the (bins,) weights of bins."""
        field = np.append(weight, 0.0)[self._bin]
        for spread in self._spread:
            field = np.tensordot(field, spread, (0, 1))
        counts = np.bincount(self.node, minlength=MAX_NODES)
        held = np.flatnonzero(counts)
        means = np.bincount(self.node, field.ravel(), MAX_NODES)[held] / counts[held]
        means = np.maximum(means, means.max() * 1e-15)
        return np.exp(np.interp(np.arange(MAX_NODES), held, np.log(means)))


def nodes(layout: Layout) -> Array:
    """(bands,) the table's node nearest to each band."""
    return np.minimum((layout.radius * NODES + 0.5).astype(np.intp), MAX_NODES - 1)


def table(weight: Array, cutoff: int = MAX_NODES) -> tuple[float, ShellTable]:
    """Smallest step and table of steps of the (MAX_NODES,) weights of an error, of ``cutoff`` nodes.

    A step of unit weight is the one whose rounding error has unit variance.
    """
    step = np.sqrt(12 / weight[:cutoff])
    # clipped from above: the strongest shells are coded finer than need be, rather than none too coarse
    step = np.minimum(step, step.min() / _STEEPEST)
    return float(step.min()), ShellTable.of_steps(step)


def _axis_spectrum(length: int, block: int, nyquist: float, width: float) -> Array:
    """(latents, bins) share of power in each frequency bin of an axis; rows sum to 1, or 0 where unused."""
    basis = axis_basis(length, block)
    functions = basis.matrix().reshape(length, -1, basis.latents)
    padded = 2 * length if length > 1 else 1
    power = np.abs(np.fft.fft(functions, padded, axis=0)) ** 2
    mean = power.mean(axis=1).T / padded
    frequency = np.abs(np.fft.fftfreq(padded)) * 2 * nyquist
    index = np.rint(frequency / width).astype(np.intp)
    out = np.zeros((basis.latents, int(index.max()) + 1))
    np.add.at(out.T, index, mean.T)
    return out
