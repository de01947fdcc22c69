"""What every volume fit does on its sample: choose an occupancy cell, train one network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inrcodec.core import occupancy
from inrcodec.core.backend import Backend
from inrcodec.core.block_search import descend_blocks, search_edges
from inrcodec.core.choices import Choice
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.basis import block_length, edge_kind, with_edges
from inrcodec.core.fields.edges import edges_name
from inrcodec.core.latents import Latents, Quantised
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import Preset
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable
from inrcodec.core.volume_sample import Part, make_parts

Progress = Callable[[float], None]

ROUNDS = 2  # of choosing latents and training on them
_STEP_BYTES = 64  # estimated in the volume, for each step of training that they repay
_FEWEST_STEPS = 60
BITS_SLOPE = 0.4  # bits fall about as squared error to this power, between 20 and 30 dB
_ERROR_SLOPE = 1.5  # squared error grows about as a step to this power
_LONGEST = 3.0  # times a step that is lengthened
_SLOPES = (0.1, 1.5)  # of bits over squared error, both logarithms
_KEY_BYTES = 14  # of the key that weights have in the configuration
TEXT_BITS = 4 / 3  # of base64 for each bit of weights, which live in JSON
_LEAST_FILLS = 8  # fewer tell nothing of what a mask saves
_OWN_CHOICE = 0.995  # of a network's bits, about, once latents are chosen by its rates and not by another's
_LATENTS = 3_000_000  # most latents trained on


def block_choices(
    tried: dict[int, float], asked: int | None, why: str, scale: float = 1.0
) -> tuple[int, list[Choice]]:
    """The best block tried, and its length and edges as choices.

    Args:
        tried: what each block is judged by, as :func:`search_blocks` gives it.
        asked: the only length, or None.
        why: what the figures are, times ``scale``.
    """
    best = min(tried, key=lambda b: tried[b])
    length, kind = block_length(best), edge_kind(best)
    first = edge_kind(next(iter(tried)))  # the edges of all lengths but the best one
    lengths = {str(block_length(b)): scale * figure for b, figure in tried.items() if edge_kind(b) == first}
    edges = {edges_name(edge_kind(b)): scale * f for b, f in tried.items() if block_length(b) == length}
    block = (
        Choice("block", length, "as asked") if asked is not None else Choice("block", length, why, lengths)
    )
    return best, [block, Choice("edges", edges_name(kind), why, edges)]


def nearby_block(
    shape: tuple[int, int, int], start: int, asked: int | None, figure: Callable[[int], float], why: str
) -> tuple[int, list[Choice]]:
    """The best block near one that was chosen before, as choices too; figures are relative to the best."""
    if asked is None:
        tried = descend_blocks(shape, start, figure)
    else:
        block = with_edges(asked, edge_kind(start))
        tried = {block: figure(block)}
    tried = search_edges(tried, figure)
    return block_choices(tried, asked, why, 1 / (min(tried.values()) or 1.0))  # none costs a bit: all alike


def choose_cell(
    backend: Backend,
    sample: list[Prepared],
    unit: float,
    block: int,
    step: float,
    preset: Preset,
    shells: ShellTable | None = None,
) -> Choice:
    """The occupancy cell size that saves the most bits over the sample, or None."""
    masked = [p for p in sample if p.masked and not p.threshold]
    if not masked:
        far = any(p.threshold for p in sample)
        return Choice(
            "cell", None, "every chunk has its mask of single voxels" if far else "no background to leave out"
        )
    if not preset.masks:
        return Choice("cell", None, "not tried at this effort")
    cells = occupancy.CELLS[: preset.masks]
    bits, error = filled(make_parts(backend, masked, unit, block, None, shells), step, preset, None)
    if not bits:
        return Choice("cell", None, "at this target nothing is coded but the mean")
    scores: dict[int | None, float] = {None: bits}
    for cell in cells:
        parts = make_parts(backend, masked, unit, block, cell, shells)
        scores[cell] = _bits_at(error, parts, step, preset, cell)
    figures = {str(cell).lower(): at / bits for cell, at in scores.items()}
    return Choice("cell", min(scores, key=lambda c: scores[c]), "of the bits without a mask", figures)


def _bits_at(error: float, parts: list[Part], step: float, preset: Preset, cell: int) -> float:
    """Bits of filled parts where they have a squared error: at the step that has it, about, and corrected."""
    bits, left = filled(parts, step, preset, cell)
    if not (0 < left < error and bits):
        return score(bits, left) / score(1.0, error)
    longer = step * float(np.clip((error / left) ** (1 / _ERROR_SLOPE), 1.05, _LONGEST))
    fewer, larger = filled(parts, longer, preset, cell)
    # far fewer bits at a larger error where few latents are left, hardly fewer where most of it is the mask
    slope = np.log(bits / fewer) / np.log(larger / left) if fewer and larger > left else BITS_SLOPE
    return score(fewer, larger / error, float(np.clip(slope, *_SLOPES)))


def filled_score(parts: list[Part], step: float, preset: Preset, cell: int | None) -> float:
    """Bits of parts at a step, occupancy included, brought to one squared error: the smaller the better."""
    return score(*filled(parts, step, preset, cell))


def filled(parts: list[Part], step: float, preset: Preset, cell: int | None) -> tuple[float, float]:
    """Bits of parts at a step, occupancy included, and squared error, once voxels are filled."""
    bits, error = 0.0, 0.0
    steps = np.array([step])
    for part in parts:
        latents, _ = part.voxels.fill(part.latents, steps, max(_LEAST_FILLS, preset.fills // 2))
        q = latents.cost(latents.plain(steps), [prior()])
        bits += float(q.bits[0])
        error += float(part.voxels.squared_error(latents, q, steps)[0])
        if cell is not None and part.prepared.masked:
            bits += 8 * len(occupancy.compress(part.prepared.represented, cell))
    return bits, error


def score(bits: float, error: float, slope: float = BITS_SLOPE) -> float:
    """Bits brought to one squared error."""
    return bits * max(error, 1e-300) ** slope


def training_steps(fitted: list[Latents], chosen: list[Quantised], share: float, preset: Preset) -> Choice:
    """Steps of training that the latents' bytes repay: what little there is to save is soon learnt."""
    if not preset.fit_steps:
        return Choice("steps", 0, "nothing is trained at this effort")
    size = estimated_bits(fitted, chosen, prior()) / share / 8
    steps = min(preset.fit_steps, max(_FEWEST_STEPS, round(size / _STEP_BYTES)))
    return Choice(
        "steps", steps, f"for {size:,.0f} bytes estimated under the prior, {preset.fit_steps} at most"
    )


