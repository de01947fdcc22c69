"""What every volume fit does on its sample: choose an occupancy cell, train one network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inrcodec.core import occupancy
from inrcodec.core.backend import Backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.latents import Latents
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import Preset
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable
from inrcodec.core.volume_sample import Part, make_parts

Progress = Callable[[float], None]

ROUNDS = 2  # of choosing latents and training on them
_BITS_SLOPE = 0.4  # bits fall about as squared error to this power, between 20 and 30 dB
_LATENTS = 3_000_000  # most latents trained on


def choose_cell(
    backend: Backend,
    sample: list[Prepared],
    unit: float,
    block: int,
    step: float,
    preset: Preset,
    shells: ShellTable | None = None,
) -> int | None:
    """The occupancy cell size that saves the most bits over the sample, or None."""
    masked = [p for p in sample if p.background is not None and not p.threshold]
    if not masked or not preset.masks:
        return None
    cells: tuple[int | None, ...] = (None, *occupancy.CELLS[: preset.masks])
    scores = {
        cell: filled_score(make_parts(backend, masked, unit, block, cell, shells), step, preset, cell)
        for cell in cells
    }
    return min(scores, key=lambda c: scores[c])


def filled_score(parts: list[Part], step: float, preset: Preset, cell: int | None) -> float:
    """Bits of parts at a step, occupancy included, brought to one squared error: the smaller the better."""
    bits, error = 0.0, 0.0
    steps = np.array([step])
    for part in parts:
        latents, _ = part.voxels.fill(part.latents, steps, max(1, preset.fills // 2))
        q = latents.cost(latents.plain(steps), [prior()])
        bits += float(q.bits[0])
        error += float(part.voxels.squared_error(latents, q, steps)[0])
        if cell is not None and part.prepared.background is not None:
            bits += 8 * len(occupancy.compress(part.prepared.represented, cell))
    return bits * max(error, 1e-300) ** _BITS_SLOPE


def train_once(
    fitted: list[Latents],
    chosen: list[Any],
    network: ContextNetwork,
    preset: Preset,
    turn: int,
    report: Progress,
) -> ContextNetwork:
    """One network trained on the latents of all parts, from the network given."""
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
        progress=lambda f: report((turn + f) / ROUNDS),
    )
    return trained
