"""Chunks in, payloads out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from inrcodec.core import lossless
from inrcodec.core.backend import Backend, get_backend, has_torch, one_blas_thread
from inrcodec.core.choosing import fit_chunks
from inrcodec.core.levels import find_levels
from inrcodec.core.mlp.writing import encode_chunk
from inrcodec.core.payload import Field, Payload, Section
from inrcodec.core.prepare import Prepared, Related, check_chunk, is_constant, prepare
from inrcodec.core.presets import EFFORTS
from inrcodec.core.settings import Settings, Target
from inrcodec.core.writing import FieldWriter

Array = np.ndarray[Any, Any]

_CPU_BATCH = 2**21  # voxels fitted at once on a CPU: more only costs memory
_GPU_BATCH = 2**26
_SMALLEST = 64  # voxels; below, a field's parameters alone are larger than the chunk
# of the lossless bytes, of whole numbers and of floats: a field that takes more is compared with an exact one
_NEARLY = (0.4, 0.1)
_EXACT = 0.5  # largest error of whole numbers that are not changed, about
_LEVEL_SNR = 80.0  # dB, of floats rounded to their levels
_LEVEL_MARGIN = 20.0  # dB, beyond an SNR that is asked for: a volume's is that of all chunks
_LEVELS_APART = 16  # at most: bytes of Blosc's fastest level over its best; it rules out what is hopeless


def encode_many(
    chunks: Sequence[Array],
    settings: Settings,
    *,
    device: str = "auto",
    related: Sequence[Related | None] | None = None,
) -> list[bytes]:
    """Encode chunks (1 to 4 dimensions each) into payloads, all in one batch.

    Args:
        chunks: arrays of a supported dtype, any memory order.
        settings: target, effort and the rest.
        device: ``"auto"`` (a GPU where PyTorch finds one), ``"numpy"``, ``"cpu"``, ``"cuda"``. Effort 0
            takes NumPy unless a device is named, as it needs no PyTorch.
        related: what each chunk may be predicted from, where that saves bytes; in volume scope only.

    Raises:
        TypeError: a dtype the format does not hold.
        ValueError: a shape the format does not hold, a part of a volume with symmetry, or a ratio that cannot
            be reached.
        ImportError: PyTorch is needed (effort above 0 in chunk scope) and not installed.
    """
    if settings.target.kind == "fsc" and settings.volume is None:
        raise ValueError("fsc is a target of a whole volume: fit it with INRCodec.fit")
    chunks = [np.asarray(chunk) for chunk in chunks]
    for chunk in chunks:
        check_chunk(chunk)
        if settings.volume is not None:
            settings.volume.check_chunk(chunk.shape)
    if related is not None and len(related) != len(chunks):
        raise ValueError(f"{len(related)} entries of what {len(chunks)} chunks are related to")
    payloads: list[bytes | None] = [_without_field(chunk, settings) for chunk in chunks]
    if settings.field == "mlp":
        return [
            payload or encode_chunk(chunk, settings, device) or _thresholded_payload(chunk, settings)
            for payload, chunk in zip(payloads, chunks, strict=True)
        ]
    prepared = {
        i: prepare(np.ascontiguousarray(chunk), settings.threshold)
        for i, chunk in enumerate(chunks)
        if payloads[i] is None
    }
    for i, ready in prepared.items():
        if ready is not None and related is not None:
            ready.related = related[i]
    fields: dict[int, Payload] = {}
    if any(p is not None for p in prepared.values()):
        with one_blas_thread():
            fields = _fields(encoding_backend(settings, device), chunks, prepared, settings)
    return [
        payload if payload is not None else _smaller(chunks[i], fields.get(i), settings)
        for i, payload in enumerate(payloads)
    ]


def _fields(
    backend: Backend, chunks: Sequence[Array], prepared: dict[int, Prepared | None], settings: Settings
) -> dict[int, Payload]:
    """The payloads of chunks that a field can hold, by their place."""
    fields: dict[int, Payload] = {}
    for members in _batches({i: p for i, p in prepared.items() if p is not None}, backend):
        fits = fit_chunks(backend, [p for _, p in members], settings)
        for (i, p), fit in zip(members, fits, strict=True):
            payload = FieldWriter(p, chunks[i].shape, fit, settings).write()
            if payload is not None:
                payload.fortran = is_fortran(chunks[i])
                fields[i] = payload
    return fields


def encoding_backend(settings: Settings, device: str) -> Backend:
    """Where the field is fitted."""
    trains = settings.volume is None and EFFORTS[settings.effort].trainings > 0
    if trains and not has_torch():
        raise ImportError(
            f"effort {settings.effort} trains networks, which needs PyTorch: pip install 'inrcodec[train]', "
            "or use effort=0"
        )
    if device == "auto" and settings.effort == 0:
        return get_backend("numpy")
    return get_backend(device)


def _without_field(chunk: Array, settings: Settings) -> bytes | None:
    """The payload of chunks that need no field."""
    if settings.threshold is not None and (is_constant(chunk) or chunk.size < _SMALLEST):
        chunk = _thresholded(chunk, settings)
    if is_constant(chunk):
        payload = Payload(chunk.shape, chunk.dtype, Field.CONSTANT, fortran=is_fortran(chunk))
        payload.sections[Section.CONSTANT] = chunk.reshape(-1)[:1].tobytes()
        return payload.to_bytes()
    if chunk.size < _SMALLEST:
        return encode_lossless(chunk)
    return None


def _thresholded_payload(chunk: Array, settings: Settings) -> bytes:
    """Constant or lossless, of what a threshold leaves of a chunk."""
    kept = _thresholded(chunk, settings)
    return _without_field(kept, settings) or encode_lossless(kept)


def encode_lossless(chunk: Array) -> bytes:
    """The payload of a chunk kept bit for bit."""
    payload = Payload(chunk.shape, chunk.dtype, Field.LOSSLESS, fortran=is_fortran(chunk))
    payload.sections[Section.LOSSLESS] = lossless.compress(chunk)
    return payload.to_bytes()


def _smaller(chunk: Array, field: Payload | None, settings: Settings) -> bytes:
    """The field's payload, or a lossless one where it is smaller."""
    decodes = chunk if settings.threshold is None else _thresholded(chunk, settings)
    target = settings.target
    best = None if field is None else field.to_bytes()
    if best is None or len(lossless.compress(decodes, 1)) < _LEVELS_APART * len(best):
        kept = encode_lossless(decodes)
        near = best is None or len(best) > _NEARLY[chunk.dtype.kind == "f"] * len(kept)
        exact = _exact(decodes, target) if near else None
        best = min((one for one in (best, kept, exact) if one is not None), key=len)
    if target.kind == "ratio" and settings.volume is None and len(best) * target.value > chunk.nbytes:
        raise ValueError(
            f"ratio {target.value:g} cannot be reached for a chunk of shape {chunk.shape} {chunk.dtype}: "
            f"the smallest payload found has {len(best)} of {chunk.nbytes} bytes"
        )
    return best