def estimated_bits(fitted: list[Latents], chosen: list[Quantised], network: ContextNetwork) -> float:
    """Bits of all parts' latents under a network."""
    return sum(float(latents.cost(q, [network]).bits[0]) for latents, q in zip(fitted, chosen, strict=True))


def cheaper_network(
    fitted: list[Latents], chosen: list[Quantised], network: ContextNetwork, share: float
) -> tuple[ContextNetwork, Choice]:
    """The trained network, or the prior where its changes save less than they cost in the configuration.

    Args:
        fitted: latents of each part.
        chosen: the same, quantised.
        network: the trained one.
        share: of the volume that the parts are.
    """
    if not (network.flat != prior().flat).any():
        return prior(), Choice("network", "prior", "training changed no weight")
    weights = len(network.to_bytes(prior()))
    # chunks without density are left out here, as in the figures of block lengths
    voxels = sum(float(np.prod(latents.layout.shape)) for latents in fitted) / share
    bits = {
        "own": estimated_bits(fitted, chosen, network) / share + 8 * (TEXT_BITS * weights + _KEY_BYTES),
        "prior": _OWN_CHOICE * estimated_bits(fitted, chosen, prior()) / share,
    }
    best = min(bits, key=lambda name: bits[name])
    why = f"bit per voxel estimated, weights of {weights} bytes counted"
    figures = {name: value / voxels for name, value in bits.items()}
    return network if best == "own" else prior(), Choice("network", best, why, figures)


def train_once(
    fitted: list[Latents],
    chosen: list[Any],
    network: ContextNetwork,
    steps: int,
    turn: int,
    share: float,
    report: Progress,
) -> ContextNetwork:
    """One network trained on the latents of all parts, starting from the network given.

    Weights that are changed cost bytes of the configuration, once for the volume: the more latents the volume
    has, the more of them repay it.

    Args:
        fitted: latents of each part.
        chosen: the same, quantised.
        network: to start from; changes to it are what costs.
        steps: of training.
        turn: number of the round; its random choices follow from it.
        share: of the volume that the parts are.
        report: called with the fraction of all rounds done.
    """
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
        steps=steps,
        sample=16384,
        learning_rate=4e-3,
        symbols=[total / share / TEXT_BITS],
        seed=turn,
        progress=lambda f: report((turn + f) / ROUNDS),
    )
    return trained
