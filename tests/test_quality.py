"""Targets judged on whole volumes, and steps corrected towards them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core import Target
from inrcodec.quality import Quality, measure, rescaled_step


@pytest.fixture
def original():
    return np.random.default_rng(5).normal(size=(12, 12, 12)).astype("f4")


class TestMeasure:
    def test_numbers(self, original):
        quality = measure(original, original + np.float32(0.1))
        assert quality.snr == pytest.approx(10 * math.log10(original.var() / 0.01), abs=1e-3)
        assert quality.max_error == pytest.approx(0.1, abs=1e-6)
        assert quality.background is None
        assert quality.exact_specials

    def test_background(self, original):
        original[:6] = 0
        quality = measure(original, original + np.float32(0.1) * (original != 0))
        assert quality.background == 0
        assert quality.snr == pytest.approx(10 * math.log10(original[6:].var() / 0.01), abs=1e-3)

    def test_threshold(self, original):
        decoded = np.where(original > 1, original, 0)
        quality = measure(original, decoded, threshold=1.0)
        assert quality.snr == math.inf
        assert quality.max_error == 0

    def test_specials_kept(self, original):
        original[0, 0] = np.nan
        original[1, 1, :2] = np.inf, -np.inf
        quality = measure(original, np.where(np.isfinite(original), original + np.float32(0.1), original))
        assert quality.exact_specials
        assert quality.max_error == pytest.approx(0.1, abs=1e-6)

    @pytest.mark.parametrize(("before", "after"), [(np.nan, 0.0), (np.inf, -np.inf), (0.0, np.nan)])
    def test_specials_lost(self, original, before, after):
        decoded = original.copy()
        original[2, 2, 2], decoded[2, 2, 2] = before, after
        quality = measure(original, decoded)
        assert not quality.exact_specials
        assert not any(quality.meets(target, 1e9) for target in (Target("snr", 0), Target("max_error", 9)))

    def test_nothing_but_specials(self):
        volume = np.full((2, 2), np.nan)
        assert measure(volume, volume.copy()).meets(Target("snr", 200), 1.0)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("snr", 30.0), True),
        (Target("snr", 30.1), False),
        (Target("max_error", 0.5), True),
        (Target("max_error", 0.4), False),
        (Target("ratio", 8.0), True),
        (Target("ratio", 8.1), False),
    ],
    ids=str,
)
def test_meets(target, met):
    assert Quality(30.0, 0.5, None, True).meets(target, 8.0) is met


class TestRescaledStep:
    def test_first_correction_of_snr(self):
        step = rescaled_step(Target("snr", 30.0), [(2.0, 30.0 - 6.0206 + 0.01)])
        assert step == pytest.approx(1.0, rel=0.003)

    def test_first_correction_of_ratio(self):
        assert rescaled_step(Target("ratio", 20.0), [(1.0, 10.0)]) == pytest.approx(2.0, rel=0.003)

    @settings(max_examples=50, deadline=None)
    @given(
        slope=st.floats(-26, -8), offset=st.floats(-1.5, 1.5), target=st.floats(10, 60), ratio=st.booleans()
    )
    def test_three_corrections_reach_the_target(self, slope, offset, target, ratio):
        kind = "ratio" if ratio else "snr"

        def response(step):
            """Decibels, or ratio, of a coder whose rate of change differs from the usual one."""
            level = target + offset + slope * math.log10(step)
            return 10 ** ((2 * target - level) / 20) if ratio else level

        goal = Target(kind, 10 ** (target / 20) if ratio else target)
        tried = [(1.0, response(1.0))]
        while tried[-1][1] < goal.value and len(tried) < 4:
            step = rescaled_step(goal, tried)
            tried.append((step, response(step)))
        assert tried[-1][1] >= goal.value
        assert tried[-1][1] <= goal.value * 1.2 + 0.6

    def test_useless_history_is_not_extrapolated(self):
        # The finer step changed nothing (a fallback, say): the secant has no slope to go by.
        step = rescaled_step(Target("snr", 30.0), [(1.0, 29.0), (0.5, 29.0)])
        assert 0.3 < step < 0.5


@pytest.mark.parametrize("exact", [True, False])
def test_without_a_target_special_values_count(exact):
    assert Quality(-math.inf, math.inf, None, exact).meets(Target("none", 0.0), 0.0) == exact
