"""Volume scope with a Fourier-shell target: steps by radial shell, in a closed loop.

Every radial bin of spatial frequency has a weight, the price of an error in it. Weights give steps
(:mod:`inrcodec.core.leakage`), steps give errors: predicted from latents while block length and network are
chosen, measured on the decoded volume in the end. A bin with more error than the target allows gets a higher
weight, one with less a lower one, until each has what it may have and no less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend, get_backend
from inrcodec.core.block_search import search_blocks, search_edges
from inrcodec.core.choices import Choice, Choices
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.basis import block_length, edge_kind
from inrcodec.core.fields.edges import edges_name
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.latents import Latents, Quantised
from inrcodec.core.leakage import Leakage, no_error, table
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import EFFORTS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings
from inrcodec.core.shell_balance import ShellFit, moved, needed_nodes, node_error, reweighted
from inrcodec.core.shell_budget import ShellBudget
from inrcodec.core.shells import MAX_NODES
from inrcodec.core.traits import measure_traits
from inrcodec.core.volume import VolumeModel
from inrcodec.core.volume_sample import Part, chunk_boxes, draw_sample, make_parts, sample_choice
from inrcodec.core.volume_training import (
    ROUNDS,
    TEXT_BITS,
    Progress,
    block_choices,
    cheaper_network,
    choose_cell,
    nearby_block,
    train_once,
    training_steps,
)
from inrcodec.fourier_shell import FourierShells, ShellReference

Array = np.ndarray[Any, Any]

_CLOSE = 1.02  # times the fewest bits estimated
_BALANCINGS = 5  # rounds of predicted errors for each block length


@dataclass(frozen=True)
class _Trial:
    """What weights and bits are found for.

    Attributes:
        block: with its edges.
        cell: of an occupancy mask, or None.
        ends: whether blocks at the chunks' faces have steps of their own.
    """

    block: int
    cell: int | None
    ends: bool


class SampleFit:
    """Chooses block length, weights, occupancy cell and network on a sample of chunks.

    Args:
        sample: prepared chunks.
        share: of the volume that they are.
        layout_shape: (d, h, w) of a chunk.
        choices: made before.
        ends: whether blocks at the chunks' faces may have steps of their own.
    """

    def __init__(
        self,
        backend: Backend,
        sample: list[Prepared],
        share: float,
        layout_shape: tuple[int, int, int],
        budget: ShellBudget,
        voxel_size: Array,
        unit: float,
        settings: Settings,
        choices: Choices,
        ends: bool,
        report: Progress,
    ) -> None:
        self.backend = backend
        self.ends = ends
        self.choices = choices
        self.sample = sample
        self.share = share
        self.shape = layout_shape
        self.budget = budget
        self.voxel_size = voxel_size
        self.unit = unit
        self.settings = settings
        self.preset: Preset = EFFORTS[settings.effort]
        self.report = report
        self.weights: dict[_Trial, Array] = {}
        self.bits: dict[_Trial, float] = {}
        self.trained = 0

    def run(self) -> list[ShellFit]:
        """Fits of the block that takes the fewest bits, and of another length that takes hardly more.

        Bits are estimated at weights that the closed loop will change: what comes close is worth running it,
        from the effort on at which there is time for that.
        """
        asked = self.settings.block
        tried = search_blocks(self.shape, asked, self.preset, self._least)
        voxels = sum(p.chunk.size for p in self.sample)
        block, chosen = block_choices(tried, asked, "bit per voxel estimated at the target", 1 / voxels)
        fits = self._fits(block, chosen)
        other = self._runner_up(tried) if self.preset.finalists > 1 and asked is None else None
        if other is not None:
            why = f"fewer bytes at the target than blocks of {block_length(block)}"
            edges = edges_name(edge_kind(other))
            made = [Choice("block", block_length(other), why), Choice("edges", edges, why)]
            fits += self._fits(other, made)
        return fits

    def _runner_up(self, tried: dict[int, float]) -> int | None:
        """The best block of another length than the best one's, if it comes close."""
        best = min(tried, key=lambda b: tried[b])
        others = {b: bits for b, bits in tried.items() if block_length(b) != block_length(best)}
        if not others:
            return None
        others = search_edges(others, self._least)
        second = min(others, key=lambda b: others[b])
        return second if others[second] < _CLOSE * tried[best] else None

    def _fits(self, block: int, chosen: list[Choice]) -> list[ShellFit]:
        """A block's fits: with the mask that saves most, if any, and with none."""
        none, ends = self._choose_ends(block, None)
        step, shells = table(self._leakage(none).weights(self.weights[none]))
        cell = choose_cell(self.backend, self.sample, self.unit, block, step, self.preset, shells)
        both = self.preset.finalists > 1
        masks = {name: figure for name, figure in cell.figures.items() if name != "none"}
        if not masks or (cell.value is None and not both):
            return [self._fitted(none, [*chosen, *ends, cell])]
        size = int(min(masks, key=lambda name: masks[name]))
        cell = replace(cell, value=size)
        why = f"times the fewest bits around occupied cells of {size}"
        near, changed = nearby_block(
            self.shape, block, self.settings.block, lambda b: self._bits(_Trial(b, size, False)), why
        )
        masked, other = self._choose_ends(near, size)
        fits = [self._fitted(masked, [*chosen, cell, *changed, *other])]
        if both:
            without = Choice("cell", None, f"fewer bytes at the target than with cells of {size}")
            fits.append(self._fitted(none, [*chosen, *ends, without]))
        return fits

    def _choose_ends(self, block: int, cell: int | None) -> tuple[_Trial, list[Choice]]:
        """Whether blocks at the chunks' faces have steps of their own: not where none reach density."""
        bits = self._both(block, cell)
        best = min(bits, key=lambda trial: bits[trial])
        if len(bits) == 1:
            return best, []
        names = {True: "own", False: "as inside"}
        figures = {names[trial.ends]: found / (bits[best] or 1.0) for trial, found in bits.items()}
        why = "times the fewest bits estimated"
        return best, [Choice("steps at faces", names[best.ends], why, figures)]

    def _least(self, block: int) -> float:
        return min(self._both(block, None).values())

    def _both(self, block: int, cell: int | None) -> dict[_Trial, float]:
        """Estimated bits without and, where that may be, with steps of their own at the faces."""
        trials = [_Trial(block, cell, ends) for ends in ((False, True) if self.ends else (False,))]
        return {trial: self._bits(trial) for trial in trials}

    def _fitted(self, trial: _Trial, made: list[Choice]) -> ShellFit:
        """The fit of what was chosen."""
        leakage, weight = self._leakage(trial), self.weights[trial]
        parts = make_parts(self.backend, self.sample, self.unit, trial.block, trial.cell)
        network, weight, cutoff, trained = self._train(parts, leakage, weight)
        choices = replace(self.choices, made=(*self.choices.made, *made, *trained))
        model = VolumeModel(
            self.unit, trial.block, network.to_bytes(prior()), cell=trial.cell, choices=choices
        )
        return ShellFit(weight, self.budget, leakage, model, self.unit, MAX_NODES).with_weight(weight, cutoff)

    def _leakage(self, trial: _Trial) -> Leakage:
        layout = get_layout(self.shape, trial.block)
        return Leakage(layout, self.voxel_size, self.budget.width, self.budget.bins, ends=trial.ends)

    def _bits(self, trial: _Trial) -> float:
        """Estimated bits of the sample at the target, quantised plainly; keeps the weights of its bins.

        With the configuration's bits for steps at the ends, as the sample is a share of the volume.
        """
        if trial in self.bits:
            return self.bits[trial]
        leakage, weight = self._leakage(trial), self.budget.start
        parts = make_parts(self.backend, self.sample, self.unit, trial.block, trial.cell)
        fills = 0 if trial.cell is None else self.preset.fills // _BALANCINGS + 1
        bits, worst = 0.0, 1.0
        for turn in range(_BALANCINGS + 1):
            # in the end all weights are raised by the worst bin's error: blocks are compared at the target
            step, shells = table(leakage.weights(weight * (worst if turn == _BALANCINGS else 1.0)))
            steps, energy, bits = np.array([step]), no_error(), 0.0
            for part in parts:
                latents = reweighted(part, shells)
                if fills:
                    latents, _ = part.voxels.fill(latents, steps, fills)
                    found = latents.in_voxels(np.arange(latents.layout.bands), latents.latents)
                    part.latents = Latents(self.backend, latents.layout, found)
                q = latents.plain(steps)
                if turn == _BALANCINGS:
                    bits += float(latents.cost(q, [prior()]).bits[0])
                else:
                    energy += node_error(latents, q, steps)
            if turn < _BALANCINGS:
                relative = self._predicted(leakage, energy)
                worst = float(relative.max())
                if turn < _BALANCINGS - 1:
                    weight = moved(weight, relative)
        self.weights[trial] = weight
        self.bits[trial] = bits + self.share * 8 * TEXT_BITS * len(shells.ends)
        return self.bits[trial]

    def _predicted(self, leakage: Leakage, energy: Array) -> Array:
        """(bins,) error over what is allowed."""
        relative = leakage.error(energy) / (self.share * self.budget.allowed)
        relative[0] = relative[min(1, len(relative) - 1)]
        return relative

    def _train(
        self, parts: list[Part], leakage: Leakage, weight: Array
    ) -> tuple[ContextNetwork, Array, int, list[Choice]]:
        """Rounds of choosing latents, balancing the bins and training one network on all parts."""
        network = prior()
        start, share = 0.6 - 0.3 * 0.5**self.trained, 0.15 * 0.5**self.trained  # of the progress
        self.trained += 1
        chosen: list[Quantised] = []
        fitted: list[Latents] = []
        for turn in range(2 * ROUNDS + 1):
            step, shells = table(leakage.weights(weight))
            steps = np.array([step])
            before, fitted, energy = chosen, [], no_error()
            chosen = []
            for i, part in enumerate(parts):
                latents, _ = part.voxels.fill(reweighted(part, shells), steps, self.preset.fills)
                q = before[i] if before else latents.plain(steps)
                q = latents.rate_distortion(q, steps, [network])
                fitted.append(latents)
                chosen.append(q)
                energy += node_error(latents, q, steps)
            weight = moved(weight, self._predicted(leakage, energy))
            if turn == 1:
                training = training_steps(fitted, chosen, self.share, self.preset)
            if turn % 2 and training.value:
                network = train_once(
                    fitted,
                    chosen,
                    network,
                    int(training.value),
                    turn // 2,
                    self.share,
                    lambda f: self.report(start + share * f),
                )
        made = [training]
        if training.value:
            network, kept = cheaper_network(fitted, chosen, network, self.share)
            made.append(kept)
        return network, weight, needed_nodes(fitted, chosen), made


