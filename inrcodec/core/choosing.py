"""From prepared chunks to one fit each: step for the target, block length, occupancy by rate."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec.core import bounded, occupancy
from inrcodec.core.backend import Backend
from inrcodec.core.casting import bound_before_cast, to_dtype
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.fields.local_fourier import LATENT_BITS
from inrcodec.core.fitting import Fit, Voxels, choose_block, fit_latents, plain_step
from inrcodec.core.latents import LAMBDA, Latents, Quantised
from inrcodec.core.predicting import Prediction, choose_prediction
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import EFFORTS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings, Target
from inrcodec.core.symmetry.asymmetric_unit import NoImages
from inrcodec.core.symmetry.field import UNIT_STEP, SymmetricField
from inrcodec.core.symmetry.fitting import fit_symmetric

_LEFT = 0.005  # squared steps, mean over a block's latents: as little is left of empty blocks
_BROKEN = 3.0  # times the median of the others: the symmetry does not hold
_LEAST = 2 / 12  # squared steps, mean over a block: twice what rounding leaves
_LARGE = 1.25  # steps: a latent that rounding alone seldom leaves
_LARGER = 1 / 8  # more steps of it for twice as many copies
_FAITHFUL = 0.1  # of the usual weight of a bit, where symmetry is broken

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class ChunkFit:
    """One chunk's field.

    Attributes:
        fit: a batch of this chunk alone; latents and step in units of ``scale``.
        cell: occupancy cell size, or None where no mask is stored.
        mask: section bytes of the occupancy.
        occupied: (d, h, w) mask of the box, voxels of set cells; None without occupancy.
        voxels: the voxels fitted, in units of ``scale``.
        scale: density of one unit of ``voxels``.
        symmetric: what symmetry predicts of the chunk; ``voxels`` are the rest.
        prediction: of the latents, which are then those of what it misses; None without.
    """

    fit: Fit
    voxels: Voxels
    scale: float
    cell: int | None = None
    mask: bytes = b""
    occupied: Array | None = None
    symmetric: SymmetricField | None = None
    prediction: Prediction | None = None

    def squared_error(self, q: Quantised, step: float) -> float:
        """Squared error over the voxels that matter, in units of ``scale``, in float arithmetic."""
        return float(self.voxels.squared_error(self.fit.latents, q, np.array([step]))[0])

    def stored_error(self, chunk: Prepared, dtype: np.dtype[Any]) -> float:
        """The same of the voxels as they will be stored in a dtype that may round or clip them."""
        quantised, step = self.fit.quantised, self.fit.step
        if dtype.kind == "f" and dtype.itemsize > 2:
            return self.squared_error(quantised, float(step[0]))
        backend = self.voxels.backend
        rebuilt = self.voxels.rebuild(self.fit.latents, quantised, step)
        error = backend.to_numpy(rebuilt - self.voxels.values)[0].astype(np.float64) * self.scale
        stored = to_dtype(chunk.values + error, dtype) - chunk.values
        if self.voxels.care is not None:
            stored *= backend.to_numpy(self.voxels.care)[0]
        return float(np.sum(stored**2)) / self.scale**2

    @property
    def bits(self) -> float:
        predicting = 0 if self.prediction is None else len(self.prediction.section)
        return float(self.fit.bits[0]) + 8 * (len(self.mask) + predicting)


def fit_chunks(backend: Backend, chunks: Sequence[Prepared], settings: Settings) -> list[ChunkFit]:
    """Fit fields to chunks whose boxes have one shape."""
    preset = EFFORTS[settings.effort]
    if settings.volume is not None:
        return _fit_volume_scope(backend, chunks, settings, preset)
    special = [c.special is not None for c in chunks]
    masked = [c.masked and (c.threshold or preset.masks > 0) for c in chunks]
    out: list[ChunkFit | None] = [None] * len(chunks)
    together = [i for i in range(len(chunks)) if not (masked[i] or special[i])]
    if together:
        members = [chunks[i] for i in together]
        fit_list = _fit_batch(backend, members, settings, preset, None)
        for i, fit in zip(together, fit_list, strict=True):
            out[i] = fit
    for i, chunk in enumerate(chunks):
        if out[i] is None:
            out[i] = _fit_masked(backend, chunk, settings, preset)
    return [fit for fit in out if fit is not None]


def _normalised(chunks: Sequence[Prepared], scales: Array) -> Array:
    return np.stack([(c.values - c.offset) / s for c, s in zip(chunks, scales, strict=True)])


def _fit_batch(
    backend: Backend, chunks: Sequence[Prepared], settings: Settings, preset: Preset, care: Array | None
) -> list[ChunkFit]:
    """Fit a batch, each chunk for its own target; chunks of one block length go on together."""
    scales = np.array([c.scale for c in chunks])
    values = _normalised(chunks, scales)
    voxels = Voxels(backend, values, care)
    budget = _budget(voxels, chunks, scales, settings.target, preset)
    blocks, steps = choose_block(voxels, budget, preset, settings.block)
    if len(blocks) > 1:
        # estimates are of plain quantisation: the best two or three are compared as they will be coded
        screen = replace(preset, rounds=1, trainings=0)
        bits = np.array(
            [
                [fit.bits for fit in _fit_blocks(voxels, *rank, scales, budget, screen)]
                for rank in zip(blocks, steps, strict=True)
            ]
        )
        best = bits.argmin(axis=0)[None]
        blocks, steps = (np.take_along_axis(a, best, axis=0) for a in (blocks, steps))
    return _fit_blocks(voxels, blocks[0], steps[0], scales, budget, preset)


def _fit_blocks(
    voxels: Voxels, blocks: Array, steps: Array, scales: Array, budget: Array, preset: Preset
) -> list[ChunkFit]:
    """Fit each chunk with its own block length; chunks of one length go together."""
    out: dict[int, ChunkFit] = {}
    for block in np.unique(blocks):
        members = np.flatnonzero(blocks == block)
        part = voxels if len(members) == len(blocks) else voxels.select(members)
        fit = fit_latents(part, part.analyse(int(block)), steps[members], preset, budget=budget[members])
        for at, i in enumerate(members.tolist()):
            out[i] = ChunkFit(fit.chunk(at), part.select([at]), float(scales[i]))
    return [out[i] for i in range(len(blocks))]


def _budget(
    voxels: Voxels, chunks: Sequence[Prepared], scales: Array, target: Target, preset: Preset
) -> Array:
    """(batch,) squared error to spend, in normalised units."""
    if target.kind == "snr":
        return np.array([c.squared_error_budget(target) for c in chunks]) / scales**2
    if target.kind == "max_error":
        # far below and above the density's own scale all bounds are alike, but their squares overflow
        bounds = np.array([bound_before_cast(target.value, c.chunk.dtype) for c in chunks])
        return _budget_for_bound(voxels, np.clip(bounds, 1e-12 * scales, 1e6 * scales) / scales)
    sizes = np.array([c.chunk.nbytes for c in chunks]) / target.value
    return budget_for_bits(voxels, 8 * sizes - 8 * 120)


def _budget_for_bound(voxels: Voxels, bound: Array) -> Array:
    """(batch,) squared error at which field and corrections together take the fewest bits."""
    count = float(np.prod(voxels.shape))
    latents = voxels.analyse(16)

    def spend(ratio: float) -> tuple[Quantised, Array]:
        step = plain_step(voxels, latents, count * (ratio * bound) ** 2)
        return latents.cost(latents.plain(step), [prior()]), step

    def sparse(ratio: float) -> Array:
        return spend(ratio)[0].bits + bounded.sparse_bits(ratio, int(count))

    def dense(ratio: float) -> Array:
        q, step = spend(ratio)
        return q.bits + bounded.dense_bits(voxels, latents, q, step, bound)

    return np.asarray(count * (bounded.cheapest_ratio(sparse, dense) * bound) ** 2)


def budget_for_bits(voxels: Voxels, bits: Array) -> Array:
    """The squared error that a number of bits buys, by bisection on the step with the prior's estimate."""
    latents = voxels.analyse(16)
    energy = latents.energy
    low, high = np.full(len(bits), 1e-4), np.full(len(bits), 1e3)
    for _ in range(16):
        step = np.sqrt(low * high)
        cost = latents.cost(latents.plain(step), [prior()]).bits
        high = np.where(cost <= bits, step, high)
        low = np.where(cost <= bits, low, step)
    error = latents.squared_error(latents.plain(high), high, np.zeros((len(bits), 3), np.int64))
    return np.asarray(np.clip(error, 1e-12, energy + 1e-9))


