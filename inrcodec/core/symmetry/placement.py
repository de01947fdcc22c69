"""Where a group lies in a volume: the orientation and centre at which its copies differ least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.symmetry.groups import CENTRE_UNIT, RISE_UNIT, TURN, UNIT, Helix, PointGroup, Symmetry
from inrcodec.core.symmetry.interpolation import interpolate
from inrcodec.core.symmetry.levels import Level

Array = np.ndarray[Any, Any]

MAX_DECIBEL = 200.0
_STEP = 0.1  # voxels of a level, of finite differences


@dataclass(frozen=True)
class Place:
    """A rotation Q ``(3, 3)`` from the standard orientation to the volume's, and a centre in full voxels."""

    turn: Array
    centre: Array


def sample(level: Level, centre: Array, radius: float, count: int, allowed: Array | None = None) -> Array:
    """Random voxels ``(n, 3)`` of a level in a sphere, in full voxels; ``allowed`` masks the level."""
    rng = np.random.default_rng(0)
    kept = np.zeros((0, 3))
    for _ in range(40):
        voxels = rng.integers(0, level.volume.shape, (4 * count, 3))
        points = voxels * level.scale + level.offset
        ok = ((points - centre) ** 2).sum(axis=1) < radius**2
        if allowed is not None:
            ok &= allowed[tuple(voxels.T)]
        kept = np.concatenate([kept, points[ok]])
        if len(kept) >= count:
            break
    return kept[:count]


def moved(points: Array, place: Place, rotations: Array, shifts: Array | None = None) -> Array:
    """Images ``(ops, n, 3)`` of points under rotations ``(ops, 3, 3)`` of the standard orientation."""
    turned = place.turn @ rotations @ place.turn.T
    images = np.einsum("oij,nj->oni", turned, points - place.centre) + place.centre
    return images if shifts is None else images + np.einsum("ij,oj->oi", place.turn, shifts)[:, None]


def decibel(
    level: Level, points: Array, place: Place, rotations: Array, taps: int, shifts: Array | None = None
) -> float:
    """10 log10 of the points' variance over the mean squared difference to their images in the box."""
    own = interpolate(level.volume, level.own(points), taps)
    images = level.own(moved(points, place, rotations, shifts))
    edge = taps // 2 - 1  # so that all voxels that the interpolation takes are in the box
    inside = ((images >= edge) & (images <= np.array(level.volume.shape) - 1 - edge)).all(axis=2)
    if not inside.any():
        return 0.0
    copies = interpolate(level.volume, images[inside], taps)
    expected = np.broadcast_to(own, inside.shape)[inside]
    return to_decibel(float(own.var()), float(np.mean((copies - expected) ** 2)))


def to_decibel(variance: float, error: float) -> float:
    """Capped at 200, so that exact symmetry has a number."""
    if not variance > 0:
        return 0.0
    return float(min(MAX_DECIBEL, 10 * np.log10(variance / max(error, variance * 1e-20))))


def improved(level: Level, points: Array, place: Place, rotations: Array, taps: int, steps: int = 8) -> Place:
    """Orientation and centre of least mismatch nearby, by Gauss-Newton steps.

    What the mismatch does not depend on (the centre along the axis of C, the angle about it) stays as it is.
    """
    length = float(np.sqrt(((points - place.centre) ** 2).sum(axis=1).mean())) or 1.0
    reach = 2 * float(level.scale.max())
    own = interpolate(level.volume, level.own(points), taps)
    for _ in range(steps):
        turned = place.turn @ rotations @ place.turn.T
        offset = points - place.centre
        images = np.einsum("oij,nj->oni", turned, offset)
        residual, slope = _slopes(level, images + place.centre, own, taps)
        # An image M d + c moves by w x M d - M (w x d) when Q turns by w, by (1 - M) e with the centre.
        by_turn = -np.einsum("oni,onij->onj", slope, _cross(images))
        by_turn += np.einsum("oni,oij,njk->onk", slope, turned, _cross(offset))
        by_centre = slope - np.einsum("oni,oij->onj", slope, turned)
        jacobian = np.concatenate([by_turn / length, by_centre], axis=2).reshape(-1, 6)
        change, *_ = np.linalg.lstsq(jacobian.T @ jacobian, -jacobian.T @ residual.ravel(), rcond=1e-3)
        change *= min(1.0, reach / (float(np.abs(change).max()) or 1.0))
        new = Place(_expm(change[:3] / length) @ place.turn, place.centre + change[3:])
        after, _ = _slopes(level, moved(points, new, rotations), own, taps, gradient=False)
        if not (after**2).mean() < (residual**2).mean():
            break
        place = new
        if np.abs(change).max() < 2e-3 * level.scale.max():
            break
    return place


