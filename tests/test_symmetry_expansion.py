"""Expansion: regions are cut from the same volume, and a symmetric field gives the symmetric volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetric_payloads import CASES, EXACT, Shape, place, turn, whole_field

from inrcodec.core.symmetry.expansion import Distinct, Expansion, Spans
from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, Symmetry
from inrcodec.core.symmetry.images import Images
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]
ONE = 2**POSITION_BITS
AMPLITUDE = 2.0**20


def field_of(spans: Spans, values: Array) -> Callable[[Spans], Array]:
    """Gives parts of a field, and notices who asks for more than there is."""

    def part(wanted: Spans) -> Array:
        for (a, b), (start, stop) in zip(wanted, spans, strict=True):
            assert start <= a < b <= stop
        box = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(wanted, spans, strict=True))
        return values[box].copy()

    return part


def random_field(spans: Spans, seed: int = 0) -> Array:
    shape = [b - a for a, b in spans]
    return np.rint(np.random.default_rng(seed).normal(0, AMPLITUDE, shape))


def whole(shape: Shape) -> tuple[slice, slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])


def symmetric_density(symmetry: Symmetry, points: Array, seed: int = 0, width: float = 2.0) -> Array:
    """A sum of Gaussians over whole orbits at points (3, ...), in voxels: symmetric by its making."""
    rng = np.random.default_rng(seed)
    if isinstance(symmetry.group, Helix):
        n = symmetry.group.n
        found = [symmetry.operation(k, j) for k in range(-14, 15) for j in range(n)]
        moves = [(m / UNIT, np.array(shift) / RISE_UNIT) for m, shift in found]
    else:
        moves = [(m / UNIT, np.zeros(3)) for m in symmetry.operations()]
    centre = np.array(symmetry.centre) / ONE
    total = np.zeros(points.shape[1:])
    for _ in range(3):
        at = rng.normal(0, 4, 3)
        for matrix, shift in moves:
            middle = (matrix @ at + shift + centre).reshape(3, *[1] * (points.ndim - 1))
            total += np.exp(-((points - middle) ** 2).sum(axis=0) / (2 * width**2))
    return total


def grid(spans: Spans) -> Array:
    return np.stack(np.meshgrid(*(np.arange(a, b, dtype=float) for a, b in spans), indexing="ij"))


@pytest.mark.parametrize("name", CASES)
def test_regions_are_cut_from_the_whole(name: str) -> None:
    made = CASES[name]
    values = field_of(made.field, random_field(made.field))
    everything = Expansion(made.images, made.field, values).region(whole(made.shape))
    held = Expansion(made.images, made.field, values)
    held.hold()
    assert everything.shape == made.shape
    assert (everything != 0).mean() > 0.2
    np.testing.assert_array_equal(everything, np.rint(everything))
    rng = np.random.default_rng(1)
    for _ in range(12):
        corners = [np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in made.shape]
        d, h, w = (slice(a, b) for a, b in corners)
        region = Expansion(made.images, made.field, values).region((d, h, w))
        np.testing.assert_array_equal(region, everything[d, h, w])
        np.testing.assert_array_equal(held.region((d, h, w)), region)


BETWEEN = [
    ("C3", (0, 0, 1), None),
    ("C7", (0, 1, 3), None),
    ("D5", (0, 1, 3), None),
    ("T", (6, 3, 1), None),
    ("I", (6, 3, 1), None),
    ("C5", (6, 3, 1), turn(5)),
    ("D3", (6, 3, 1), turn(6)),
    ("O", (6, 3, 1), turn(7)),
    ("helical:3.3,50.5", (0, 0, 1), None),
    ("helical:2.7,-70,C2", (0, 0, 1), None),
]
SHAPE = (20, 20, 20)


@pytest.mark.parametrize(("symbol", "direction"), EXACT)
def test_symmetric_fields_come_back_exactly_on_the_lattice(
    symbol: str, direction: tuple[int, int, int]
) -> None:
    symmetry = place(symbol, SHAPE)
    spans = whole_field(SHAPE, 1)  # images of the first planes lie one voxel behind the last
    values = np.rint(AMPLITUDE * symmetric_density(symmetry, grid(spans)))
    found = Expansion(Images(symmetry, direction), spans, field_of(spans, values)).region(whole(SHAPE))
    # the same up to the rounding of densities that are equal but for float64's own errors
    assert np.abs(found - values[1:-1, 1:-1, 1:-1]).max() <= 1


@pytest.mark.parametrize(("symbol", "direction", "orientation"), BETWEEN)
def test_symmetric_fields_come_back(symbol: str, direction: tuple[int, int, int], orientation: Any) -> None:
    centre = (10 * ONE + 100, 10 * ONE - 200, 10 * ONE + 333)
    symmetry = place(symbol, SHAPE, centre, orientation)
    spans = whole_field(SHAPE, 12)
    values = np.rint(AMPLITUDE * symmetric_density(symmetry, grid(spans)))
    found = Expansion(Images(symmetry, direction), spans, field_of(spans, values)).region(whole(SHAPE))
    expected = AMPLITUDE * symmetric_density(symmetry, grid(whole_field(SHAPE)))
    decibel = 10 * np.log10(expected.var() / np.mean((found - expected) ** 2))
    assert decibel > 58  # the filters are good for 61 dB along an axis


@pytest.mark.parametrize("name", ["C7", "D2", "T", "O", "helix-C2", "C5-turned"])
def test_only_the_asymmetric_unit_counts(name: str) -> None:
    """Behind the centre, seen along the direction, and out of the filters' reach all is one."""
    made = CASES[name]
    images = Images(made.images.symmetry, made.images.direction)
    spans = whole_field(made.shape, 20)
    values = random_field(spans)
    points = grid(spans) - (np.array(images.symmetry.centre) / ONE).reshape(3, 1, 1, 1)
    direction = np.array(images.direction, float)
    if images.axial:
        direction[0] = 0
    reach = 13 * np.sqrt(np.count_nonzero(direction))
    outside = np.tensordot(direction / np.linalg.norm(direction), points, 1) < -reach
    assert outside.sum() > 500
    other = np.where(outside, 0, values)
    one, two = (
        Expansion(images, spans, field_of(spans, v)).region(whole(made.shape)) for v in (values, other)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != 0).mean() > 0.9
    before = Expansion(images, spans, field_of(spans, np.where(outside, values, 0))).region(whole(made.shape))
    assert not before.any()