def _exact(chunk: Array, target: Target) -> bytes | None:
    """The payload of unchanged whole numbers: a field, and what it misses. None where there is none.

    Blosc knows nothing of a voxel's neighbours.
    """
    numbers, levels = chunk, None
    if chunk.dtype.kind == "f":
        found = find_levels(chunk)
        if found is None or not _exact_enough(chunk, found[0].densities(found[1]), target):
            return None
        levels, numbers = found
    elif target.kind == "max_error":
        return None  # the field's payload is that where the bound is below one
    ready = prepare(np.ascontiguousarray(numbers), None)
    if ready is None:
        return None
    settings = Settings(Target("max_error", _EXACT), effort=0)
    payload = _fields(get_backend("numpy"), [numbers], {0: ready}, settings).get(0)
    if payload is None or Section.VERBATIM in payload.sections:
        return None
    payload.fortran = is_fortran(chunk)
    if levels is not None:
        payload.dtype = chunk.dtype
        payload.target_value = levels.spacing / 2
        payload.sections[Section.LEVELS] = levels.to_bytes()
    return payload.to_bytes()


def _exact_enough(chunk: Array, densities: Array, target: Target) -> bool:
    """Whether rounding to levels, which floats hardly miss, is nothing that a target speaks of."""
    error = densities.astype(chunk.dtype).astype(np.float64) - chunk
    if target.kind == "max_error":
        return bool(np.abs(error).max() <= target.value)
    least = max(_LEVEL_SNR, target.value + _LEVEL_MARGIN if target.kind == "snr" else 0.0)
    return bool((error**2).mean() <= chunk.astype(np.float64).var() / 10 ** (least / 10))


def is_fortran(chunk: Array) -> bool:
    """Whether a chunk lies in Fortran memory order, and not in C order too."""
    return chunk.flags.f_contiguous and not chunk.flags.c_contiguous


def _thresholded(chunk: Array, settings: Settings) -> Array:
    """The chunk as it decodes losslessly under a threshold: densities not above it become 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        dropped = np.isfinite(chunk) & (chunk <= settings.threshold)
    return np.where(dropped, chunk.dtype.type(0), chunk).astype(chunk.dtype)


def _batches(prepared: dict[int, Prepared], backend: Backend) -> Iterator[list[tuple[int, Prepared]]]:
    """Chunks whose boxes have one shape, as many as fit the device at once."""
    by_shape: dict[tuple[int, int, int], list[tuple[int, Prepared]]] = {}
    for i, p in prepared.items():
        by_shape.setdefault(p.shape, []).append((i, p))
    most = _GPU_BATCH if backend.device.startswith("cuda") else _CPU_BATCH
    for shape, members in by_shape.items():
        count = max(1, most // int(np.prod(shape)))
        for start in range(0, len(members), count):
            yield members[start : start + count]
