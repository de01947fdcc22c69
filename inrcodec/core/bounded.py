"""How much error a field may leave for corrections to mend, where the target bounds every voxel's error."""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, sqrt
from typing import Any

import numpy as np

from inrcodec.core import corrections
from inrcodec.core.fitting import Voxels
from inrcodec.core.latents import Latents, Quantised

# RMS error over max_error, tried: with sparse corrections, and with dense ones until they fall behind
_SPARSE = (0.25, 0.32, 0.4, 0.5, 0.62)
_DENSE = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 23.0)
_HOPELESS = 1.1  # times the fewest bits so far: larger errors are not tried

Array = np.ndarray[Any, Any]


def cheapest_ratio(sparse: Callable[[float], Array], dense: Callable[[float], Array]) -> Array:
    """(batch,) RMS error of the field over ``max_error`` that takes the fewest bits in all.

    Args:
        sparse: (batch,) bits of field and sparse corrections at such a ratio.
        dense: likewise with dense corrections.
    """
    ratios, totals = list(_SPARSE), [sparse(ratio) for ratio in _SPARSE]
    for ratio in _DENSE:
        ratios.append(ratio)
        totals.append(dense(ratio))
        if (totals[-1] > _HOPELESS * np.min(totals, axis=0)).all():
            break
    return np.array(ratios)[np.argmin(totals, axis=0)]


def sparse_bits(ratio: float, count: int) -> float:
    """Expected bits of sparse corrections; errors of a field are close to normal."""
    return corrections.estimate_bits(round(count * erfc(1 / ratio / sqrt(2))), count)


def dense_bits(voxels: Voxels, latents: Latents, q: Quantised, step: Array, bound: Array) -> Array:
    """(batch,) expected bits of dense corrections of quantised latents; ``bound`` is (batch,)."""
    error = voxels.backend.to_numpy(voxels.values - voxels.rebuild(latents, q, step)).astype(np.float64)
    care = np.ones(error.shape, bool) if voxels.care is None else voxels.backend.to_numpy(voxels.care) > 0
    each = zip(error, care, bound, strict=True)
    return np.array([corrections.estimate_dense_bits(e, c, float(b)) for e, c, b in each])
