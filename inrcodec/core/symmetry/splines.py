"""Values of a field between its voxels, in whole numbers: the same on every machine.

A symmetric low-pass filter gives the values halfway between voxels; through those and the voxels goes a
cubic B-spline, whose coefficients a recursive filter finds (Unser 1999, "Splines: a perfect fit for signal
and image processing"). Here that filter is cut to a few taps, and taps and weights are whole numbers, so that
every product and every sum is exact in float64 and only stated roundings lose anything.

Error of a wave relative to the wave: -61 dB or less from a period of 4 voxels on, -45 dB at 3, -26 dB at 2.5.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from inrcodec.core.backend import in_threads
from inrcodec.core.payload import PayloadError

POSITION_BITS = 10  # positions are whole numbers of 2**-10 voxel
WEIGHT_BITS = 14  # filter taps and weights are whole numbers of 2**-14
HALFWAY = (
    10287,
    -3052,
    1429,
    -668,
    270,
    -74,
)  # weights of voxels beside a point halfway between two, nearest first
REACH = len(HALFWAY) + 4  # voxels that both filters see to each side
TAPS = 4  # coefficients along an axis that a value between them depends on
BEFORE, AFTER = TAPS // 2 - 1, TAPS // 2  # of those, beyond the first and the last coefficient at most
_SOME = 2**16  # values filtered at once: they stay in a core's cache
_GAIN = 2.0 ** (2 + 3 * 2)  # of coefficients over values: filter gains are below 6 an axis, 4 * 4**3 in all
_LIMIT = 2.0 ** (53 - WEIGHT_BITS) / _GAIN  # of values

Array = np.ndarray[Any, Any]


@cache
def filter_taps() -> tuple[int, ...]:
    """Taps 0 to 8 of the even filter from values to coefficients; all of them sum to 2**WEIGHT_BITS.

    Tap j is sqrt(3) (sqrt(3) - 2)**j, rounded; what rounding and the cut leave out goes to tap 0.
    """
    root = 3.0**0.5  # IEEE square roots are exact to the last bit
    side, power = [], 1.0
    for _ in range(8):
        power *= root - 2.0
        side.append(round(root * power * 2**WEIGHT_BITS))
    return (2**WEIGHT_BITS - 2 * sum(side), *side)


@cache
def weights() -> Array:
    """(2**POSITION_BITS, TAPS) weights of the coefficients around a position, from one voxel below it on."""
    one = 2**POSITION_BITS
    t = np.arange(one, dtype=np.int64)
    # six times the weights, in units of 2**-(3 * POSITION_BITS)
    below = (one - t) ** 3
    beyond = t**3
    at = 4 * one**3 - 6 * t**2 * one + 3 * t**3
    unit = 6 * one**3
    table = np.stack([(w * 2**WEIGHT_BITS * 2 + unit) // (2 * unit) for w in (below, at, beyond)], axis=1)
    after = 2**WEIGHT_BITS - table.sum(axis=1)
    out = np.column_stack([table[:, 0], table[:, 1], after, table[:, 2]]).astype(np.float64)
    out.setflags(write=False)
    return out


def rounded(values: Array) -> Array:
    """Sums of products with taps or weights, back in the values' units; in place, ties to even."""
    values *= 2.0**-WEIGHT_BITS
    return np.rint(values, out=values)


def check_range(values: Array) -> None:
    """Refuse values whose sums would not be exact.

    Raises:
        PayloadError: a value is too large.
    """
    if values.size and float(np.abs(values).max()) >= _LIMIT:
        raise PayloadError("a symmetric field is out of the range that exact arithmetic holds")


def coefficients(values: Array, axes: tuple[int, ...], dtype: type = np.float64) -> Array:
    """Spline coefficients at every half voxel along some axes, one axis after the other.

    Args:
        values: whole numbers in float64; beyond an end lies the last value.
        axes: those along which to go from n values to 2 n - 1 coefficients and ``BEFORE`` and ``AFTER`` more,
            equal to those at the ends.
        dtype: of the result; it must hold them (see :func:`shortest`).
    """
    out = values
    for axis in axes:
        out = _finer(out, axis, dtype)
    return np.ascontiguousarray(out, dtype)


def shortest(values: Array) -> type:
    """The smallest type that holds every coefficient of values."""
    peak = float(np.abs(values).max()) if values.size else 0.0
    return np.int32 if peak * _GAIN < 2.0**31 else np.float64


def _finer(values: Array, axis: int, dtype: type) -> Array:
    """Coefficients along one axis, with those beyond its ends."""
    shape = values.shape
    n, outer = shape[axis], prod(shape[:axis])
    lines = values.reshape(outer, n, -1)
    m = 2 * n - 1
    out = np.empty((outer, BEFORE + m + AFTER, lines.shape[2]), dtype)
    # parts that stay in a core's cache: of all lines along z, or whole planes or rows of the others
    count = outer if axis else lines.shape[2]
    many = max(1, _SOME * count // max(1, out.size))

    def work(start: int) -> None:
        some = slice(start, start + many)
        part = (some,) if axis else (slice(None), slice(None), some)
        target = out[part]
        found = _filtered(_halved(lines[part].astype(np.float64)))
        target[:, BEFORE : BEFORE + m] = found
        target[:, :BEFORE] = found[:, :1]
        target[:, BEFORE + m :] = found[:, -1:]

    in_threads(work, range(0, count, many))
    return out.reshape(*shape[:axis], -1, *shape[axis + 1 :])


def _halved(values: Array) -> Array:
    """Values at every half voxel of the middle axis."""
    outer, n, inner = values.shape
    padded = _extended(values, len(HALFWAY) - 1)
    out = np.empty((outer, 2 * n - 1, inner))
    out[:, ::2] = values
    total = np.zeros((outer, n - 1, inner))
    pair = np.empty_like(total)
    for j, tap in enumerate(HALFWAY):
        low = len(HALFWAY) - 1 - j
        high = low + 2 * j + 1
        np.add(padded[:, low : low + n - 1], padded[:, high : high + n - 1], out=pair)
        pair *= tap
        total += pair
    out[:, 1::2] = rounded(total)
    return out


def _filtered(values: Array) -> Array:
    """Spline coefficients of values along the middle axis."""
    n = values.shape[1]
    first, *side = filter_taps()
    padded = _extended(values, len(side))
    total = first * values
    pair = np.empty_like(total)
    for j, tap in enumerate(side, start=1):
        low, high = len(side) - j, len(side) + j
        np.add(padded[:, low : low + n], padded[:, high : high + n], out=pair)
        pair *= tap
        total += pair
    return rounded(total)


def _extended(values: Array, by: int) -> Array:
    """More of the middle axis at both ends, of the last value there."""
    return np.concatenate(
        [np.repeat(values[:, :1], by, axis=1), values, np.repeat(values[:, -1:], by, axis=1)], axis=1
    )
