"""Prediction of a chunk from the decoded voxels of related volumes: half-maps, and the map made of them.

The voxels of a reference, the same chunk of another volume, are analysed by the chunk's own basis; each
latent times a weight that depends on its radius is the prediction, and the payload's latents are what it
misses. A weight for each radius follows any filter between the volumes. All arithmetic is on whole numbers,
as in synthesis (:mod:`inrcodec.core.fields.local_fourier`). The layout in words: ``docs/format.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.entropy import SCALES, SymbolReader, SymbolWriter, best_index
from inrcodec.core.field_section import Box
from inrcodec.core.fields.layout import Layout
from inrcodec.core.fields.local_fourier import analyse_exact
from inrcodec.core.payload import MAX_DENSITY, PayloadError, Reader, pack_short, pack_varint
from inrcodec.core.prepare import as_volume_shape

MAX_REFERENCES = 4
MAX_DISTANCE = 8  # volumes back in their container
MAX_CHAIN = 8  # predictions one upon the other
NODES = 29  # of the weights: one for each 1/16 of a radius that is below sqrt(3)
WEIGHT_BITS = 10  # weights are whole numbers of 2**-WEIGHT_BITS
LARGEST_WEIGHT = 2**15  # with latents below 2**29, sums over all references stay below 2**53

_NODE_BITS = 5  # between two nodes lie 32 weights on a straight line: a radius is known to 1/512

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class PredictionSection:
    """How a chunk is predicted.

    Attributes:
        distances: how many volumes before this one each reference is, 1 to ``MAX_DISTANCE``, all different.
        offsets: density of each reference that counts as zero; kept as the upper half of a double.
        scales: units, 1/64 step of the chunk, for one of a reference's density; kept likewise.
        weights: (references, NODES) whole numbers of 2**-WEIGHT_BITS by radius.
        skipped: (blocks,) mask of the blocks, in coding order, that are not predicted.
        alone: bytes of the payload that the chunk has without prediction; information only.
    """

    distances: tuple[int, ...]
    offsets: tuple[float, ...]
    scales: tuple[float, ...]
    weights: Array
    skipped: Array
    alone: int

    def to_bytes(self) -> bytes:
        out = bytearray([len(self.distances)])
        for distance, offset, scale in zip(self.distances, self.offsets, self.scales, strict=True):
            out.append(distance)
            out += pack_short(offset) + pack_short(scale)
        out += pack_varint(self.alone)
        moves = np.diff(self.weights, axis=1, prepend=0).reshape(-1)
        writer, index = SymbolWriter(), best_index(moves)
        writer.put(moves, np.full(len(moves), index, np.uint8))
        code = writer.put_bits(self.skipped) if self.skipped.any() else 0
        return bytes(out) + bytes([index, code]) + writer.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, blocks: int) -> PredictionSection:
        """Parse and check the section of a chunk of so many blocks.

        Raises:
            PayloadError: it is damaged, or claims more than the format allows.
        """
        reader = Reader(data)
        distances, offsets, scales, alone = _read_references(reader)
        index, code = reader.u8(), reader.u8()
        if index >= SCALES:
            raise PayloadError(f"prediction weights with scale index {index}")
        symbols = SymbolReader(reader.rest())
        moves = symbols.get(np.full(len(distances) * NODES, index, np.uint8)).astype(np.int64)
        weights = np.cumsum(moves.reshape(len(distances), NODES), axis=1)
        if np.abs(weights).max() > LARGEST_WEIGHT:
            raise PayloadError(f"a prediction weight of {np.abs(weights).max()}, at most {LARGEST_WEIGHT}")
        skipped = symbols.get_bits(blocks, code) if code else np.zeros(blocks, bool)
        symbols.end()
        return cls(distances, offsets, scales, weights, skipped, alone)


def read_distances(data: bytes) -> tuple[tuple[int, ...], int]:
    """What a section says without its field: the distances of its references, and the bytes without them.

    Raises:
        PayloadError: it is damaged, or claims more than the format allows.
    """
    distances, _, _, alone = _read_references(Reader(data))
    return distances, alone


def _read_references(
    reader: Reader,
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...], int]:
    count = reader.u8()
    if not 1 <= count <= MAX_REFERENCES:
        raise PayloadError(f"a prediction from {count} volumes, the format holds 1 to {MAX_REFERENCES}")
    entries = [(reader.u8(), reader.short(), reader.short()) for _ in range(count)]
    distances, offsets, scales = zip(*entries, strict=True)
    if len(set(distances)) < count or not 1 <= min(distances) <= max(distances) <= MAX_DISTANCE:
        raise PayloadError(f"a prediction from volumes {distances} back: 1 to {MAX_DISTANCE}, all different")
    # written so that NaN fails
    if not all(abs(value) <= MAX_DENSITY for value in (*offsets, *scales)):
        raise PayloadError(f"prediction offsets {offsets} or scales {scales} make no sense")
    return distances, offsets, scales, reader.varint()


def predict(
    backend: Backend,
    section: PredictionSection,
    layout: Layout,
    box: Box,
    references: Mapping[int, Array] | None,
) -> Array:
    """The prediction of a field's latents.

    Args:
        backend: where to compute; the result is the same on all.
        section: how they are predicted.
        layout: of the field.
        box: where the field lies in the chunk, seen as (d, h, w).
        references: decoded chunks by their distance, each of the shape of this one.

    Returns:
        (bands, blocks) float64 whole numbers of 1/64 step, blocks in coding order.

    Raises:
        PayloadError: a reference is not given, or its voxels are out of the range of exact arithmetic.
    """
    if references is None:
        raise PayloadError(
            "the payload is predicted from other volumes: unpack the container that holds them"
        )
    by_radius = band_weights(layout, section.weights)
    total = np.zeros((layout.bands, layout.blocks))
    for distance, offset, scale, weights in zip(
        section.distances, section.offsets, section.scales, by_radius, strict=True
    ):
        if distance not in references:
            raise PayloadError(
                f"the payload is predicted from the volume {distance} back, which is not given"
            )
        chunk = references[distance]
        values = whole_voxels(chunk.reshape(as_volume_shape(chunk.shape))[box], offset, scale)
        total += weights[:, None] * analyse_exact(backend, values, layout)
    total[:, section.skipped] = 0
    return np.rint(total * 2.0 ** -(WEIGHT_BITS + _NODE_BITS))


def whole_voxels(density: Array, offset: float, scale: float) -> Array:
    """Densities of a reference as whole numbers, float64; what is not finite counts as zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.rint((density.astype(np.float64) - offset) * scale)
    return values if density.dtype.kind != "f" else np.where(np.isfinite(density), values, 0.0)


def band_weights(layout: Layout, weights: Array) -> Array:
    """(references, bands) float64 weights in 2**-15, from those at the nodes."""
    position = (512 * layout.radius).astype(np.int64)
    node, part = position >> _NODE_BITS, position % 2**_NODE_BITS
    return np.asarray(weights[:, node] * (2**_NODE_BITS - part) + weights[:, node + 1] * part, np.float64)


def hats(layout: Layout) -> Array:
    """(bands, NODES) float64: the share that each node's weight has in a band's."""
    return np.asarray(band_weights(layout, np.eye(NODES, dtype=np.int64)).T / 2**_NODE_BITS)


def added(latents: Array, active: Array, predicted: Array) -> tuple[Array, Array]:
    """Dequantised latents of the active bands and the prediction together: latents, and their bands."""
    total = predicted.copy()
    total[active] += latents
    bands = np.flatnonzero(total.any(axis=1))
    return total[bands], bands
