"""A box of field values seen at any position: exact at its voxels, by quadratic splines between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core.backend import in_threads
from inrcodec.core.symmetry.splines import (
    BEYOND,
    POSITION_BITS,
    REACH,
    TAPS,
    check_range,
    coefficients,
    rounded,
    shortest,
    weights,
)

_COLUMNS = 2**12  # sampled at once: what is added up stays in a core's cache
_PLANES = 32  # likewise
_POINTS = 2**16  # likewise; fewer and the interpreter hands over between threads more than it works

Array = np.ndarray[Any, Any]
Span = tuple[int, int]


def spans_needed(low: Array, high: Array, field: tuple[Span, Span, Span], axes: tuple[int, ...]) -> Any:
    """What a sampler needs of a field for positions between two corners.

    Args:
        low, high: (3,) smallest and largest position along z, y, x, in 2**-10 voxel.
        field: start and end of the field along each axis.
        axes: those along which positions lie between voxels.

    Returns:
        Start and end along each axis, inside the field; None where no position lies in it.
    """
    out = []
    for axis, (start, stop) in enumerate(field):
        first, last = int(low[axis]) >> POSITION_BITS, -(-int(high[axis]) >> POSITION_BITS)
        if first >= stop or last < start:
            return None
        reach = REACH + BEYOND if axis in axes else 0
        out.append((max(start, first - reach), min(stop, last + 1 + reach)))
    return out[0], out[1], out[2]


class Sampler:
    """Values of a box at positions in a volume.

    A position is covered where it lies between two voxels of the field or on one; beyond the first and the
    last voxel of an axis the spline goes on with the coefficient at the end.

    Args:
        values: (d, h, w) whole numbers in float64.
        origin: (3,) position of the first voxel in the volume.
        field: start and end of the whole field along each axis, of which ``values`` are a part.
        axes: those along which positions lie between voxels; along the others they must be whole.
    """

    def __init__(
        self,
        values: Array,
        origin: tuple[int, int, int],
        field: tuple[Span, Span, Span],
        axes: tuple[int, ...],
    ) -> None:
        check_range(values)
        # what lies between planes is worked out once for all; in planes, when they are asked for
        self.known = coefficients(values, axes, shortest(values)) if 0 in axes else values
        self.origin = origin
        self.field = field
        self.axes = axes

    def covered(self, axis: int, position: Array) -> Array:
        """Which positions along an axis lie in the field."""
        start, stop = self.field[axis]
        return (position >= start << POSITION_BITS) & (position <= stop - 1 << POSITION_BITS)

    def _taps(self, axis: int, position: Array) -> tuple[list[Array], list[Array] | None]:
        """Indices of the coefficients that positions depend on, and weights; None for one of weight 1."""
        offset = position - (self.origin[axis] << POSITION_BITS)
        if axis not in self.axes:
            return [offset >> POSITION_BITS], None
        # coefficients lie at every half voxel, and the nearest one is in the middle
        offset = 2 * offset + 2 ** (POSITION_BITS - 1)
        first = (offset >> POSITION_BITS) - 1 + BEYOND
        within = offset & (2**POSITION_BITS - 1)
        return [first + j for j in range(TAPS)], [np.take(row, within) for row in weights()]

    def columns(self, z: Array, y: Array, x: Array) -> Array:
        """Values (len(z), len(y)) at every z of some (y, x); 0 where the field does not reach."""
        out = np.zeros((len(z), len(y)))
        planes = np.flatnonzero(self.covered(0, z))
        columns = np.flatnonzero(self.covered(1, y) & self.covered(2, x))

        def sample(first: int) -> None:
            some_planes = planes[first : first + _PLANES]
            flat, width = self._planes(z[some_planes])
            for start in range(0, len(columns), _COLUMNS):
                some = columns[start : start + _COLUMNS]
                (ty, wy), (tx, wx) = self._taps(1, y[some]), self._taps(2, x[some])
                lines = [_weighted([np.take(flat, a * width + b, axis=0) for a in ty], wy) for b in tx]
                out[np.ix_(some_planes, some)] = _weighted(lines, wx).T

        in_threads(sample, range(0, len(planes), _PLANES))
        return out

    def _planes(self, z: Array) -> tuple[Array, int]:
        """(h * w, len(z)) coefficients of planes, of the box or between two, and w."""
        taps, table = self._taps(0, z)
        if table is None:
            planes = coefficients(self.known[taps[0]], self.axes)
        else:
            planes = _weighted([self.known[index].astype(np.float64) for index in taps], table)
        return np.ascontiguousarray(planes.reshape(len(z), -1).T), planes.shape[2]

    def points(self, z: Array, y: Array, x: Array) -> Array:
        """Values at positions, each with its own z, y, x; 0 where the field does not reach."""
        out = np.zeros(len(z))
        rows = np.flatnonzero(self.covered(0, z) & self.covered(1, y) & self.covered(2, x))
        if not self.axes:
            at = [(a[rows] >> POSITION_BITS) - o for a, o in zip((z, y, x), self.origin, strict=True)]
            out[rows] = self.known[at[0], at[1], at[2]]
            return out
        assert self.axes == (0, 1, 2)

        def sample(start: int) -> None:
            some = rows[start : start + _POINTS]
            out[some] = self._between(z[some], y[some], x[some])

        if len(rows) == len(z) <= _POINTS:
            return self._between(z, y, x)
        in_threads(sample, range(0, len(rows), _POINTS))
        return out

    def _between(self, z: Array, y: Array, x: Array) -> Array:
        """Values at positions inside the field, from coefficients along all axes."""
        height, width = self.known.shape[1:]
        flat = self.known.reshape(-1)
        first, tables = np.zeros(len(z), np.int64), []
        for axis, (position, row) in enumerate(zip((z, y, x), (height, width, 1), strict=True)):
            taps, table = self._taps(axis, position)
            assert table is not None
            first += taps[0]
            first *= row
            tables.append(table)
        wz, wy, wx = tables
        lines = first + np.arange(TAPS)[:, None] * (height * width)
        weight = np.stack(wz)
        taken, product = np.empty(lines.shape, flat.dtype), np.empty(lines.shape)
        inner, middle, out = np.empty(len(z)), np.empty(len(z)), np.zeros(len(z))
        for c in range(TAPS):
            middle[:] = 0
            for b in range(TAPS):
                # the index is inside: clipping is only faster than checking
                np.take(flat[b * width + c :], lines, out=taken, mode="clip")
                np.multiply(taken, weight, out=product)
                rounded(np.add.reduce(product, axis=0, out=inner))
                inner *= wy[b]
                middle += inner
            rounded(middle)
            middle *= wx[c]
            out += middle
        return rounded(out)


def _weighted(values: list[Array], table: list[Array] | None) -> Array:
    """The weighted sum over taps, rounded; the values are overwritten."""
    if table is None:
        return values[0]
    total = values[0]
    total *= _beside(table[0], total)
    for value, weight in zip(values[1:], table[1:], strict=True):
        value *= _beside(weight, value)
        total += value
    return rounded(total)


def _beside(weight: Array, values: Array) -> Array:
    return weight.reshape(-1, *[1] * (values.ndim - 1))
