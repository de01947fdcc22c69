"""Training of the coordinate network: weighted loss, Adam, early stopping, states that can be kept.

The loss of the seed paper is a mean squared error with weights that are quadratic in density and three
times as large where the error is in its top tenth (of a batch). With densities divided by their largest
magnitude, the weight of a point is ``floor + density^2``; ``floor`` keeps points of little density from
having no say at all. The validation loss has the weights by density only, so that looks can be compared.
Needs PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inrcodec.core.mlp.encoding import UNIT_BITS
from inrcodec.core.mlp.fixed import FixedNetwork
from inrcodec.core.mlp.network import NetworkSettings, has_skip, inputs
from inrcodec.core.mlp.points import Points, batches, held_out
from inrcodec.core.mlp.section import Shape

_TOP = 0.9  # quantile of the error above which
_EMPHASIS = 3.0  # points count this many times
_RESIDUAL_GAIN = 0.25  # of the weights drawn for layers with a residual connection
_LOOK = 2**15  # points of the validation set evaluated at once at most
_LAST_RATE = 0.01  # learning rate at the last step, of that at the first

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class State:
    """A training at a step: all that is needed to go on.

    Attributes:
        step: Adam steps done.
        loss: best validation loss so far; infinite before the first look.
        stale: looks since then.
        parameters, best, first, second: weights, biases and identifiers, those of the best look, and Adam's
            two moments; the same shapes in the same order.
    """

    step: int
    loss: float
    stale: int
    parameters: list[Array]
    best: list[Array]
    first: list[Array]
    second: list[Array]


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of a training.

    Attributes:
        network: in whole numbers.
        identifiers: (files, identifier) int32, whole numbers of 2^-14.
        steps: Adam steps done.
        loss: validation loss of the network kept.
        history: step and validation loss of every look of this run.
    """

    network: FixedNetwork
    identifiers: Array
    steps: int
    loss: float
    history: tuple[tuple[int, float], ...]


def train(
    points: Points,
    settings: NetworkSettings,
    weight_bits: int,
    *,
    device: str,
    state: State | None = None,
    keep: Callable[[State], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Trained:
    """Train one network on the points of one file or of many, and round it.

    Args:
        points: at least one; in random order.
        settings: with widths, steps and batch known (:meth:`NetworkSettings.resolved`).
        weight_bits: 8, 16 or 32.
        device: PyTorch's name of it.
        state: to go on from; what follows is what would have followed without the interruption.
        keep: called with the state at every look at the validation loss.
        progress: called with the fraction of the steps done.

    Raises:
        ValueError: there are no points, or the training diverged.
    """
    if points.count < 1:
        raise ValueError("there are no densities above the threshold to train on")
    if settings.steps is None or settings.batch is None:
        raise ValueError("steps and batch are left open: resolve the settings for a device first")
    run = _Run(points, settings, device, state)
    report = progress or (lambda _: None)
    history = []
    while run.step < settings.steps and run.stale < settings.patience:
        run.advance(min(settings.interval - run.step % settings.interval, settings.steps - run.step))
        history.append((run.step, run.look()))
        if keep is not None:
            keep(run.state())
        report(run.step / settings.steps)
    report(1.0)
    if not math.isfinite(run.loss):
        raise ValueError(
            f"training diverged: no finite validation loss in {run.step} steps; "
            f"a learning_rate below {settings.learning_rate:g} may help"
        )
    shape = Shape.of(settings, weight_bits)
    best = [array.astype(np.float64) for array in run.best]
    network = FixedNetwork.from_float(shape, best[0:-1:2], best[1:-1:2])
    identifiers = np.rint(np.clip(best[-1], -1024, 1024) * 2.0**UNIT_BITS).astype(np.int32)
    return Trained(network, identifiers, run.step, run.loss, tuple(history))


class _Run:
    """Parameters, optimiser and data of one training; ``best`` and ``loss`` are of the best look."""

    def __init__(self, points: Points, settings: NetworkSettings, device: str, state: State | None) -> None:
        self.settings = settings
        self.device = torch.device(device)
        self.step, self.loss, self.stale = 0, math.inf, 0
        start = initial_parameters(settings, points.files) if state is None else state.parameters
        self.parameters = [
            torch.tensor(p, dtype=torch.float32, device=self.device, requires_grad=True) for p in start
        ]
        self.best = [p.copy() for p in start]
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        if state is not None:
            self._restore(state)
        held = held_out(points.count, settings.validation)
        # the held-out points, or of so few that none are held out, all
        self.validation = points.read(0, held or min(points.count, _LOOK))
        assert settings.batch is not None  # train sees to it
        assert settings.steps is not None
        self.batches = batches(points, held, settings.batch, settings.seed, self.step, settings.steps)

    def advance(self, steps: int) -> None:
        """Take Adam steps."""
        for _ in range(steps):
            pairs, files = self._on_device(*next(self.batches))
            error = self._error(pairs, files)
            weight = self._weight(pairs)
            if self.settings.loss == "weighted":
                rank = max(1, math.ceil(_TOP * len(error)))
                cut = error.detach().kthvalue(rank).values
                weight = torch.where(error.detach() > cut, _EMPHASIS * weight, weight)
            loss = (weight * error).mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.param_groups[0]["lr"] = self._rate()
            self.optimiser.step()
            self.step += 1

    def _rate(self) -> float:
        """Learning rate of the next step."""
        cosine = (1 + math.cos(math.pi * self.step / (self.settings.steps or 1))) / 2
        return self.settings.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * cosine)

    def look(self) -> float:
        """Measure the validation loss, and keep the network if it is the best so far."""
        total, count = 0.0, len(self.validation[0])
        size = max(1, min(_LOOK, self.settings.batch or _LOOK))
        with torch.no_grad():
            for start in range(0, count, size):
                part = slice(start, start + size)
                pairs, files = self._on_device(self.validation[0][part], self.validation[1][part])
                total += float((self._weight(pairs) * self._error(pairs, files)).sum())
        loss = total / count
        if loss < self.loss:  # never where the loss is not a number
            self.loss, self.stale = loss, 0
            self.best = [p.detach().cpu().numpy().copy() for p in self.parameters]
        else:
            self.stale += 1
        return loss

    def state(self) -> State:
        moments = [self.optimiser.state[p] for p in self.parameters]
        return State(
            self.step,
            self.loss,
            self.stale,
            [p.detach().cpu().numpy().copy() for p in self.parameters],
            self.best,
            [m["exp_avg"].cpu().numpy().copy() for m in moments],
            [m["exp_avg_sq"].cpu().numpy().copy() for m in moments],
        )

    def _restore(self, state: State) -> None:
        self.step, self.loss, self.stale = state.step, state.loss, state.stale
        self.best = [p.copy() for p in state.best]
        for p, first, second in zip(self.parameters, state.first, state.second, strict=True):
            self.optimiser.state[p] = {
                "step": torch.tensor(float(state.step)),
                "exp_avg": torch.tensor(first, device=self.device),
                "exp_avg_sq": torch.tensor(second, device=self.device),
            }

    def _on_device(self, pairs: Array, files: Array) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.as_tensor(np.ascontiguousarray(pairs, np.float32)).to(self.device),
            torch.as_tensor(np.ascontiguousarray(files, np.int64)).to(self.device),
        )

    def _error(self, pairs: torch.Tensor, files: torch.Tensor) -> torch.Tensor:
        """(n,) squared errors."""
        return (forward(self.parameters, self.settings, pairs[:, :3], files) - pairs[:, 3]).square()

    def _weight(self, pairs: torch.Tensor) -> torch.Tensor:
        if self.settings.loss == "plain":
            return torch.ones_like(pairs[:, 3])
        return self.settings.floor + pairs[:, 3].square()


