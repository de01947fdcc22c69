"""A volume at several resolutions, for the search of its symmetry: coarse ones are fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_MIDDLE = 128  # voxels along the longest edge of the middle level, at most
_COARSE = 32  # and of the coarse one
_BACKGROUND_SHARE = 0.05  # of the voxels that are one value, from which it counts as background
_BLUR = 1.6  # of the coarse level: exp(-1.6) of the amplitude is left at its Nyquist frequency


@dataclass(frozen=True)
class Level:
    """A volume on a coarser grid.

    Args:
        volume: ``(z, y, x)``, real and finite.
        scale: voxels of the full volume per voxel, ``(3,)``.
        offset: where voxel (0, 0, 0) lies in the full volume, in its voxels.
    """

    volume: Array
    scale: Array
    offset: float

    @property
    def radius(self) -> float:
        """Half of the shortest edge, in voxels of the full volume: the sphere that surely is in the box."""
        return float((np.array(self.volume.shape) * self.scale).min() / 2 - self.scale.max())

    def own(self, points: Array) -> Array:
        """Points ``(..., 3)`` of the full volume, in this level's voxels."""
        return np.asarray((points - self.offset) / self.scale)


def levels(volume: Array) -> tuple[Level, Level, Level]:
    """The full level (``volume`` itself where it is finite), the middle and the coarse one."""
    volume = _finite(volume)
    full = Level(volume, np.ones(3), 0.0)
    factor = -(-max(volume.shape) // _MIDDLE)
    middle = full
    if factor > 1:
        middle = Level(_binned(volume, factor), np.full(3, float(factor)), (factor - 1) / 2)
    longest = max(middle.volume.shape)
    shape = [max(4, round(n * min(1.0, _COARSE / longest))) for n in middle.volume.shape]
    shape = [min(m, n) for m, n in zip(shape, middle.volume.shape, strict=True)]
    scale = middle.scale * np.array(middle.volume.shape) / shape
    return full, middle, Level(_cropped(middle.volume, shape), scale, middle.offset)


def represented(volume: Array) -> Array | None:
    """Which voxels are no background, the one value that many voxels have; None if there is no such value."""
    flat = volume.reshape(-1)
    sample = flat[:: max(1, flat.size // 100_000) | 1]
    values, counts = np.unique(sample, return_counts=True)
    if volume.dtype.kind != "f" or counts.max() < _BACKGROUND_SHARE * sample.size:
        return None
    return np.asarray(volume != values[np.argmax(counts)])


def _finite(volume: Array) -> Array:
    """NaN and infinite voxels become the mean of the others; half precision becomes single."""
    if volume.dtype.kind != "f":
        return volume
    if volume.dtype.itemsize < 4:
        volume = volume.astype(np.float32)
    finite = np.isfinite(volume)
    if finite.all():
        return np.ascontiguousarray(volume)
    mean = volume[finite].mean(dtype=np.float64) if finite.any() else 0.0
    return np.where(finite, volume, volume.dtype.type(mean))


def _binned(volume: Array, factor: int) -> Array:
    """Means of cubes of ``factor`` voxels, float32; the last voxels that fill no cube are left out."""
    nz, ny, nx = (max(1, n // factor) for n in volume.shape)
    planes = []
    for z in range(nz):
        slab = volume[z * factor : (z + 1) * factor].mean(axis=0, dtype=np.float32)
        slab = slab[: ny * factor, : nx * factor]
        step = (min(factor, slab.shape[0]), min(factor, slab.shape[1]))
        planes.append(slab.reshape(ny, step[0], nx, step[1]).mean(axis=(1, 3)))
    return np.stack(planes)


def _cropped(volume: Array, shape: Sequence[int]) -> Array:
    """The volume's lowest frequencies on a coarser grid, blurred so that linear interpolation is good."""
    volume = volume - volume.mean(dtype=np.float64)
    for axis, n in enumerate(shape):
        spectrum = np.fft.rfft(volume, axis=axis)
        kept = (n - 1) // 2 + 1
        weights = np.exp(-_BLUR * (2 * np.arange(kept) / n) ** 2) * (n / volume.shape[axis])
        weights = weights.reshape([-1 if a == axis else 1 for a in range(3)])
        volume = np.fft.irfft(spectrum.take(range(kept), axis=axis) * weights, n=n, axis=axis)
    return np.asarray(volume, np.float32)
