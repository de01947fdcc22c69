"""Point groups and helices: group laws, conventions, exactness, and the names that people type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inrcodec.core.symmetry.groups import (
    CENTRE_UNIT,
    RISE_UNIT,
    TURN,
    UNIT,
    Helix,
    PointGroup,
    Symmetry,
    parse_symmetry,
)

Array = np.ndarray[Any, Any]

ORDERS = {"C2": 2, "C7": 7, "C99": 99, "D2": 4, "D3": 6, "D4": 8, "D7": 14, "T": 12, "T222": 12, "O": 24}
ORDERS |= {"I": 60, "I1": 60, "I3": 60, "I4": 60}
sampled = settings(derandomize=True, deadline=None, max_examples=100)


def group(symbol: str) -> PointGroup:
    parsed = parse_symmetry(symbol)
    assert isinstance(parsed, PointGroup)
    return parsed


def turn(seed: int) -> tuple[int, ...]:
    """A random orientation, as whole numbers."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q *= np.linalg.det(q)
    return tuple(int(v) for v in np.rint(q.ravel() * UNIT))


def operations(symbol: str, seed: int | None) -> Array:
    orientation = None if seed is None else turn(seed)
    return Symmetry(group(symbol), (0, 0, 0), orientation).operations()


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("symbol", ORDERS)
def test_group_laws(symbol: str, seed: int | None) -> None:
    whole = operations(symbol, seed)
    assert whole.shape == (ORDERS[symbol], 3, 3)
    assert group(symbol).order == len(whole)
    assert whole.dtype == np.int64
    assert not whole.flags.writeable
    np.testing.assert_array_equal(whole[0], UNIT * np.eye(3))
    r = whole / UNIT
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=2.0**-27)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=2.0**-27)
    products = np.rint(np.einsum("aij,bjk->abik", r, r).reshape(-1, 9) * 2**16).astype(int)
    nearest = {tuple(m) for m in np.rint(r.reshape(-1, 9) * 2**16).astype(int)}
    assert len(nearest) == len(whole)
    for m in products:  # one unit of 2**-16 either way where rounding falls on the other side
        assert tuple(m) in nearest or np.abs(np.array(list(nearest)) - m).max(axis=1).min() <= 1


@pytest.mark.parametrize("symbol", ORDERS)
def test_entries_are_the_nearest_whole_numbers(symbol: str) -> None:
    whole = group(symbol).operations()
    r = whole / UNIT
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=2.0**-29)
    # All rotations of a group with more than one axis sum to 0; each entry is off by half a unit at most.
    if symbol[0] != "C":
        assert np.abs(whole.sum(axis=0)).max() <= len(whole) / 2


@pytest.mark.parametrize(
    ("symbol", "fold", "axis"),
    [  # axes in (x, y, z); those of T and I are RELION's generators
        *[(f"C{n}", n, (0, 0, 1)) for n in (2, 3, 7)],
        *[(f"D{n}", n, (0, 0, 1)) for n in (2, 3, 7)],
        *[(f"D{n}", 2, (1, 0, 0)) for n in (2, 3, 7)],
        ("T", 3, (0, 0, 1)),
        ("T", 2, (0, 0.816496, 0.577350)),
        *[("T222", 2, axis) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1))],
        ("T222", 3, (1, 1, 1)),
        ("O", 4, (0, 0, 1)),
        ("O", 3, (1, 1, 1)),
        ("I", 2, (0, 0, 1)),
        ("I", 5, (0.525731114, 0, 0.850650807)),
        ("I", 3, (0, 0.356822076, 0.934172364)),
        ("I1", 2, (1, 0, 0)),
        ("I1", 5, (0.85065080702670, 0, -0.5257311142635)),
        ("I1", 3, (0.9341723640, 0.3568220765, 0)),
        ("I3", 2, (-0.5257311143, 0, 0.8506508070)),
        ("I3", 5, (0, 0, 1)),
        ("I3", 3, (-0.4911234778630044, 0.3568220764705179, 0.7946544753759428)),
        ("I4", 2, (0.5257311143, 0, 0.8506508070)),
        ("I4", 5, (0.8944271932547096, 0, 0.4472135909903704)),
        ("I4", 3, (0.4911234778630044, 0.3568220764705179, 0.7946544753759428)),
    ],
)
def test_axes(symbol: str, fold: int, axis: tuple[float, ...]) -> None:
    r = group(symbol).operations() / UNIT
    u = np.array(axis[::-1]) / np.linalg.norm(axis)
    about = [m for m in r if np.abs(m @ u - u).max() < 1e-6]
    assert len(about) == fold
    angles = np.degrees(np.arccos(np.clip([(np.trace(m) - 1) / 2 for m in about], -1, 1)))
    expected = [min(360 * k / fold, 360 - 360 * k / fold) for k in range(fold)]
    np.testing.assert_allclose(np.sort(angles), np.sort(expected), atol=1e-4)


