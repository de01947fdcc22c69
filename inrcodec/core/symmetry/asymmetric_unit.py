"""The asymmetric unit of a volume: where it lies, and the mean of all its copies. Only an encoder needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from inrcodec.core.symmetry.groups import Helix
from inrcodec.core.symmetry.images import Images
from inrcodec.core.symmetry.prediction import Spans, distinct
from inrcodec.core.symmetry.rotations import UNIT
from inrcodec.core.symmetry.sampling import Sampler
from inrcodec.core.symmetry.splines import POSITION_BITS

MARGIN = 3  # voxels around the asymmetric unit that interpolation inside it depends on
_ONE = 2**POSITION_BITS
_LARGEST = 2.0**28  # whole numbers that densities are scaled to

Array = np.ndarray[Any, Any]


def find_unit(images: Images, represented: Array) -> tuple[Spans, Array]:
    """The box that holds the images of all represented voxels, and which of its voxels matter.

    Args:
        images: of the volume's voxels.
        represented: (d, h, w) mask of them.

    Returns:
        Start and end of the box along each axis, and a mask of its voxels.
    """
    marks = _marked(images, represented)
    origin, mask = marks
    held = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    inside = tuple(slice(int(h[0]), int(h[-1]) + 1) for h in held)
    mask = mask[inside]
    margins = [MARGIN if axis in images.axes else 0 for axis in range(3)]
    mask = np.pad(mask, [(m, m) for m in margins])
    for axis, margin in enumerate(margins):
        mask = _dilated(mask, axis, margin)
    starts = [o + s.start - m for o, s, m in zip(origin, inside, margins, strict=True)]
    d, h, w = ((start, start + n) for start, n in zip(starts, mask.shape, strict=True))
    return (d, h, w), mask


def _dilated(mask: Array, axis: int, margin: int) -> Array:
    out = np.moveaxis(mask.copy(), axis, 0)
    source = np.moveaxis(mask, axis, 0)
    for shift in range(1, margin + 1):
        out[shift:] |= source[:-shift]
        out[:-shift] |= source[shift:]
    return np.moveaxis(out, 0, axis)


def _marked(images: Images, represented: Array) -> tuple[tuple[int, ...], Array]:
    """Voxels next to images, in a box of which the first voxel's position is given."""
    whole = (slice(0, represented.shape[0]), slice(0, represented.shape[1]), slice(0, represented.shape[2]))
    if images.axial:
        parts = list(images.columns(whole))
        low = [min(int(getattr(p, a).min()) for p in parts) >> POSITION_BITS for a in "zyx"]
        high = [(max(int(getattr(p, a).max()) for p in parts) >> POSITION_BITS) + 1 for a in "zyx"]
        shape = [b - a + 1 for a, b in zip(low, high, strict=True)]
        marks = np.zeros(shape, bool)
        for part in parts:
            for plane, z in zip(part.planes.tolist(), part.z.tolist(), strict=True):
                held = represented[plane].ravel()
                if not held.any():
                    continue
                flat = np.zeros(shape[1] * shape[2], bool)
                for y, x in _corners(part.y[held], part.x[held]):
                    flat[(y - low[1]) * shape[2] + x - low[2]] = True
                for corner in {z >> POSITION_BITS, -(-z >> POSITION_BITS)}:
                    marks[corner - low[0]] |= flat.reshape(shape[1:])
        return tuple(low), marks
    origin, box, wanted, table = distinct(images, whole)
    held = np.zeros(int(np.prod(box)), bool)
    held[table[represented]] = True
    if not images.axes:
        return origin, held.reshape(box)
    wanted = np.flatnonzero(held)
    z, y, x = (a + o for a, o in zip(np.unravel_index(wanted, box), origin, strict=True))
    z, y, x = images.between(z, y, x)
    low = [int(a.min()) >> POSITION_BITS for a in (z, y, x)]
    shape = [(int(a.max()) >> POSITION_BITS) + 2 - b for a, b in zip((z, y, x), low, strict=True)]
    marks = np.zeros(shape, bool)
    for cz in (z >> POSITION_BITS, -(-z >> POSITION_BITS)):
        for cy, cx in _corners(y, x):
            marks[cz - low[0], cy - low[1], cx - low[2]] = True
    return tuple(low), marks


