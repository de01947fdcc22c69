"""What a payload says of itself, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.field_section import FieldSection, volume_digest
from inrcodec.core.fields.basis import block_length, edge_kind
from inrcodec.core.fields.edges import edges_name
from inrcodec.core.mlp.section import OUTPUT_BITS, MLPSection
from inrcodec.core.payload import Field, Payload, Reader, Section
from inrcodec.core.prepare import as_volume_shape
from inrcodec.core.symmetry.groups import RISE_UNIT, Helix, PointGroup
from inrcodec.core.symmetry.section import SymmetrySection
from inrcodec.core.volume import VolumeModel


@dataclass(frozen=True)
class PayloadInfo:
    """A payload's own description.

    Attributes:
        shape: voxels per axis, in array order.
        dtype: of the decoded chunk, byte order included.
        field: ``constant``, ``lossless``, ``local-fourier`` or ``mlp``.
        scope: ``chunk`` (networks in the payload or the built-in prior) or ``volume``.
        target, target_value: the quality target the chunk was encoded for.
        nbytes: the payload's length.
        sections: bytes per section.
        details: of a field: occupancy ``cell`` (voxels, or None) and which ``networks``; in chunk scope, or
            where the volume was given, also ``step``, ``offset`` and ``background`` (density units), ``box``
            of the field in the chunk seen as (d, h, w), ``block`` (voxels), ``edges`` (what the correlation
            of neighbouring voxels lacks of 1 in the density that end blocks are made for), ``grid``
            (blocks per axis) and ``coded_share`` of the frequency bands.
            With symmetry also ``symmetry``, of any scope: a dictionary of its ``group`` (symbol; a helix's
            rise in voxels), ``order`` (:func:`copies`), ``box`` of the asymmetric unit's field in voxels of
            the chunk seen as (d, h, w), out of which it may stick, and ``radius`` (voxels from the centre or
            axis within which it holds, or None). Of the
            ``mlp`` field: ``widths`` of its layers, ``frequencies``, ``identifier`` (length), ``residual``,
            ``weight_bits``, ``parameters`` (number), ``scale`` (density of the network's 1), and
            ``networks``, the same in words.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    field: str
    scope: str
    target: str
    target_value: float
    nbytes: int
    sections: dict[str, int]
    details: dict[str, Any]

    @property
    def ratio(self) -> float:
        """Original bytes over payload bytes."""
        return float(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize / self.nbytes


def inspect(data: bytes, *, volume: VolumeModel | None = None) -> PayloadInfo:
    """Describe a payload (checksum and lengths are checked, voxels are not decoded).

    Args:
        data: the payload.
        volume: what the chunks of its volume share, ``codec.volume`` of the codec that wrote it; without it
            less is known of a payload of volume scope.

    Raises:
        PayloadError: the payload is damaged.
    """
    payload = Payload.from_bytes(data)
    return PayloadInfo(
        shape=payload.shape,
        dtype=payload.dtype,
        field=payload.field.name.lower().replace("_", "-"),
        scope=payload.scope,
        target=payload.target,
        target_value=payload.target_value,
        nbytes=len(data),
        sections={section.name.lower(): len(body) for section, body in payload.sections.items()},
        details=_details(payload, volume),
    )


def _details(payload: Payload, volume: VolumeModel | None) -> dict[str, Any]:
    if payload.field == Field.MLP:
        return _mlp_details(payload)
    if payload.field != Field.LOCAL_FOURIER:
        return {}
    data, shape = payload.section(Section.FIELD), as_volume_shape(payload.shape)
    occupancy = payload.sections.get(Section.OCCUPANCY)
    cell = None if occupancy is None else Reader(occupancy).varint()
    shared = f"volume {volume_digest(data):08x}" if payload.scope == "volume" else None
    symmetry = _symmetry_details(payload.sections.get(Section.SYMMETRY), shape)
    if shared is not None and volume is None:
        return {"cell": cell, "networks": shared, **symmetry}
    section = FieldSection.from_bytes(data, shape, scope=payload.scope, volume=volume)
    layout = section.layout
    own = "own" if Section.WEIGHTS in payload.sections else f"prior {section.network}"
    return {
        "step": section.step,
        "offset": section.offset,
        "background": section.background,
        "box": tuple((s.start, s.stop) for s in section.box),
        "block": block_length(section.block),
        "edges": edges_name(edge_kind(section.block)),
        "grid": layout.grid,
        "coded_share": len(section.active) / layout.bands,
        "cell": cell,
        "networks": shared or own,
        **symmetry,
    }


def copies(group: PointGroup | Helix, depth: int) -> int:
    """Order of a point group; of a helix, the asymmetric units in a box of ``depth`` voxels along z."""
    if isinstance(group, PointGroup):
        return group.order
    return max(1, round(group.n * depth * RISE_UNIT / group.rise))


def _symmetry_details(data: bytes | None, shape: tuple[int, int, int]) -> dict[str, Any]:
    if data is None:
        return {}
    section = SymmetrySection.from_bytes(data, shape)
    images = section.images
    group = images.symmetry.group
    found = {
        "group": group.symbol,
        "order": copies(group, shape[0]),
        "box": section.field,
        "radius": images.radius,
    }
    return {"symmetry": found}


def _mlp_details(payload: Payload) -> dict[str, Any]:
    section = MLPSection.from_bytes(payload.section(Section.FIELD), payload.scope)
    shape = section.shape
    return {
        "widths": shape.widths,
        "frequencies": shape.frequencies,
        "identifier": shape.identifier,
        "residual": shape.residual,
        "weight_bits": shape.weight_bits,
        "parameters": shape.parameters,
        "scale": section.unit * 2.0**OUTPUT_BITS,
        "networks": str(shape),
    }