def _fit_masked(backend: Backend, chunk: Prepared, settings: Settings, preset: Preset) -> ChunkFit:
    """Fit a chunk with special values or a background: with a mask where it saves bytes."""
    options: list[ChunkFit] = []
    if not chunk.threshold:
        options += _fit_batch(backend, [chunk], settings, preset, chunk.care(None))
    if chunk.masked:
        plain_bits = options[0].bits if options else np.inf
        masks = [(cell, occupancy.compress(chunk.represented, cell)) for cell in occupancy.CELLS]
        worth = [(c, m) for c, m in masks if 8 * len(m) < 0.5 * plain_bits]
        # densities not above a threshold must decode to 0, each of them: cells of one voxel; otherwise the
        # smaller the cell, the more voxels are free, and the dearer the mask
        worth = masks[:1] if chunk.threshold else worth[: preset.masks]
        for cell, mask in worth:
            occupied = chunk.occupied(cell)
            fit = _fit_batch(backend, [chunk], settings, preset, chunk.care(occupied))[0]
            options.append(replace(fit, cell=cell, mask=mask, occupied=occupied))
    return min(options, key=lambda fit: fit.bits)


def _fit_volume_scope(
    backend: Backend, chunks: Sequence[Prepared], settings: Settings, preset: Preset
) -> list[ChunkFit]:
    """Fit with the volume's step, block length and networks: nothing is trained or searched."""
    volume = settings.volume
    assert volume is not None
    out = []
    for chunk in chunks:
        occupied, mask, cell = None, b"", None
        if chunk.masked and (chunk.threshold or volume.cell is not None):
            cell = 1 if chunk.threshold or volume.cell is None else volume.cell
            mask = occupancy.compress(chunk.represented, cell)
            occupied = chunk.occupied(cell)
        scale, symmetric = np.array([chunk.scale]), None
        if volume.symmetry is not None:
            with suppress(NoImages):  # all density lies where symmetry says nothing
                symmetric = fit_symmetric(backend, chunk, occupied, volume, preset)
        values = _normalised([chunk], scale)
        if symmetric is not None:
            values = values - symmetric.units(backend, chunk.box)[None] * (
                volume.step * UNIT_STEP / chunk.scale
            )
        care, step = chunk.care(occupied), np.array([volume.step]) / scale
        predicted = None if symmetric is not None else choose_prediction(chunk, volume, care)
        options = []
        for prediction in [None] if predicted is None else [None, predicted]:
            rest = values
            if prediction is not None:
                found = prediction.voxels(get_layout(chunk.shape, volume.block))
                rest = values - found * (step[0] / 2**LATENT_BITS)
            voxels = Voxels(backend, rest, care, volume.shells)
            latents = voxels.analyse(volume.block)
            weight: float | Array = LAMBDA
            if symmetric is not None:
                weight = _weight_of_rest(latents, step, symmetric)
            fit = fit_latents(
                voxels, latents, step, preset, budget=None, networks=[volume.network], weight=weight
            )
            made = ChunkFit(fit.chunk(0), voxels, chunk.scale, cell, mask, occupied, symmetric, prediction)
            options.append(made)
        out.append(min(options, key=_cost) if len(options) > 1 else options[0])
    return out