def _corners(y: Array, x: Array) -> Iterator[tuple[Array, Array]]:
    """Whole voxels around positions."""
    for cy in (y >> POSITION_BITS, -(-y >> POSITION_BITS)):
        for cx in (x >> POSITION_BITS, -(-x >> POSITION_BITS)):
            yield cy, cx


def average(images: Images, volume: Array, spans: Spans, care: Array) -> tuple[Array, Array]:
    """The mean over all copies of the asymmetric unit that lie in the volume.

    Args:
        images: of the volume's voxels.
        volume: (d, h, w) float64 densities.
        spans: start and end of the asymmetric unit's box along each axis.
        care: mask of its voxels that matter.

    Returns:
        Densities of the box, 0 where no copy is, and a mask of the voxels that matter and have a copy.
    """
    unit = max(float(np.abs(volume).max()), 1e-300) / _LARGEST
    whole = tuple((0, n) for n in volume.shape)
    values = np.rint(volume / unit)
    z, y, x = (np.arange(a, b, dtype=np.int64) << POSITION_BITS for a, b in spans)
    sampler = Sampler(values, (0, 0, 0), (whole[0], whole[1], whole[2]), images.axes)
    if images.axial:
        total, count = _axial_sums(images, sampler, z, y, x)
    else:
        total, count = _general_sums(images, sampler, care, [a for a, _ in spans])
    mean = np.where(count > 0, total / np.maximum(count, 1), 0.0) * unit
    return mean, care & (count > 0)


def _axial_sums(images: Images, sampler: Sampler, z: Array, y: Array, x: Array) -> tuple[Array, Array]:
    cz, cy, cx = images.symmetry.centre
    shape = (len(z), len(y), len(x))
    ry, rx = (a.ravel() for a in np.meshgrid(y - cy, x - cx, indexing="ij"))
    total, count = np.zeros(shape), np.zeros(shape)
    for matrix, shift in _axial_copies(images, z, sampler.values.shape[0]):
        pz = (z - cz) * (int(matrix[0, 0]) // UNIT) + cz + shift
        py = ((matrix[1, 1] * ry + matrix[1, 2] * rx + UNIT // 2) >> 30) + cy
        px = ((matrix[2, 1] * ry + matrix[2, 2] * rx + UNIT // 2) >> 30) + cx
        total += sampler.columns(pz, py, px).reshape(shape)
        inside = (sampler.covered(1, py) & sampler.covered(2, px)).reshape(shape[1:])
        count += sampler.covered(0, pz)[:, None, None] & inside
    return total, count


def _axial_copies(images: Images, z: Array, depth: int) -> Iterator[tuple[Array, int]]:
    """Operations from the asymmetric unit to all of its copies: a matrix and a shift along z."""
    group = images.symmetry.group
    if not isinstance(group, Helix):
        for matrix in group.operations():
            yield matrix, 0
        return
    finer = 2**10  # units of a rise in one of a position
    first = -(-(-int(z.max()) * finer) // group.rise)
    last = ((depth << POSITION_BITS) * finer - int(z.min()) * finer) // group.rise
    for k in range(first, last + 1):
        for j in range(group.n):
            yield group.rotation(k, j), (k * group.rise + finer // 2) // finer


def _general_sums(images: Images, sampler: Sampler, care: Array, starts: list[int]) -> tuple[Array, Array]:
    total, count = np.zeros(care.shape), np.zeros(care.shape)
    at = np.nonzero(care)
    offsets = [
        ((a + s) << POSITION_BITS) - c for a, s, c in zip(at, starts, images.symmetry.centre, strict=True)
    ]
    for matrix in images.operations:
        z, y, x = (
            ((sum(int(m) * r for m, r in zip(row, offsets, strict=True)) + UNIT // 2) >> 30) + c
            for row, c in zip(matrix, images.symmetry.centre, strict=True)
        )
        total[at] += sampler.points(z, y, x)
        count[at] += sampler.covered(0, z) & sampler.covered(1, y) & sampler.covered(2, x)
    return total, count