def fit_shells(
    volume: Array,
    settings: Settings,
    chunk_shape: tuple[int, int, int],
    reference: ShellReference,
    *,
    device: str,
    report: Progress,
    ends: bool = True,
) -> list[ShellFit]:
    """Fits of a volume on a sample of its chunks, the likeliest first; none where no chunk can be a field.

    Args:
        volume: (d, h, w), padded as it will be written.
        settings: with an ``fsc`` target.
        reference: the unpadded volume's shells.
        device: as for :func:`encode_many`.
        report: called with the fraction done.
        ends: whether blocks at the chunks' faces may have steps of their own.
    """
    backend = get_backend("numpy" if settings.effort == 0 and device == "auto" else device)
    shells: FourierShells = reference.shells
    inside = tuple(slice(0, n) for n in shells.shape)
    choices = Choices(measure_traits(volume[inside], settings.threshold))
    size = sample_choice(choices.traits, settings.target, EFFORTS[settings.effort].latents)
    boxes = list(chunk_boxes(volume.shape, chunk_shape))
    sample, share = draw_sample(volume, boxes, settings.threshold, int(size.value or 0))
    if not sample:
        return []
    unit = max(p.scale for p in sample)
    budget = ShellBudget(reference, settings.target.value, unit)
    return SampleFit(
        backend,
        sample,
        share,
        chunk_shape,
        budget,
        shells.voxel_size,
        unit,
        settings,
        replace(choices, made=(size,)),
        ends,
        report,
    ).run()
