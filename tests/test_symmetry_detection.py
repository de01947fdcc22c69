"""Symmetry is found where it is, in any orientation, and not where it is not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inrcodec import synthetic
from inrcodec.core.symmetry import search
from inrcodec.core.symmetry.detection import THRESHOLD, Detected, detect, refine
from inrcodec.core.symmetry.groups import (
    CENTRE_UNIT,
    RISE_UNIT,
    TURN,
    UNIT,
    Helix,
    PointGroup,
    parse_symmetry,
)
from inrcodec.core.symmetry.interpolation import interpolate
from inrcodec.core.symmetry.placement import Place
from inrcodec.core.symmetry.search import Candidate
from inrcodec.synthetic_symmetry import symmetric_map

Array = np.ndarray[Any, Any]
SIZE = 48
CENTRE = (SIZE // 2 * CENTRE_UNIT,) * 3


@cache
def generated(symbol: str) -> Array:
    volume = symmetric_map(symbol, SIZE, noise=0.1, taps=6)
    volume.setflags(write=False)
    return volume


def turned(volume: Array, turn: Array, centre: Array) -> Array:
    """The volume turned about its middle, which then lies at ``centre``; nothing outside a sphere."""
    points = np.argwhere(np.ones(volume.shape, bool))
    source = (points - centre) @ turn + len(volume) // 2
    inside = ((source - len(volume) // 2) ** 2).sum(axis=1) < (len(volume) / 2 - 1) ** 2
    return (interpolate(volume, source, 6) * inside).reshape(volume.shape).astype(np.float32)


def random_turn(seed: int) -> Array:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    return np.asarray(q * np.linalg.det(q))


def found(volume: Array) -> Detected:
    detected = detect(volume)
    assert detected is not None
    return detected


@pytest.mark.parametrize("symbol", ["C2", "C6", "D2", "D3", "T", "O", "I"])
def test_standard_place(symbol: str) -> None:
    detected = found(generated(symbol))
    assert detected.symmetry.group.symbol == symbol
    assert detected.symmetry.orientation is None
    assert detected.symmetry.centre == CENTRE
    assert detected.decibel == 200 if symbol in ("C2", "D2", "O") else 30 < detected.decibel < 60


@pytest.mark.parametrize("symbol", ["C7", "D2", "D3", "T", "O", "I"])
def test_any_place(symbol: str) -> None:
    turn, centre = random_turn(3), np.array([24.6, 23.2, 24.9])
    volume = turned(generated(symbol), turn, centre)
    detected = found(volume)
    assert detected.symmetry.group.symbol == symbol
    assert detected.decibel > 25
    # The same operations, whichever of the equivalent orientations was found.
    group = parse_symmetry(symbol)
    assert not isinstance(group, Helix)
    expected = turn @ (group.operations() / UNIT) @ turn.T
    own = detected.symmetry.operations() / UNIT
    apart = np.abs(own[:, None] - expected[None]).max(axis=(2, 3)).min(axis=1)
    assert apart.max() < 0.02
    offset = np.array(detected.symmetry.centre) / CENTRE_UNIT - centre
    if symbol[0] == "C":
        offset -= turn[:, 0] * (turn[:, 0] @ offset)
    assert np.abs(offset).max() < 0.1


def test_along_the_lattice_in_another_direction_is_exact() -> None:
    volume = np.ascontiguousarray(generated("D4").transpose(1, 2, 0)[:, :, 2:])  # z is the last axis now
    detected = found(volume)
    assert detected.symmetry.group.symbol == "D4"
    assert detected.symmetry.centre == (24 * CENTRE_UNIT, 24 * CENTRE_UNIT, 22 * CENTRE_UNIT)
    assert detected.symmetry.lattice().all()
    assert detected.decibel == 200


def test_between_voxels() -> None:
    """A box cropped by one voxel on one side has its centre at (N - 1) / 2."""
    detected = found(generated("D2")[1:, 1:, 1:])
    assert detected.symmetry.centre == (23 * CENTRE_UNIT,) * 3  # 47 // 2
    detected = found(generated("D2")[2:, 1:, 1:][:-1])
    assert detected.symmetry.group.symbol == "D2"
    assert detected.symmetry.centre == (22 * CENTRE_UNIT, 23 * CENTRE_UNIT, 23 * CENTRE_UNIT)
    assert detected.decibel == 200


@pytest.mark.parametrize("symbol", ["T222", "I1"])
def test_other_standard_orientations(symbol: str) -> None:
    detected = found(symmetric_map(symbol, 40, taps=6))
    assert detected.symmetry.orientation is None or detected.symmetry.lattice().sum() == 12
    assert detected.symmetry.group.order == (60 if symbol == "I1" else 12)
    given = refine(symmetric_map(symbol, 40, taps=6), parse_symmetry(symbol[0]))
    assert given.symmetry.group.symbol == symbol
    assert given.decibel > 30


def round_body() -> Array:
    r = np.sqrt(((np.indices((SIZE,) * 3) - SIZE // 2) ** 2).sum(axis=0))
    return np.asarray(1 / (1 + np.exp(r - 15)))


@pytest.mark.parametrize(
    "kind", ["particle", "masked", "tomogram", "noise", "round", "shell", "constant", "small"]
)
def test_none(kind: str) -> None:
    volumes = {
        "particle": lambda: synthetic.generate((SIZE,) * 3, noise=0.1, resolution=4.0),
        "masked": lambda: synthetic.generate((SIZE, 40, 36), mask="soft", seed=2),
        "tomogram": lambda: synthetic.tomogram((SIZE,) * 3),
        "noise": lambda: np.random.default_rng(0).standard_normal((32, 40, 32)),
        "round": round_body,
        "shell": lambda: np.diff(round_body(), axis=0),
        "constant": lambda: np.full((16, 16, 16), 3.5, np.float32),
        "small": lambda: np.random.default_rng(0).standard_normal((4, 50, 50)),
    }
    detected = detect(volumes[kind]())
    assert detected is None  # a round body and its derivative along z: no fold is better than another


def test_noise_on_top_lowers_the_decibels() -> None:
    clean = generated("C2")
    noise = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    noise *= 0.1 * clean.std()
    detected = found(clean + noise)
    assert detected.symmetry.group.symbol == "C2"
    assert detected.symmetry.orientation is None
    # The difference of two noisy copies has twice the noise: 10 log10(1.01 / 0.02) = 17.0 dB
    assert detected.decibel == pytest.approx(17.0, abs=0.3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float16, ">f4"])
def test_any_real_dtype(dtype: Any) -> None:
    volume = generated("D2") * 5 + (50 if np.dtype(dtype).kind == "u" else 0)
    detected = found(np.clip(volume, -128 if np.dtype(dtype).kind != "u" else 0, 127).astype(dtype))
    assert detected.symmetry.group.symbol == "D2"
    assert detected.decibel > 20


def test_nan_and_infinity_count_as_the_mean() -> None:
    volume = generated("D2").copy()
    volume[3, 4, 5], volume[40, 1, 7] = np.nan, np.inf
    detected = found(volume)
    assert detected.symmetry.group.symbol == "D2"
    assert 30 < detected.decibel < 200
    assert detect(np.full((16, 16, 16), np.nan)) is None


def test_bad_volumes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(5, 5\)"):
        detect(np.zeros((5, 5)))
    with pytest.raises(TypeError, match="complex128"):
        detect(np.zeros((16, 16, 16), complex))
    with pytest.raises(TypeError, match="bool"):
        refine(np.zeros((16, 16, 16), bool), parse_symmetry("C2"))


def test_progress_goes_up_to_one() -> None:
    calls: list[tuple[str, float]] = []
    detect(generated("D2"), progress=lambda stage, fraction: calls.append((stage, fraction)))
    fractions = [fraction for _, fraction in calls]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(stage for stage, _ in calls)


def test_a_given_symmetry_stays_where_it_is() -> None:
    for symbol in ("C7", "D2", "O"):
        refined = refine(generated(symbol), parse_symmetry(symbol))
        assert refined.symmetry.group.symbol == symbol
        assert refined.symmetry.orientation is None
        assert refined.symmetry.centre == CENTRE
        assert refined.decibel > 35


def test_a_given_symmetry_is_looked_for_elsewhere() -> None:
    turn, centre = random_turn(4), np.array([24.3, 23.5, 24.4])
    refined = refine(turned(generated("D7"), turn, centre), parse_symmetry("D7"))
    assert refined.symmetry.orientation is not None
    assert refined.decibel > 25


def test_a_given_symmetry_off_by_a_little_is_refined() -> None:
    tilt = np.radians(2.0)
    turn = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    volume = turned(generated("C5"), turn, np.array([24.0, 24.37, 23.8]))
    refined = refine(volume, parse_symmetry("C5"))
    assert refined.decibel > 30
    axis = refined.symmetry.operations()[1] / UNIT @ turn[:, 0]
    assert np.abs(axis - turn[:, 0]).max() < 3e-3


def test_a_symmetry_that_does_not_hold_has_few_decibels() -> None:
    refined = refine(generated("C5"), parse_symmetry("C7"))
    assert refined.symmetry.group.symbol == "C7"
    assert refined.decibel < THRESHOLD
    assert refine(np.ones((16, 16, 16)), parse_symmetry("I")).decibel == 0


def test_a_helix_is_refined() -> None:
    volume = symmetric_map("helical:6.5,40,C2", SIZE)
    exact = parse_symmetry("helical:6.5,40,C2")
    assert isinstance(exact, Helix)
    assert refine(volume, exact).symmetry.group == exact
    refined = refine(volume, parse_symmetry("helical:6.4,41,C2"))
    assert isinstance(refined.symmetry.group, Helix)
    assert refined.symmetry.group.rise == pytest.approx(exact.rise, abs=0.02 * RISE_UNIT)
    assert refined.symmetry.group.twist == pytest.approx(exact.twist, abs=0.1 / 360 * TURN)
    assert refined.decibel > 35
    assert refined.decibel > refine(np.flip(volume, 1), exact).decibel + 10  # the other hand


@pytest.mark.parametrize("symbol", ["helical:8,33", "helical:11,-50,C3"])
def test_a_helix_is_found(symbol: str) -> None:
    exact = parse_symmetry(symbol)
    volume = symmetric_map(symbol, SIZE)
    noisy = volume + np.random.default_rng(0).normal(0, 0.15 * volume.std(), volume.shape)
    for density, least in ((volume, 30), (noisy, THRESHOLD)):
        detected = found(density)
        assert isinstance(detected.symmetry.group, Helix)
        assert isinstance(exact, Helix)
        assert detected.symmetry.group.n == exact.n
        assert detected.symmetry.group.rise == pytest.approx(exact.rise, abs=0.02 * RISE_UNIT)
        assert detected.symmetry.group.twist == pytest.approx(exact.twist, abs=0.1 / 360 * TURN)
        assert detected.decibel >= least


def test_a_helix_is_found_behind_weak_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blurred, large helices look a little like other groups."""
    weak = [
        Candidate(PointGroup(family, 2), Place(np.eye(3), np.full(3, SIZE / 2)), 6.0) for family in ("D", "C")
    ]
    monkeypatch.setattr(search, "search", lambda *arguments: weak)
    assert isinstance(found(symmetric_map("helical:8,33", SIZE)).symmetry.group, Helix)


sampled = settings(derandomize=True, deadline=None, max_examples=10)


@sampled
@given(hnp.arrays(np.float32, st.tuples(*3 * [st.integers(1, 14)]), elements=st.floats(width=32)))
def test_any_volume_has_an_answer(volume: Array) -> None:
    detected = detect(volume)
    assert detected is None or detected.decibel >= THRESHOLD
    refined = refine(volume, parse_symmetry("D3"))
    assert np.isfinite(refined.decibel)
    assert np.isfinite(refine(volume, parse_symmetry("helical:2,30")).decibel)
