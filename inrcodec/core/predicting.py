"""The encoder's choice of a prediction: which references, which weights by radius, in which blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.backend import NUMPY
from inrcodec.core.fields.layout import Layout, get_layout
from inrcodec.core.fields.local_fourier import LATENT_BITS, analyse, synthesise
from inrcodec.core.payload import PayloadError, short
from inrcodec.core.prediction import (
    MAX_REFERENCES,
    NODES,
    WEIGHT_BITS,
    PredictionSection,
    hats,
    predict,
)
from inrcodec.core.prepare import Prepared, as_volume_shape
from inrcodec.core.volume import VolumeModel

_ROUNDS = 3  # of fitting weights to the blocks that gain, and of asking which do
_REFERENCE_BITS = 8 * 30  # of a reference in the section, about
_SMOOTH = 1e-5  # of the mean energy at a node: keeps weights where there is no energy near their neighbours'
_FLAT = 0.05  # of a reference's largest weight: with less at its zero frequency, no offset makes a constant

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Prediction:
    """A prediction of one chunk.

    Attributes:
        section: bytes of its section.
        latents: (bands, blocks) float64 whole numbers of 1/64 step, as the decoder will have them.
    """

    section: bytes
    latents: Array

    def voxels(self, layout: Layout) -> Array:
        """(1, d, h, w) in 1/64 step, in float arithmetic."""
        return np.asarray(synthesise(NUMPY, self.latents.astype(np.float32)[:, None], layout))


@dataclass(eq=False)
class _Reference:
    """A reference as the encoder sees it: its latents are of (density - offset) / unit."""

    distance: int
    offset: float
    unit: float
    latents: Array


@dataclass(eq=False)
class _Fitted:
    """Weights of some references, and what they do.

    Attributes:
        references: which.
        weights: (references, NODES) steps for one unit of each.
        constant: steps that the prediction has beside; the offset of one reference will hold it.
        skipped: (blocks,) mask of blocks that are better off without.
        bits: saved, estimated, the section not counted.
    """

    references: list[_Reference]
    weights: Array
    constant: float
    skipped: Array
    bits: float


def choose_prediction(chunk: Prepared, volume: VolumeModel, care: Array | None) -> Prediction | None:
    """The prediction of a chunk's latents that promises to save the most; None where none does.

    Weights are those of least squares. As noise and quantisation errors of the references are in them, these
    are Wiener filters.

    Args:
        chunk: with what it may be predicted from.
        volume: its step and block length.
        care: (1, d, h, w) voxels that matter, or None.
    """
    if chunk.related is None:
        return None
    layout = get_layout(chunk.shape, volume.block)
    matters = np.ones(chunk.shape) if care is None else care[0].astype(np.float64)
    latents = _latents((chunk.values - chunk.offset) * matters / volume.step, layout)
    nearest = sorted(chunk.related.chunks)[:MAX_REFERENCES]
    found = [_reference(d, chunk.related.chunks[d], chunk, matters, layout) for d in nearest]
    references = [reference for reference in found if reference is not None]
    ones = _latents(matters, layout)
    best = _fit(latents, references, ones, layout)
    for reference in references:  # one that adds nothing costs bytes, and time to decode
        others = [other for other in best.references if other is not reference]
        fewer = _fit(latents, others, ones, layout)
        if fewer.bits > best.bits - _REFERENCE_BITS:
            best = fewer
    if not best.references or best.skipped.all():
        return None
    section = _section(best, chunk.related.alone)
    try:
        exact = predict(NUMPY, section, layout, chunk.box, chunk.related.chunks)
    except PayloadError:
        return None  # densities far beyond this chunk's
    return Prediction(section.to_bytes(), exact)


def _latents(voxels: Array, layout: Layout) -> Array:
    """(bands, blocks) float64."""
    return np.asarray(analyse(NUMPY, voxels[None].astype(np.float32), layout)[:, 0], np.float64)


def _reference(
    distance: int, density: Array, chunk: Prepared, matters: Array, layout: Layout
) -> _Reference | None:
    """A reference's latents; None where it holds nothing to predict from."""
    density = density.reshape(as_volume_shape(density.shape))[chunk.box].astype(np.float64)
    known = np.isfinite(density) & (matters > 0)
    if not known.any():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        offset = short(float(density[known].mean()))
        unit = float((density[known] - offset).std())
    if not (0 < unit < np.inf and abs(offset) < np.inf):
        return None
    values = np.where(known, density - offset, 0.0) / unit
    return _Reference(distance, offset, unit, _latents(values, layout))