def forward(
    parameters: list[torch.Tensor], settings: NetworkSettings, position: torch.Tensor, files: torch.Tensor
) -> torch.Tensor:
    """(n,) densities at (n, 3) positions x, y, z of (n,) numbers of files, in float arithmetic."""
    value = torch.cat([encode(position, settings.frequencies), parameters[-1][files]], dim=1)
    layers = settings.layers
    for i in range(layers):
        total = torch.nn.functional.linear(value, parameters[2 * i], parameters[2 * i + 1])
        if has_skip(settings.residual, i, layers):
            more = total.shape[1] - value.shape[1]
            total = total + (torch.nn.functional.pad(value, (0, more)) if more else value)
        value = total if i == layers - 1 else torch.relu(total)
    return value[:, 0]


def encode(position: torch.Tensor, frequencies: int) -> torch.Tensor:
    """(n, 3 (1 + 2 frequencies)): of each axis the coordinate, and sine and cosine of every frequency."""
    scale = math.pi * 2.0 ** torch.arange(frequencies, dtype=torch.float32, device=position.device)
    angle = position[:, :, None] * scale
    waves = torch.stack([angle.sin(), angle.cos()], dim=3).flatten(2)
    return torch.cat([position[:, :, None], waves], dim=2).flatten(1)


def initial_parameters(settings: NetworkSettings, files: int) -> list[Array]:
    """Weights and biases of every layer in turn, then the identifiers, (files, identifier), all float32.

    Weights are drawn as He et al. 2015 do for rectified linear units, a quarter as large where the layer
    has a residual connection (its sum grows without), identifiers from a normal distribution of 0.1; biases
    are 0.
    """
    rng = np.random.default_rng(settings.seed)
    out: list[Array] = []
    fan_in = inputs(settings.frequencies, settings.identifier)
    for layer, width in enumerate(settings.layer_widths):
        bound = math.sqrt((6 if layer < settings.layers - 1 else 1) / fan_in)
        if has_skip(settings.residual, layer, settings.layers):
            bound *= _RESIDUAL_GAIN
        out.append(rng.uniform(-bound, bound, (width, fan_in)).astype(np.float32))
        out.append(np.zeros(width, np.float32))
        fan_in = width
    out.append((0.1 * rng.standard_normal((files, settings.identifier))).astype(np.float32))
    return out
