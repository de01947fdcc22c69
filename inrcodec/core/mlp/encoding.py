"""Positional encoding of voxel indices, in whole numbers.

Coordinates run from -1 at the first voxel of an axis to 1 at its last (0 for an axis of one voxel). The
encoding (Mildenhall et al. 2020; in the seed paper with L = 10) is the coordinate and, for k = 0 ... L - 1,
its sin(2^k pi x) and cos(2^k pi x). Voxels are few along an axis, so the encoding is a table for each axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core.exact import cos_rational

UNIT_BITS = 14  # inputs and activations are whole numbers of 2^-14

Array = np.ndarray[Any, Any]


def axis_table(n: int, frequencies: int) -> Array:
    """(n, 1 + 2 frequencies) float64 whole numbers of 2^-14: x, sin, cos, sin, cos, ... of every voxel."""
    out = np.zeros((n, 1 + 2 * frequencies))
    span = max(n - 1, 1)
    centred = 2 * np.arange(n, dtype=np.int64) - (n - 1)  # the coordinate is this over n - 1
    out[:, 0] = np.rint(centred * 2.0**UNIT_BITS / span)
    for k in range(frequencies):
        angle = centred << (k + 1)  # in units of pi / (2 span)
        out[:, 1 + 2 * k] = np.rint(2.0**UNIT_BITS * cos_rational(angle - span, 2 * span))
        out[:, 2 + 2 * k] = np.rint(2.0**UNIT_BITS * cos_rational(angle, 2 * span))
    return out


def coordinates(n: int) -> Array:
    """(n,) float64 coordinates of the voxels of an axis."""
    return (2 * np.arange(n) - (n - 1)) / max(n - 1, 1)
