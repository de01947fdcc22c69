"""Helices are found by their rise, twist and rotational symmetry, and only where there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.symmetry.groups import RISE_UNIT, TURN, Helix, parse_symmetry
from inrcodec.core.symmetry.helices import autocorrelation, cylinder, find_helices
from inrcodec.core.symmetry.levels import levels
from inrcodec.synthetic_symmetry import symmetric_map

Array = np.ndarray[Any, Any]
SIZE = 48
MIDDLE = np.full(3, SIZE / 2)


def candidates(volume: Array) -> list[Helix]:
    _, middle, _ = levels(volume)
    return find_helices(middle, np.array([float(n // 2) for n in volume.shape]))


def blobs(rise: float, twist: float, n: int, seed: int) -> Array:
    """Gaussians about a helix, far beyond both ends of the box."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((SIZE,) * 3) - SIZE / 2
    total = np.zeros((SIZE,) * 3)
    reach = int(40 / rise) + 1
    for _ in range(2):
        radius, angle, height = rng.uniform(8, 16), rng.uniform(0, 2 * np.pi), rng.uniform(0, rise)
        for k in range(-reach, reach + 1):
            for j in range(n):
                turn = angle + np.radians(k * twist) + 2 * np.pi * j / n
                at = ((z - height - k * rise) ** 2, (y - radius * np.sin(turn)) ** 2)
                total += np.exp(-(at[0] + at[1] + (x - radius * np.cos(turn)) ** 2) / 8)
    return total


def is_near(
    found: Helix, rise: float, twist: float, n: int, planes: float = 0.05, degrees: float = 0.5
) -> bool:
    apart = (found.twist / TURN * 360 - twist) * n / 360
    return (
        found.n == n
        and abs(found.rise / RISE_UNIT - rise) < planes
        and abs(apart - round(apart)) < degrees * n / 360
    )


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    rise=st.floats(5, 14),
    turns=st.floats(-0.5, 0.5),
    n=st.sampled_from([1, 1, 2, 3]),
    noise=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 99),
)
def test_found_whatever_its_rise_and_twist(
    rise: float, turns: float, n: int, noise: float, seed: int
) -> None:
    """One of the candidates is the helix; the first one has the shortest rise that there is."""
    twist = 360 * turns / n
    volume = blobs(rise, twist, n, seed)
    volume += np.random.default_rng(seed).normal(0, noise * volume.std(), volume.shape)
    found = candidates(volume)
    assert any(is_near(h, rise, twist, n, 0.1) for h in found)
    assert [h.rise for h in found] == sorted(h.rise for h in found)


def test_rises_are_of_the_full_volume() -> None:
    volume = np.repeat(np.repeat(np.repeat(blobs(7, 50, 1, 0), 3, axis=0), 3, axis=1), 3, axis=2)
    assert any(is_near(h, 21, 50, 1, 0.3) for h in candidates(volume))


@pytest.mark.parametrize("symbol", ["C7", "D2", "T"])
def test_point_groups_are_no_helices(symbol: str) -> None:
    assert candidates(symmetric_map(symbol, SIZE)) == []


def test_nothing_to_find() -> None:
    rng = np.random.default_rng(0)
    assert candidates(rng.normal(size=(SIZE,) * 3)) == []
    assert candidates(np.zeros((SIZE,) * 3)) == []
    assert candidates(rng.normal(size=(3, 3, 3))) == []
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    tube = np.exp(-((np.hypot(y, x) - 12) ** 2) / 8) * np.ones((SIZE, 1, 1))
    assert candidates(tube + rng.normal(0, 0.05, tube.shape)) == []


def test_a_screw_motion_is_a_shift_in_the_cylinder() -> None:
    volume = blobs(6, 60, 1, 1)
    moved = cylinder(volume, MIDDLE)[:, 6:-6]
    back = cylinder(volume, MIDDLE)[:, :-12]
    turned = np.roll(back, moved.shape[2] // 6, axis=2)
    assert np.square(moved - turned).mean() < 2e-3 * np.square(moved).mean()
    np.testing.assert_allclose(cylinder(volume, MIDDLE).mean(axis=(1, 2)), 0, atol=1e-12)


def test_autocorrelation_is_that_of_what_overlaps() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4, 20, 384))
    found = autocorrelation(samples)
    assert found is not None
    assert found.shape == (10, 384)
    for lag, angle in ((0, 0), (0, 5), (3, 0), (7, 300)):
        one, other = samples[:, : 20 - lag], np.roll(samples, -angle, axis=2)[:, lag:]
        expected = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
        assert found[lag, angle] == pytest.approx(expected, abs=1e-9)
    repeated = autocorrelation(np.tile(samples[:, :5], (1, 4, 1)))
    assert repeated is not None
    assert repeated[5, 0] == pytest.approx(1)
    assert autocorrelation(np.zeros((4, 20, 384))) is None


def test_symbols_come_back() -> None:
    """The found helix is the one that the generator of maps was asked for."""
    (first, *_) = candidates(symmetric_map("helical:8,33", SIZE))
    exact = parse_symmetry("helical:8,33")
    assert isinstance(exact, Helix)
    assert first.rise == pytest.approx(exact.rise, rel=1e-3)
    assert first.twist == pytest.approx(exact.twist, rel=1e-3)
