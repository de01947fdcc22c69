"""From MRC maps to zarr stores and back, and the two compared. Needs the ``mrc`` extra."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial as bind
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from inrcodec import ngff, urls
from inrcodec import pyramid as pyramids
from inrcodec import store as stores
from inrcodec.core import Target
from inrcodec.core.volume import short_step
from inrcodec.destination import Destination
from inrcodec.map_fit import fit_map, with_volume
from inrcodec.mrc import MRCVolume, open_volume, packed_header, unpacked_header, write_mrc
from inrcodec.options import CHUNK, MapOptions
from inrcodec.quality import Quality, fsc_curve, measure, rescaled_step, with_fsc
from inrcodec.store import Sizes
from inrcodec.symmetry_report import SymmetryReport
from inrcodec.urls import PathLike

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
        symmetry: what symmetry was found and saved, or why none is used; None where it was not asked for.
    """

    target: Target
    sizes: Sizes
    quality: Quality
    met: bool
    rewrites: int = 0
    fsc: tuple[Array, Array] | None = None
    resolution: float | None = None
    estimated: bool = False
    symmetry: SymmetryReport | None = None


def _silent(stage: str, fraction: float) -> None:
    pass


def compress(
    source: PathLike,
    store: PathLike,
    *,
    target: Target,
    resolution: float | None = None,
    chunks: int | None = None,
    effort: int = 3,
    threshold: float | None = None,
    device: str = "auto",
    symmetry: str | None = None,
    zarr_format: int = 3,
    overwrite: bool = False,
    permissive: bool = False,
    pyramid: int | None = 1,
    staging: Path | None = None,
    record: Mapping[str, Any] | None = None,
    progress: Progress = _silent,
) -> Result:
    """Compress a map into a zarr store in volume scope, and measure the result on every voxel.

    The step that the fit chose on a sample is corrected, and the array written again, at most three times,
    when the whole volume misses an ``snr`` or ``ratio`` target or far exceeds it. The store appears under its
    name when it is complete.

    Args:
        source: MRC file or its URL, see :func:`inrcodec.mrc.open_volume`, also for ``permissive``.
        store: directory or URL to be made.
        target, effort, threshold, device: as for :class:`inrcodec.INRCodec`.
        resolution: angstrom up to which an ``fsc`` target holds; None estimates it.
        chunks: longest chunk edge in voxels, None is 64; each axis is divided evenly into as few chunks as
            that allows. A volume that is written with its symmetry is one chunk: with a symmetry that is
            named, chunks smaller than the volume are an error; with ``"auto"`` they are for the volume
            without.
        symmetry: as for :meth:`inrcodec.INRCodec.fit`, of the map itself and not of coarser levels; rises are
            in angstrom.
        zarr_format: 2 or 3.
        overwrite: replace an existing zarr store, once the new one is complete.
        pyramid: resolution levels in all, each half as fine as the one before (:mod:`inrcodec.pyramid`); None
            makes as many as it takes until one is a single chunk. The target is measured at full resolution.
        staging: directory to build the store in before it gets its name; None is beside it.
        record: more attributes to store, for :mod:`inrcodec.archive`; the result then has a Fourier shell
            correlation whatever the target, and the store the SHA-256 of its array.
        progress: called as the work goes on.

    Raises:
        OSError, ValueError, TypeError: the map cannot be read, its dtype or a setting is not supported, or
            the store exists.
    """
    if chunks is not None and chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    options = MapOptions(target, resolution, chunks, effort, threshold, device, permissive, symmetry)
    with Destination(store, overwrite=overwrite, staging=staging) as place, urls.local_copy(source) as path:
        result = _build(
            open_volume(path, permissive=permissive),
            urls.name_of(source),
            place.partial,
            options,
            zarr_format,
            pyramid,
            record,
            progress,
        )
        place.commit()
    return result


