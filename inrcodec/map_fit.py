"""The codec of a map and the chunks it is written in: what :func:`inrcodec.maps.compress` asks of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inrcodec import store as stores
from inrcodec.codec import INRCodec
from inrcodec.core import VolumeModel
from inrcodec.core.symmetry.groups import is_auto, is_helical
from inrcodec.mrc import MRCVolume
from inrcodec.options import CHUNK, MapOptions

Shape = tuple[int, ...]


def fit_map(
    volume: MRCVolume, name: str, options: MapOptions, progress: Callable[[float], None]
) -> tuple[INRCodec, Shape]:
    """The codec of a map, and the shape of the chunks it is written in.

    With a symmetry that saves bytes that is the map's own shape; otherwise each axis is divided evenly.

    Args:
        volume: the map.
        name: of the map, for errors.
        options: what is asked.
        progress: called with the fraction done.

    Raises:
        ValueError: a resolution or a helix's rise for a map that says no voxel size, a resolution without an
            ``fsc`` target, a symmetry of images or stacks, or one that is named and chunks smaller than the
            map.
    """
    shape, target = tuple(int(n) for n in volume.data.shape), options.target
    longest = CHUNK if options.chunks is None else options.chunks
    chunk_shape = stores.even_chunks(shape, len(volume.voxel_size), longest)
    known = all(size > 0 for size in volume.voxel_size)
    asked: dict[str, Any] = {target.kind: target.value}
    if target.kind == "fsc":
        if options.resolution is not None and not known:
            raise ValueError(f"{name} says no voxel size: a resolution in angstrom means nothing")
        asked |= {"resolution": options.resolution, "voxel_size": volume.voxel_size if known else 1.0}
    elif options.resolution is not None:
        raise ValueError("a resolution belongs to an fsc target")
    chunks: Shape | None = chunk_shape
    if options.symmetry is not None:
        _check_symmetry(volume, name, options, chunk_shape, known)
        asked["symmetry"] = options.symmetry
        if is_helical(options.symmetry):
            asked["voxel_size"] = volume.voxel_size
        if not is_auto(options.symmetry) and chunk_shape != shape:
            chunks = None
    codec = INRCodec.fit(
        volume.data,
        chunks=chunks,
        effort=options.effort,
        threshold=options.threshold,
        device=options.device,
        progress=progress,
        **asked,
    )
    symmetric = codec.volume is not None and codec.volume.symmetry is not None
    return codec, shape if symmetric else chunk_shape


def with_volume(codec: INRCodec, volume: VolumeModel, device: str) -> INRCodec:
    """A codec with the same settings for another volume, or another step of its own."""
    settings = codec.settings
    quality: dict[str, Any] = {settings.target.kind: settings.target.value}
    return INRCodec(
        threshold=settings.threshold,
        effort=settings.effort,
        block=settings.block,
        volume=volume,
        device=device,
        **quality,
    )


def _check_symmetry(
    volume: MRCVolume, name: str, options: MapOptions, chunk_shape: Shape, known: bool
) -> None:
    """Refuse a symmetry that the map cannot have or be stored with."""
    symmetry, shape = options.symmetry or "", volume.data.shape
    if len(volume.voxel_size) != 3 or len(shape) != 3:
        raise ValueError(f"symmetry is of single volumes: {name} is an image or a stack of shape {shape}")
    if is_helical(symmetry) and not known:
        raise ValueError(f"{name} says no voxel size: a rise in angstrom means nothing")
    if options.chunks is not None and not is_auto(symmetry) and chunk_shape != shape:
        raise ValueError(
            f"symmetry {symmetry} needs the volume of shape {shape} as one chunk, chunks of at most "
            f"{options.chunks} voxels are asked for: leave them out, or the symmetry"
        )
