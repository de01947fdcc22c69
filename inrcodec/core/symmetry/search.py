"""The search for point groups at coarse resolution: axes first, then the groups that have such axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.symmetry import placement, scan
from inrcodec.core.symmetry.groups import UNIT, PointGroup
from inrcodec.core.symmetry.levels import Level
from inrcodec.core.symmetry.placement import Place

Array = np.ndarray[Any, Any]

_PEAKS = 8  # axes refined
_PRIMARY = 3  # axes from which groups are built
_NEAR = np.cos(np.radians(15))  # directions nearer than this are one axis
_GAIN = 6.0  # dB, by which a fold must beat other turns about its axis
_PLENTY = 15.0  # dB, beyond which an axis is no better for being exact
_BEHIND = 10.0  # dB behind the best fold, within which others are tried
_ANGULAR = 0.01  # share of the variance that must depend on the angle: a round body has no axes
_POINTS = 2500
_TURNS = 3.0  # degrees between the turns tried about a known axis
_CLEAR = 12.0  # dB, from which a group with several axes ends the search
_HOPELESS = 1.0  # dB before refinement, below which there is none
_WEAKEST = 5.0  # dB at coarse resolution, that a group needs to be refined

_GOLDEN = (1 + 5**0.5) / 2
# Axes (z, y, x) of the groups in standard orientation, by fold.
_AXES: dict[str, dict[int, tuple[float, float, float]]] = {
    "T": {3: (1, 0, 0), 2: (1, 2**0.5, 0)},
    "O": {4: (1, 0, 0), 3: (1, 1, 1), 2: (1, 1, 0)},
    "I": {5: (_GOLDEN, 0, 1), 3: (_GOLDEN**2, 1, 0), 2: (1, 0, 0)},
}


@dataclass(frozen=True)
class Candidate:
    """A group, its place, and how well it predicts the level it was last refined at, in dB."""

    group: PointGroup
    place: Place
    decibel: float


def probes(group: PointGroup, count: int = 5) -> Array:
    """A few rotations ``(ops, 3, 3)`` that stand for the group, as floats."""
    rotations = group.operations() / UNIT
    if group.family == "C":
        return rotations[sorted({1, group.n // 2})]
    if group.family == "D":
        return rotations[sorted({1, group.n // 2, group.n, group.n + group.n // 2})]
    return rotations[np.linspace(1, len(rotations) - 1, count).astype(int)]


def search(level: Level, centre: Array, only: PointGroup | None = None) -> list[Candidate]:
    """Groups that may hold about a centre (in full voxels), roughly placed.

    Args:
        level: a coarse level.
        centre: ``(z, y, x)``.
        only: look for this group alone.
    """
    radius, points = _sphere(level, centre)
    if not len(points):
        return []
    candidates: list[Candidate] = []
    axes = _axes(level, centre, radius, points)
    meeting = _meeting([place for _, place in axes], centre)
    for axis, place in axes[:_PRIMARY]:
        candidates += _having(level, points, axis, place, meeting, only)
        if any(c.group.family != "C" and c.decibel > _CLEAR for c in candidates):
            break
    return [c for c in candidates if c.decibel > _WEAKEST]


def about(level: Level, axis: Place) -> list[Candidate]:
    """Groups that may hold about a known axis and a centre on it."""
    radius, points = _sphere(level, axis.centre)
    if not len(points):
        return []
    scanned = scan.scan(level, axis.centre, axis.turn[:, 0], radius)
    candidates = _having(level, points, scanned, axis, axis.centre, None)
    return [c for c in candidates if c.decibel > _WEAKEST]


def _sphere(level: Level, centre: Array) -> tuple[float, Array]:
    """Radius of the sphere about a centre that the box holds, and voxels in it; none if it is too small."""
    shape = np.array(level.volume.shape) * level.scale
    radius = float(min(level.radius, centre.min(), (shape - centre).min()) * 0.95)
    if radius < 3 * level.scale.max():
        return radius, np.zeros((0, 3))
    return radius, placement.sample(level, centre, radius, _POINTS)


def _having(
    level: Level, points: Array, axis: scan.Axis, place: Place, meeting: Array, only: PointGroup | None
) -> list[Candidate]:
    """Groups that have such an axis; those with several meet in a known point."""
    best = min(_PLENTY, float(axis.gain.max()))
    folds = [n for n in range(2, scan.MAX_FOLD + 1) if axis.gain[n] > max(_GAIN, best - _BEHIND)]
    candidates = []
    for group, fold in _groups(folds):
        if only is None or (group.family == only.family and group.n in (0, only.n)):
            at = place if group.family == "C" else Place(place.turn, meeting)
            candidates.append(_placed(level, points, group, fold, at))
    return candidates


def _axes(level: Level, centre: Array, radius: float, points: Array) -> list[tuple[scan.Axis, Place]]:
    """The axes that hold best, refined, each with a place that puts z on it."""
    scanned = [scan.scan(level, centre, u, radius, rough=True) for u in scan.directions()]
    peaks: list[scan.Axis] = []
    for axis in sorted(scanned, key=_merit, reverse=True):
        if all(abs(axis.direction @ p.direction) < _NEAR for p in peaks):
            peaks.append(axis)
        if len(peaks) == _PEAKS:
            break
    refined = []
    for peak in peaks:
        place = Place(_frame(peak.direction), centre)
        place = placement.improved(
            level, points, place, probes(PointGroup("C", 2 + int(peak.gain[2:].argmax()))), 4
        )
        axis = scan.scan(level, place.centre, place.turn[:, 0], radius)
        if axis.gain.max() > _GAIN and axis.angular > _ANGULAR:
            refined.append((axis, place))
    refined.sort(key=lambda pair: _merit(pair[0]), reverse=True)
    distinct: list[tuple[scan.Axis, Place]] = []
    for axis, place in refined:  # several directions may have led to one axis
        if all(abs(axis.direction @ other.direction) < _NEAR for other, _ in distinct):
            distinct.append((axis, place))
    return distinct


def _meeting(places: list[Place], centre: Array) -> Array:
    """The point nearest to all axes; where it is free (along a single axis), nearest to ``centre``."""
    across = [np.eye(3) - np.outer(p.turn[:, 0], p.turn[:, 0]) for p in places]
    total = sum(across, 0.01 * np.eye(3))
    right = sum((a @ p.centre for a, p in zip(across, places, strict=True)), 0.01 * centre)
    return np.asarray(np.linalg.solve(total, right))


def _merit(axis: scan.Axis) -> float:
    """Where several axes hold well, those of high order say most."""
    folds = np.arange(2, scan.MAX_FOLD + 1)
    return float((np.minimum(axis.gain[2:], _PLENTY) * np.log2(1 + folds)).max())


def _groups(folds: list[int]) -> Iterator[tuple[PointGroup, int]]:
    """Groups that an axis with these folds may belong to, and the fold of it in the group."""
    for n in folds:
        yield PointGroup("C", n), n
        yield PointGroup("D", n), n
    for family, axes in _AXES.items():
        fold = max((n for n in axes if n in folds), default=0)
        if fold:
            yield PointGroup(family), fold


def _placed(level: Level, points: Array, group: PointGroup, fold: int, known: Place) -> Candidate:
    """The group turned about its known axis to where it holds best, then refined."""
    tests = probes(group)
    turns = [0.0]
    axis = np.array(_AXES[group.family][fold] if group.family in _AXES else (1, 0, 0), float)
    if group.family != "C":
        count = int(np.ceil(360 / fold / _TURNS))
        turns = list(2 * np.pi / fold * np.arange(count) / count)
    back = _frame(axis / np.linalg.norm(axis)).T
    few = points[: _POINTS // 3]

    def place(turn: float) -> Place:
        c, s = np.cos(turn), np.sin(turn)
        return Place(known.turn @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) @ back, known.centre)

    decibels = [placement.decibel(level, few, place(t), tests, 2) for t in turns]
    best = place(turns[int(np.argmax(decibels))])
    if max(decibels) < _HOPELESS:
        return Candidate(group, best, max(decibels))
    best = placement.improved(level, few, best, tests, 4)
    return Candidate(group, best, placement.decibel(level, points, best, tests, 4))


def _frame(direction: Array) -> Array:
    """A rotation that takes z to a unit vector."""
    return np.stack([direction, *scan.perpendicular(direction)], axis=1)
