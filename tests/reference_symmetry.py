"""Groups, images and interpolation for the reference decoder, from section 15 of ``docs/format.md`` alone."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np


@cache
def turn(a: int, b: int) -> list[list[int]]:
    """a / b of a turn about z."""
    c, s = (unit_cosine(4 * a % (4 * b), b), unit_cosine((4 * a - b) % (4 * b), b))
    return [[2**30, 0, 0], [0, c, s], [0, -s, c]]


def unit_cosine(q: int, b: int) -> int:
    """2^30 times the cosine of q / 4b of a turn, rounded."""
    if q > 2 * b:
        q = 4 * b - q
    sign = 1
    if q > b:
        q, sign = 2 * b - q, -1
    x = q * math.pi / (2 * b)
    square, t = x * x, 1.0
    for m in range(14, 0, -1):
        t = 1 - t * square / (2 * m * (2 * m - 1))
    return sign * round(2**30 * t)


def axis_turn(fold: int, axis: tuple) -> np.ndarray:
    """1 / fold of a turn about an axis (x, y, z), on columns (z, y, x): exact but for double precision."""
    x, y, z = np.array(axis, float) / math.sqrt(sum(a * a for a in axis))
    cosine, sine = math.cos(2 * math.pi / fold), math.sin(2 * math.pi / fold)
    along = np.array([z, y, x])
    cross = np.array([[0, x, -y], [-x, 0, z], [y, -z, 0]])
    return cosine * np.eye(3) + (1 - cosine) * np.outer(along, along) + sine * cross


GOLDEN = (1 + math.sqrt(5)) / 2
AXES = {
    (2, 0): ((3, (0, 0, 1)), (2, (0, math.sqrt(2), 1))),
    (2, 2): ((2, (0, 0, 1)), (3, (1, 1, 1))),
    (3, 0): ((4, (0, 0, 1)), (3, (1, 1, 1))),
    (4, 0): ((2, (0, 0, 1)), (5, (1, 0, GOLDEN))),
    (4, 1): ((2, (0, 0, 1)), (5, (0, 1, GOLDEN))),
    (4, 3): ((5, (0, 0, 1)), (2, (-1, 0, GOLDEN))),
    (4, 4): ((5, (0, 0, 1)), (2, (1, 0, GOLDEN))),
}


@cache
def point_group(family: int, n: int) -> list[list[list[int]]]:
    turns = [turn(k, n) for k in range(n)] if family < 2 else []
    if family == 0:
        return turns
    if family == 1:
        return turns + [[[-row[0], -row[1], row[2]] for row in matrix] for matrix in turns]
    generators = [axis_turn(*entry) for entry in AXES[family, n]]
    found = [np.eye(3)]
    for matrix in found:
        for generator in generators:
            new = generator @ matrix
            if all(np.abs(new - other).max() > 1e-6 for other in found):
                found.append(new)
    whole = [np.rint(2**30 * matrix).astype(int).tolist() for matrix in found]
    return whole[:1] + sorted(whole[1:])


def times(one: list, other: list) -> list:
    """Product of two matrices of 2^-30, rounded."""
    return [
        [(sum(one[i][k] * other[k][j] for k in range(3)) + 2**29) >> 30 for j in range(3)] for i in range(3)
    ]


def apply(matrix: list, v: tuple[int, ...]) -> list[int]:
    return [sum(m * a for m, a in zip(row, v, strict=True)) for row in matrix]


class Group:
    """The group of a symmetry section, and where voxels have their images."""

    def __init__(self, cursor: Any, shape: tuple[int, ...]) -> None:
        flags, self.n = cursor.unpack("2B")
        self.family = flags & 15
        self.direction = cursor.unpack("3b")
        if self.family == 5:
            self.rise, self.twist = cursor.unpack("2q")
        self.centre = cursor.unpack("3i") if flags & 16 else tuple(1024 * (n // 2) for n in shape)
        q = cursor.unpack("9i") if flags & 32 else None
        self.radius = cursor.varint() if flags & 64 else None
        self.axial = q is None and self.family in (0, 1, 5)
        if self.family == 5:
            self.interpolated = (True, True, True)
            return
        self.operations = list(point_group(self.family, self.n))
        if q is not None:
            rows = [q[:3], q[3:6], q[6:]]
            columns = [list(column) for column in zip(*rows, strict=True)]
            self.operations[1:] = [times(times(rows, m), columns) for m in self.operations[1:]]
        self.lattice = [m for m in self.operations if self.on_lattice(m)]
        between = len(self.lattice) < len(self.operations)
        self.interpolated = (between, between, between)
        if self.axial:
            self.interpolated = (self.family == 1 and 2 * self.centre[0] % 1024 > 0, between, between)

    def on_lattice(self, matrix: list) -> bool:
        if any(abs(entry) not in (0, 2**30) for row in matrix for entry in row):
            return False
        moved = apply(matrix, self.centre)
        return all((c - (m >> 30)) % 1024 == 0 for c, m in zip(self.centre, moved, strict=True))

    def image(self, voxel: tuple[int, ...]) -> tuple[int, ...] | None:
        """Position of a voxel's image, in 2^-10 voxel."""
        v = tuple(1024 * a - c for a, c in zip(voxel, self.centre, strict=True))
        square = sum(a * a for a in (v[1:] if self.axial else v))
        if self.radius is not None and square > (1024 * self.radius) ** 2:
            return None
        found = self.axial_image(v) if self.axial else self.general_image(v)
        return tuple(a + c for a, c in zip(found, self.centre, strict=True))

    def axial_image(self, v: tuple[int, ...]) -> tuple[int, ...]:
        z, y, x = v
        if self.family == 5:
            copy = (2048 * z + self.rise) // (2 * self.rise)
            z -= (copy * self.rise + 512) // 1024
            turns = [turn(-copy * self.twist * self.n + 2**32 * j, 2**32 * self.n) for j in range(self.n)]
        else:
            if self.family == 1 and z < 0:
                z, y = -z, -y
            turns = [turn(j, self.n) for j in range(self.n)]
        moved = [[(a + 2**29) >> 30 for a in apply(matrix, (0, y, x))] for matrix in turns]
        _, ey, ex = self.direction
        _, y, x = max(moved, key=lambda at: ey * at[1] + ex * at[2])  # the first of equal ones
        return z, y, x

    def general_image(self, v: tuple[int, ...]) -> tuple[int, ...]:
        def furthest(operations: list) -> list[int]:
            moved = [apply(matrix, v) for matrix in operations]
            return max(moved, key=lambda at: sum(e * a for e, a in zip(self.direction, at, strict=True)))

        v = tuple(a >> 30 for a in furthest(self.lattice))
        if len(self.lattice) == len(self.operations):
            return v
        return tuple((a + 2**29) >> 30 for a in furthest(self.operations))


