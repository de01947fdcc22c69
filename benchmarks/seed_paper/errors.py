"""Errors by density region, as the seed paper states them.

A map's densities are divided by its largest, so that regions are shares of the peak: ``> 0.1`` is more than a
tenth of it. The paper gives no unit for its 0.1; its maps range to a few tenths.
Relative error of a voxel is ``|decoded - original| / original``, over voxels above the threshold only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

HIGH = 0.1  # of the largest density: the paper's border between low and high
WITHIN = 0.2  # relative error
EDGES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Region:
    """Voxels with ``low < density <= high`` in shares of the map's largest density.

    Attributes:
        count: voxels in it.
        mean: mean relative error; NaN where the region is empty.
        within: share of them within 20 % relative error; NaN where it is empty.
    """

    low: float
    high: float
    count: int
    mean: float
    within: float


@dataclass(frozen=True)
class Errors:
    """How the densities above the threshold came back.

    Attributes:
        within_high: share of the voxels above 0.1 within 20 % relative error.
        mean_high, mean_low, mean_all: mean relative error above 0.1, at or below it, and of both.
        median_low: median relative error at or below 0.1.
        rms: root of the mean squared error, in shares of the largest density.
        least, largest: of the decoded densities, in the same unit; ``given_least`` of the original (its
            largest is 1).
        regions: by :data:`EDGES`.
    """

    within_high: float
    mean_high: float
    mean_low: float
    mean_all: float
    median_low: float
    rms: float
    least: float
    largest: float
    given_least: float
    regions: tuple[Region, ...]


def peak(volume: Array) -> float:
    """The largest density, which becomes 1.

    Raises:
        ValueError: no density is above 0.
    """
    largest = float(volume.max())
    if not (math.isfinite(largest) and largest > 0):
        raise ValueError(f"the largest density is {largest:g}; there is nothing above a threshold")
    return largest


def thresholded(volume: Array, threshold: float) -> Array:
    """The map as the paper keeps it: voxels at or below ``threshold`` shares of the peak are 0."""
    return np.where(volume > threshold * peak(volume), volume, volume.dtype.type(0))


def measure(volume: Array, decoded: Array, threshold: float) -> Errors:
    """Compare the voxels above ``threshold``, in shares of the largest density of ``volume``.

    Raises:
        ValueError: shapes differ, or no voxel is above the threshold.
    """
    if volume.shape != decoded.shape:
        raise ValueError(f"decoded shape {decoded.shape}, original {volume.shape}")
    scale = peak(volume)
    occupied = volume > threshold * scale
    original = volume[occupied].astype(np.float64) / scale
    back = decoded[occupied].astype(np.float64) / scale
    if not original.size:
        raise ValueError(f"no density lies above the threshold {threshold:g}")
    difference = np.abs(back - original)
    relative = difference / original
    high = original > HIGH
    return Errors(
        within_high=_mean(relative[high] <= WITHIN),
        mean_high=_mean(relative[high]),
        mean_low=_mean(relative[~high]),
        mean_all=_mean(relative),
        median_low=float(np.median(relative[~high])) if (~high).any() else math.nan,
        rms=float(np.sqrt(np.mean(np.square(difference)))),
        least=float(back.min()),
        largest=float(back.max()),
        given_least=float(original.min()),
        regions=tuple(_region(original, relative, low, up) for low, up in pairwise(EDGES)),
    )


def _region(original: Array, relative: Array, low: float, high: float) -> Region:
    inside = (original > low) & (original <= high)
    return Region(low, high, int(inside.sum()), _mean(relative[inside]), _mean(relative[inside] <= WITHIN))


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else math.nan


def densest_crop(volume: Array, side: int) -> Array:
    """The box of at most ``side`` voxels a side with the largest sum of squares, on a grid of 8 voxels.

    A centre crop would hit the empty inside of a shell such as apoferritin's.
    """
    lengths = [min(side, n) for n in volume.shape]
    if lengths == list(volume.shape):
        return volume
    sums = np.square(volume.astype(np.float64))
    starts = [np.unique([*range(0, n - m + 1, 8), n - m]) for n, m in zip(volume.shape, lengths, strict=True)]
    for axis, (at, length) in enumerate(zip(starts, lengths, strict=True)):
        cumulated = np.cumsum(sums, axis=axis)
        cumulated = np.concatenate([np.zeros_like(cumulated.take([0], axis)), cumulated], axis=axis)
        sums = cumulated.take(at + length, axis) - cumulated.take(at, axis)
    corner = np.unravel_index(int(sums.argmax()), sums.shape)
    box = tuple(slice(at[c], at[c] + m) for at, c, m in zip(starts, corner, lengths, strict=True))
    return np.ascontiguousarray(volume[box])
