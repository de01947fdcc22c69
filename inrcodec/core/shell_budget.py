"""What a Fourier-shell target allows: squared error by radial bin of spatial frequency."""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core.leakage import MAX_BINS
from inrcodec.fourier_shell import ShellReference

Array = np.ndarray[Any, Any]

_WEAKEST = 1e-16  # of the strongest shell's power: below, nothing is left of float64


class ShellBudget:
    """What a target allows, in radial bins.

    Args:
        reference: the volume's shells up to the resolution.
        fsc: the target.
        unit: density; errors are in squares of it.

    Attributes:
        width: of a bin, 1/angstrom.
        bins: their number; the first lies around frequency zero, of which no shell speaks.
        allowed: (bins,) squared error, summed over voxels.
        start: (bins,) weights: inverse mean squared error of a coefficient.
    """

    def __init__(self, reference: ShellReference, fsc: float, unit: float) -> None:
        shells = reference.shells
        self.fsc = fsc
        self.width = max(shells.pixel, 0.5 / float(shells.voxel_size.max()) / MAX_BINS)
        frequency = shells.frequency[: reference.limit]
        self._bin = np.rint(frequency / self.width).astype(np.intp)
        self._bin = np.maximum(self._bin, 1)
        self.bins = int(self._bin.max()) + 1
        voxels = float(np.prod(shells.shape))
        power = np.bincount(self._bin, reference.power, self.bins) / voxels / unit**2
        count = np.bincount(self._bin, shells.coefficients[: reference.limit], self.bins)
        power[0], count[0] = power[1] / count[1], 1.0
        power = np.maximum(power, max(power.max(), 1e-200) * _WEAKEST)
        self.allowed = power * (fsc**-2.0 - 1)
        self.start = count / self.allowed

    def worst(self, relative: Array) -> Array:
        """(bins,) largest of the shells' relative errors in each bin."""
        out = np.zeros(self.bins)
        np.maximum.at(out, self._bin, relative)
        out[0] = out[1]
        return out
