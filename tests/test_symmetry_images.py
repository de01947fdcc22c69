"""Images: each is one of the voxel's own under the group, the furthest in the direction, and settled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetric_payloads import place, turn

from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, Symmetry
from inrcodec.core.symmetry.images import Box, Images
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]
ONE = 2**POSITION_BITS
SHAPE = (10, 11, 12)
WHOLE = (slice(0, 10), slice(0, 11), slice(0, 12))
POINT_GROUPS = ["C2", "C3", "C4", "C7", "D2", "D3", "D4", "D5", "T", "T222", "O", "I", "I1", "I3", "I4"]
ON_LATTICE = ["C2", "C4", "D2", "D4", "T222", "O"]
DIRECTIONS = st.tuples(*[st.integers(-128, 127)] * 3)
CENTRES = st.tuples(*[st.integers(-3 * ONE, 14 * ONE)] * 3)
sampled = settings(derandomize=True, deadline=None, max_examples=60)


def positions(images: Images, region: Box = WHOLE) -> Array:
    """(3, d, h, w) positions of the images of a region's voxels; of all, whatever the radius."""
    ranges = [np.arange(s.start, s.stop, dtype=np.int64) for s in region]
    size = tuple(len(r) for r in ranges)
    if images.axial:
        out = np.zeros((3, size[0], size[1] * size[2]), np.int64)
        seen = np.zeros(out.shape[1:], int)
        for part in images.columns(region):
            at = np.ix_(part.planes, part.columns)
            seen[at] += 1
            out[0][at], out[1][at], out[2][at] = part.z[:, None], part.y, part.x
        assert (seen == 1).all()  # each voxel in one part
        return out.reshape(3, *size)
    z, y, x = images.on_lattice(*np.ix_(*ranges))
    flat = [np.ascontiguousarray(np.broadcast_to(a, size)).ravel() for a in (z, y, x)]
    found = images.between(*flat) if images.axes else [a * ONE for a in flat]
    return np.stack(found).reshape(3, *size)


def offsets(symmetry: Symmetry, region: Box = WHOLE) -> Array:
    """(3, d, h, w) of voxels from the centre."""
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in region), indexing="ij"))
    return grid * ONE - np.array(symmetry.centre)[:, None, None, None]


def orbits(symmetry: Symmetry, v: Array) -> Array:
    """(order, 3, ...) all images of offsets, not rounded."""
    return np.einsum("rij,j...->ri...", symmetry.operations() / UNIT, v)


def check_images(images: Images) -> None:
    symmetry = images.symmetry
    found = positions(images) - np.array(symmetry.centre)[:, None, None, None]
    every = orbits(symmetry, offsets(symmetry))
    away = np.abs(every - found).max(axis=1)
    assert away.min(axis=0).max() <= 1.001  # each axis is rounded, by one operation after the other at most
    if images.axial:
        # in the plane: a direction's part along z tells nothing apart
        direction = np.array([0, *images.direction[1:]])
        if symmetry.group.family == "D":
            assert found[0].min() >= 0
            same_side = np.abs(every[:, 0] - found[0]) <= 1
            scores = np.where(same_side, np.einsum("i,ri...->r...", direction, every), -np.inf)
        else:
            scores = np.einsum("i,ri...->r...", direction, every)
    else:
        direction = np.array(images.direction)
        scores = np.einsum("i,ri...->r...", direction, every)
    own = np.einsum("i,i...->...", direction, found)
    slack = 2 * np.abs(direction).sum() + 1
    plane = offsets(symmetry)[0] == 0  # in the plane of D's two-fold axes both sides are its own
    ahead = own >= scores.max(axis=0) - slack
    assert (ahead | plane if images.axial else ahead).all()


@sampled
@given(symbol=st.sampled_from(POINT_GROUPS), centre=CENTRES, direction=DIRECTIONS)
def test_images_are_the_furthest_of_their_orbit(
    symbol: str, centre: tuple[int, int, int], direction: tuple[int, int, int]
) -> None:
    check_images(Images(place(symbol, SHAPE, centre), direction))


@sampled
@given(symbol=st.sampled_from(POINT_GROUPS), seed=st.integers(0, 99), direction=DIRECTIONS)
def test_in_any_orientation(symbol: str, seed: int, direction: tuple[int, int, int]) -> None:
    check_images(Images(place(symbol, SHAPE, (5111, 6222, 5333), turn(seed)), direction))


