"""Balancing a Fourier-shell target on a sample: errors by node, weights that answer them, where to end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec.core.latents import Latents, Quantised
from inrcodec.core.leakage import Leakage, nodes, table
from inrcodec.core.shell_budget import ShellBudget
from inrcodec.core.shells import AXES, MAX_NODES, ShellTable
from inrcodec.core.volume import VolumeModel, short_step
from inrcodec.core.volume_sample import Part

Array = np.ndarray[Any, Any]

_NONZERO = 3e-4  # share of latents about a node that are not zero, for it to be coded


@dataclass(eq=False)
class ShellFit:
    """A volume's fit on its sample, ready for the closed loop over the whole volume."""

    weight: Array
    budget: ShellBudget
    leakage: Leakage
    model: VolumeModel
    unit: float
    cutoff: int

    def with_weight(self, weight: Array, cutoff: int) -> ShellFit:
        """The fit with other weights of bins."""
        step, shells = table(self.leakage.weights(weight), cutoff)
        model = replace(self.model, step=short_step(step * self.unit), shells=shells)
        return replace(self, weight=weight, model=model, cutoff=cutoff)


def reweighted(part: Part, shells: ShellTable) -> Latents:
    """A part's latents with the steps of a table."""
    return Latents(part.latents.backend, part.latents.layout, part.latents.latents, shells)


def moved(weight: Array, relative: Array, most: float = 2.5) -> Array:
    """Weights after bins had these errors, relative to those allowed."""
    return np.asarray(weight * np.clip(relative, 1 / most, most))


def node_error(latents: Latents, q: Quantised, step: Array) -> Array:
    """(4, MAX_NODES) squared error of latents, in squares of the voxels' unit: see :class:`Leakage`."""
    xp = latents.backend.xp

    def total(values: Any) -> Array:
        return latents.backend.to_numpy(xp.sum(values * values, axis=1)).astype(np.float64)

    out = total(latents.latents)
    if len(q.bands):
        kept = latents.latents[latents.backend.asarray(q.bands)]
        out[q.bands] = total(kept - latents.dequantise(q, step, latents.offsets(q, step)))
    if latents.shells is not None:
        out = out * latents.shells.gains(latents.layout) ** 2
    node, ends = nodes(latents.layout), latents.layout.ends
    by_ends = [out[:, ends == n].sum(axis=1) for n in range(AXES + 1)]
    return np.array([np.bincount(node, column, MAX_NODES) for column in by_ends])


def needed_nodes(fitted: list[Latents], chosen: list[Quantised]) -> int:
    """Nodes of a table that ends where next to all latents are zero."""
    nonzero, count = np.zeros(MAX_NODES), np.zeros(MAX_NODES)
    for latents, q in zip(fitted, chosen, strict=True):
        node = nodes(latents.layout)
        count += np.bincount(node, minlength=MAX_NODES) * latents.layout.blocks
        if len(q.bands):
            held = latents.backend.to_numpy((q.values != 0).sum(axis=(1, 2))).astype(np.float64)
            nonzero += np.bincount(node[q.bands], held, MAX_NODES)
    worth = np.flatnonzero(nonzero > _NONZERO * np.maximum(count, 1))
    return min(MAX_NODES, (int(worth[-1]) if worth.size else 0) + 2)
