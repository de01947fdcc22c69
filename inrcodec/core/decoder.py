"""Payloads in, chunks out. Exact, and without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from inrcodec.core import corrections, lossless, occupancy, prediction, verbatim
from inrcodec.core.backend import Backend, get_backend, one_blas_thread
from inrcodec.core.casting import to_dtype
from inrcodec.core.context import ContextNetwork
from inrcodec.core.field_section import Box, FieldSection
from inrcodec.core.fields.local_fourier import synthesise_exact
from inrcodec.core.latent_coding import decode_latents, dequantiser
from inrcodec.core.levels import Levels
from inrcodec.core.mlp import chunks as mlp_chunks
from inrcodec.core.payload import Field, Payload, PayloadError, Section
from inrcodec.core.prepare import as_volume_shape
from inrcodec.core.prior import prior
from inrcodec.core.symmetry.field import SymmetricField
from inrcodec.core.volume import VolumeModel

_AT_ONCE = 2**22  # voxels
_THINNEST = 32  # planes: thinner slabs share too many blocks with the next

Array = np.ndarray[Any, Any]
References = Mapping[int, Array]


def decode_many(
    payloads: Sequence[bytes],
    *,
    volume: VolumeModel | None = None,
    device: str = "numpy",
    references: Sequence[References | None] | None = None,
) -> list[Array]:
    """Decode payloads into chunks in their own dtype, byte order and memory order.

    Args:
        payloads: bytes-like objects.
        volume: the volume's networks, needed by payloads of volume scope.
        device: ``"numpy"``, ``"cpu"`` (PyTorch) or ``"cuda"``; the voxels are the same on all.
        references: for each payload the decoded chunks it is predicted from, by how many volumes back.

    Raises:
        PayloadError: a payload is damaged, or of volume scope and its networks are not given, or predicted
            and its references are not given.
    """
    backend = get_backend(device)
    parsed = [Payload.from_bytes(p) for p in payloads]

    def decode(payload: Payload, given: References | None) -> Array:
        chunk = _decode(payload, volume, backend, None, given)
        return np.asfortranarray(chunk) if payload.fortran else chunk

    given = [None] * len(parsed) if references is None else references
    if len(given) != len(parsed):
        raise ValueError(f"references for {len(given)} of {len(parsed)} payloads")
    workers = min(len(parsed), os.cpu_count() or 1)
    if workers < 2 or backend.device != "numpy":
        return list(map(decode, parsed, given))
    with one_blas_thread(), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(decode, parsed, given))


def decode_region(payload: bytes, region: tuple[slice, ...], *, volume: VolumeModel | None = None) -> Array:
    """Decode a box of a chunk, evaluating only the blocks it touches.

    Args:
        payload: a bytes-like object.
        region: one slice per axis of the chunk, as NumPy understands them.
        volume: as for :func:`decode_many`.
    """
    parsed = Payload.from_bytes(payload)
    if len(region) != len(parsed.shape):
        raise ValueError(f"{len(region)} slices for a chunk of shape {parsed.shape}")
    ranges = [range(n)[s] for n, s in zip(parsed.shape, region, strict=True)]
    regional = parsed.field in (Field.LOCAL_FOURIER, Field.MLP)
    if not regional or len(parsed.shape) > 3 or not all(map(len, ranges)):
        return _decode(parsed, volume, get_backend("numpy"), None)[region]
    low = [min(r[0], r[-1]) for r in ranges]
    high = [max(r[0], r[-1]) + 1 for r in ranges]
    lead = [slice(0, 1)] * (3 - len(ranges))
    d, h, w = lead + [slice(a, b) for a, b in zip(low, high, strict=True)]
    box = _decode(parsed, volume, get_backend("numpy"), (d, h, w))
    # the box starts at its lowest voxel; steps keep their size and sign inside it
    return box[tuple(_shifted(r, a) for r, a in zip(ranges, low, strict=True))]


def _shifted(wanted: range, low: int) -> slice:
    stop = wanted.stop - low
    return slice(wanted.start - low, None if stop < 0 else stop, wanted.step)


def _decode(
    payload: Payload,
    volume: VolumeModel | None,
    backend: Backend,
    region: Box | None,
    references: References | None = None,
) -> Array:
    if payload.field == Field.MLP:
        out = mlp_chunks.decode(payload, backend, region)  # its matrix products are worth many threads
        return out.reshape(payload.shape) if region is None else _without_leading(out, payload)
    with one_blas_thread():
        return _decode_field(payload, volume, backend, region, references)


def _decode_field(
    payload: Payload,
    volume: VolumeModel | None,
    backend: Backend,
    region: Box | None,
    references: References | None,
) -> Array:
    if payload.field == Field.CONSTANT:
        value = payload.section(Section.CONSTANT)
        if len(value) != payload.dtype.itemsize:
            raise PayloadError(f"constant of {len(value)} bytes for dtype {payload.dtype}")
        return np.full(payload.shape, np.frombuffer(value, payload.dtype)[0], payload.dtype)
    if payload.field == Field.LOSSLESS:
        return lossless.decompress(payload.section(Section.LOSSLESS), payload.shape, payload.dtype)
    shape = as_volume_shape(payload.shape)
    section = FieldSection.from_bytes(
        payload.section(Section.FIELD), shape, scope=payload.scope, volume=volume
    )
    network = _network(payload, section)
    latents = decode_latents(
        backend,
        payload.section(Section.LATENTS),
        section.layout,
        section.envelope,
        section.active,
        network,
    )
    symmetric = None
    if Section.SYMMETRY in payload.sections:
        symmetric = SymmetricField.decode(
            backend, payload.section(Section.SYMMETRY), shape, section.block, network, section.shells
        )
    predicted = _predicted(backend, payload, section, references)
    out = reconstruct(backend, payload, section, latents, region, symmetric, predicted)
    return out.reshape(payload.shape) if region is None else _without_leading(out, payload)


def _predicted(
    backend: Backend, payload: Payload, section: FieldSection, references: References | None
) -> Array | None:
    """What other volumes say of the latents; None where nothing is asked of them."""
    if Section.PREDICTION not in payload.sections:
        return None
    for chunk in (references or {}).values():
        if chunk.shape != payload.shape:
            raise PayloadError(f"a reference of shape {chunk.shape} for a chunk of {payload.shape}")
    how = prediction.PredictionSection.from_bytes(payload.section(Section.PREDICTION), section.layout.blocks)
    return prediction.predict(backend, how, section.layout, section.box, references)


def _without_leading(out: Array, payload: Payload) -> Array:
    """A region (d, h, w) with the axes of its chunk, of three or fewer."""
    return out.reshape(out.shape[3 - len(payload.shape) :])


def _network(payload: Payload, section: FieldSection) -> ContextNetwork:
    if section.volume is not None:
        return section.volume.network
    reference = prior(section.network)
    if Section.WEIGHTS not in payload.sections:
        return reference
    return ContextNetwork.from_bytes(payload.section(Section.WEIGHTS), reference)


def reconstruct(
    backend: Backend,
    payload: Payload,
    section: FieldSection,
    latents: Array,
    region: Box | None = None,
    symmetric: SymmetricField | None = None,
    predicted: Array | None = None,
) -> Array:
    """Voxels (d, h, w) of a chunk, or of a region of it, from its quantised latents and side sections.

    ``predicted`` is what :func:`prediction.predict` gives for a payload that has such a section.
    """
    shape = as_volume_shape(payload.shape)
    cast = _cast(payload)
    whole = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    wanted = whole if region is None else region
    size = tuple(s.stop - s.start for s in wanted)
    background = np.array(0.0 if section.background is None else section.background)
    out = np.full(size, cast(background), payload.dtype)
    d, h, w = (
        slice(max(b.start, w.start), min(b.stop, w.stop)) for b, w in zip(section.box, wanted, strict=True)
    )
    inner = (d, h, w)
    if all(s.start < s.stop for s in inner):
        box = _moved(inner, section.box, -1)
        bands = section.active
        dequantised: Callable[[Array, Array], Array] | None
        dequantised = dequantiser(section.offsets, section.shells, section.layout, bands)
        if predicted is not None:
            latents, bands = prediction.added(
                dequantised(latents, np.arange(latents.shape[1])), bands, predicted
            )
            dequantised = None
        field_shape = tuple(s.stop - s.start for s in section.box)
        occupied = _occupied(payload, field_shape)
        corrected = None
        if Section.CORRECTIONS in payload.sections:
            corrected = _corrections(payload, field_shape, occupied)
        parts = list(_slabs(box))
        if symmetric is not None and len(parts) > 1:
            symmetric.hold(backend)

        def densities(part: Box) -> Array:
            if symmetric is None:
                units = synthesise_exact(backend, latents, bands, section.layout, part, dequantised)
            else:
                units = backend.asarray(symmetric.units(backend, _moved(part, section.box)))
                if len(bands):
                    units += synthesise_exact(backend, latents, bands, section.layout, part, dequantised)
            units *= section.unit
            units += section.offset
            found = backend.to_numpy(units)
            if corrected is not None:
                found += corrected[part]
            return cast(found)

        for part in parts:
            target = out[_moved(_moved(part, section.box), wanted, -1)]
            np.copyto(target, densities(part), where=True if occupied is None else occupied[part])
    if Section.VERBATIM in payload.sections:
        corner = (wanted[0].start, wanted[1].start, wanted[2].start)
        verbatim.decode_into(payload.section(Section.VERBATIM), out, shape, corner)
    return out


def _cast(payload: Payload) -> Callable[[Array], Array]:
    """From what the field says to voxels: densities, or the numbers of their levels."""
    if Section.LEVELS not in payload.sections:
        return lambda density: to_dtype(density, payload.dtype)
    if payload.dtype.kind != "f":
        raise PayloadError(f"levels of densities of dtype {payload.dtype}")
    levels = Levels.from_bytes(payload.section(Section.LEVELS))
    return lambda numbers: to_dtype(levels.densities(numbers), payload.dtype)


def _moved(box: Box, other: Box, sign: int = 1) -> Box:
    """A box whose voxels were counted from the first one of another, or, with -1, are to be."""
    d, h, w = (
        slice(s.start + sign * o.start, s.stop + sign * o.start) for s, o in zip(box, other, strict=True)
    )
    return d, h, w


def _slabs(box: Box) -> Iterator[Box]:
    """A box in parts of some planes each: what is worked out of a part needs several times its memory."""
    d, h, w = box
    many = max(_THINNEST, _AT_ONCE // ((h.stop - h.start) * (w.stop - w.start)))
    for start in range(d.start, d.stop, many):
        yield slice(start, min(start + many, d.stop)), h, w


def _corrections(payload: Payload, shape: tuple[int, ...], occupied: Array | None) -> Array:
    """Corrections of the whole field: they are coded in sequence, so a region needs all before it."""
    if occupied is None:
        occupied = np.ones(shape, bool)
    out = np.zeros(shape)
    section = payload.section(Section.CORRECTIONS)
    out[occupied] = corrections.decode(section, occupied)
    return out


def _occupied(payload: Payload, shape: tuple[int, ...]) -> Array | None:
    if Section.OCCUPANCY not in payload.sections:
        return None
    return occupancy.decompress(payload.section(Section.OCCUPANCY), shape)