@sampled
@given(
    symbol=st.sampled_from(ON_LATTICE),
    centre=st.tuples(*[st.integers(-2, 12)] * 3),
    halves=st.booleans(),
    direction=DIRECTIONS,
)
def test_lattice_images_are_settled(
    symbol: str, centre: tuple[int, int, int], halves: bool, direction: tuple[int, int, int]
) -> None:
    """They are voxels, the image of an image is itself, and an orbit without a tie shares one."""
    z, y, x = (a * ONE + halves * ONE // 2 for a in centre)
    symmetry = place(symbol, SHAPE, (z, y, x))
    images = Images(symmetry, direction)
    assert images.axes == ()
    origin = np.array(symmetry.centre)[:, None, None, None]
    every = (symmetry.operations() // UNIT).reshape(-1, 3) @ offsets(symmetry).reshape(3, -1)
    every = (every.reshape(-1, 3, *SHAPE) + origin) // ONE  # voxels of the orbits
    low, high = every.min(axis=(0, 2, 3, 4)), every.max(axis=(0, 2, 3, 4))
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    images_of = positions(images, (box[0], box[1], box[2]))
    corner = low[:, None, None, None]

    found = positions(images)
    assert not (found % ONE).any()
    np.testing.assert_array_equal(images_of[(slice(None), *(found // ONE - corner))], found)
    weights = np.array(direction)
    if images.axial:
        weights[0] = 0
    for moved in every:
        other = images_of[(slice(None), *(moved - corner))]
        tied = np.tensordot(weights, other - found, 1) == 0
        if symbol[0] == "D":
            tied |= offsets(symmetry)[0] == 0  # either side of D's two-fold axes keeps its own
        assert (tied | (other == found).all(axis=0)).all()


@sampled
@given(
    rise=st.integers(RISE_UNIT // 8, 6 * RISE_UNIT),
    twist=st.integers(-(2**31), 2**31),
    n=st.integers(1, 5),
    centre=CENTRES,
    direction=DIRECTIONS,
)
def test_helices(
    rise: int, twist: int, n: int, centre: tuple[int, int, int], direction: tuple[int, int, int]
) -> None:
    """Each voxel comes from within half a rise of the centre, by the operation that takes it there."""
    helix = Helix(rise, twist, n)
    symmetry = Symmetry(helix, centre)
    found = positions(Images(symmetry, direction)) - np.array(centre)[:, None, None, None]
    v = offsets(symmetry)
    unit = RISE_UNIT // ONE
    assert np.abs(found[0]).max() <= rise / unit / 2 + 1
    for z in range(SHAPE[0]):
        k = round(float(v[0, z, 0, 0] - found[0, z, 0, 0]) * unit / rise)
        assert abs(v[0, z, 0, 0] - found[0, z, 0, 0] - k * rise / unit) <= 0.5
        turned = np.stack([helix.rotation(-k, j) for j in range(n)]) / UNIT
        every = np.einsum("rij,j...->ri...", turned[:, 1:, 1:], v[1:, z])
        assert np.abs(every - found[1:, z]).max(axis=1).min(axis=0).max() <= 0.5 + 1e-5
        scores = np.einsum("i,ri...->r...", direction[1:], every)
        own = np.einsum("i,i...->...", direction[1:], found[1:, z])
        assert (own >= scores.max(axis=0) - 2 * (np.abs(direction[1:]).sum() + 1)).all()


@pytest.mark.parametrize(
    ("symbol", "centre", "orientation", "axes"),
    [
        ("C2", None, None, ()),
        ("C2", (77, 5 * ONE, 5 * ONE), None, ()),
        ("C2", (0, 5 * ONE + 1, 5 * ONE), None, (1, 2)),
        ("C4", (0, 5 * ONE, 5 * ONE + ONE // 2), None, (1, 2)),
        ("C3", None, None, (1, 2)),
        ("D2", None, None, ()),
        ("D2", (5 * ONE + ONE // 2, 5 * ONE, 5 * ONE), None, ()),
        ("D2", (5 * ONE, 5 * ONE, 5 * ONE + 3), None, (1, 2)),
        ("D7", None, None, (1, 2)),
        ("D7", (5 * ONE + 1, 5 * ONE, 5 * ONE), None, (0, 1, 2)),
        ("C2", None, (0, 0, UNIT, 0, UNIT, 0, -UNIT, 0, 0), ()),
        ("C2", None, turn(0), (0, 1, 2)),
        ("T", None, None, (0, 1, 2)),
        ("T222", None, None, ()),
        ("O", None, None, ()),
        ("O", (5 * ONE, 5 * ONE, 5 * ONE + ONE // 2), None, (0, 1, 2)),
        ("I", None, None, (0, 1, 2)),
        ("helical:2,90", None, None, (0, 1, 2)),
    ],
)
def test_axes_that_are_interpolated(
    symbol: str, centre: Any, orientation: Any, axes: tuple[int, ...]
) -> None:
    assert Images(place(symbol, SHAPE, centre, orientation), (1, 2, 3)).axes == axes


@pytest.mark.parametrize("symbol", ["C3", "D2", "helical:2,30"])
def test_radius_of_axial_groups(symbol: str) -> None:
    symmetry = place(symbol, SHAPE)
    parts = list(Images(symmetry, (0, 1, 2), 4).columns(WHOLE))
    y, x = offsets(symmetry)[1:, 0].reshape(2, -1) / ONE
    inside = np.flatnonzero(y**2 + x**2 <= 16)
    assert sum(len(p.planes) for p in parts) == SHAPE[0]
    for part in parts:
        np.testing.assert_array_equal(part.columns, inside)
    far = (slice(0, 2), slice(0, 1), slice(0, 1))
    assert list(Images(symmetry, (0, 1, 2), 4).columns(far)) == []


def test_radius_is_that_of_a_ball_otherwise() -> None:
    images = Images(place("O", SHAPE), (1, 2, 3), 3)
    square = (offsets(images.symmetry) ** 2).sum(axis=0)
    np.testing.assert_array_equal(images.inside(square), np.sqrt(square) / ONE <= 3)
    assert Images(place("O", SHAPE), (1, 2, 3)).inside(square).all()


def test_equal_images_are_told_apart_by_their_order() -> None:
    """With no direction at all the identity, the first operation, wins everywhere."""
    for symbol in ("C4", "C7", "T222", "O"):
        symmetry = place(symbol, SHAPE)
        found = positions(Images(symmetry, (0, 0, 0)))
        np.testing.assert_array_equal(found // ONE, np.indices(SHAPE))