def _build(
    volume: MRCVolume,
    name: str,
    partial: Path,
    options: MapOptions,
    zarr_format: int,
    pyramid: int | None,
    record: Mapping[str, Any] | None,
    progress: Progress,
) -> Result:
    """Make the store of a volume in a directory, corrections of the step included."""
    target, resolution, threshold = options.target, options.resolution, options.threshold
    longest = CHUNK if options.chunks is None else options.chunks
    level_shapes = pyramids.level_shapes(volume.data.shape, len(volume.voxel_size), pyramid, longest)
    codec, chunk_shape = fit_map(volume, name, options, bind(progress, "training"))
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
        codec = with_volume(codec, replace(codec.volume, step=short_step(step)), options.device)
    pyramids.write_levels(
        root,
        volume,
        codec,
        level_shapes,
        longest_chunk=longest,
        device=options.device,
        progress=progress,
    )
    root.attrs.update(ngff.attributes(volume, name.split(".")[0], zarr_format, level_shapes))
    root.attrs[stores.ATTRIBUTE] = {
        "version": 1,
        "source": name,
        "target": {target.kind: target.value},
        **({"resolution_estimated": resolution is None} if target.kind == "fsc" else {}),
        **({"choices": codec.choices.to_text()} if codec.choices is not None else {}),
        "decoded_sha256": _sha256(decoded),
        "mrc": {
            "encoding": "zlib, base64",
            "header": packed_header(volume.header),
            "extended_header": packed_header(volume.extended_header),
        },
        **({} if record is None else {**record, "array_sha256": stores.array_digest(partial)}),
    }
    with_curve = target.kind == "fsc" or record is not None
    return Result(
        target,
        stores.sizes(volume.data, partial),
        quality,
        met,
        len(tried),
        fsc=fsc_curve(volume.data, decoded, volume.voxel_size) if with_curve else None,
        resolution=None if codec.volume is None else codec.volume.resolution,
        estimated=target.kind == "fsc" and resolution is None,
        symmetry=stores.symmetry_of(partial, codec.settings, codec.choices),
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
    if urls.exists(path) and not overwrite:
        raise FileExistsError(f"{urls.public(path)} exists; --overwrite (overwrite=True) replaces it")
    array, attributes = stores.open_store(store)
    if "mrc" not in attributes:
        raise ValueError(f"{urls.public(store)} holds no MRC header: it was not made by inrcodec compress")
    data = stores.read_array(array, bind(progress, "decoding"))
    with urls.local_target(path) as local:
        write_mrc(
            local,
            data,
            unpacked_header(attributes["mrc"]["header"]),
            unpacked_header(attributes["mrc"]["extended_header"]),
        )
    return bool(attributes.get("decoded_sha256") == _sha256(data))


def verify(
    source: PathLike, store: PathLike, *, permissive: bool = False, progress: Progress = _silent
) -> Result:
    """Compare a store with the map it was made from.

    Raises:
        OSError, ValueError: one of them cannot be read, or they differ in shape or dtype.
    """
    opened = stores.open_store(store)
    stores.settings_of(opened[0])
    with urls.local_copy(source) as path:
        return _compare(open_volume(path, permissive=permissive), opened, source, store, progress)


def _compare(
    volume: MRCVolume,
    opened: tuple[Any, dict[str, Any]],
    source: PathLike,
    store: PathLike,
    progress: Progress,
) -> Result:
    array, attributes = opened
    settings = stores.settings_of(array)
    original = volume.data
    if array.shape != original.shape or array.dtype != original.dtype.newbyteorder("="):
        raise ValueError(
            f"{urls.public(store)} holds {array.shape} {array.dtype}, {urls.public(source)} holds "
            f"{original.shape} {original.dtype}"
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
        fsc=fsc_curve(volume.data, decoded, volume.voxel_size),
        resolution=None if settings.volume is None else settings.volume.resolution,
        estimated=bool(attributes.get("resolution_estimated", False)),
        symmetry=stores.symmetry_of(store, settings, stores.choices_of(attributes)),
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


def _sha256(data: Array) -> str:
    """Of the voxels in C order, little-endian, so that it is the same on every machine."""
    return hashlib.sha256(np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("<")).data).hexdigest()
