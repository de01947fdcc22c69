"""Payloads of the ``mlp`` field: sections in and out, and the voxels of a payload."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inrcodec.core import verbatim
from inrcodec.core.backend import Backend
from inrcodec.core.casting import to_dtype
from inrcodec.core.mlp import occupancy
from inrcodec.core.mlp.fixed import FixedNetwork
from inrcodec.core.mlp.section import OUTPUT_BITS, MLPSection
from inrcodec.core.payload import MAX_SIDE, Field, Payload, PayloadError, Section
from inrcodec.core.prepare import as_volume_shape

_SLAB = 2**22  # voxels of a volume whose indices are held at once

Array = np.ndarray[Any, Any]
Box = tuple[slice, slice, slice]


def is_occupied(densities: Array, threshold: float) -> Array:
    """Which voxels the network represents: finite densities above the threshold."""
    with np.errstate(invalid="ignore"):
        above = densities > threshold
    return above & np.isfinite(densities) if densities.dtype.kind == "f" else above


def make_payload(
    chunk: Array, threshold: float, network: FixedNetwork, identifier: Array, scale: float, scope: str
) -> Payload:
    """The payload of an array whose occupied densities, divided by ``scale``, a network was trained on.

    Args:
        chunk: the array, 1 to 4 dimensions.
        threshold: densities at or below it are not represented and decode to 0.
        network: the trained network.
        identifier: (identifier,) whole numbers of 2^-14.
        scale: density of the network's 1.
        scope: ``"chunk"`` puts the weights into the payload, ``"volume"`` only their digest.
    """
    payload = Payload(chunk.shape, chunk.dtype, Field.MLP, "none", 0.0, scope)
    volume = chunk.reshape(as_volume_shape(chunk.shape))
    digest = network.digest if scope == "volume" else None
    section = MLPSection(network.shape, scale * 2.0**-OUTPUT_BITS, digest)
    payload.sections[Section.FIELD] = section.to_bytes()
    if scope == "chunk":
        payload.sections[Section.WEIGHTS] = network.data
    payload.sections[Section.LATENTS] = identifier.astype("<i4").tobytes()
    payload.sections[Section.OCCUPANCY] = occupancy.compress(is_occupied(volume, threshold))
    if volume.dtype.kind == "f":
        special = ~np.isfinite(volume)
        if special.any():
            payload.sections[Section.VERBATIM] = verbatim.encode(volume, special)
    return payload


def decode(
    payload: Payload, backend: Backend, region: Box | None = None, network: FixedNetwork | None = None
) -> Array:
    """Voxels (d, h, w) of a payload, or of a box of it.

    Args:
        payload: of the ``mlp`` field.
        backend: where to evaluate the network; the voxels are the same on all.
        region: box of the volume, steps of 1.
        network: of the set that a payload of volume scope belongs to.

    Raises:
        PayloadError: a section is damaged, or the network is missing or another's.
    """
    shape = as_volume_shape(payload.shape)
    if max(shape) > MAX_SIDE:
        raise PayloadError(f"an mlp field of {shape} voxels, sides have at most {MAX_SIDE}")
    section = MLPSection.from_bytes(payload.section(Section.FIELD), payload.scope)
    latents = payload.section(Section.LATENTS)
    if len(latents) != 4 * section.shape.identifier:
        raise PayloadError(f"identifier of {len(latents)} bytes, {section.shape.identifier} x 4 expected")
    network = _network(payload, section, network)
    mask = occupancy.decompress(payload.section(Section.OCCUPANCY), shape)
    wanted = region or (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    mask = mask[wanted]
    out = np.zeros(mask.shape, payload.dtype)
    step = max(1, _SLAB // math.prod(mask.shape[1:]))
    for first in range(0, len(mask), step):
        part = slice(first, first + step)
        z, y, x = np.nonzero(mask[part])
        if len(z):
            voxels = (z + (first + wanted[0].start), y + wanted[1].start, x + wanted[2].start)
            units = network.evaluate(backend, shape, voxels, np.frombuffer(latents, "<i4"))
            out[part][z, y, x] = to_dtype(units * section.unit, payload.dtype)
    if Section.VERBATIM in payload.sections:
        corner = tuple(s.start for s in wanted)
        verbatim.decode_into(payload.section(Section.VERBATIM), out, shape, corner)
    return out


def _network(payload: Payload, section: MLPSection, given: FixedNetwork | None) -> FixedNetwork:
    if payload.scope == "chunk":
        return FixedNetwork.from_bytes(payload.section(Section.WEIGHTS), section.shape)
    if given is None:
        raise PayloadError("payload is part of a set whose network it shares: unpack it from the set")
    if given.digest != section.digest or given.shape != section.shape:
        raise PayloadError(f"payload needs the network {section.digest:08x}, the set's is {given.digest:08x}")
    return given
