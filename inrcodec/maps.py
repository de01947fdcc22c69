"""From MRC maps to zarr stores and back, and the two compared. Needs the ``mrc`` extra."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial as bind
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from inrcodec import metrics, ngff
from inrcodec import pyramid as pyramids
from inrcodec import store as stores
from inrcodec.codec import INRCodec
from inrcodec.core import Settings, Target
from inrcodec.core.volume import short_step
from inrcodec.mrc import MRCVolume, open_volume, partial_path, write_mrc
from inrcodec.quality import Quality, measure, rescaled_step, with_fsc
from inrcodec.store import PathLike, Sizes

Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]
"""Called with the name of what is being done and the fraction of it that is done."""

_REWRITES = 3
# A volume this far better than asked was fitted on an untypical sample, and is worth writing again.
_EXCESS_DB = 0.5
_EXCESS_RATIO = 1.05


@dataclass(frozen=True)
class Result:
    """What a store holds against its original.

    Attributes:
        target: what was asked.
        met: whether every voxel taken together meets it.
        rewrites: how often the step was corrected and the array written again.
        fsc: spatial frequency in 1/angstrom and correlation with the original; None where not computed.
        resolution: angstrom up to which an ``fsc`` target holds.
        estimated: whether the resolution is an estimate from the map's own spectrum.
    """

    target: Target
    sizes: Sizes
    quality: Quality
    met: bool
    rewrites: int = 0
    fsc: tuple[Array, Array] | None = None
    resolution: float | None = None
    estimated: bool = False


def _silent(stage: str, fraction: float) -> None:
    pass


def compress(
    source: PathLike,
    store: PathLike,
    *,
    target: Target,
    resolution: float | None = None,
    chunks: int = 64,
    effort: int = 3,
    threshold: float | None = None,
    device: str = "auto",
    zarr_format: int = 3,
    overwrite: bool = False,
    permissive: bool = False,
    pyramid: int | None = 1,
    progress: Progress = _silent,
) -> Result:
    """Compress a map into a zarr store in volume scope, and measure the result on every voxel.

    The step that the fit chose on a sample is corrected, and the array written again, at most three times,
    when the whole volume misses an ``snr`` or ``ratio`` target or far exceeds it. The store appears under its
    name when it is complete.

    Args:
        source: MRC file, see :func:`inrcodec.mrc.open_volume`, also for ``permissive``.
        store: directory to be made.
        target, effort, threshold, device: as for :class:`inrcodec.INRCodec`.
        resolution: angstrom up to which an ``fsc`` target holds; None estimates it.
        chunks: longest chunk edge in voxels; each axis is divided evenly into as few chunks as that allows.
        zarr_format: 2 or 3.
        overwrite: replace an existing zarr store, once the new one is complete.
        pyramid: resolution levels in all, each half as fine as the one before (:mod:`inrcodec.pyramid`); None
            makes as many as it takes until one is a single chunk. The target is measured at full resolution.
        progress: called as the work goes on.

    Raises:
        OSError, ValueError, TypeError: the map cannot be read, its dtype or a setting is not supported, or
            the store exists.
    """
    store = Path(store)
    stores.check_destination(store, overwrite)
    if chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    volume = open_volume(source, permissive=permissive)
    spatial = len(volume.voxel_size)
    chunk_shape = stores.even_chunks(volume.data.shape, spatial, chunks)
    level_shapes = pyramids.level_shapes(volume.data.shape, spatial, pyramid, chunks)
    known = all(size > 0 for size in volume.voxel_size)
    scale: dict[str, Any] = {}
    if target.kind == "fsc":
        if resolution is not None and not known:
            raise ValueError(f"{source} says no voxel size: a resolution in angstrom means nothing")
        scale = {"resolution": resolution, "voxel_size": volume.voxel_size if known else 1.0}
    elif resolution is not None:
        raise ValueError("a resolution belongs to an fsc target")
    codec = INRCodec.fit(
        volume.data,
        chunks=chunk_shape,
        effort=effort,
        threshold=threshold,
        device=device,
        progress=bind(progress, "training"),
        **scale,
        **{target.kind: target.value},
    )
    partial = partial_path(store)
    try:
        root = zarr.open_group(str(partial), mode="w", zarr_format=zarr_format)
        tried: list[tuple[float, float]] = []
        while True:
            stage = f"correction {len(tried)}" if tried else "writing"
            decoded = stores.write_array(
                root, volume.data, codec, chunk_shape, volume.axes, bind(progress, stage)
            )
            quality, sizes = measure(volume.data, decoded, threshold), stores.sizes(volume.data, partial)
            quality = with_fsc(quality, codec.settings, volume.data, decoded)
            met = quality.meets(target, sizes.ratio)
            if codec.volume is None or not _worth_correcting(target, quality, sizes, met, len(tried)):
                break
            tried.append((codec.volume.step, quality.snr if target.kind == "snr" else sizes.ratio))
            # an fsc fit has measured what it wrote: what little is missed is mended for all shells alike
            is_fsc = target.kind == "fsc"
            step = 0.98 * codec.volume.step if is_fsc else rescaled_step(target, tried)
            codec = _with_step(codec, step, device)
        pyramids.write_levels(
            root, volume, codec, level_shapes, longest_chunk=chunks, device=device, progress=progress
        )
        name = Path(source).name.split(".")[0]
        root.attrs.update(ngff.attributes(volume, name, zarr_format, level_shapes))
        root.attrs[stores.ATTRIBUTE] = {
            "version": 1,
            "source": Path(source).name,
            "target": {target.kind: target.value},
            **({"resolution_estimated": resolution is None} if target.kind == "fsc" else {}),
            **({"choices": codec.choices.to_text()} if codec.choices is not None else {}),
            "decoded_sha256": _sha256(decoded),
            "mrc": {
                "encoding": "zlib, base64",
                "header": _packed(volume.header),
                "extended_header": _packed(volume.extended_header),
            },
        }
        sizes = stores.sizes(volume.data, partial)
        stores.move_into_place(partial, store)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Result(
        target,
        sizes,
        quality,
        met,
        len(tried),
        fsc=_fsc(volume, decoded) if target.kind == "fsc" else None,
        resolution=None if codec.volume is None else codec.volume.resolution,
        estimated=target.kind == "fsc" and resolution is None,
    )


def decompress(
    store: PathLike, path: PathLike, *, overwrite: bool = False, progress: Progress = _silent
) -> bool:
    """Write the map of a store, with the headers it came with.

    The map appears under its name when it is complete; names ending in ``.gz`` and ``.bz2`` are compressed.

    Returns:
        False when the voxels are not those that were decoded when the store was made: it was changed since.

    Raises:
        OSError, ValueError: the store cannot be read or holds no MRC header, or ``path`` exists.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite (overwrite=True) replaces it")
    array, attributes = stores.open_store(store)
    if "mrc" not in attributes:
        raise ValueError(f"{store} holds no MRC header: it was not made by inrcodec compress")
    data = stores.read_array(array, bind(progress, "decoding"))
    write_mrc(
        path,
        data,
        _unpacked(attributes["mrc"]["header"]),
        _unpacked(attributes["mrc"]["extended_header"]),
    )
    return bool(attributes.get("decoded_sha256") == _sha256(data))