HALFWAY = (10287, -3052, 1429, -668, 270, -74)
SPLINE = (23168, -3975, 682, -117, 20, -3, 1)


def spline_coefficients(values: np.ndarray, axis: int) -> np.ndarray:
    f = np.moveaxis(values, axis, 0)
    n = len(f)

    def at(line: np.ndarray, i: int) -> np.ndarray:
        return line[min(max(i, 0), len(line) - 1)]

    h = []
    for i in range(n):
        h.append(f[i])
        if i < n - 1:
            total = sum(tap * (at(f, i - j) + at(f, i + 1 + j)) for j, tap in enumerate(HALFWAY))
            h.append(np.rint(total / 2**14))
    out = []
    for i in range(2 * n - 1):
        total = SPLINE[0] * h[i]
        for j in range(1, len(SPLINE)):
            total = total + SPLINE[j] * (at(h, i - j) + at(h, i + j))
        out.append(np.rint(total / 2**14))
    return np.moveaxis(np.array(out), 0, axis)


@cache
def spline_weights(t: int) -> tuple[int, ...]:
    first, last = ((1024 - t) ** 2 + 64) >> 7, (t**2 + 64) >> 7
    return first, 2**14 - first - last, last


def value_at(coefficients: np.ndarray, position: list[int], interpolated: tuple[bool, ...]) -> float:
    """Weighted sums along z, then y, then x, at a position from the field's first voxel."""
    for p, between in zip(position, interpolated, strict=True):
        if not between:
            coefficients = coefficients[p // 1024]
            continue
        i, t = divmod(2 * p + 512, 1024)
        taps = np.clip(np.arange(i - 1, i + 2), 0, len(coefficients) - 1)
        total = sum(w * coefficients[k] for w, k in zip(spline_weights(t), taps, strict=True))
        coefficients = np.rint(total / 2**14)
    return float(coefficients)
