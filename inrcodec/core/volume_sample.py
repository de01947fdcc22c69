"""A volume's sample: chunks of it prepared and analysed, and steps that spend a budget over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.choices import Choice
from inrcodec.core.fitting import Voxels
from inrcodec.core.latents import Latents
from inrcodec.core.prepare import Prepared, prepare
from inrcodec.core.prior import prior
from inrcodec.core.settings import Target
from inrcodec.core.shells import ShellTable
from inrcodec.core.traits import Traits

WHOLE = 2**26  # voxels up to which the step is set on the whole volume, not on a sample
_MOST = 4  # voxels of a sample for each coded latent that it is to have
_OF_LARGE = 2**22  # voxels of the sample of a volume above WHOLE


@dataclass(eq=False)
class Part:
    """One chunk of the sample, its voxels in units of the volume's scale."""

    prepared: Prepared
    voxels: Voxels
    latents: Latents


def chunk_boxes(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """The boxes of a volume's chunks; those at its far ends are cut, not padded."""
    ranges = [range(0, n, c) for n, c in zip(shape, chunk, strict=True)]
    for starts in product(*ranges):
        yield tuple(slice(a, min(a + c, n)) for a, c, n in zip(starts, chunk, shape, strict=True))


def prepared(volume: Any, boxes: list[Any], threshold: float | None, wanted: int) -> list[Prepared]:
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


def draw_sample(
    volume: Any, boxes: list[tuple[slice, ...]], threshold: float | None, voxels: int
) -> tuple[list[Prepared], float]:
    """Chunks drawn at random that a field can represent, and the share of the volume they stand for.

    Chunks that hold nothing are part of what the sample stands for.
    """
    order = list(boxes)
    np.random.default_rng(0).shuffle(order)
    sizes = [int(np.prod([s.stop - s.start for s in box])) for box in order]
    sample: list[Prepared] = []
    seen = drawn = 0
    # chunks at the far ends are smaller: what counts is voxels
    while seen < len(order) and (not sample or drawn < min(voxels, sum(sizes)) - sizes[seen] // 2):
        found = prepared(volume, [order[seen]], threshold, 1)
        sample += found
        drawn += sizes[seen] * len(found)
        seen += 1
    return sample, sum(sizes[:seen]) / sum(sizes)


def allowed_error(volume: Any, boxes: list[Any], threshold: float | None, target: Target) -> float:
    """Squared error an SNR allows the whole volume, from the variance of its represented voxels."""
    count, mean_square = allowed_errors(volume, boxes, threshold, target)
    return count * mean_square


def allowed_errors(
    volume: Any, boxes: list[Any], threshold: float | None, target: Target
) -> tuple[int, float]:
    """How many voxels are represented, and the mean squared error an SNR allows them."""
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
    return count, variance / 10 ** (target.value / 10)


def make_parts(
    backend: Backend,
    sample: list[Prepared],
    unit: float,
    block: int,
    cell: int | None,
    shells: ShellTable | None = None,
) -> list[Part]:
    """Analyse chunks in units of a density; voxels outside occupied cells do not matter."""
    parts = []
    for chunk in sample:
        masked = chunk.masked and (cell is not None or chunk.threshold)
        occupied = chunk.occupied(cell or 1) if masked else None
        values = (chunk.values - chunk.offset)[None] / unit
        voxels = Voxels(backend, values, chunk.care(occupied), shells)
        parts.append(Part(chunk, voxels, voxels.analyse(block)))
    return parts


def sample_choice(traits: Traits, target: Target, latents: int) -> Choice:
    """Voxels that block length and networks are chosen on: enough for so many coded latents.

    A map whose band or mask leaves few latents to code needs a larger sample than one of noise.
    """
    share = traits.coded_share(target)
    voxels = int(np.clip(latents / max(share, 1e-9), latents, _MOST * latents))
    if traits.voxels > WHOLE:
        # the step too is set on the sample: it has to be typical
        return Choice("sample", _OF_LARGE, f"voxels, as {traits.voxels:,} are too many to measure all")
    if traits.voxels <= voxels:
        return Choice("sample", traits.voxels, "all voxels")
    return Choice("sample", voxels, f"voxels, as {share:.1%} of the latents are expected to be coded")


def plain(parts: list[Part], step: float) -> tuple[float, float]:
    """Squared error and estimated bits of a sample at a step, quantised plainly, under the prior."""
    steps = np.array([step])
    error, bits = 0.0, 0.0
    for part in parts:
        q = part.latents.plain(steps)
        error += float(part.voxels.squared_error(part.latents, q, steps)[0])
        bits += float(part.latents.cost(q, [prior()]).bits[0])
    return error, bits


def shared_step(parts: list[Part], start: float, goal: Callable[[float], float]) -> float:
    """The step at which ``goal``, a growing function of it, is zero."""
    low, high = start / 64, start * 64
    for _ in range(14):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if goal(middle) < 0 else (low, middle)
        if high / low < 1.005:
            break
    return float(np.sqrt(low * high))


def secant_step(parts: list[Part], start: float, budget: float) -> float:
    """The step at which plain quantisation spends a squared-error budget over all parts."""
    step, slope = start, 1.5
    before: tuple[float, float] | None = None
    for _ in range(6):
        error = max(plain_error(parts, step), 1e-300)
        if abs(np.log(error / budget)) < 0.01:
            break
        if before is not None and abs(np.log(step / before[0])) > 1e-4:
            slope = float(np.clip(np.log(error / before[1]) / np.log(step / before[0]), 0.3, 2.2))
        before = (step, error)
        step *= float(np.clip((budget / error) ** (1 / slope), 1 / 8, 8))
    return step


def plain_error(parts: list[Part], step: float) -> float:
    """Squared error of a sample, quantised plainly."""
    steps = np.array([step])
    return sum(float(p.voxels.squared_error(p.latents, p.latents.plain(steps), steps)[0]) for p in parts)
