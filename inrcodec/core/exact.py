"""Numbers that must be the same on every machine: cosines, exponentials, and rounding rules.

Library cosines and exponentials may differ in the last bit from one machine to the next. Those here use
only operations that IEEE 754 fixes to the last bit (+, -, *, /, rounding), in a fixed order, or decimal
arithmetic, so tables built from them are identical everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np

PI = 3.141592653589793
_TERMS = 14  # of the Taylor series: the first one left out is below 1e-19 on [0, pi/2]
_DECIMAL = Context(prec=40)

Array = np.ndarray[Any, Any]


def cos_quadrant(x: Array) -> Array:
    """Cosine of angles in [0, pi/2] (radians), by its Taylor series in Horner form."""
    square = x * x
    total = np.ones_like(square)
    for n in range(_TERMS, 0, -1):
        total = 1.0 - total * square / float((2 * n - 1) * (2 * n))
    return total


def cos_rational(numerator: Array, denominator: int) -> Array:
    """cos(pi * numerator / denominator) for integers; symmetries are applied before any rounding."""
    r = np.asarray(numerator, np.int64) % (2 * denominator)
    r = np.minimum(r, 2 * denominator - r)
    mirrored = 2 * r > denominator
    r = np.where(mirrored, denominator - r, r)
    value = cos_quadrant(r.astype(np.float64) * PI / denominator)
    return np.where(mirrored, -value, value)


@contextmanager
def _forty_digits() -> Iterator[None]:
    """Decimal arithmetic that does not depend on the caller's context."""
    with localcontext(_DECIMAL):
        yield


@_forty_digits()
def laplace_frequencies(scale: Decimal, dead_zone: Decimal, limit: int, precision: int) -> list[int]:
    """Integer frequencies of a quantised Laplace distribution, for -limit..limit and an escape.

    Bin 0 is [-dead_zone, dead_zone], bin n > 0 is [dead_zone + n - 1, dead_zone + n]. They sum to
    2**precision, and none is 0, so that every symbol can be coded.
    """
    total = 2**precision
    tail = _exp(-dead_zone / scale) / 2
    decay = _exp(-1 / scale)
    side = [max(1, int(tail * decay**n * (1 - decay) * total)) for n in range(limit)]
    escape = max(1, int(2 * tail * decay**limit * total))
    zero = total - 2 * sum(side) - escape
    if zero < 1:
        raise ValueError(f"scale {scale} leaves no room for zero with {limit} symbols a side")
    return [*side[::-1], zero, *side, escape]


@_forty_digits()
def halved_laplace_frequencies(scale: Decimal, limit: int, precision: int) -> list[int]:
    """Frequencies of floor(v) for Laplace-distributed v, for -limit..limit-1 and an escape."""
    total = 2**precision
    decay = _exp(-1 / scale)
    side = [max(1, int(decay**n * (1 - decay) * total / 2)) for n in range(limit)]
    escape = total - 2 * sum(side)
    if escape < 1:
        # rounding small frequencies up took it: give back from the largest, symmetrically
        side[0] -= (2 - escape) // 2
        escape = total - 2 * sum(side)
    return [*side[::-1], *side, escape]


def power_of_two(numerator: int, denominator: int = 8) -> Decimal:
    """2 ** (numerator / denominator), to 40 digits."""
    return _DECIMAL.power(Decimal(2), _DECIMAL.divide(Decimal(numerator), Decimal(denominator)))


def _exp(x: Decimal) -> Decimal:
    return _DECIMAL.exp(x)
