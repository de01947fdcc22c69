"""Where the asymmetric unit holds what a voxel shows: its image under one operation of the group.

Positions are whole numbers of 2**-10 voxel. Among a voxel's images the one that lies furthest in a fixed
direction is in the asymmetric unit (a Dirichlet domain of the group); equal ones are told apart by the order
of operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from inrcodec.core.backend import in_threads
from inrcodec.core.symmetry.groups import RISE_UNIT, Helix, Symmetry
from inrcodec.core.symmetry.rotations import UNIT, turned
from inrcodec.core.symmetry.splines import POSITION_BITS

_ONE = 2**POSITION_BITS
RISE_FINER = RISE_UNIT // _ONE  # units of a rise in one of a position
_POINTS = 2**16  # placed at once: they stay in a core's cache
_DOUBT = 2.0**20  # far above float64's errors of products with a direction, far below a voxel's part in them
_SHORT = 2**22  # offsets below it, times a direction of at most 127 an axis, fit 31 bits

Array = np.ndarray[Any, Any]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Columns:
    """Voxels of some planes of a region, whose images have z by the plane and y, x by the column.

    Attributes:
        planes: indices in the region of the planes.
        columns: indices in a plane, in C order, of the columns that have images.
        z: (planes,) positions.
        y, x: (columns,) positions.
    """

    planes: Array
    columns: Array
    z: Array
    y: Array
    x: Array


@dataclass(frozen=True, eq=False)
class Images:
    """Images of voxels in the asymmetric unit.

    Attributes:
        symmetry: the group and its place.
        direction: (3,) whole numbers along z, y, x, the direction of the asymmetric unit.
        radius: voxels further than this from the centre (from the axis, of axial groups) have no image; None
            is no limit.
    """

    symmetry: Symmetry
    direction: tuple[int, int, int]
    radius: int | None = None

    @cached_property
    def axial(self) -> bool:
        """Whether all operations keep or flip z: C, D and helices in standard orientation."""
        group = self.symmetry.group
        return self.symmetry.orientation is None and (isinstance(group, Helix) or group.family in "CD")

    @cached_property
    def operations(self) -> Array:
        """(order, 3, 3) of a point group."""
        return self.symmetry.operations()

    @cached_property
    def lattice(self) -> Array:
        """(lattice order, 3, 3) whole-number matrices of the operations that map voxels to voxels."""
        return self.operations[self.symmetry.lattice()] // UNIT

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """Axes along which images lie between voxels."""
        if not self.axial:
            return () if self.symmetry.lattice().all() else (0, 1, 2)
        group = self.symmetry.group
        if isinstance(group, Helix):
            return (0, 1, 2)
        flips = group.family == "D" and 2 * self.symmetry.centre[0] % _ONE
        plane = () if self.symmetry.lattice().all() else (1, 2)
        return (0, *plane) if flips else plane

    def distance(self, shape: tuple[int, int, int]) -> Array:
        """(d, h, w) voxels from the centre, or from the axis of axial groups, rounded up."""
        square = [(np.arange(n) - c / _ONE) ** 2 for n, c in zip(shape, self.symmetry.centre, strict=True)]
        if self.axial:
            square[0] = np.zeros_like(square[0])
        z, y, x = square
        return np.asarray(np.ceil(np.sqrt(z[:, None, None] + y[:, None] + x)).astype(np.int64))

    def inside(self, square: Array) -> Array:
        """Which squared distances from centre or axis are within the radius."""
        if self.radius is None:
            return np.ones(np.shape(square), bool)
        return np.asarray(square <= (self.radius * _ONE) ** 2)

    def columns(self, region: Box) -> Iterator[Columns]:
        """Images of a region's voxels, for axial groups."""
        group = self.symmetry.group
        cz = self.symmetry.centre[0]
        z, y, x = (
            np.arange(s.start, s.stop, dtype=np.int64) * _ONE - c
            for s, c in zip(region, self.symmetry.centre, strict=True)
        )
        ry, rx = (a.ravel() for a in np.meshgrid(y, x, indexing="ij"))
        columns = np.flatnonzero(self.inside(ry * ry + rx * rx))
        if not columns.size:
            return
        ry, rx = ry[columns], rx[columns]
        if isinstance(group, Helix):
            rise = group.rise
            copy = (2 * RISE_FINER * z + rise) // (2 * rise)
            for k in np.unique(copy).tolist():
                planes = np.flatnonzero(copy == k)
                moved = z[planes] - (k * rise + RISE_FINER // 2) // RISE_FINER
                matrices = np.stack([group.rotation(-k, j) for j in range(group.n)])
                yield Columns(planes, columns, moved + cz, *self._in_plane(matrices, ry, rx))
            return
        matrices = group.operations()[: group.n]
        below = z < 0 if group.family == "D" else np.zeros(len(z), bool)
        for flipped in (False, True):
            planes = np.flatnonzero(below == flipped)
            if planes.size:
                sign = -1 if flipped else 1
                yield Columns(
                    planes, columns, sign * z[planes] + cz, *self._in_plane(matrices, sign * ry, rx)
                )

    def _in_plane(self, matrices: Array, ry: Array, rx: Array) -> tuple[Array, Array]:
        """Positions of the images furthest in the direction, of offsets from the axis turned about it."""
        _, dy, dx = self.direction
        _, cy, cx = self.symmetry.centre
        best_y, best_x = ry, rx
        furthest: Array | None = None
        for matrix in matrices:
            y, x = (turned(row[1:], (ry, rx)) for row in matrix[1:])
            score = dy * y + dx * x
            if furthest is None:
                best_y, best_x, furthest = y, x, score
                continue
            further = score > furthest
            best_y, best_x = np.where(further, y, best_y), np.where(further, x, best_x)
            furthest = np.maximum(score, furthest)
        return best_y + cy, best_x + cx

    def lattice_spans(self, region: Box) -> list[tuple[int, int]]:
        """Start and end along each axis of a box that holds whatever lattice operations make of a region."""
        ends = [
            (s.start * _ONE - c, (s.stop - 1) * _ONE - c)
            for s, c in zip(region, self.symmetry.centre, strict=True)
        ]
        out = []
        for axis, centre in enumerate(self.symmetry.centre):
            rows = [(int(np.flatnonzero(row)[0]), int(row.sum())) for row in self.lattice[:, axis]]
            reached = [(sign * end + centre) >> POSITION_BITS for a, sign in rows for end in ends[a]]
            out.append((min(reached), max(reached) + 1))
        return out

    def on_lattice(self, z: Array, y: Array, x: Array) -> tuple[Array, Array, Array]:
        """Indices of the voxels furthest in the direction that lattice operations take voxels to.

        ``z``, ``y``, ``x`` are indices that broadcast together, so do the results.
        """
        shape = np.broadcast_shapes(np.shape(z), np.shape(y), np.shape(x))
        offsets = [_small(a * _ONE - c) for a, c in zip((z, y, x), self.symmetry.centre, strict=True)]
        furthest: Array | None = None
        out: list[Array] = []
        toward = np.array(self.direction, np.int64) @ self.lattice
        for i in _contenders(toward, offsets):
            matrix, score = self.lattice[i], _dot(toward[i], offsets)
            moved = []
            for row, centre in zip(matrix, self.symmetry.centre, strict=True):
                axis = int(np.flatnonzero(row)[0])
                moved.append((int(row[axis]) * offsets[axis] + centre) >> POSITION_BITS)
            if furthest is None:
                furthest = np.array(np.broadcast_to(score, shape))
                out = [np.array(np.broadcast_to(m, shape)) for m in moved]
                continue
            further = score > furthest
            np.maximum(furthest, score, out=furthest)
            for kept, new in zip(out, moved, strict=True):
                np.copyto(kept, new, where=further)
        return out[0], out[1], out[2]

    def between(self, z: Array, y: Array, x: Array) -> tuple[Array, Array, Array]:
        """Positions (int32) of the images, furthest in the direction, of voxels (flat arrays of indices)."""
        out = [np.empty(len(z), np.int32) for _ in range(3)]
        toward = np.array(self.direction, np.int64) @ self.operations  # (order, 3)
        every = np.ascontiguousarray(np.moveaxis(self.operations, 0, 2))

        def place(start: int) -> None:
            some = slice(start, start + _POINTS)
            offsets = [
                a[some].astype(np.int64) * _ONE - c
                for a, c in zip((z, y, x), self.symmetry.centre, strict=True)
            ]
            near = _contenders(toward, offsets)
            if len(near) == 1:
                matrix = self.operations[near[0]]
            else:
                furthest = _dot(toward[near[0]], offsets)
                which = np.full(len(furthest), near[0], np.uint8)
                for i in near[1:]:
                    score = _dot(toward[i], offsets)
                    np.copyto(which, i, where=score > furthest)
                    np.maximum(furthest, score, out=furthest)
                matrix = [[np.take(entries, which) for entries in row] for row in every]
            for target, row, centre in zip(out, matrix, self.symmetry.centre, strict=True):
                target[some] = turned(row, offsets) + centre

        in_threads(place, range(0, len(z), _POINTS))
        return out[0], out[1], out[2]


def _contenders(toward: Array, offsets: list[Array]) -> list[int]:
    """Which of some directions (n, 3) may be those in which an offset lies furthest, in their order."""
    low, high = (np.array([float(f(a)) for a in offsets]) for f in (np.min, np.max))
    middle, half = (low + high) / 2, (high - low) / 2
    beyond = (toward - toward[np.argmax(toward @ middle)]).astype(np.float64)
    return np.flatnonzero(beyond @ middle + np.abs(beyond) @ half >= -_DOUBT).tolist()


def _dot(direction: Array, offsets: list[Array]) -> Array:
    z, y, x = offsets
    return np.asarray(int(direction[0]) * z + int(direction[1]) * y + int(direction[2]) * x)


def _small(offsets: Array) -> Array:
    """Offsets in a shorter type where sums of them times a direction still fit."""
    return offsets.astype(np.int32) if offsets.size and np.abs(offsets).max() < _SHORT else offsets