def improved_helix(
    level: Level, points: Array, helix: Helix, centre: Array, taps: int
) -> tuple[Helix, Array]:
    """Rise, twist and the axis's place (not its direction) of least mismatch nearby, near copies first."""
    numbers = np.array([helix.rise / RISE_UNIT, 2 * np.pi * helix.twist / TURN, *centre[1:]])
    length = float(np.sqrt(((points - centre)[:, 1:] ** 2).sum(axis=1).mean())) or 1.0
    own = interpolate(level.volume, level.own(points), taps)
    box = np.array(level.volume.shape) - 1
    for reach in (1, 1, 2, 4, 8, 8):
        steps = [k for k in (reach, -reach, 1) if abs(k) * numbers[0] < 0.5 * box[0] * level.scale[0]]
        rows, rights = [], []
        for k in steps:
            c, s = np.cos(k * numbers[1]), np.sin(k * numbers[1])
            turned = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
            middle = np.array([centre[0], *numbers[2:]])
            offset = (points - middle) @ turned.T
            images = offset + middle + [k * numbers[0], 0, 0]
            inside = ((level.own(images) >= 1) & (level.own(images) <= box - 1)).all(axis=1)
            residual, slope = _slopes(level, images[inside][None], own[inside], taps)
            slope = slope[0]
            by_twist = k * (slope[:, 1] * offset[inside, 2] - slope[:, 2] * offset[inside, 1])
            by_centre = slope - slope @ turned
            rows.append(np.column_stack([k * slope[:, 0], by_twist / length, by_centre[:, 1:]]))
            rights.append(-residual[0])
        if not rows:
            break
        jacobian, right = np.concatenate(rows), np.concatenate(rights)
        change, *_ = np.linalg.lstsq(jacobian.T @ jacobian, jacobian.T @ right, rcond=1e-4)
        change = np.clip(change, -1.0 / reach, 1.0 / reach)
        numbers = numbers + change / [1, length, 1, 1]
    rise = int(np.clip(np.rint(numbers[0] * RISE_UNIT), 1, 2 * helix.rise))
    twist = int(np.rint(numbers[1] / (2 * np.pi) * TURN))
    twist -= TURN * ((twist + TURN // 2) // TURN)
    return Helix(rise, twist, helix.n), np.array([centre[0], *numbers[2:]])


def whole(group: PointGroup | Helix, place: Place, standard: bool) -> Symmetry:
    """The place in whole numbers; ``standard`` leaves the orientation out."""
    z, y, x = (int(np.rint(c * CENTRE_UNIT)) for c in place.centre)
    orientation = None if standard else tuple(int(np.rint(q * UNIT)) for q in place.turn.ravel())
    return Symmetry(group, (z, y, x), orientation)


def exact_decibel(volume: Array, symmetry: Symmetry, allowed: Array | None, voxels: float = 3e8) -> float:
    """As :func:`decibel`, over all voxels and operations of a symmetry that maps voxels to voxels.

    Beyond ``voxels`` comparisons it takes every second, third, ... section.
    """
    rotations = symmetry.operations() // UNIT
    centre = np.array(symmetry.centre) / CENTRE_UNIT
    every = max(1, int(np.ceil(volume.size * (len(rotations) - 1) / voxels)))
    moments, errors, count = np.zeros(3), 0.0, 0
    for z in range(0, len(volume), every):
        plane = volume[z].astype(np.float64)
        mask = np.ones(plane.shape, bool) if allowed is None else allowed[z]
        values = plane[mask]
        moments += [values.size, values.sum(), (values**2).sum()]
        for rotation in rotations[1:]:
            start = np.rint(rotation @ (np.array([z, 0, 0]) - centre) + centre).astype(np.int64)
            image, region = _image(volume, rotation, start, plane.shape)
            if image.size:
                kept = mask[region]
                errors += float((((image - plane[region]) ** 2) * kept).sum())
                count += int(kept.sum())
    if not moments[0] or not count:
        return 0.0
    variance = moments[2] / moments[0] - (moments[1] / moments[0]) ** 2
    return to_decibel(float(variance), errors / count)


def _image(
    volume: Array, rotation: Array, start: Array, shape: Sequence[int]
) -> tuple[Array, tuple[slice, slice]]:
    """Where a section's voxels go, the first to ``start``: a view of the volume, and which are inside."""
    index: list[Any] = list(start)
    region = [slice(0, n) for n in shape]
    axes = [int(np.argmax(np.abs(rotation[:, a]))) for a in (1, 2)]
    for a, axis in enumerate(axes):
        sign, n = int(rotation[axis, a + 1]), volume.shape[axis]
        first, last = (-start[axis], n - 1 - start[axis]) if sign > 0 else (start[axis] - n + 1, start[axis])
        first, last = max(int(first), 0), min(int(last), shape[a] - 1)
        region[a] = slice(first, max(last + 1, first))
        begin, end = int(start[axis]) + sign * first, int(start[axis]) + sign * last + sign
        index[axis] = slice(begin, None if end < 0 else end, sign) if last >= first else slice(0, 0)
    fixed = 3 - sum(axes)
    if not 0 <= index[fixed] < volume.shape[fixed]:
        return np.zeros((0, 0)), (region[0], region[1])
    image = volume[tuple(index)]
    return (image if axes[0] < axes[1] else image.T), (region[0], region[1])


def _slopes(level: Level, images: Array, own: Array, taps: int, gradient: bool = True) -> tuple[Array, Array]:
    """Differences ``(ops, n)`` between images and points, and gradients ``(ops, n, 3)`` per full voxel."""
    at = level.own(images).reshape(-1, 3)
    values = interpolate(level.volume, at, taps)
    residual = values.reshape(images.shape[:2]) - own
    if not gradient:
        return residual, np.zeros(0)
    ahead = [interpolate(level.volume, at + _STEP * e, taps) - values for e in np.eye(3)]
    return residual, (np.stack(ahead, axis=1) / (_STEP * level.scale)).reshape(images.shape)


def _cross(v: Array) -> Array:
    """Matrices ``(..., 3, 3)`` of the cross product with vectors ``(..., 3)`` from the left."""
    a, b, c = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(a)
    return np.stack([zero, -c, b, c, zero, -a, -b, a, zero], axis=-1).reshape(*v.shape, 3)


def _expm(w: Array) -> Array:
    """The rotation by a vector, by Rodrigues' formula."""
    angle = float(np.linalg.norm(w))
    k = _cross(w / angle) if angle else np.zeros((3, 3))
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)
