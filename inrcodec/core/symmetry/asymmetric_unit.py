"""The asymmetric unit of a volume: where it lies, and the mean of all its copies. For encoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from inrcodec.core.symmetry.expansion import Distinct, Spans
from inrcodec.core.symmetry.groups import Helix
from inrcodec.core.symmetry.images import RISE_FINER, Images
from inrcodec.core.symmetry.rotations import UNIT, turned
from inrcodec.core.symmetry.sampling import Sampler, spans_needed
from inrcodec.core.symmetry.splines import POSITION_BITS

_ROOM = 2  # voxels more on each side of a margin, that may hold what they will
_FREE = 3  # planes more on each side of a helix's slab, which is so thin that much of it lies near them
_ONE = 2**POSITION_BITS
_LARGEST = 2.0**28  # whole numbers that densities are scaled to

Array = np.ndarray[Any, Any]


class NoImages(ValueError):
    """All density lies where symmetry says nothing: there is no asymmetric unit to speak of."""


def find_unit(images: Images, represented: Array, margin: int = 0) -> tuple[Spans, Array]:
    """The box that holds the images of all represented voxels, and which of its voxels matter.

    Those nearest to an image matter. The others that interpolation sees the field may choose: a smooth
    continuation costs least, and is near enough.

    Args:
        images: of the volume's voxels.
        represented: (d, h, w) mask of them.
        margin: voxels around those nearest to images that matter too, where images lie between voxels.

    Returns:
        Start and end of the box along each axis, and a mask of its voxels.

    Raises:
        NoImages: no represented voxel has an image.
    """
    z, y, x = (_nearest(a) for a in _positions(images, represented))
    low = [int(a.min()) for a in (z, y, x)]
    shape = [int(a.max()) - b + 1 for a, b in zip((z, y, x), low, strict=True)]
    mask = np.zeros(shape, bool)
    mask[z - low[0], y - low[1], x - low[2]] = True
    for axis in images.axes if margin else ():
        mask, low[axis] = _widened(mask, axis, margin, margin + _ROOM), low[axis] - margin - _ROOM
    if isinstance(images.symmetry.group, Helix):
        mask, low[0] = _widened(mask, 0, 1, _FREE), low[0] - _FREE
    d, h, w = ((start, start + n) for start, n in zip(low, mask.shape, strict=True))
    return (d, h, w), mask


def _widened(mask: Array, axis: int, by: int, room: int) -> Array:
    """A mask with more voxels on both sides of its own along an axis, in a box that is longer by ``room``."""
    mask = np.moveaxis(np.pad(mask, [(room, room) if a == axis else (0, 0) for a in range(3)]), axis, 0)
    out = mask.copy()
    for shift in range(1, by + 1):
        out[shift:] |= mask[:-shift]
        out[:-shift] |= mask[shift:]
    return np.moveaxis(out, 0, axis)


def _nearest(position: Array) -> Array:
    """The voxel nearest to a position along an axis."""
    return (position + _ONE // 2) >> POSITION_BITS


def _positions(images: Images, represented: Array) -> tuple[Array, Array, Array]:
    """Images of the represented voxels that have one, some of them more than once.

    Raises:
        NoImages: none has.
    """
    whole = (slice(0, represented.shape[0]), slice(0, represented.shape[1]), slice(0, represented.shape[2]))
    if images.axial:
        found = []
        for part in images.columns(whole):
            held = represented.reshape(len(represented), -1)[np.ix_(part.planes, part.columns)]
            plane, column = np.nonzero(held)
            found.append((part.z[plane], part.y[column], part.x[column]))
        if not found or not sum(len(z) for z, _, _ in found):
            raise NoImages("no represented voxel has an image")
        z, y, x = (np.concatenate(a) for a in zip(*found, strict=True))
        return z, y, x
    unit = Distinct.of(images, whole)
    held = np.zeros(unit.count + 1, bool)
    held[unit.table[represented]] = True
    held = held[:-1]
    if not held.any():
        raise NoImages("no represented voxel has an image")
    z, y, x = (a[held] for a in unit.voxels())
    if images.axes:
        return images.between(z, y, x)
    return z << POSITION_BITS, y << POSITION_BITS, x << POSITION_BITS


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
    total, count = (_axial_sums if images.axial else _general_sums)(images, volume / unit, spans, care)
    mean = np.where(count > 0, total / np.maximum(count, 1), 0.0) * unit
    return mean, care & (count > 0)


def _axial_sums(images: Images, volume: Array, spans: Spans, care: Array) -> tuple[Array, Array]:
    cz, cy, cx = images.symmetry.centre
    z, y, x = (np.arange(a, b, dtype=np.int64) << POSITION_BITS for a, b in spans)
    columns = np.flatnonzero(care.any(axis=0))
    ry, rx = (a.ravel()[columns] for a in np.meshgrid(y - cy, x - cx, indexing="ij"))
    total, count = np.zeros((len(z), care[0].size)), np.zeros((len(z), care[0].size))
    for matrix, shift in _axial_copies(images, z - cz, volume.shape[0]):
        pz = (z - cz) * (int(matrix[0, 0]) // UNIT) + cz + shift
        py, px = (turned(row[1:], (ry, rx)) + c for row, c in zip(matrix[1:], (cy, cx), strict=True))
        sampler = _part(volume, pz, py, px, images.axes)
        if sampler is not None:
            total[:, columns] += sampler.columns(pz, py, px)
            inside = sampler.covered(1, py) & sampler.covered(2, px)
            count[:, columns] += sampler.covered(0, pz)[:, None] & inside
    return total.reshape(care.shape), count.reshape(care.shape)


def _part(volume: Array, z: Array, y: Array, x: Array, axes: tuple[int, ...]) -> Sampler | None:
    """A sampler of the part of a volume that some positions need."""
    low, high = (np.array([f(a) for a in (z, y, x)]) for f in (np.min, np.max))
    d, h, w = ((0, n) for n in volume.shape)
    spans = spans_needed(low, high, (d, h, w), axes)
    if spans is None:
        return None
    part = volume[tuple(slice(a, b) for a, b in spans)]
    return Sampler(np.rint(part), (spans[0][0], spans[1][0], spans[2][0]), (d, h, w), axes)


def _axial_copies(images: Images, z: Array, depth: int) -> Iterator[tuple[Array, int]]:
    """Operations from the asymmetric unit to all of its copies: a matrix and a shift along z.

    ``z`` are positions of the asymmetric unit from the centre, ``depth`` is the volume's.
    """
    group = images.symmetry.group
    if not isinstance(group, Helix):
        for matrix in group.operations():
            yield matrix, 0
        return
    down = images.symmetry.centre[0] + int(z.max())
    up = (depth << POSITION_BITS) - images.symmetry.centre[0] - int(z.min())
    for k in range(-(down * RISE_FINER // group.rise), up * RISE_FINER // group.rise + 1):
        for j in range(group.n):
            yield group.rotation(k, j), (k * group.rise + RISE_FINER // 2) // RISE_FINER


def _general_sums(images: Images, volume: Array, spans: Spans, care: Array) -> tuple[Array, Array]:
    total, count = np.zeros(care.shape), np.zeros(care.shape)
    at = np.nonzero(care)
    centre = images.symmetry.centre
    offsets = [((a + s) << POSITION_BITS) - c for a, (s, _), c in zip(at, spans, centre, strict=True)]
    volume = _lattice_mean(images, volume)
    for matrix in _cosets(images):
        z, y, x = (turned(row, offsets) + c for row, c in zip(matrix, centre, strict=True))
        sampler = _part(volume, z, y, x, images.axes)
        if sampler is not None:
            total[at] += sampler.points(z, y, x)
            count[at] += sampler.covered(0, z) & sampler.covered(1, y) & sampler.covered(2, x)
    return total, count


def _lattice_mean(images: Images, volume: Array) -> Array:
    """The mean over those operations that map voxels to voxels, of what lies in the volume."""
    total, count = np.zeros(volume.shape), np.zeros(volume.shape)
    grid = [a.astype(np.int64) for a in np.ix_(*(np.arange(n) for n in volume.shape))]
    offsets = [(a << POSITION_BITS) - c for a, c in zip(grid, images.symmetry.centre, strict=True)]
    for matrix in images.lattice:
        index, inside = [], np.ones((1, 1, 1), bool)
        for row, c, n in zip(matrix, images.symmetry.centre, volume.shape, strict=True):
            axis = int(np.flatnonzero(row)[0])
            moved = (int(row[axis]) * offsets[axis] + c) >> POSITION_BITS
            inside = inside & (moved >= 0) & (moved < n)
            index.append(np.clip(moved, 0, n - 1))
        total += np.where(inside, volume[tuple(index)], 0.0)
        count += inside
    return total / count


def _cosets(images: Images) -> list[Array]:
    """Operations that with those of the lattice before them make up the group."""
    chosen: list[Array] = []
    for operation in images.operations:
        made = (matrix @ other for matrix in images.lattice for other in chosen)
        if all(np.abs(operation - product).max() > UNIT >> 10 for product in made):
            chosen.append(operation)
    return chosen
