"""Rotation matrices as whole numbers of 2**-30, the same on every machine.

All act on column vectors ``(z, y, x)``. Axes are given as ``(x, y, z)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from itertools import product
from typing import Any

import numpy as np

from inrcodec.core.exact import cos_rational

Array = np.ndarray[Any, Any]
Axis = tuple[Decimal | int, Decimal | int, Decimal | int]
_Matrix = tuple[tuple[Decimal, ...], ...]

UNIT = 2**30
DECIMAL = Context(prec=40)


def about_z(numerator: int, denominator: int) -> Array:
    """numerator / denominator of a turn about z, ``(3, 3)`` on vectors ``(z, y, x)``, in units of 2**-30."""
    # sin(t) is cos(t - a quarter turn); cos_rational counts half turns: both in quarters of the denominator.
    angle = 4 * numerator % (4 * denominator)
    cosine, sine = cos_rational(np.array([angle, angle - denominator]), 2 * denominator)
    c, s = (int(np.rint(value * UNIT)) for value in (cosine, sine))
    return np.array([[UNIT, 0, 0], [0, c, s], [0, -s, c]], np.int64)


def generated(generators: Sequence[tuple[int, Axis]]) -> Array:
    """The group that rotations generate, given as folds (2 to 5) and axes of any length.

    Products have 40 digits; each entry is rounded once, at the end.

    Returns:
        ``(order, 3, 3)`` int64, the identity first, then ascending by the nine entries, row by row.
    """
    matrices = [_rotation(fold, axis) for fold, axis in generators]
    identity = _rotation(1, (0, 0, 1))
    found = {_whole(identity)}
    new = [identity]
    while new:
        products = [_times(g, m) for g in matrices for m in new]
        fresh = {key: m for m in products if (key := _whole(m)) not in found}
        found |= fresh.keys()
        new = list(fresh.values())
    others = sorted(found - {_whole(identity)})
    return np.array([_whole(identity), *others], np.int64).reshape(-1, 3, 3)


def is_rotation(orientation: tuple[int, ...]) -> bool:
    """Nine whole numbers whose rows are orthonormal within 2**-24 and right-handed."""
    if len(orientation) != 9 or max(abs(int(q)) for q in orientation) > UNIT:
        return False
    rows = [[int(q) for q in orientation[i : i + 3]] for i in (0, 3, 6)]
    for i, j in product(range(3), repeat=2):
        dot = sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
        if abs(dot - (UNIT**2 if i == j else 0)) > UNIT**2 >> 24:
            return False
    (a, b, c), (d, e, f), (g, h, k) = rows
    return a * (e * k - f * h) - b * (d * k - f * g) + c * (d * h - e * g) > 0


def turned(row: Sequence[Any] | Array, offsets: Sequence[Array]) -> Array:
    """One coordinate of turned offsets: a row of a rotation matrix times them, rounded to their units."""
    return np.asarray((sum(m * r for m, r in zip(row, offsets, strict=True)) + UNIT // 2) >> 30)


def root(x: int) -> Decimal:
    return DECIMAL.sqrt(Decimal(x))


def rounded(x: Decimal) -> int:
    return int(x.to_integral_value(ROUND_HALF_EVEN))


def _rotation(fold: int, axis: Axis) -> _Matrix:
    """1/fold of a turn about an axis ``(x, y, z)``, on vectors ``(z, y, x)``, by Rodrigues' formula."""
    with localcontext(DECIMAL):
        length = sum((Decimal(a) * a for a in axis), Decimal(0)).sqrt()
        x, y, z = (a / length for a in axis)
        c = {1: Decimal(1), 2: Decimal(-1), 3: Decimal("-0.5"), 4: Decimal(0), 5: (root(5) - 1) / 4}[fold]
        s = (1 - c * c).sqrt()
        u = (z, y, x)
        cross = ((0, x, -y), (-x, 0, z), (y, -z, 0))
        return tuple(
            tuple((c if i == j else 0) + (1 - c) * u[i] * u[j] + s * cross[i][j] for j in range(3))
            for i in range(3)
        )


def _times(a: _Matrix, b: _Matrix) -> _Matrix:
    with localcontext(DECIMAL):
        columns = tuple(zip(*b, strict=True))
        return tuple(
            tuple(sum((p * q for p, q in zip(row, column, strict=True)), Decimal(0)) for column in columns)
            for row in a
        )


def _whole(matrix: _Matrix) -> tuple[int, ...]:
    return tuple(rounded(DECIMAL.multiply(a, Decimal(UNIT))) for row in matrix for a in row)
