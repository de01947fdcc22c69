"""How close two maps are: SNR, largest error, Fourier shell correlation, masked correlation.

All functions take real arrays of equal shape, ``(..., d, h, w)`` with the original first, compute in
float64 and raise :class:`ValueError` on shapes that differ, empty arrays, and NaN or infinite values
(named with their number), and :class:`TypeError` on dtypes that are not real.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from inrcodec.fourier_shell import FourierShells

Array = np.ndarray[Any, Any]

BACKGROUND_SHARE = 0.05
"""Share of a map from which one repeated value counts as background."""


def snr(a: Array, b: Array) -> float:
    """Signal-to-noise ratio of ``b`` against the original ``a``, in dB.

    ``10 log10(var(a) / mean((a - b)^2))``; infinite when the arrays are equal, minus infinity when a
    constant ``a`` is not reproduced.
    """
    a, b = _pair(a, b)
    return _ratio_db(*_moments(a, b, None))


def max_error(a: Array, b: Array) -> float:
    """Largest ``|a - b|`` over all voxels, in density units."""
    a, b = _pair(a, b)
    return max(float(np.max(np.abs(x - y))) for x, y in _slabs(a, b))


def represented_snr(
    a: Array, b: Array, background: float | None = None, threshold: float | None = None
) -> float:
    """SNR in dB relative to the variance of the voxels that a codec represents.

    Without ``background`` and ``threshold`` this is :func:`snr`. With ``background`` the represented voxels
    are those of ``a`` not equal to it; the squared error of *all* voxels is divided by their number, so an
    error spilled into the background counts. With ``threshold`` they are those above it, and only their
    errors count: the caller asked for the others to be dropped.

    Returns infinity when nothing is represented and nothing differs.
    """
    if background is not None and threshold is not None:
        raise ValueError("give background or threshold, not both")
    a, b = _pair(a, b)
    if threshold is not None:
        represented = a > threshold
        return _ratio_db(*_moments(a[represented], b[represented], None))
    return _ratio_db(*_moments(a, b, background))


def find_background(a: Array, share: float = BACKGROUND_SHARE) -> float | None:
    """The value that at least ``share`` of the voxels are exactly equal to, or None.

    Integer densities repeat by nature and have none. The candidate is the commonest value among some 10^5
    evenly spread voxels; its voxels are then counted.
    """
    flat = np.asarray(a).reshape(-1)
    if flat.size == 0 or flat.dtype.kind != "f":
        return None
    # An odd stride visits all rows of the even-sided boxes that are usual here.
    sample = flat[:: max(1, flat.size // 100_000) | 1]
    values, counts = np.unique(sample[np.isfinite(sample)], return_counts=True)
    if values.size == 0:
        return None
    value = values[np.argmax(counts)] + 0  # -0 becomes 0
    return float(value) if np.count_nonzero(flat == value) >= share * flat.size else None


def fsc(
    a: Array, b: Array, voxel_size: float | Sequence[float] = 1.0, mask: Array | None = None
) -> tuple[Array, Array]:
    """Fourier shell correlation of two maps (Harauz & van Heel 1986, Optik 73, 146-156).

    Args:
        a, b: maps of shape ``(..., d, h, w)``; every axis is transformed (two axes give the Fourier ring
            correlation).
        voxel_size: angstrom per voxel, one for all axes or one per axis in array order.
        mask: multiplied into both maps first; any real array of their shape.

    Returns:
        Spatial frequency in 1/angstrom and correlation, one value per shell. Shells are one Fourier pixel
        wide (the largest of the axes' pixels, ``1 / (n * voxel_size)``, where the box is not cubic), centred
        on its multiples from the first to the last that does not exceed the coarsest axis' Nyquist frequency.
        The zero frequency is left out. A shell without power in either map has correlation 1, in one of the
        two 0.
    """
    a, b = _pair(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    if mask is not None:
        mask = _real(mask, "mask")
        if mask.shape != a.shape:
            raise ValueError(f"mask has shape {mask.shape}, the maps {a.shape}")
        x, y = x * mask, y * mask
    shells = FourierShells(a.shape, voxel_size)
    return shells.frequency, shells.correlation(np.fft.rfftn(x), np.fft.rfftn(y))


def masked_correlation(a: Array, b: Array, mask: Array) -> float:
    """Pearson correlation of two maps inside a mask.

    ``mask`` has the maps' shape; its values, at least 0, weight the voxels, so a boolean mask selects them.

    Raises:
        ValueError: also where the mask is empty or negative, or a map is constant inside it.
    """
    a, b = _pair(a, b)
    mask = _real(mask, "mask")
    if mask.shape != a.shape:
        raise ValueError(f"mask has shape {mask.shape}, the maps {a.shape}")
    inside = mask != 0
    weight = mask[inside].astype(np.float64)
    if weight.size == 0 or weight.min() < 0:
        raise ValueError("mask must be at least 0 everywhere and above 0 somewhere")
    weight /= weight.sum()
    x, y = a[inside].astype(np.float64), b[inside].astype(np.float64)
    x -= np.sum(weight * x)
    y -= np.sum(weight * y)
    norm = math.sqrt(np.sum(weight * x * x)) * math.sqrt(np.sum(weight * y * y))
    if norm == 0:
        raise ValueError("a map is constant inside the mask: no correlation is defined")
    return float(np.clip(np.sum(weight * x * y) / norm, -1.0, 1.0))


def _moments(a: Array, b: Array, background: float | None) -> tuple[int, float, float]:
    """Number of represented voxels, their summed squared deviation, and the summed squared error of all."""
    count, mean, deviation, error = 0, 0.0, 0.0, 0.0
    for x, y in _slabs(a, b):
        error += float(np.sum(np.square(x - y)))
        kept = x if background is None else x[x != background]
        if kept.size == 0:
            continue
        # Slabs are merged about their means (Chan, Golub & LeVeque 1983): plain sums of squares cancel.
        delta, total = float(kept.mean()) - mean, count + kept.size
        deviation += float(np.sum(np.square(kept - kept.mean()))) + delta**2 * count * kept.size / total
        mean += delta * kept.size / total
        count = total
    return count, deviation, error


def _ratio_db(count: int, deviation: float, error: float) -> float:
    if error == 0:
        return math.inf
    return 10 * math.log10(deviation / error) if count and deviation > 0 else -math.inf


def _slabs(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    """Both arrays in float64, a few million voxels at a time along the first axis."""
    rows = max(1, 2**22 // max(1, a[:1].size))
    for start in range(0, a.shape[0], rows):
        yield a[start : start + rows].astype(np.float64), b[start : start + rows].astype(np.float64)


def _pair(a: Array, b: Array) -> tuple[Array, Array]:
    a, b = _real(a, "a"), _real(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    return np.atleast_1d(a), np.atleast_1d(b)


def _real(array: Array, name: str) -> Array:
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    if array.dtype.kind == "f":
        bad = array.size - np.count_nonzero(np.isfinite(array))
        if bad:
            raise ValueError(f"{name} holds {bad} NaN or infinite values")
    return array
