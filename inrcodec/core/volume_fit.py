"""Volume scope: train the networks of a volume once, and fix its quantiser step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from inrcodec.core import corrections, occupancy
from inrcodec.core.backend import Backend, get_backend
from inrcodec.core.choosing import ERROR_RATIOS, beyond
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fitting import Voxels, candidate_blocks, fit_latents
from inrcodec.core.latents import Latents
from inrcodec.core.payload import dtype_code
from inrcodec.core.prepare import Prepared, prepare
from inrcodec.core.presets import BLOCK_LENGTHS, EFFORTS, FIRST_BLOCKS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings, Target
from inrcodec.core.volume import VolumeModel

Array = np.ndarray[Any, Any]
Progress = Callable[[float], None]

_SAMPLE = 2**22  # voxels that block length and networks are chosen on
_EXACT = 2**26  # voxels up to which the step is set on the whole volume, not on a sample
_LATENTS = 3_000_000  # most latents trained on
_MARGIN = 1.003  # of the squared error, kept in hand where the step is set by an estimate
_ROUNDS = 2
_SETTLINGS = 3  # times the step is corrected by the error of the whole volume
_SPENT = 0.98  # of the error allowed: enough


@dataclass(eq=False)
class _Part:
    """One chunk of the sample, its voxels in units of the volume's scale."""

    prepared: Prepared
    voxels: Voxels
    latents: Latents


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
    if len(chunk_shape) != len(volume.shape) or min(chunk_shape) < 1:
        raise ValueError(f"chunks of shape {chunk_shape} do not fit a volume of shape {tuple(volume.shape)}")
    preset = EFFORTS[settings.effort]
    device = "numpy" if settings.effort == 0 and device == "auto" else device
    backend = get_backend(device)
    report = progress or (lambda _: None)
    boxes = list(_chunk_boxes(tuple(volume.shape), chunk_shape))
    np.random.default_rng(0).shuffle(boxes)
    wanted = max(1, _SAMPLE // int(np.prod(chunk_shape)))
    sample = _prepared(volume, boxes, settings.threshold, wanted)
    if not sample:
        return VolumeModel(1.0, settings.block or 16, prior().to_bytes(prior()))
    voxels_seen = sum(p.chunk.size for p in sample)
    share = voxels_seen / float(np.prod(volume.shape))
    unit = max(p.scale for p in sample)  # float32 holds densities of any magnitude in it
    budget = _budget(volume, boxes, settings, unit, share)
    block, step = _choose_block(backend, sample, unit, settings, preset, budget)
    report(0.3)
    parts = _parts(backend, sample, unit, block, None)
    cell = _choose_cell(backend, sample, unit, block, step, preset)
    if cell is not None:
        parts = _parts(backend, sample, unit, block, cell)
    network, step = _train(parts, step, preset, settings, budget, lambda f: report(0.3 + 0.5 * f))
    model = VolumeModel(step * unit, block, network.to_bytes(prior()), cell=cell)
    if settings.target.kind == "snr" and np.prod(volume.shape) <= _EXACT:
        model = _settle(backend, volume, boxes, unit, settings, model, budget / share)
    report(1.0)
    return model


def _chunk_boxes(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    ranges = [range(0, n, c) for n, c in zip(shape, chunk, strict=True)]
    for starts in product(*ranges):
        yield tuple(slice(a, min(a + c, n)) for a, c, n in zip(starts, chunk, shape, strict=True))


def _prepared(volume: Any, boxes: list[Any], threshold: float | None, wanted: int) -> list[Prepared]:
    """The first ``wanted`` chunks that a field can represent."""
    out: list[Prepared] = []
    for box in boxes:
        chunk = np.ascontiguousarray(volume[box])
        if chunk.ndim and (chunk != chunk.reshape(-1)[0]).any():
            ready = prepare(chunk, threshold)
            if ready is not None:
                out.append(ready)
        if len(out) == wanted:
            break
    return out


def _budget(volume: Any, boxes: list[Any], settings: Settings, unit: float, share: float) -> float:
    """What the sample may spend: squared error in squares of ``unit``, or bits for a ratio."""
    target = settings.target
    if target.kind == "ratio":
        return 8 * share * float(np.prod(volume.shape)) * np.dtype(volume.dtype).itemsize / target.value
    if target.kind == "max_error":
        return 0.0
    return share * _allowed_error(volume, boxes, settings.threshold, target) / unit**2


def _allowed_error(volume: Any, boxes: list[Any], threshold: float | None, target: Target) -> float:
    """Squared error an SNR allows the whole volume, from the variance of its represented voxels."""
    count, total, squares = 0, 0.0, 0.0
    shift: float | None = None
    for box in boxes:
        ready = prepare(np.ascontiguousarray(volume[box]), threshold)
        if ready is None:
            continue
        shift = ready.offset if shift is None else shift  # near the mean: squares keep their digits
        values = ready.values[ready.represented] - shift
        count += values.size
        total += float(values.sum())
        squares += float(values @ values)
    variance = squares / max(count, 1) - (total / max(count, 1)) ** 2
    return count * variance / 10 ** (target.value / 10)


def _parts(
    backend: Backend, sample: list[Prepared], unit: float, block: int, cell: int | None
) -> list[_Part]:
    parts = []
    for chunk in sample:
        care = None if chunk.special is None else ~chunk.special[chunk.box]
        if chunk.background is not None and (cell is not None or chunk.threshold):
            cells = occupancy.coarsen(chunk.represented, cell or 1)
            occupied = occupancy.refine(cells, cell or 1, chunk.shape)
            care = occupied if care is None else care & occupied
        values = (chunk.values - chunk.offset)[None] / unit
        voxels = Voxels(backend, values, None if care is None else care[None])
        parts.append(_Part(chunk, voxels, voxels.analyse(block)))
    return parts


def _plain(parts: list[_Part], step: float) -> tuple[float, float]:
    """Squared error and estimated bits of a sample at a step, quantised plainly, under the prior."""
    steps = np.array([step])
    error, bits = 0.0, 0.0
    for part in parts:
        q = part.latents.plain(steps)
        error += float(part.voxels.squared_error(part.latents, q, steps)[0])
        bits += float(part.latents.cost(q, [prior()]).bits[0])
    return error, bits


def _shared_step(parts: list[_Part], start: float, goal: Callable[[float], float]) -> float:
    """The step at which ``goal``, a growing function of it, is zero."""
    low, high = start / 64, start * 64
    for _ in range(14):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if goal(middle) < 0 else (low, middle)
        if high / low < 1.005:
            break
    return float(np.sqrt(low * high))


def _choose_block(
    backend: Backend, sample: list[Prepared], unit: float, settings: Settings, preset: Preset, budget: float
) -> tuple[int, float]:
    target = settings.target
    count = sum(int(np.prod(p.shape)) for p in sample)
    start = np.sqrt(12 * max(budget, 1e-300) / count) if target.kind == "snr" else 1.0
    if target.kind == "max_error":
        bound = float(np.clip(target.value / unit, 1e-12, 1e6))
        budget, start = _bound_budget(_parts(backend, sample, unit, 16, None), bound, count)
    shape = max((p.shape for p in sample), key=lambda s: float(np.prod(s)))
    tried: dict[int, tuple[float, float]] = {}

    def attempt(block: int) -> None:
        parts = _parts(backend, sample, unit, block, None)
        if target.kind == "ratio":
            step = _shared_step(parts, start, lambda s: budget - _plain(parts, s)[1])
            tried[block] = (step, _plain(parts, step)[0])
        else:
            step = _secant_step(parts, start, budget)
            tried[block] = (step, _plain(parts, step)[1])

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


def _secant_step(parts: list[_Part], start: float, budget: float) -> float:
    step, slope = start, 1.5
    before: tuple[float, float] | None = None
    for _ in range(6):
        error = max(_plain_error(parts, step), 1e-300)
        if abs(np.log(error / budget)) < 0.01:
            break
        if before is not None and abs(np.log(step / before[0])) > 1e-4:
            slope = float(np.clip(np.log(error / before[1]) / np.log(step / before[0]), 0.3, 2.2))
        before = (step, error)
        step *= float(np.clip((budget / error) ** (1 / slope), 1 / 8, 8))
    return step


def _plain_error(parts: list[_Part], step: float) -> float:
    steps = np.array([step])
    return sum(float(p.voxels.squared_error(p.latents, p.latents.plain(steps), steps)[0]) for p in parts)


def _bound_budget(parts: list[_Part], bound: float, count: int) -> tuple[float, float]:
    """Squared error (and its step) at which field and corrections take the fewest bits."""
    best: tuple[float, float, float] | None = None
    step = bound
    for ratio in ERROR_RATIOS:
        budget = count * (ratio * bound) ** 2
        step = _secant_step(parts, step, budget)
        bits = _plain(parts, step)[1] + corrections.estimate_bits(round(count * beyond(1 / ratio)), count)
        if best is None or bits < best[0]:
            best = (bits, budget, step)
    assert best is not None
    return best[1], best[2]


def _choose_cell(
    backend: Backend, sample: list[Prepared], unit: float, block: int, step: float, preset: Preset
) -> int | None:
    """The occupancy cell size that saves the most bits over the sample, or None."""
    masked = [p for p in sample if p.background is not None and not p.threshold]
    if not masked or not preset.masks:
        return None
    steps = np.array([step])

    def bits(cell: int | None) -> float:
        total = 0.0
        for part in _parts(backend, masked, unit, block, cell):
            latents = part.voxels.fill(part.latents, steps, preset.fills)
            total += float(latents.cost(latents.plain(steps), [prior()]).bits[0])
            if cell is not None:
                total += 8 * len(occupancy.compress(part.prepared.represented, cell))
        return total

    options: dict[int | None, float] = {None: bits(None)}
    for cell in occupancy.CELLS[-preset.masks :]:
        options[cell] = bits(cell)
    return min(options, key=lambda c: options[c])


def _train(
    parts: list[_Part], step: float, preset: Preset, settings: Settings, budget: float, report: Progress
) -> tuple[ContextNetwork, float]:
    """Rounds of choosing latents and training one network on all of them."""
    network = prior()
    fitted = [part.voxels.fill(part.latents, np.array([step]), preset.fills) for part in parts]
    chosen = [latents.plain(np.array([step])) for latents in fitted]
    for turn in range(_ROUNDS + 1):
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
        if turn < _ROUNDS and preset.fit_steps:
            network = _train_once(fitted, chosen, network, preset, turn, report)
    return network, step


def _train_once(
    fitted: list[Latents],
    chosen: list[Any],
    network: ContextNetwork,
    preset: Preset,
    turn: int,
    report: Progress,
) -> ContextNetwork:
    from inrcodec.core import training

    rng = np.random.default_rng(turn)
    total = sum(len(q.bands) * latents.layout.blocks for latents, q in zip(fitted, chosen, strict=True))
    features, magnitudes = [], []
    for latents, q in zip(fitted, chosen, strict=True):
        count = len(q.bands) * latents.layout.blocks
        if not count:
            continue
        table = latents.backend.to_numpy(latents.features(q))[0]
        size = np.abs(latents.backend.to_numpy(q.values)).reshape(-1)
        some = rng.choice(count, max(1, int(count * min(1.0, _LATENTS / total))), replace=False)
        features.append(table[:, some])
        magnitudes.append(size[some])
    if not features:
        return network
    device = fitted[0].backend.device
    (trained,) = training.train(
        training.as_tensor(np.concatenate(features, axis=1)[None], device),
        training.as_tensor(np.concatenate(magnitudes)[None], device),
        [network],
        steps=preset.fit_steps,
        sample=16384,
        learning_rate=4e-3,
        seed=turn,
        progress=lambda f: report((turn + f) / _ROUNDS),
    )
    return trained


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
    for _ in range(_SETTLINGS):
        error, steps = 0.0, np.array([model.step / unit])
        for chunk in _prepared(volume, boxes, settings.threshold, len(boxes)):
            (part,) = _parts(backend, [chunk], unit, model.block, model.cell)
            fit = fit_latents(part.voxels, part.latents, steps, preset, budget=None, networks=[model.network])
            error += float(part.voxels.squared_error(fit.latents, fit.quantised, steps)[0])
        spent = error / allowed
        # float32 sums differ a little with their units: what is met by a hair may be missed by one
        if most <= spent <= 1 / _MARGIN:
            best, most = model, spent
        if _SPENT < spent <= 1 / _MARGIN or error == 0:
            break
        margin = _MARGIN**2 if spent < 1 else _MARGIN**3
        model = replace(model, step=model.step * float(np.clip((margin * spent) ** (-1 / 1.2), 0.5, 2)))
    return best or model
