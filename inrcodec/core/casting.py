"""The cast from decoded densities to the dtype of a chunk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def to_dtype(density: Array, dtype: np.dtype[Any]) -> Array:
    """Densities (float64) in the chunk's dtype: integers rounded, everything clipped to its finite range."""
    if dtype.kind == "f":
        if dtype.itemsize < 8:
            top = float(np.finfo(dtype).max)
            np.clip(density, -top, top, out=density)
        return density.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(density), limits.min, limits.max).astype(dtype)


def bound_before_cast(bound: float, dtype: np.dtype[Any]) -> float:
    """Largest error of a density that is within a bound once cast: whole numbers leave half of one more."""
    return bound if dtype.kind == "f" else math.floor(bound) + 0.5


def before_rounding(mean_square: float) -> float:
    """Mean squared error of normal errors that have this one once whole numbers plus them are rounded."""
    if mean_square > 4:
        return mean_square - 1 / 12

    def after(deviation: float) -> float:
        beyond = [math.erfc((k + 0.5) / (deviation * math.sqrt(2))) for k in range(20)]
        return sum((2 * k + 1) * share for k, share in enumerate(beyond))

    low, high = 1e-3, 3.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if after(middle) < mean_square else (low, middle)
    return low**2