def _weight_of_rest(latents: Latents, step: Array, unit: SymmetricField) -> Array:
    """(blocks,) weight of a bit in what symmetry leaves: infinite where that is little more than rounding.

    Bits of the asymmetric unit mend such errors in all copies at once: the more copies, the larger latents
    are left to it. Elsewhere, few blocks that leave far more than the others hold what breaks the symmetry:
    they are sparse, so that their bits are dear, and at the usual weight errors would gather there.
    """
    left, largest = (latents.backend.to_numpy(a)[0] for a in latents.block_sizes(step))
    some = left > _LEFT
    if not some.any():
        return np.full(len(left), np.inf)
    weight = np.where(left > _BROKEN * np.median(left[some]), _FAITHFUL * LAMBDA, LAMBDA)
    large = _LARGE + _LARGER * max(0.0, np.log2(latents.layout.blocks / unit.layout.blocks))
    large *= max(1.0, np.median(largest[some]) / _LARGE)  # errors of long steps leak into short ones
    return np.where((left > _LEAST) | (largest > large), weight, np.inf)


def _cost(fit: ChunkFit) -> float:
    """Error in squared steps and bits together, as latents are chosen."""
    step = float(fit.fit.step[0])
    return fit.squared_error(fit.fit.quantised, step) / step**2 + LAMBDA * fit.bits
