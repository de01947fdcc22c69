"""The symmetry of a volume: found from the volume alone, or checked and refined where it is known.

From coarse to fine: axes are looked for in all directions on a grid of about 32 voxels an edge, the groups
that have such axes are tried and refined there, then on a grid of up to 128, then with a sample of the
volume's own voxels. Helices about z are looked for where no group with several axes holds. All arithmetic is
floating point; the result is whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec.core.symmetry import placement, search
from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, PointGroup, Symmetry
from inrcodec.core.symmetry.helices import find_helices
from inrcodec.core.symmetry.levels import Level, levels, represented
from inrcodec.core.symmetry.placement import Place
from inrcodec.core.symmetry.search import Candidate

Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]

THRESHOLD = 10.0
"""Decibels by which a volume must predict itself to be called symmetric."""

_ENOUGH = 25.0  # dB, from which a group of higher order is taken before one that holds better
_BEHIND = 6.0  # dB that it may be behind below
_SNAP = 0.5  # dB that a place of whole or half voxels and whole quarter turns may be behind
_PREFER_GIVEN = 1.0  # dB that the standard place of a given symmetry may be behind
_ALIGNED = 3.0  # degrees from an orientation along the lattice, within which that is tried
_APART = 0.3  # voxels of the coarse level, between centres that are worth a search each
_SMALLEST = 8  # voxels an edge
_POINTS = {"middle": 4000, "full": 4000, "judge": 5000}
_COPIES = 10  # operations that judge a large group
_TAPS = 8


@dataclass(frozen=True)
class Detected:
    """A symmetry and how well it holds.

    Args:
        symmetry: the group and its place.
        decibel: 10 log10 of the variance of the represented voxels over the mean squared difference between
            the volume and its rotated copies, over voxels whose images lie in the box; at most 200. Where all
            operations map voxels to voxels it is exact, otherwise from a sample, by interpolation.
    """

    symmetry: Symmetry
    decibel: float


def detect(volume: Array, *, progress: Progress | None = None) -> Detected | None:
    """The point group of highest order that holds in a volume, or a helix about z; None if there is neither.

    Args:
        volume: ``(z, y, x)``, any real dtype. NaN and infinite voxels count as the mean of the others.
        progress: called with what is being done and the fraction done, 0 to 1.

    Returns:
        None where nothing holds to :data:`THRESHOLD`, and for constant and tiny volumes.

    Raises:
        ValueError: the volume does not have three axes.
        TypeError: its dtype is not real.
    """
    _check(volume)
    report = progress or (lambda stage, fraction: None)
    if min(volume.shape) < _SMALLEST:
        return None
    report("coarse search", 0.0)
    full, middle, coarse = levels(volume)
    if not float(coarse.volume.std()) > 1e-6 * float(np.abs(coarse.volume).max()):
        return None
    found: list[Candidate] = []
    for centre in _centres(volume.shape, coarse):
        found = search.search(coarse, centre)
        if found:
            break
    if found and all(c.group.family == "C" for c in found):
        found += _searched_again(coarse, centre, found)
    report("refinement", 0.6)
    # A higher order first; those that hold only weakly wait for what lower orders reach.
    found.sort(key=lambda c: (-c.group.order, -c.decibel))
    refined: list[Candidate] = []
    for candidate in found:
        refined.append(_refined(middle, candidate, _POINTS["middle"], 4))
        if refined[-1].decibel >= _ENOUGH:
            break
    least = max([THRESHOLD, *(min(c.decibel - _BEHIND, _ENOUGH) for c in refined)])
    report("refinement", 0.8)
    allowed = represented(full.volume)
    detected = None
    for candidate in refined:
        if candidate.decibel >= least:
            detected = _settled(full, _refined(full, candidate, _POINTS["full"], 6), allowed)
            if detected.decibel >= least:
                break
            detected = None
    if detected is None or detected.symmetry.group.symbol.startswith("C"):
        report("search for a helix", 0.9)
        detected = _helix(full, middle, allowed, least) or detected
    report("refinement", 1.0)
    return detected


def _helix(full: Level, middle: Level, allowed: Array | None, least: float) -> Detected | None:
    """A helix about z through the middle of the box that holds to some decibels.

    Of those that hold well, or about as well as the best, it is the one of the shortest rise.
    """
    centre = np.array([float(n // 2) for n in full.volume.shape])
    found: list[Detected] = []
    for helix in find_helices(middle, centre):
        found.append(_refined_helix(full, middle, helix, centre, allowed, 0.0))
        if found[-1].decibel >= max(least, _ENOUGH):
            return found[-1]
    best = max([least, *(d.decibel - _BEHIND for d in found)])
    return next((d for d in found if d.decibel >= best), None)


def refine(volume: Array, group: PointGroup | Helix) -> Detected:
    """Where a known symmetry lies in a volume, and how well it holds.

    The standard orientation about the voxel ``N // 2`` stays unless another place predicts clearly better.
    For a helix rise and twist are refined as well, and kept where that predicts no better. Another
    orientation of T or I that fits better (T222, I1 to I4) is reported as that group.

    Args:
        volume: as for :func:`detect`.
        group: a point group or a helix with its rise in voxels.

    Raises:
        ValueError: the volume does not have three axes.
        TypeError: its dtype is not real.
    """
    _check(volume)
    given = Symmetry.standard(group, volume.shape)
    if min(volume.shape) < _SMALLEST:
        return Detected(given, 0.0)
    full, middle, coarse = levels(volume)
    if not float(coarse.volume.std()) > 1e-6 * float(np.abs(coarse.volume).max()):
        return Detected(given, 0.0)
    allowed = represented(full.volume)
    centre = np.array([float(n // 2) for n in volume.shape])
    if isinstance(group, Helix):
        return _refined_helix(full, middle, group, centre, allowed)
    start = _judged(middle, Candidate(group, Place(np.eye(3), centre), 0.0), 4)
    for variant in _variants(group):
        other = _judged(middle, Candidate(variant, Place(np.eye(3), centre), 0.0), 4)
        if other.decibel > start.decibel + _BEHIND:
            start = other
    found = _refined(middle, start, _POINTS["middle"], 4)
    if found.decibel < THRESHOLD:
        others = [_refined(middle, c, _POINTS["middle"], 4) for c in search.search(coarse, centre, group)]
        found = max([found, *others], key=lambda c: c.decibel)
    return _settled(full, _refined(full, found, _POINTS["full"], 6), allowed, _PREFER_GIVEN)


def _check(volume: Array) -> None:
    if volume.ndim != 3:
        raise ValueError(f"a volume has three axes (z, y, x), got shape {volume.shape}")
    if volume.dtype.kind not in "fiu":
        raise TypeError(f"a volume has real voxels, got dtype {volume.dtype}")


def _centres(shape: tuple[int, ...], coarse: Level) -> Iterator[Array]:
    """The middle of the box, then the centre of mass of the density that stands out, if it is elsewhere."""
    middle = np.array([float(n // 2) for n in shape])
    yield middle
    centre = _centre_of_mass(coarse)
    if centre is not None and np.abs(centre - middle).max() > _APART * coarse.scale.max():
        yield centre


def _centre_of_mass(level: Level) -> Array | None:
    """Of the density that stands out, in voxels of the full volume."""
    mass = np.clip(level.volume - level.volume.mean() - 1.5 * level.volume.std(), 0, None)
    total = float(mass.sum())
    if not total > 0:
        return None
    own = [float(np.moveaxis(mass, a, 0).sum(axis=(1, 2)) @ np.arange(n)) for a, n in enumerate(mass.shape)]
    return np.array(own) / total * level.scale + level.offset


def _searched_again(coarse: Level, centre: Array, found: list[Candidate]) -> list[Candidate]:
    """From a centre on the best axis, level with the centre of mass, where that is elsewhere."""
    place = max(found, key=lambda c: c.decibel).place
    mass = _centre_of_mass(coarse)
    axis = place.turn[:, 0]
    level = axis @ ((centre if mass is None else mass) - place.centre)
    again = place.centre + axis * level
    if np.abs(again - centre).max() < _APART * coarse.scale.max():
        return []
    return search.about(coarse, Place(place.turn, again))


def _refined(level: Level, candidate: Candidate, points: int, taps: int) -> Candidate:
    place = candidate.place
    where = placement.sample(level, place.centre, level.radius, points)
    place = placement.improved(level, where, place, search.probes(candidate.group), taps)
    return _judged(level, replace(candidate, place=place), taps)


def _judged(level: Level, candidate: Candidate, taps: int) -> Candidate:
    where = placement.sample(level, candidate.place.centre, level.radius, _POINTS["middle"])
    decibel = placement.decibel(level, where, candidate.place, search.probes(candidate.group), taps)
    return replace(candidate, decibel=decibel)


def _settled(full: Level, found: Candidate, allowed: Array | None, slack: float = _SNAP) -> Detected:
    """The simplest place that holds about as well as the refined one."""
    shape = full.volume.shape
    voxels = placement.sample(full, np.array(shape) / 2, float("inf"), _POINTS["judge"], allowed)
    *simple, symmetry = dict.fromkeys(_places(found, shape))
    decibel = _sampled(full, voxels, symmetry)
    for simpler in simple:
        other = _sampled(full, voxels, simpler)
        if other >= decibel - slack:
            symmetry, decibel = simpler, other
            break
    if symmetry.lattice().all():
        decibel = placement.exact_decibel(full.volume, symmetry, allowed)
    return Detected(symmetry, decibel)


def _sampled(full: Level, voxels: Array, symmetry: Symmetry) -> float:
    rotations = symmetry.operations()[1:] / UNIT
    if len(rotations) > _COPIES:
        rotations = rotations[np.linspace(0, len(rotations) - 1, _COPIES).astype(int)]
    place = Place(np.eye(3), np.array(symmetry.centre) / 1024)
    return placement.decibel(full, voxels, place, rotations, _TAPS)


def _places(found: Candidate, shape: tuple[int, ...]) -> Iterator[Symmetry]:
    """Places near a refined one, the simplest first: along the lattice, about whole and half voxels."""
    centre = found.place.centre
    turned = found.place.turn @ (found.group.operations() / UNIT) @ found.place.turn.T
    whole = np.array([float(n // 2) for n in shape])
    middle = (np.array(shape) - 1) / 2
    half = np.rint(2 * centre) / 2
    if found.group.family == "C":  # any point of the axis will do: the one nearest the middle of the box
        axis = found.place.turn[:, 0]
        centre = centre + axis * (axis @ (whole - centre))
        half = np.rint(2 * centre) / 2
    centres = [whole, middle, half, centre]
    centres = [c for c in centres if np.abs(c - centre).max() < 1.5] or [centre]
    aligned = _aligned(found.group, turned)
    if aligned is not None:
        group, turn = aligned
        for c in centres:
            yield placement.whole(group, Place(turn, c), bool((turn == np.eye(3)).all()))
    for c in centres:
        yield placement.whole(found.group, Place(found.place.turn, c), False)


def _aligned(group: PointGroup, turned: Array) -> tuple[PointGroup, Array] | None:
    """The group and the rotation of the lattice onto itself that give these operations, nearly."""
    lattice = PointGroup("O").operations() // UNIT
    nearest = 2 * np.sin(np.radians(_ALIGNED) / 2) * 2**0.5
    for variant in [group, *_variants(group)]:
        rotations = variant.operations() / UNIT
        for turn in lattice:
            own = turn @ rotations @ turn.T
            apart = np.sqrt(((own[:, None] - turned[None]) ** 2).sum(axis=(2, 3))).min(axis=1)
            if apart.max() < nearest:
                return variant, turn.astype(float)
    return None


def _variants(group: PointGroup) -> list[PointGroup]:
    """The same group in its other standard orientations."""
    others = {"T": (0, 2), "I": (0, 1, 3, 4)}.get(group.family, ())
    return [PointGroup(group.family, n) for n in others if n != group.n]


def _refined_helix(
    full: Level,
    middle: Level,
    helix: Helix,
    centre: Array,
    allowed: Array | None,
    slack: float = _PREFER_GIVEN,
) -> Detected:
    refined, moved = helix, centre
    for level, taps in ((middle, 4), (full, 6)):
        where = placement.sample(level, centre, float("inf"), _POINTS["middle"], None)
        refined, moved = placement.improved_helix(level, where, refined, moved, taps)
    voxels = placement.sample(full, centre, float("inf"), _POINTS["judge"], allowed)
    judged = []
    for group, at in ((helix, centre), (refined, centre), (refined, moved)):
        symmetry = placement.whole(group, Place(np.eye(3), at), True)
        judged.append((symmetry, _sampled_helix(full, voxels, symmetry, group)))
    best = max(decibel for _, decibel in judged)
    return Detected(*next(pair for pair in judged if pair[1] >= best - slack))


def _sampled_helix(full: Level, voxels: Array, symmetry: Symmetry, helix: Helix) -> float:
    """Over copies from the next to those half a box away."""
    furthest = max(1, int(full.volume.shape[0] * RISE_UNIT // (2 * helix.rise)))
    steps = sorted({int(k) for k in np.geomspace(1, furthest, _COPIES // 2)})
    steps = [k for step in steps for k in (step, -step)]
    rotations = [helix.rotation(k, k % helix.n) / UNIT for k in steps]
    shifts = [[helix.shift(k) / RISE_UNIT, 0, 0] for k in steps]
    if helix.n > 1:
        rotations += [helix.rotation(0, j) / UNIT for j in {1, helix.n // 2}]
        shifts += [[0, 0, 0] for _ in {1, helix.n // 2}]
    place = Place(np.eye(3), np.array(symmetry.centre) / 1024)
    return placement.decibel(full, voxels, place, np.array(rotations), _TAPS, np.array(shifts))