def test_a_positive_rotation_takes_x_to_y() -> None:
    quarter = group("C4").operations()[1]
    np.testing.assert_array_equal(quarter @ [0, 0, 1], [0, UNIT, 0])
    quarter = Helix(RISE_UNIT, TURN // 4).rotation(1)
    np.testing.assert_array_equal(quarter @ [0, 0, 1], [0, UNIT, 0])


@pytest.mark.parametrize(
    ("symbol", "preserving"),
    [
        *[
            ("D2", 4),
            ("D4", 8),
            ("C4", 4),
            ("O", 24),
            ("I", 12),
            ("I1", 12),
            ("C7", 1),
            ("D7", 2),
            ("T222", 12),
        ],
        *[("T", 1), ("C6", 2), ("C3", 1), ("I3", 2)],
    ],
)
@pytest.mark.parametrize("half", [(0, 0, 0), (1, 1, 1)])
def test_operations_that_map_voxels_to_voxels(symbol: str, preserving: int, half: tuple[int, ...]) -> None:
    """With the centre on a voxel, and between eight of them."""
    z, y, x = (20 * CENTRE_UNIT + h * CENTRE_UNIT // 2 for h in half)
    kept = Symmetry(group(symbol), (z, y, x)).lattice()
    assert kept.shape == (ORDERS.get(symbol, len(kept)),)
    assert kept[0]
    assert kept.sum() == preserving


def test_a_centre_off_the_lattice_keeps_the_identity_alone() -> None:
    assert Symmetry(group("D4"), (0, 0, 1)).lattice().sum() == 2  # the half turn about x stays
    assert Symmetry(group("O"), (3, 100, 40)).lattice().sum() == 1


def test_the_standard_centre_is_the_voxel_of_index_half() -> None:
    assert Symmetry.standard(group("C2"), (100, 101, 7)).centre == (50 * 1024, 50 * 1024, 3 * 1024)


def test_orientation_by_whole_quarters_is_exact() -> None:
    quarter = tuple(int(v) for v in group("C4").operations()[1].ravel())
    turned = Symmetry(group("I"), (0, 0, 0), quarter).operations()
    assert {m.tobytes() for m in turned} == {m.tobytes() for m in group("I1").operations()}


@pytest.mark.parametrize(
    "orientation", [(1,) * 9, (UNIT, 0, 0, 0, UNIT, 0, 0, 0, -UNIT), (UNIT, 0, 0), (2**62,) * 9]
)
def test_an_orientation_that_is_no_rotation(orientation: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not a rotation"):
        Symmetry(group("C2"), (0, 0, 0), orientation)
    with pytest.raises(ValueError, match="out of range"):
        Symmetry(group("C2"), (0, 2**50, 0))


def test_helical_operations_are_exact() -> None:
    helix = Helix(rise=1234567, twist=-87654321, n=3)
    assert [helix.shift(k) for k in (-2, 0, 1000)] == [-2469134, 0, 1234567000]
    for k, j in [(0, 0), (1, 0), (-5, 1), (100000, 2)]:
        angle = 2 * np.pi * ((k * helix.twist % TURN) / TURN + j / 3)
        c, s = np.cos(angle), np.sin(angle)
        expected = np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) * UNIT
        np.testing.assert_allclose(helix.rotation(k, j), expected, atol=0.51)
    np.testing.assert_array_equal(Helix(1, TURN // 4).rotation(4), UNIT * np.eye(3))


def test_a_helix_in_a_volume() -> None:
    helix = Helix(rise=3 * RISE_UNIT, twist=TURN // 8)
    rotation, shift = Symmetry(helix, (0, 0, 0)).operation(2)
    np.testing.assert_array_equal(rotation, helix.rotation(2))
    assert shift == (6 * RISE_UNIT, 0, 0)
    to_x = (0, 0, -UNIT, 0, UNIT, 0, UNIT, 0, 0)  # takes z to x
    rotation, shift = Symmetry(helix, (0, 0, 0), to_x).operation(2)
    assert shift == (0, 0, 6 * RISE_UNIT)
    np.testing.assert_array_equal(rotation @ [0, 0, 1], [0, 0, UNIT])
    with pytest.raises(ValueError, match="no finite list"):
        Symmetry(helix, (0, 0, 0)).operations()
    with pytest.raises(ValueError, match="no helix"):
        Symmetry(group("C2"), (0, 0, 0)).operation(1)


@pytest.mark.parametrize("symbol", ["c7", " D2 ", "t", "o", "i", "I2", "i1", "T222"])
def test_names_in_any_case(symbol: str) -> None:
    parsed = parse_symmetry(symbol)
    assert parsed == parse_symmetry(symbol.strip().upper())
    assert parsed.symbol == symbol.strip().upper().replace("I2", "I")


@pytest.mark.parametrize(
    "text",
    [
        *["", "C", "C0", "C1", "D1", "C100", "D-2", "X2", "I5", "T3", "O4", "Ih", "C2.0", "C²", "helical"],
        *["helical:1", "helical:0,10", "helical:-1,10", "helical:1,400", "helical:1,2,C0", "helical:1,2,D3"],
        *["helical:1e3,2", "helical:nan,1", "helical:0.0000001,1", "helical:9999999,1,C2,C2"],
        *["helical:99999999,1"],
    ],
)
def test_what_is_not_a_symmetry(text: str) -> None:
    with pytest.raises(ValueError, match=r"symmetry|rise|twist") as raised:
        parse_symmetry(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("voxel_size", [0.0, -1.0, float("nan"), float("inf")])
def test_voxel_sizes_that_are_none(voxel_size: float) -> None:
    with pytest.raises(ValueError, match="voxel_size"):
        parse_symmetry("helical:4.75,-1.05", voxel_size)


def test_rise_in_angstrom_and_twist_in_degrees() -> None:
    helix = parse_symmetry("Helical:4.75,-1.05,c2", 0.95)
    assert isinstance(helix, Helix)
    assert helix.n == 2
    assert helix.rise == pytest.approx(5 * RISE_UNIT, abs=1)
    assert helix.twist == pytest.approx(-1.05 / 360 * TURN, abs=0.51)
    assert parse_symmetry("helical:4.75,-1.05,C2").symbol == "helical:4.75,-1.05,C2"
    assert parse_symmetry("helical:1,270") == parse_symmetry("helical:1,-90")
    assert parse_symmetry("helical:1,180").rotation(1)[1, 1] == -UNIT  # type: ignore[union-attr]


@sampled
@given(st.builds(Helix, st.integers(1, 2**40), st.integers(-(2**31), 2**31 - 1), st.integers(1, 99)))
@example(Helix(2**40, -(2**31), 99))
def test_the_name_of_a_helix_gives_it_back(helix: Helix) -> None:
    assert parse_symmetry(helix.symbol) == helix


@sampled
@given(st.sampled_from(["C", "D"]), st.integers(2, 99))
def test_the_name_of_a_group_gives_it_back(family: str, n: int) -> None:
    assert parse_symmetry(PointGroup(family, n).symbol) == PointGroup(family, n)


@sampled
@given(st.text(max_size=30) | st.from_regex(r"(?i)helical:[0-9.+-]{1,30},[0-9.]{1,30}(,C[0-9]+)?"))
def test_any_text_is_a_symmetry_or_a_value_error(text: str) -> None:
    try:
        parsed = parse_symmetry(text)
    except ValueError:
        return
    assert parse_symmetry(parsed.symbol) == parsed


@pytest.mark.parametrize(
    ("family", "n"),
    [("C", 1), ("C", 100), ("D", 1), ("T", 1), ("O", 2), ("I", 2), ("I", 5), ("X", 3), ("", 0)],
)
def test_groups_that_are_none(family: str, n: int) -> None:
    with pytest.raises(ValueError, match="no point group"):
        PointGroup(family, n)


@pytest.mark.parametrize(
    "numbers", [(0, 0, 1), (-1, 0, 1), (2**41, 0, 1), (1, 2**31 + 1, 1), (1, 0, 0), (1, 0, 100)]
)
def test_helices_that_are_none(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="helix"):
        Helix(*numbers)
