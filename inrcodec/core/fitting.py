"""Fitting a local-Fourier field to a batch of chunks: block length, quantiser step, networks, latents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend, one_blas_thread
from inrcodec.core.block_search import search_blocks
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.fields.local_fourier import analyse, synthesise
from inrcodec.core.latents import LAMBDA, Latents, Quantised
from inrcodec.core.presets import FIRST_BLOCKS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable

_THRESHOLDS = (0.6, 0.2)  # steps: the first and the last of a fill
_SLOPE = 1.5  # squared error grows about as step**1.5 between noise-free and noise-dominated chunks

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Fit:
    """A fitted batch: everything a payload needs but its side sections.

    ``step`` is (batch,), in units of the normalised voxels; ``networks`` one for each chunk, or one for
    all; ``own_weights`` (batch,) says which chunks carry theirs.
    """

    latents: Latents
    quantised: Quantised
    step: Array
    networks: list[ContextNetwork]
    own_weights: Array

    @cached_property
    def bits(self) -> Array:
        """(batch,) estimated bits of latents and weights."""
        return self.latents.cost(self.quantised, self.networks).bits + self.weight_bits

    @property
    def weight_bits(self) -> Array:
        """(batch,) bits of the networks that a payload carries itself."""
        out = np.zeros(len(self.own_weights))
        for at in np.flatnonzero(self.own_weights):
            out[at] = 8 * len(self.networks[at].to_bytes(prior()))
        return out

    def chunk(self, at: int) -> Fit:
        """One chunk of the batch, as a batch of one."""
        one = slice(at, at + 1)
        return Fit(
            self.latents.chunk(at),
            self.quantised.chunk(at),
            self.step[one],
            self.networks[one] if len(self.networks) > 1 else self.networks,
            self.own_weights[one],
        )


class Voxels:
    """Normalised voxels of a batch of equal boxes, and which of them matter.

    Attributes:
        values: (batch, d, h, w) float32 of the backend: zero offset, unit scale.
        care: (batch, d, h, w) float32, 1 where the field must fit, 0 where it need not; None is everywhere.
        shells: steps by radial shell of the latents that :meth:`analyse` gives; None is one step.
    """

    def __init__(
        self, backend: Backend, values: Array, care: Array | None = None, shells: ShellTable | None = None
    ) -> None:
        self.shells = shells
        self.backend = backend
        self.values = backend.asarray(values.astype(np.float32))
        self.care = None if care is None else backend.asarray(care.astype(np.float32))
        self.shape = (int(values.shape[1]), int(values.shape[2]), int(values.shape[3]))

    def select(self, members: Sequence[int] | Array) -> Voxels:
        """Some chunks of the batch."""
        some = Voxels.__new__(Voxels)
        some.backend, some.shape, some.shells = self.backend, self.shape, self.shells
        index = self.backend.asarray(np.asarray(members))
        some.values = self.values[index]
        some.care = None if self.care is None else self.care[index]
        return some

    def analyse(self, block: int) -> Latents:
        layout = get_layout(self.shape, block)
        return Latents(self.backend, layout, analyse(self.backend, self.values, layout), self.shells)

    def squared_error(self, latents: Latents, q: Quantised, step: Array) -> Array:
        """(batch,) squared error summed over the voxels that matter."""
        offsets = latents.offsets(q, step)
        if self.care is None:
            return latents.squared_error(q, step, offsets)
        error = (self.rebuild(latents, q, step) - self.values) ** 2 * self.care
        partial = self.backend.xp.sum(error, axis=(2, 3))
        return self.backend.to_numpy(partial).astype(np.float64).sum(axis=1)

    def plain_error(self, latents: Latents, step: Array) -> Array:
        """(batch,) squared error of plain quantisation; an estimate where all voxels matter."""
        if self.care is None:
            return latents.plain_error(step)
        return self.squared_error(latents, latents.plain(step), step)

    def rebuild(self, latents: Latents, q: Quantised, step: Array) -> Any:
        """(batch, d, h, w) voxels of quantised latents."""
        full = self.backend.xp.zeros_like(latents.latents)
        values = latents.dequantise(q, step, latents.offsets(q, step))
        full[self.backend.asarray(q.bands)] = latents.in_voxels(q.bands, values)
        return synthesise(self.backend, full, latents.layout)

    def fill(
        self, latents: Latents, step: Array, iterations: int, budget: Array | None = None
    ) -> tuple[Latents, Array]:
        """Let the field choose the voxels that do not matter, so that few latents are not zero.

        Minimises the squared error of the voxels that matter plus the sum of magnitudes of all latents, by
        proximal gradient steps with momentum (FISTA; Beck & Teboulle 2009) on a threshold that falls from
        0.6 to 0.2 steps. The voxels that matter stay as they are; only the others move.

        Args:
            latents: of any fill; the field starts from them.
            step: (batch,) quantiser steps.
            iterations: each is one synthesis and one analysis.
            budget: (batch,) squared error to spend; the step follows it. None keeps the step.

        Returns:
            Latents of the filled voxels, and the step.
        """
        if self.care is None:
            return latents, step
        first, last = _THRESHOLDS
        momentum, before = 1.0, None
        for i in range(iterations):
            threshold = max(first - (first - last) * 1.5 * i / iterations, last)
            rebuilt = synthesise(self.backend, latents.shrunk(threshold * step), latents.layout)
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = rebuilt if before is None else rebuilt + (momentum - 1) / following * (rebuilt - before)
            momentum, before = following, rebuilt
            filled = self.backend.xp.where(self.care > 0, self.values, ahead)
            values = analyse(self.backend, filled, latents.layout)
            latents = Latents(self.backend, latents.layout, values, latents.shells)
            if budget is not None and i % 3 == 2:
                error = np.maximum(self.squared_error(latents, latents.plain(step), step), 1e-30)
                step = step * np.clip((budget / error) ** (1 / _SLOPE), 0.7, 1.5)
        return latents, step


def plain_step(voxels: Voxels, latents: Latents, budget: Array) -> Array:
    """(batch,) steps at which plain quantisation spends the squared-error budget."""
    count = float(np.prod(voxels.shape))
    step = np.sqrt(12 * np.maximum(budget, 1e-30) / count)
    slope = np.full_like(step, _SLOPE)
    previous: tuple[Array, Array] | None = None
    for _ in range(10):
        error = np.maximum(voxels.plain_error(latents, step), 1e-30)
        if np.all(np.abs(np.log(error / budget)) < 0.01):
            break
        if previous is not None:
            run = np.log(step / previous[0])
            rise = np.log(error / previous[1])
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = np.where(np.abs(run) > 1e-4, np.clip(rise / run, 0.3, 2.2), slope)
        previous = (step, error)
        step = step * np.clip((budget / error) ** (1 / slope), 1 / 8, 8.0)
    return step


def choose_block(
    voxels: Voxels, budget: Array, preset: Preset, asked: int | None = None
) -> tuple[Array, Array]:
    """Blocks by estimated bits, best first, and their steps: both (``preset.finalists``, batch).

    The search of :func:`search_blocks` by the mean over the batch; ``asked`` is the only length.
    """
    tried: dict[int, tuple[Array, Array]] = {}

    def figure(block: int) -> float:
        latents = voxels.analyse(block)
        step = plain_step(voxels, latents, budget)
        latents, step = voxels.fill(latents, step, preset.fills // 3, budget)
        tried[block] = (step, latents.cost(latents.plain(step), [prior()]).bits)
        return float(np.mean(tried[block][1]))

    if voxels.backend.device == "numpy":
        workers = min(len(FIRST_BLOCKS), os.cpu_count() or 1)
        with one_blas_thread(), ThreadPoolExecutor(workers) as pool:
            search_blocks(voxels.shape, asked, preset, figure, pool.map)
    else:
        search_blocks(voxels.shape, asked, preset, figure)
    blocks = np.array(sorted(tried))
    bits = np.stack([tried[b][1] for b in blocks])
    steps = np.stack([tried[b][0] for b in blocks])
    ranked = bits.argsort(axis=0)[: preset.finalists]
    return blocks[ranked], np.take_along_axis(steps, ranked, axis=0)


def fit_latents(
    voxels: Voxels,
    latents: Latents,
    step: Array,
    preset: Preset,
    *,
    budget: Array | None,
    networks: Sequence[ContextNetwork] | None = None,
    weight: float | Array = LAMBDA,
    seed: int = 0,
) -> Fit:
    """Choose latents by rate and distortion, training networks in between where the preset does.

    Args:
        step: (batch,) to start from.
        budget: (batch,) squared error to spend; None keeps the step.
        networks: fixed networks (volume scope); None starts at the prior and trains.
        weight: of a bit in squared steps, one or (blocks,) in coding order; infinite leaves a block empty.
    """
    latents, step = voxels.fill(latents, step, preset.fills, budget)
    fixed = networks is not None
    current: list[ContextNetwork] = list(networks) if networks is not None else [prior()]
    q = latents.plain(step)
    trained = 0
    for _ in range(preset.volume_rounds if fixed else preset.rounds + preset.trainings):
        q = latents.rate_distortion(q, step, current, weight=weight)
        if budget is not None:
            error = np.maximum(voxels.squared_error(latents, q, step), 1e-30)
            step = step * np.clip((budget / error) ** (1 / _SLOPE), 0.5, 2.0)
        if not fixed and trained < preset.trainings and len(q.bands):
            current = _train(latents, q, current, preset, seed + trained)
            trained += 1
    q = latents.rate_distortion(q, step, current, prune=True, weight=weight)
    if fixed or not trained:
        return Fit(latents, q, step, current, np.zeros(latents.batch, bool))
    return _cheaper_weights(Fit(latents, q, step, current, np.ones(latents.batch, bool)))


def _train(
    latents: Latents, q: Quantised, start: list[ContextNetwork], preset: Preset, seed: int
) -> list[ContextNetwork]:
    from inrcodec.core import training

    backend = latents.backend
    device = backend.device
    magnitude = backend.xp.permute_dims(backend.xp.abs(q.values), (1, 0, 2))
    mask = backend.xp.permute_dims(latents.active_mask(q) + 0 * q.values, (1, 0, 2))
    return training.train(
        training.as_tensor(latents.features(q), device),
        training.as_tensor(magnitude.reshape(latents.batch, -1), device),
        start if len(start) == latents.batch else start * latents.batch,
        steps=preset.steps,
        sample=preset.sample,
        learning_rate=3e-3,
        weight=training.as_tensor(mask.reshape(latents.batch, -1), device) if latents.batch > 1 else None,
        symbols=np.maximum(backend.to_numpy(mask.reshape(latents.batch, -1)).sum(axis=1), 1),
        seed=seed,
    )


def _cheaper_weights(fit: Fit) -> Fit:
    """Keep own networks only where they save more than they cost."""
    keep = fit.bits < fit.latents.cost(fit.quantised, [prior()]).bits
    networks = [n if k else prior() for n, k in zip(fit.networks, keep, strict=True)]
    return replace(fit, networks=networks, own_weights=keep)
