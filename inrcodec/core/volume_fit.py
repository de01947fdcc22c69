"""Volume scope: train the networks of a volume once, and fix its quantiser step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from inrcodec.core import bounded
from inrcodec.core.backend import Backend, get_backend
from inrcodec.core.block_search import search_blocks
from inrcodec.core.casting import before_rounding, bound_before_cast
from inrcodec.core.choices import Choice, Choices
from inrcodec.core.context import ContextNetwork
from inrcodec.core.payload import dtype_code
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import EFFORTS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings
from inrcodec.core.settling import MARGIN, settle
from inrcodec.core.traits import measure_traits
from inrcodec.core.volume import VolumeModel, short_step, unchanged_weights
from inrcodec.core.volume_sample import (
    WHOLE,
    Part,
    allowed_error,
    allowed_errors,
    chunk_boxes,
    draw_sample,
    make_parts,
    plain,
    sample_choice,
    secant_step,
    shared_step,
)
from inrcodec.core.volume_training import (
    ROUNDS,
    Progress,
    block_choices,
    cheaper_network,
    choose_cell,
    filled_score,
    nearby_block,
    train_once,
    training_steps,
)

Array = np.ndarray[Any, Any]


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
    choices = Choices(measure_traits(volume, settings.threshold))
    size = sample_choice(choices.traits, settings.target, preset.latents)
    sample, share = draw_sample(volume, boxes, settings.threshold, int(size.value or 0))
    if not sample:
        return VolumeModel(1.0, settings.block or 16, unchanged_weights(), choices=choices)
    unit = max(p.scale for p in sample)  # float32 holds densities of any magnitude in it
    ratio = rms = 0.0
    if settings.target.kind == "max_error":
        most = bound_before_cast(settings.target.value, volume.dtype)
        bound = float(np.clip(most / unit, 1e-12, 1e6))
        ratio = _bound_ratio(backend, sample, unit, bound, preset)
        rms = ratio * bound
        budget = sum(float(np.prod(p.shape)) for p in sample) * rms**2
    else:
        budget = _budget(volume, boxes, settings, unit, share)
    block, step, chosen = _choose_block(backend, sample, unit, settings, preset, budget)
    report(0.3)
    if ratio >= 1 and preset.masks and any(p.masked and not p.threshold for p in sample):
        # that corrections speak of fewer voxels then is not in the figures of choose_cell
        cell = Choice("cell", 1, "as every voxel outside it would have a correction")
    else:
        cell = choose_cell(backend, sample, unit, block, step, preset)
    made = [size, *chosen, cell]
    if cell.value is not None:
        block, near = _filled_block(backend, sample, unit, block, step, int(cell.value), settings, preset)
        made += near
    size_of_cell = None if cell.value is None else int(cell.value)
    parts = make_parts(backend, sample, unit, block, size_of_cell)
    spend = budget if settings.target.kind == "snr" else None
    if rms and cell.value is not None:
        spend = _represented(parts) * rms**2
    network, step, trained = train(parts, step, preset, spend, share, lambda f: report(0.3 + 0.5 * f))
    model = VolumeModel(
        short_step(step * unit),
        block,
        network.to_bytes(prior()),
        cell=size_of_cell,
        choices=replace(choices, made=(*made, *trained)),
    )
    if settings.target.kind == "snr" and choices.traits.voxels <= WHOLE:
        allowed = allowed_error(volume, boxes, settings.threshold, settings.target) / unit**2
        model = settle(backend, volume, boxes, unit, settings, model, allowed)
    report(1.0)
    return model


def _budget(volume: Any, boxes: list[Any], settings: Settings, unit: float, share: float) -> float:
    """What the sample may spend: squared error in squares of ``unit``, or bits for a ratio."""
    target = settings.target
    if target.kind == "ratio":
        return 8 * share * float(np.prod(volume.shape)) * np.dtype(volume.dtype).itemsize / target.value
    count, mean_square = allowed_errors(volume, boxes, settings.threshold, target)
    if np.dtype(volume.dtype).kind != "f":
        mean_square = before_rounding(mean_square)
    return share * count * mean_square / unit**2


def _choose_block(
    backend: Backend, sample: list[Prepared], unit: float, settings: Settings, preset: Preset, budget: float
) -> tuple[int, float, list[Choice]]:
    """The block that takes the fewest bits at the target, the step it takes, and both as choices."""
    target = settings.target
    count = sum(int(np.prod(p.shape)) for p in sample)
    start = 1.0 if target.kind == "ratio" else np.sqrt(12 * max(budget, 1e-300) / count)
    shape = max((p.shape for p in sample), key=lambda s: float(np.prod(s)))
    steps: dict[int, float] = {}

    def figure(block: int) -> float:
        parts = make_parts(backend, sample, unit, block, None)
        if target.kind == "ratio":
            steps[block] = shared_step(parts, start, lambda s: budget - plain(parts, s)[1])
            return plain(parts, steps[block])[0]
        steps[block] = secant_step(parts, start, budget)
        return plain(parts, steps[block])[1]

    tried = search_blocks(shape, settings.block, preset, figure)
    why = "mean squared error in variances estimated" if target.kind == "ratio" else "bit per voxel estimated"
    best, choices = block_choices(tried, settings.block, why, 1 / count)
    return best, steps[best], choices


def _filled_block(
    backend: Backend,
    sample: list[Prepared],
    unit: float,
    block: int,
    step: float,
    cell: int,
    settings: Settings,
    preset: Preset,
) -> tuple[int, list[Choice]]:
    """The best block once voxels outside occupied cells do not matter: mostly a longer one."""
    shape = max((p.shape for p in sample), key=lambda s: float(np.prod(s)))

    def figure(length: int) -> float:
        return filled_score(make_parts(backend, sample, unit, length, cell), step, preset, cell)

    why = f"times the fewest bits around occupied cells of {cell}"
    return nearby_block(shape, block, settings.block, figure, why)


def _represented(parts: list[Part]) -> float:
    """Voxels that matter."""
    cared = (p.voxels.care for p in parts)
    sizes = (float(np.prod(p.voxels.shape)) for p in parts)
    return sum(
        n if care is None else float(part.voxels.backend.xp.sum(care))
        for n, care, part in zip(sizes, cared, parts, strict=True)
    )


def _bound_ratio(
    backend: Backend, sample: list[Prepared], unit: float, bound: float, preset: Preset
) -> float:
    """RMS error over the bound at which field and corrections take the fewest bits.

    For dense corrections voxels outside a mask do not matter, as a mask is stored then: density that ends at
    its edge would make any field look dear. They are filled once, at a step near the bound.
    """
    if any(p.masked for p in sample):
        parts = make_parts(backend, sample, unit, 16, 1)
        for part in parts:
            part.latents, _ = part.voxels.fill(part.latents, np.array([bound]), preset.fills)
        ratio = _cheapest_ratio(parts, bound, dense=True)
        if ratio >= 1:
            return ratio
        return _cheapest_ratio(make_parts(backend, sample, unit, 16, None), bound, dense=False)
    return _cheapest_ratio(make_parts(backend, sample, unit, 16, None), bound, dense=True)


def _cheapest_ratio(parts: list[Part], bound: float, *, dense: bool) -> float:
    """The ratio for some parts, with sparse corrections or with either."""
    count = round(_represented(parts))
    steps = {0.0: bound}

    def spend(ratio: float) -> float:
        near = min(steps, key=lambda r: abs(r - ratio))
        steps[ratio] = secant_step(parts, steps[near], count * (ratio * bound) ** 2)
        return steps[ratio]

    def sparse(ratio: float) -> Array:
        return np.array([plain(parts, spend(ratio))[1] + bounded.sparse_bits(ratio, count)])

    def densely(ratio: float) -> Array:
        if not dense:
            return np.array([np.inf])
        step = np.array([spend(ratio)])
        bits = np.array([plain(parts, float(step[0]))[1]])
        for part in parts:
            q = part.latents.plain(step)
            bits += bounded.dense_bits(part.voxels, part.latents, q, step, np.array([bound]))
        return bits

    return float(bounded.cheapest_ratio(sparse, densely)[0])


def train(
    parts: list[Part],
    step: float,
    preset: Preset,
    spend: float | None,
    share: float,
    report: Progress,
) -> tuple[ContextNetwork, float, list[Choice]]:
    """Rounds of choosing latents and training one network on all of them; what was chosen for it.

    ``spend`` is the squared error that the step is brought to; None keeps the step.
    """
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
            if spend is not None and error > 0:
                step *= float(np.clip((spend / error) ** (1 / 1.5), 0.5, 2))
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
        if spend is not None and error > 0:
            step *= float(np.clip((spend / (MARGIN * error)) ** (1 / 1.5), 0.5, 2))
        if not turn:
            training = training_steps(fitted, chosen, share, preset)
        if turn < ROUNDS and training.value:
            network = train_once(fitted, chosen, network, int(training.value or 0), turn, share, report)
    if not preset.fit_steps:
        return network, step, [training]
    network, kept = cheaper_network(fitted, chosen, network, share)
    return network, step, [training, kept]