def verify(
    source: PathLike, store: PathLike, *, permissive: bool = False, progress: Progress = _silent
) -> Result:
    """Compare a store with the map it was made from.

    Raises:
        OSError, ValueError: one of them cannot be read, or they differ in shape or dtype.
    """
    array, attributes = stores.open_store(store)
    settings = stores.settings_of(array)
    volume = open_volume(source, permissive=permissive)
    original = volume.data
    if array.shape != original.shape or array.dtype != original.dtype.newbyteorder("="):
        raise ValueError(
            f"{store} holds {array.shape} {array.dtype}, {source} holds {original.shape} {original.dtype}"
        )
    decoded = stores.read_array(array, bind(progress, "decoding"))
    sizes = stores.sizes(original, store)
    quality = measure(original, decoded, settings.threshold)
    quality = with_fsc(quality, settings, original, decoded)
    met = quality.meets(settings.target, sizes.ratio)
    return Result(
        settings.target,
        sizes,
        quality,
        met,
        fsc=_fsc(volume, decoded),
        resolution=None if settings.volume is None else settings.volume.resolution,
        estimated=bool(attributes.get("resolution_estimated", False)),
    )


def _worth_correcting(target: Target, quality: Quality, sizes: Sizes, met: bool, rewrites: int) -> bool:
    if target.kind == "max_error" or rewrites >= _REWRITES or not quality.exact_specials:
        return False
    if target.kind == "fsc":
        return not met
    value, excess = (
        (quality.snr, target.value + _EXCESS_DB)
        if target.kind == "snr"
        else (sizes.ratio, target.value * _EXCESS_RATIO)
    )
    return bool(np.isfinite(value)) and (not met or (rewrites == 0 and value > excess))


def _with_step(codec: INRCodec, step: float, device: str) -> INRCodec:
    """The codec with another quantiser step for its volume."""
    settings: Settings = codec.settings
    if settings.volume is None:
        raise ValueError("the codec has no volume")
    quality: dict[str, Any] = {settings.target.kind: settings.target.value}
    return INRCodec(
        threshold=settings.threshold,
        effort=settings.effort,
        block=settings.block,
        volume=replace(settings.volume, step=short_step(step)),
        device=device,
        **quality,
    )


def _fsc(volume: MRCVolume, decoded: Array) -> tuple[Array, Array] | None:
    """Fourier shell correlation with the original; None for stacks and for boxes without a shell."""
    original = volume.data
    if original.ndim != len(volume.voxel_size):
        return None
    if original.dtype.kind == "f":
        finite = np.isfinite(original) & np.isfinite(decoded)
        original, decoded = np.where(finite, original, 0), np.where(finite, decoded, 0)
    known = all(size > 0 for size in volume.voxel_size)
    try:
        return metrics.fsc(original, decoded, volume.voxel_size if known else 1.0)
    except ValueError:
        return None


def _sha256(data: Array) -> str:
    """Of the voxels in C order, little-endian, so that it is the same on every machine."""
    return hashlib.sha256(np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("<")).data).hexdigest()


def _packed(header: bytes) -> str:
    """Header bytes as JSON can hold them; headers are mostly zeros and blanks."""
    return base64.b64encode(zlib.compress(header, 9)).decode("ascii")


def _unpacked(text: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"the stored MRC header is damaged: {error}") from error
