"""Values of a volume between its voxels, by a short windowed sinc or linearly, in floating point."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_STEPS = 4096  # of the weights' table, per voxel
_BETA = {4: 3.0, 6: 4.5, 8: 6.0}  # Kaiser windows: sharper cuts for longer kernels
_BATCH = 1 << 15  # points at a time, for memory


def interpolate(volume: Array, points: Array, taps: int) -> Array:
    """Values at points, from ``taps`` voxels along each axis.

    Args:
        volume: ``(z, y, x)``, real, finite; indexed in place, so memory-mapped volumes are not read whole.
        points: ``(n, 3)`` coordinates ``(z, y, x)`` in voxels; beyond the box the nearest voxels count.
        taps: 2 for trilinear, 4, 6 or 8 for a Kaiser-windowed sinc.

    Returns:
        ``(n,)`` float64.
    """
    table = _weights(taps)
    values = np.empty(len(points))
    for start in range(0, len(points), _BATCH):
        batch = slice(start, start + _BATCH)
        values[batch] = _batch(volume, points[batch], table, taps)
    return values


def _batch(volume: Array, points: Array, table: Array, taps: int) -> Array:
    first = np.floor(points)
    weights = table[np.rint((points - first) * _STEPS).astype(np.int64)]
    index = first.astype(np.int64)[:, :, None] + np.arange(1 - taps // 2, 1 + taps // 2)
    index = np.clip(index, 0, np.array(volume.shape)[:, None] - 1)
    flat = volume.reshape(-1)
    rows = index * np.array([volume.shape[1] * volume.shape[2], volume.shape[2], 1])[:, None]
    total = np.zeros(len(points))
    for a in range(taps):
        plane = np.zeros(len(points))
        for b in range(taps):
            base = rows[:, 0, a] + rows[:, 1, b]
            row = flat[base[:, None] + rows[:, 2]]
            plane += weights[:, 1, b] * np.einsum("nt,nt->n", row, weights[:, 2])
        total += weights[:, 0, a] * plane
    return total


@cache
def _weights(taps: int) -> Array:
    """Weights ``(steps + 1, taps)`` of voxels around a point, by its fraction of a voxel; they sum to 1."""
    fraction = np.arange(_STEPS + 1)[:, None] / _STEPS
    if taps == 2:
        return np.concatenate([1 - fraction, fraction], axis=1)
    distance = fraction - np.arange(1 - taps // 2, 1 + taps // 2)
    window = np.i0(_BETA[taps] * np.sqrt(np.clip(1 - (2 * distance / taps) ** 2, 0, None)))
    weights = np.sinc(distance) * window
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
