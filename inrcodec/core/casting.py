"""The cast from decoded densities to the dtype of a chunk."""

from __future__ import annotations

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
