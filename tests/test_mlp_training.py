"""Training: the loss, early stopping, the best checkpoint, and going on where it stopped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mlp_cases import QUICK

from inrcodec.core.backend import get_backend
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.points import PointArray

torch = pytest.importorskip("torch")

from inrcodec.core.mlp import training  # noqa: E402
from inrcodec.core.mlp.encoding import axis_table, coordinates  # noqa: E402
from inrcodec.core.mlp.training import State, encode, forward, initial_parameters, train  # noqa: E402


def settings_of(**changes: Any) -> NetworkSettings:
    return NetworkSettings.from_config({**QUICK, **changes})


def points_of(count: int = 500, seed: int = 0) -> PointArray:
    rng = np.random.default_rng(seed)
    pairs = rng.uniform(-1, 1, (count, 4)).astype(np.float32)
    pairs[:, 3] = np.exp(-2 * np.square(pairs[:, :3]).sum(axis=1))
    return PointArray(pairs)


class TwoFiles(PointArray):
    """The same positions in two files with other densities."""

    def __init__(self, count: int) -> None:
        super().__init__(points_of(count).pairs)
        self.files = 2
        self.numbers = np.arange(count) % 2
        self.pairs[self.numbers == 1, 3] *= -1

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.pairs[start:stop], self.numbers[start:stop]


def test_encoding_is_that_of_the_tables() -> None:
    x = coordinates(11)
    position = torch.tensor(np.stack([x, x[::-1], 0 * x], axis=1), dtype=torch.float32)
    whole = np.concatenate([axis_table(11, 5), axis_table(11, 5)[::-1], axis_table(11, 5)[[5] * 11]], axis=1)
    np.testing.assert_allclose(encode(position, 5).numpy(), whole / 2**14, atol=1e-4)


@pytest.mark.parametrize("residual", ["none", "alternate", "full"])
@pytest.mark.parametrize("weight_bits", [16, 32])
def test_the_rounded_network_is_the_trained_one(residual: str, weight_bits: int) -> None:
    settings = settings_of(residual=residual, widths=[12, 12, 7], layers=7)
    states: list[State] = []
    trained = train(points_of(), settings, weight_bits, device="cpu", keep=states.append)
    grid = (5, 6, 7)
    z, y, x = (axis.ravel() for axis in np.indices(grid))
    position = np.stack([coordinates(n)[i] for n, i in ((7, x), (6, y), (5, z))], axis=1)
    parameters = [torch.tensor(array) for array in states[-1].best]
    expected = forward(
        parameters,
        settings,
        torch.tensor(position, dtype=torch.float32),
        torch.zeros(len(x), dtype=torch.long),
    )
    out = trained.network.evaluate(get_backend("numpy"), grid, (z, y, x), trained.identifiers[0]) / 2**24
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-3)


def test_the_largest_errors_count_three_times() -> None:
    """One step with plain descent: what the gradient says of the weights."""
    settings = settings_of(validation=0.0, batch=10, steps=1, interval=1)
    points = points_of(10)
    run = training._Run(points, settings, "cpu", None)
    pairs, files = run._on_device(*points.read(0, 10))
    error = run._error(pairs, files).detach().numpy()
    weight = settings.floor + pairs[:, 3].numpy() ** 2
    np.testing.assert_allclose(run._weight(pairs).numpy(), weight, rtol=1e-6)
    emphasis = np.where(error == error.max(), 3, 1)  # one in ten
    parameters = [torch.tensor(p, requires_grad=True) for p in initial_parameters(settings, 1)]
    weighted = (
        torch.tensor(emphasis * weight)
        * (forward(parameters, settings, pairs[:, :3], files) - pairs[:, 3]).square()
    )
    weighted.mean().backward()
    run.advance(1)
    for ours, theirs in zip(run.parameters, parameters, strict=True):
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-7)


def test_plain_loss_has_no_weights() -> None:
    settings = settings_of(loss="plain", validation=0.0)
    run = training._Run(points_of(), settings, "cpu", None)
    pairs, files = run._on_device(*points_of().read(0, 500))
    assert run.look() == pytest.approx(float(run._error(pairs, files).detach().mean()), rel=1e-5)


def test_training_learns_and_keeps_the_best() -> None:
    settings = settings_of(
        widths=[16], layers=3, steps=300, interval=20, batch=200, learning_rate=0.01, loss="plain"
    )
    trained = train(points_of(), settings, 32, device="cpu")
    losses = [loss for _, loss in trained.history]
    assert trained.loss == min(losses) < 0.1 * losses[0]
    assert [step for step, _ in trained.history] == list(range(20, 301, 20))


def test_early_stopping() -> None:
    """Densities of noise: what is learnt of some points says nothing of others."""
    points = points_of(200)
    points.pairs[:, 3] = np.random.default_rng(1).normal(size=200)
    settings = settings_of(
        widths=[64], layers=3, steps=5000, interval=10, patience=5, batch=100, learning_rate=0.02
    )
    trained = train(points, settings, 32, device="cpu")
    assert trained.steps < 2000
    losses = [loss for _, loss in trained.history]
    assert np.argmin(losses) == len(losses) - 1 - settings.patience


def test_identifiers_tell_files_apart() -> None:
    settings = settings_of(
        widths=[16], layers=3, steps=400, interval=50, batch=400, learning_rate=0.02, loss="plain"
    )
    trained = train(TwoFiles(800), settings, 32, device="cpu")
    assert trained.identifiers.shape == (2, 3)
    grid, centre = (3, 3, 3), (np.array([1]),) * 3
    first, second = (
        float(trained.network.evaluate(get_backend("numpy"), grid, centre, code)[0]) / 2**24
        for code in trained.identifiers
    )
    assert first > 0.7
    assert second < -0.7


@pytest.mark.parametrize("cut", [20, 35, 60])
def test_going_on_is_as_if_nothing_had_happened(cut: int) -> None:
    settings = settings_of(steps=60, interval=5, batch=50)
    states: list[State] = []
    whole = train(points_of(), settings, 16, device="cpu", keep=states.append)
    (state,) = (state for state in states if state.step == cut)
    rest = train(points_of(), settings, 16, device="cpu", state=state)
    assert rest.network.data == whole.network.data
    assert (rest.loss, rest.steps) == (whole.loss, whole.steps)
    np.testing.assert_array_equal(rest.identifiers, whole.identifiers)
    assert [step for step, _ in rest.history] == list(range(cut + 5, 61, 5))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_points(count: int) -> None:
    assert math.isfinite(train(points_of(count), settings_of(), 8, device="cpu").loss)


def test_what_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match="no densities above"):
        train(points_of(0), settings_of(), 8, device="cpu")
    with pytest.raises(ValueError, match="resolve"):
        train(points_of(), NetworkSettings(widths=(3,), layers=3), 8, device="cpu")


def test_a_training_that_diverges_gives_no_network() -> None:
    settings = settings_of(learning_rate=1e3)
    broken = [np.full_like(p, np.nan) for p in initial_parameters(settings, 1)]
    sound, zero = initial_parameters(settings, 1), [np.zeros_like(p) for p in broken]
    with pytest.raises(ValueError, match=r"diverged.*learning_rate"):
        train(points_of(), settings, 8, device="cpu", state=State(1, math.inf, 0, broken, sound, zero, zero))
