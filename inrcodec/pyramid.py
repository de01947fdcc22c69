"""Coarser resolution levels of a map, for viewers that open a large volume from afar.

Levels are made by Fourier cropping, as maps in cryo-EM are binned: the frequencies below the coarser grid's
Nyquist frequency are kept as they are, all others are dropped. Nothing is aliased, every Fourier shell that a
level can hold is exact, and the first voxel stays where it is, so that levels differ in scale alone. Means of
blocks would do none of the three: they weaken what they keep, alias what they should drop, and move the first
voxel by half a voxel. The price is ringing at hard edges, and that opposite faces of the box are neighbours.
Each level has ``ceil(n / 2)`` voxels of the ``n`` before along every axis of space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial as bind
from typing import Any

import numpy as np

from inrcodec import store as stores
from inrcodec.codec import INRCodec
from inrcodec.map_fit import with_volume
from inrcodec.mrc import MRCVolume

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

_SMALLEST = 16  # voxels along the longest axis: what is coarser has no shells worth fitting
_RESOLVED = 2.5  # finest resolution of an fsc target in voxels: 0.8 of the Nyquist frequency, cropped at 1


def level_shapes(shape: Shape, spatial: int, levels: int | None, longest_chunk: int) -> list[Shape]:
    """Shapes of the coarser levels of a volume, finest first.

    Args:
        shape: of the volume.
        spatial: how many of its last axes are axes of space; the others keep their length.
        levels: levels in all, the volume itself counted; None adds levels until one is a single chunk.
        longest_chunk: longest chunk edge in voxels.

    Raises:
        ValueError: ``levels`` is below 1, or makes a level of fewer than 16 voxels along its longest axis.
    """
    if levels is not None and levels < 1:
        raise ValueError(f"pyramid levels must be at least 1, got {levels}")
    lead = len(shape) - spatial
    shapes: list[Shape] = []
    current = tuple(shape)
    while len(shapes) + 1 < levels if levels is not None else max(current[lead:]) > longest_chunk:
        current = current[:lead] + tuple(-(-n // 2) for n in current[lead:])
        if max(current[lead:]) < _SMALLEST:
            if levels is None:
                break
            raise ValueError(
                f"{levels} pyramid levels of a volume of {shape} make one of {current}, "
                f"less than {_SMALLEST} voxels along its longest axis"
            )
        shapes.append(current)
    return shapes


def fourier_crop(data: Array, shape: Sequence[int]) -> Array:
    """A volume on a coarser grid that covers the same periodic box.

    Args:
        data: of 1 to 4 axes, finite, any real dtype.
        shape: voxels per axis, none more than ``data`` has.

    Returns:
        float64, of that shape. Voxel ``i`` of ``m`` lies where voxel ``i n / m`` of ``n`` was.

    Raises:
        ValueError: ``shape`` has another number of axes, or more voxels along one, or none.
    """
    if len(shape) != data.ndim or any(not 1 <= m <= n for m, n in zip(shape, data.shape, strict=True)):
        raise ValueError(f"a volume of shape {data.shape} cannot be cropped to {tuple(shape)}")
    if data.ndim > 2:
        # section by section, so that memory holds one transformed section and a smaller volume
        data = np.stack([fourier_crop(section, shape[1:]) for section in data])
        return _crop_axis(data, shape[0], 0)
    for axis, n in enumerate(shape):
        data = _crop_axis(data, n, axis)
    return data


def _crop_axis(data: Array, n: int, axis: int) -> Array:
    data = np.asarray(data, dtype=np.float64)
    length = data.shape[axis]
    if n == length:
        return data
    spectrum = np.fft.rfft(data, axis=axis)
    # The Nyquist frequency itself has no phase on the coarser grid: it goes as well.
    kept = spectrum.take(range((n - 1) // 2 + 1), axis=axis)
    return np.fft.irfft(kept, n=n, axis=axis) * (n / length)


def coarser(data: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """One level: cropped in float64, for the next level, and in the map's dtype.

    NaN and infinities count as 0. Integers are rounded, and everything is clipped to the dtype's range.
    """
    cropped = fourier_crop(_finite(data), shape)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    rounded = cropped if dtype.kind == "f" else np.rint(cropped)
    return cropped, np.clip(rounded, float(limits.min), float(limits.max)).astype(dtype)


def _finite(data: Array) -> Array:
    if data.dtype.kind != "f" or np.isfinite(data).all():
        return data
    return np.where(np.isfinite(data), data, 0)


def write_levels(
    root: Any,
    volume: MRCVolume,
    codec: INRCodec,
    shapes: Sequence[Shape],
    *,
    longest_chunk: int,
    device: str,
    progress: Callable[[str, float], None],
) -> None:
    """Write the coarser levels of a map beside it, as the arrays ``"1"``, ``"2"`` ... of a group.

    Each has a codec of its own, fitted to the same target, without symmetry. With a ``ratio`` it is the map's
    own codec, of the same step: a small array cannot be as many times smaller. The target is aimed at, not
    measured here.

    Args:
        root: the group.
        volume: the map; its original densities are cropped, not the decoded ones.
        codec: what the map was written with.
        shapes: from :func:`level_shapes`.
        longest_chunk: longest chunk edge in voxels.
        device: where the fits run.
        progress: called with the name of the level and the fraction done.
    """
    data = volume.data
    dtype = data.dtype.newbyteorder("=")
    spatial = len(volume.voxel_size)
    for number, shape in enumerate(shapes, 1):
        data, cast = coarser(data, shape, dtype)
        chunk_shape = stores.even_chunks(shape, spatial, longest_chunk)
        stage = bind(progress, f"level {number}")
        of_level = _fitted(cast, volume, codec, chunk_shape, device)
        stores.write_array(root, cast, of_level, chunk_shape, volume.axes, stage, level=str(number))


def _fitted(data: Array, volume: MRCVolume, codec: INRCodec, chunk_shape: Shape, device: str) -> INRCodec:
    """A codec for a level, with the target of the map's own."""
    settings = codec.settings
    kind, value = settings.target.kind, settings.target.value
    if kind == "ratio":
        model = settings.volume
        if model is None or model.symmetry is None:
            return codec
        return with_volume(codec, replace(model, symmetry=None), device)
    scale: dict[str, Any] = {}
    if kind == "fsc":
        known = all(size > 0 for size in volume.voxel_size)
        sizes = volume.voxel_size if known else (1.0,) * data.ndim
        scale["voxel_size"] = tuple(
            size * n / m for size, n, m in zip(sizes, volume.data.shape, data.shape, strict=True)
        )
        finest = _RESOLVED * max(scale["voxel_size"])
        wanted = settings.volume.resolution if settings.volume is not None else None
        scale["resolution"] = finest if wanted is None else max(wanted, finest)
    quality: dict[str, Any] = {kind: value}
    return INRCodec.fit(
        data,
        chunks=chunk_shape,
        effort=settings.effort,
        threshold=settings.threshold,
        block=settings.block,
        device=device,
        **scale,
        **quality,
    )