def test_nothing_where_the_field_does_not_reach() -> None:
    made = CASES["C2"]
    far = ((40, 50), (0, 10), (0, 10))
    region = whole(made.shape)
    assert not Expansion(made.images, far, field_of(far, random_field(far))).region(region).any()
    beside = ((0, 8), (0, 17), (0, 18))
    found = Expansion(made.images, beside, field_of(beside, random_field(beside))).region(region)
    assert found[:8].any()
    assert not found[8:].any()


@pytest.mark.parametrize(("name", "away"), [("C4", 2), ("T", 3), ("I", 3), ("helix-C2", 2)])
def test_nothing_beyond_the_radius(name: str, away: int) -> None:
    made = CASES[name]
    radius = made.images.radius
    assert radius is not None
    found = Expansion(made.images, made.field, field_of(made.field, random_field(made.field))).region(
        whole(made.shape)
    )
    points = grid(whole_field(made.shape)) - (np.array(made.images.symmetry.centre) / ONE).reshape(3, 1, 1, 1)
    distance = np.sqrt((points[3 - away :] ** 2).sum(axis=0))
    assert not found[distance > radius].any()
    assert (found[distance <= radius] != 0).mean() > 0.5
    without = Images(made.images.symmetry, made.images.direction)
    more = Expansion(without, made.field, field_of(made.field, random_field(made.field))).region(
        whole(made.shape)
    )
    np.testing.assert_array_equal(more[distance <= radius], found[distance <= radius])


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    symbol=st.sampled_from(["C2", "T222", "O", "T", "I"]),
    corner=st.tuples(*[st.integers(0, 8)] * 3),
    size=st.tuples(*[st.integers(1, 6)] * 3),
    radius=st.none() | st.integers(0, 9),
)
def test_distinct_voxels(
    symbol: str, corner: tuple[int, int, int], size: tuple[int, int, int], radius: int | None
) -> None:
    turned = (0, 0, UNIT, 0, UNIT, 0, -UNIT, 0, 0) if symbol == "C2" else None
    images = Images(place(symbol, (14, 14, 14), orientation=turned), (6, 3, 1), radius)
    d, h, w = (slice(a, a + n) for a, n in zip(corner, size, strict=True))
    unit = Distinct.of(images, (d, h, w))
    z, y, x = images.on_lattice(*np.ix_(*(np.arange(s.start, s.stop) for s in (d, h, w))))
    expected = np.stack(np.broadcast_arrays(z, y, x))
    square = (((grid(tuple((s.start, s.stop) for s in (d, h, w))) - 7) ** 2).sum(axis=0)).astype(int)
    near = np.ones(size, bool) if radius is None else square <= radius**2
    found = np.stack(unit.voxels())
    assert unit.count == found.shape[1]
    held = unit.numbers[unit.held]
    np.testing.assert_array_equal(held, np.arange(unit.count))
    np.testing.assert_array_equal(found, np.unique(expected[:, near], axis=1))  # each once, in C order
    np.testing.assert_array_equal(unit.table[~near], found.shape[1])
    np.testing.assert_array_equal(found[:, unit.table[near]], expected[:, near])
