"""What a Fourier-shell target allows."""

from __future__ import annotations

import numpy as np

from inrcodec.core.shell_budget import ShellBudget
from inrcodec.fourier_shell import FourierShells, ShellReference


def reference(volume: np.ndarray, limit: int) -> ShellReference:
    return ShellReference(volume, FourierShells(volume.shape), limit)


def test_what_a_target_allows() -> None:
    volume = np.random.default_rng(0).normal(size=(24, 24, 24))
    budget = ShellBudget(reference(volume, 9), 0.8, 2.0)
    assert budget.bins == 10
    power = FourierShells(volume.shape).power(volume)[:9] / volume.size / 4
    np.testing.assert_allclose(budget.allowed[1:], power * (1 / 0.64 - 1))
    # white noise: the same mean squared error in every coefficient, about half of the variance in these units
    np.testing.assert_allclose(1 / budget.start[4:], 0.5625 / 4, rtol=0.2)
    assert budget.worst(np.arange(9.0)).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_shells_without_power_have_a_budget() -> None:
    budget = ShellBudget(reference(np.zeros((12, 12, 12)), 4), 0.9, 1.0)
    assert np.all(budget.allowed > 0)
    assert np.all(np.isfinite(budget.start))
