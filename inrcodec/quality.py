"""Whether a decoded volume meets its quality target, and how to move the quantiser step when it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec import metrics
from inrcodec.core import Settings, Target
from inrcodec.fourier_shell import FourierShells, ShellReference

Array = np.ndarray[Any, Any]

# What an octave of the step changes is known roughly. A margin spares a second correction, and grows when one
# did not do: small volumes and rounding to integers answer the step in jumps.
_MARGINS_DB = (0.01, 0.1, 0.5)
_MARGINS_RATIO = (1.002, 1.01, 1.05)


@dataclass(frozen=True)
class Quality:
    """How close a decoded volume is to its original.

    Attributes:
        snr: dB, :func:`inrcodec.metrics.represented_snr`.
        max_error: density units, over the represented voxels where there is a threshold, else over all.
        background: the value of the voxels left out of the variance, or None.
        exact_specials: NaN and infinities came back as they were, and nowhere else.
        min_fsc: smallest Fourier shell correlation up to the target's resolution; NaN where none was asked.
    """

    snr: float
    max_error: float
    background: float | None
    exact_specials: bool
    min_fsc: float = math.nan

    def meets(self, target: Target, ratio: float) -> bool:
        """Whether the target holds; ``ratio`` is original bytes over payload bytes."""
        if not self.exact_specials:
            return False
        if target.kind == "none":
            return True
        if target.kind == "max_error":
            return self.max_error <= target.value
        if target.kind == "fsc":
            return self.min_fsc >= target.value
        return (self.snr if target.kind == "snr" else ratio) >= target.value


def measure(original: Array, decoded: Array, threshold: float | None = None) -> Quality:
    """Compare a decoded volume with its original.

    Voxels that are NaN or infinite in the original are compared exactly and left out of the numbers. With
    ``threshold`` only voxels above it are compared. Without, voxels equal to a background value
    (:func:`inrcodec.metrics.find_background`) do not count as represented.
    """
    exact = True
    if original.dtype.kind == "f":
        finite = np.isfinite(original)
        if not finite.all():
            exact = bool(np.array_equal(original[~finite], decoded[~finite], equal_nan=True))
            original, decoded = original[finite], decoded[finite]
        if not np.isfinite(decoded).all():
            return Quality(-math.inf, math.inf, None, False)
    if threshold is not None:
        represented = original > threshold
        original, decoded = original[represented], decoded[represented]
    if original.size == 0:
        return Quality(math.inf, 0.0, None, exact)
    background = metrics.find_background(original) if threshold is None else None
    return Quality(
        metrics.represented_snr(original, decoded, background=background),
        metrics.max_error(original, decoded),
        background,
        exact,
    )


def rescaled_step(target: Target, tried: Sequence[tuple[float, float]]) -> float:
    """The quantiser step to try next.

    Args:
        target: an ``snr`` or ``ratio`` target.
        tried: steps and what they gave (dB, or ratio), oldest first.

    The first correction takes 6.02 dB, or a factor of two in bytes, per octave of the step; later ones the
    slope between the last two tries.
    """
    in_db = target.kind == "snr"
    points = [(math.log(step), value if in_db else math.log(value)) for step, value in tried]
    nth = min(len(tried), len(_MARGINS_DB)) - 1
    aim = target.value + _MARGINS_DB[nth] if in_db else math.log(target.value * _MARGINS_RATIO[nth])
    usual = -20 / math.log(10) if in_db else 1.0
    slope = usual
    if len(points) > 1 and points[-1][0] != points[-2][0]:
        secant = (points[-1][1] - points[-2][1]) / (points[-1][0] - points[-2][0])
        # Far from the usual slope, rounding or a fallback is at work and extrapolates badly.
        slope = secant if 0.25 < secant / usual < 4 else usual
    move = (aim - points[-1][1]) / slope
    return math.exp(points[-1][0] + min(max(move, -math.log(4)), math.log(4)))


def with_fsc(quality: Quality, settings: Settings, original: Array, decoded: Array) -> Quality:
    """The quality with the smallest correlation up to the resolution of an ``fsc`` target."""
    if settings.target.kind != "fsc" or settings.volume is None or settings.volume.resolution is None:
        return quality
    shells = FourierShells(original.shape, settings.volume.voxel_size or 1.0)
    reference = ShellReference(original, shells, shells.up_to(settings.volume.resolution))
    return replace(quality, min_fsc=float(reference.correlation(decoded).min()))


def fsc_curve(original: Array, decoded: Array, voxel_size: Sequence[float]) -> tuple[Array, Array] | None:
    """Fourier shell correlation of a map with its original; None for stacks and for boxes without a shell.

    Args:
        original, decoded: one volume or image, or a stack; NaN and infinities count as zeros.
        voxel_size: angstrom, one value per spatial axis; where one is 0, frequencies are per voxel.
    """
    if original.ndim != len(voxel_size):
        return None
    if original.dtype.kind == "f":
        finite = np.isfinite(original) & np.isfinite(decoded)
        original, decoded = np.where(finite, original, 0), np.where(finite, decoded, 0)
    try:
        return metrics.fsc(original, decoded, voxel_size if all(size > 0 for size in voxel_size) else 1.0)
    except ValueError:
        return None
