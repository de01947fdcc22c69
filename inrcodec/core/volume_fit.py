"""Volume scope: train the networks of a volume once, and fix its quantiser step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from inrcodec.core import corrections
from inrcodec.core.backend import Backend, get_backend
from inrcodec.core.choosing import ERROR_RATIOS, beyond
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fitting import candidate_blocks, fit_latents
from inrcodec.core.payload import dtype_code
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import BLOCK_LENGTHS, EFFORTS, FIRST_BLOCKS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings
from inrcodec.core.volume import VolumeModel
from inrcodec.core.volume_sample import (
    Part,
    allowed_error,
    chunk_boxes,
    make_parts,
    plain,
    prepared,
    secant_step,
    shared_step,
)
from inrcodec.core.volume_training import ROUNDS, Progress, choose_cell, filled_score, train_once

Array = np.ndarray[Any, Any]

_SAMPLE = 2**22  # voxels that block length and networks are chosen on
_EXACT = 2**26  # voxels up to which the step is set on the whole volume, not on a sample
_MARGIN = 1.003  # of the squared error, kept in hand where the step is set by an estimate
_SETTLINGS = 4  # times the step is corrected by the error of the whole volume
_SPENT = 0.98  # of the error allowed: enough


def fit(
    volume: Any,
    settings: Settings,
    chunk_shape: tuple[int, ...],
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> VolumeModel:
    """Train the networks of a volume on a sample of its chunks and fix its quantiser step.

    Args:
        volume: anything with ``shape``, ``dtype`` and NumPy slicing.
        settings: target, effort and the rest. An ``snr`` is relative to the variance of the whole volume's
            represented voxels; a ``ratio`` counts all chunks together.
        chunk_shape: voxels per axis of the chunks that will be encoded.
        device: as for :func:`encode_many`.
        progress: called with the fraction done.

    Raises:
        TypeError: a dtype the format does not hold.
        ValueError: shapes that do not go together.
    """
    dtype_code(np.dtype(volume.dtype))
    if settings.target.kind == "fsc":
        raise ValueError("fsc is fitted by fit_fsc")
    if len(chunk_shape) != len(volume.shape) or min(chunk_shape) < 1:
        raise ValueError(f"chunks of shape {chunk_shape} do not fit a volume of shape {tuple(volume.shape)}")
    preset = EFFORTS[settings.effort]
    device = "numpy" if settings.effort == 0 and device == "auto" else device
    backend = get_backend(device)
    report = progress or (lambda _: None)
    boxes = list(chunk_boxes(tuple(volume.shape), chunk_shape))
    np.random.default_rng(0).shuffle(boxes)
    wanted = max(1, _SAMPLE // int(np.prod(chunk_shape)))
    sample = prepared(volume, boxes, settings.threshold, wanted)
    if not sample:
        return VolumeModel(1.0, settings.block or 16, prior().to_bytes(prior()))
    voxels_seen = sum(p.chunk.size for p in sample)
    share = voxels_seen / float(np.prod(volume.shape))
    unit = max(p.scale for p in sample)  # float32 holds densities of any magnitude in it
    budget = _budget(volume, boxes, settings, unit, share)
    block, step = _choose_block(backend, sample, unit, settings, preset, budget)
    report(0.3)
    parts = make_parts(backend, sample, unit, block, None)
    cell = choose_cell(backend, sample, unit, block, step, preset)
    if cell is not None:
        block = _filled_block(backend, sample, unit, block, step, cell, settings, preset)
        parts = make_parts(backend, sample, unit, block, cell)
    network, step = _train(parts, step, preset, settings, budget, lambda f: report(0.3 + 0.5 * f))
    model = VolumeModel(step * unit, block, network.to_bytes(prior()), cell=cell)
    if settings.target.kind == "snr" and np.prod(volume.shape) <= _EXACT:
        model = _settle(backend, volume, boxes, unit, settings, model, budget / share)
    report(1.0)
    return model


def _budget(volume: Any, boxes: list[Any], settings: Settings, unit: float, share: float) -> float:
    """What the sample may spend: squared error in squares of ``unit``, or bits for a ratio."""
    target = settings.target
    if target.kind == "ratio":
        return 8 * share * float(np.prod(volume.shape)) * np.dtype(volume.dtype).itemsize / target.value
    if target.kind == "max_error":
        return 0.0
    return share * allowed_error(volume, boxes, settings.threshold, target) / unit**2


def _choose_block(
    backend: Backend, sample: list[Prepared], unit: float, settings: Settings, preset: Preset, budget: float
) -> tuple[int, float]:
    target = settings.target
    count = sum(int(np.prod(p.shape)) for p in sample)
    start = np.sqrt(12 * max(budget, 1e-300) / count) if target.kind == "snr" else 1.0
    if target.kind == "max_error":
        bound = float(np.clip(target.value / unit, 1e-12, 1e6))
        budget, start = _bound_budget(make_parts(backend, sample, unit, 16, None), bound, count)
    shape = max((p.shape for p in sample), key=lambda s: float(np.prod(s)))
    tried: dict[int, tuple[float, float]] = {}

    def attempt(block: int) -> None:
        parts = make_parts(backend, sample, unit, block, None)
        if target.kind == "ratio":
            step = shared_step(parts, start, lambda s: budget - plain(parts, s)[1])
            tried[block] = (step, plain(parts, step)[0])
        else:
            step = secant_step(parts, start, budget)
            tried[block] = (step, plain(parts, step)[1])

    first = [settings.block] if settings.block is not None else candidate_blocks(shape, FIRST_BLOCKS)
    for block in first:
        attempt(block)
    lengths = [] if settings.block is not None else candidate_blocks(shape, (*FIRST_BLOCKS, *BLOCK_LENGTHS))
    while len(tried) < preset.blocks:
        best = min(tried, key=lambda b: tried[b][1])
        rest = [b for b in lengths if b not in tried]
        if not rest:
            break
        attempt(min(rest, key=lambda b: abs(np.log(b / best))))
    block = min(tried, key=lambda b: tried[b][1])
    return block, tried[block][0]


def _filled_block(
    backend: Backend,
    sample: list[Prepared],
    unit: float,
    block: int,
    step: float,
    cell: int,
    settings: Settings,
    preset: Preset,
) -> int:
    """The best block length once voxels outside occupied cells do not matter: mostly a longer one."""
    if settings.block is not None:
        return block
    shape = max((p.shape for p in sample), key=lambda s: float(np.prod(s)))
    lengths = candidate_blocks(shape, BLOCK_LENGTHS)
    scores: dict[int, float] = {}

    def attempt(length: int) -> None:
        scores[length] = filled_score(make_parts(backend, sample, unit, length, cell), step, preset, cell)

    attempt(min(lengths, key=lambda b: abs(np.log(b / block))))
    while True:
        best = min(scores, key=lambda b: scores[b])
        at = lengths.index(best)
        beside = [b for b in lengths[max(at - 1, 0) : at + 2] if b not in scores]
        if not beside:
            return best
        for length in beside:
            attempt(length)


def _bound_budget(parts: list[Part], bound: float, count: int) -> tuple[float, float]:
    """Squared error (and its step) at which field and corrections take the fewest bits."""
    best: tuple[float, float, float] | None = None
    step = bound
    for ratio in ERROR_RATIOS:
        budget = count * (ratio * bound) ** 2
        step = secant_step(parts, step, budget)
        bits = plain(parts, step)[1] + corrections.estimate_bits(round(count * beyond(1 / ratio)), count)
        if best is None or bits < best[0]:
            best = (bits, budget, step)
    assert best is not None
    return best[1], best[2]


def _train(
    parts: list[Part], step: float, preset: Preset, settings: Settings, budget: float, report: Progress
) -> tuple[ContextNetwork, float]:
    """Rounds of choosing latents and training one network on all of them."""
    network = prior()
    fitted = [part.latents for part in parts]
    if any(part.voxels.care is not None for part in parts):
        for _ in range(2):
            steps = np.array([step])
            fitted = [
                part.voxels.fill(f, steps, preset.fills)[0] for part, f in zip(parts, fitted, strict=True)
            ]
            error = sum(
                float(part.voxels.squared_error(f, f.plain(steps), steps)[0])
                for part, f in zip(parts, fitted, strict=True)
            )
            if settings.target.kind == "snr" and error > 0:
                step *= float(np.clip((budget / error) ** (1 / 1.5), 0.5, 2))
    chosen = [latents.plain(np.array([step])) for latents in fitted]
    for turn in range(ROUNDS + 1):
        steps = np.array([step])
        chosen = [
            latents.rate_distortion(q, steps, [network]) for latents, q in zip(fitted, chosen, strict=True)
        ]
        error = sum(
            float(part.voxels.squared_error(latents, q, steps)[0])
            for part, latents, q in zip(parts, fitted, chosen, strict=True)
        )
        if settings.target.kind == "snr" and error > 0:
            step *= float(np.clip((budget / (_MARGIN * error)) ** (1 / 1.5), 0.5, 2))
        if turn < ROUNDS and preset.fit_steps:
            network = train_once(fitted, chosen, network, preset, turn, report)
    return network, step


def _settle(
    backend: Backend,
    volume: Any,
    boxes: list[Any],
    unit: float,
    settings: Settings,
    model: VolumeModel,
    allowed: float,
) -> VolumeModel:
    """Correct the step by the error of the whole volume, which a sample only estimates."""
    preset = EFFORTS[settings.effort]
    best, most = None, 0.0
    slope = 1.2
    before: tuple[float, float] | None = None
    for _ in range(_SETTLINGS):
        error, steps = 0.0, np.array([model.step / unit])
        for chunk in prepared(volume, boxes, settings.threshold, len(boxes)):
            (part,) = make_parts(backend, [chunk], unit, model.block, model.cell)
            fit = fit_latents(part.voxels, part.latents, steps, preset, budget=None, networks=[model.network])
            error += float(part.voxels.squared_error(fit.latents, fit.quantised, steps)[0])
        spent = error / allowed
        # float32 sums differ a little with their units: what is met by a hair may be missed by one
        if most <= spent <= 1 / _MARGIN:
            best, most = model, spent
        if _SPENT < spent <= 1 / _MARGIN or error == 0:
            break
        if before is not None and abs(np.log(model.step / before[0])) > 1e-4:
            measured = np.log(spent / before[1]) / np.log(model.step / before[0])
            slope = float(np.clip(measured, 0.5, 2.2))
        before = (model.step, spent)
        margin = _MARGIN**2 if spent < 1 else _MARGIN**3
        model = replace(model, step=model.step * float(np.clip((margin * spent) ** (-1 / slope), 0.5, 2)))
    return best or model