def _fit(latents: Array, references: list[_Reference], ones: Array, layout: Layout) -> _Fitted:
    """Least squares by radius, over the blocks that gain by it; ``ones`` are the latents of 1 everywhere."""
    skipped = np.zeros(layout.blocks, bool)
    nothing = _Fitted([], np.zeros((0, NODES)), 0.0, skipped, 0.0)
    if not references:
        return nothing
    share, plain = hats(layout), _bits(latents)
    for turn in range(_ROUNDS):
        weights, constant = _weights(latents, references, ones, share, ~skipped)
        by_band = weights @ share.T
        predicted = constant * ones
        for w, reference in zip(by_band, references, strict=True):
            predicted += w[:, None] * reference.latents
        gains = plain - _bits(latents - predicted)
        if turn < _ROUNDS - 1:
            skipped = gains <= 0
        if skipped.all():
            return nothing
    return _Fitted(references, weights, constant, skipped, float(gains[~skipped].sum()))


def _bits(latents: Array) -> Array:
    """(blocks,) bits of latents in steps, about."""
    return np.asarray(np.log2(1 + latents * latents).sum(axis=0) / 2)


def _weights(
    latents: Array, references: list[_Reference], ones: Array, share: Array, blocks: Array
) -> tuple[Array, float]:
    """(references, NODES) of least squares over some blocks, and a constant beside."""
    known = [reference.latents[:, blocks] for reference in references]
    wanted, flat, count = latents[:, blocks], ones[:, blocks], len(references) * NODES
    normal = np.zeros((len(references), NODES, len(references), NODES))
    right, beside = np.zeros((2, len(references), NODES))
    for i, a in enumerate(known):
        right[i] = share.T @ (a * wanted).sum(axis=1)
        beside[i] = share.T @ (a * flat).sum(axis=1)
        for j, b in enumerate(known):
            normal[i, :, j] = share.T @ (share * (a * b).sum(axis=1)[:, None])
    matrix = normal.reshape(count, count)
    moves = np.diff(np.eye(NODES), axis=0)
    smooth = np.kron(np.eye(len(references)), moves.T @ moves + 1e-3 * np.eye(NODES))
    matrix += _SMOOTH * np.trace(matrix) / count * smooth
    column = beside.reshape(-1, 1)
    matrix = np.block([[matrix, column], [column.T, np.full((1, 1), 1e-6 + (flat * flat).sum())]])
    solved = np.linalg.solve(matrix, np.append(right.reshape(-1), (flat * wanted).sum()))
    return solved[:-1].reshape(len(references), NODES), float(solved[-1])


def _section(fitted: _Fitted, alone: int) -> PredictionSection:
    most = np.maximum(np.abs(fitted.weights).max(axis=1), 1e-30)
    scales = [short(float(2**LATENT_BITS * m / r.unit)) for m, r in zip(most, fitted.references, strict=True)]
    offsets = [reference.offset for reference in fitted.references]
    i = int(np.abs(fitted.weights[:, 0]).argmax())
    flat = float(fitted.weights[i, 0])
    if abs(flat) > _FLAT * most[i]:
        offsets[i] = short(offsets[i] - fitted.constant / flat * fitted.references[i].unit)
    return PredictionSection(
        tuple(reference.distance for reference in fitted.references),
        tuple(offsets),
        tuple(scales),
        np.rint(fitted.weights / most[:, None] * 2**WEIGHT_BITS).astype(np.int64),
        fitted.skipped,
        alone,
    )
