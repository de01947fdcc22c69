"""What :meth:`inrcodec.INRCodec.fit` does: a volume in, the model that its chunks share out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inrcodec.config import check_chunk
from inrcodec.core import Settings, VolumeModel, fit, fit_fsc
from inrcodec.core.choices import Choice
from inrcodec.core.symmetric_fit import fit_symmetric_volume, with_choice
from inrcodec.core.symmetry.detection import THRESHOLD, Detected, detect, refine
from inrcodec.core.symmetry.groups import is_auto, is_helical, parse_symmetry
from inrcodec.fourier_shell import estimate_resolution, parse_voxel_size
from inrcodec.options import CHUNK

Array = np.ndarray[Any, Any]
Progress = Callable[[float], None]

_DETECTION = 0.1  # of all that is reported


def fit_volume(
    volume: Any,
    settings: Settings,
    *,
    chunks: int | Sequence[int] | None,
    symmetry: str | None,
    resolution: float | None,
    voxel_size: float | Sequence[float] | None,
    device: str,
    progress: Progress | None,
    padded: bool = True,
) -> VolumeModel:
    """The model of a volume; arguments and errors are those of :meth:`inrcodec.INRCodec.fit`."""
    source, known = open_volume(volume)
    chunk_shape = _chunk_shape(source, chunks)
    check_chunk(chunk_shape, np.dtype(source.dtype))
    for_shells = settings.target.kind == "fsc"
    helical = symmetry is not None and is_helical(symmetry)
    if not for_shells and resolution is not None:
        raise ValueError("resolution belongs to an fsc target")
    if not for_shells and not helical and voxel_size is not None:
        raise ValueError("voxel_size belongs to an fsc target or a helix")
    # as short as they were before a header held them in float32: every digit is stored
    sizes = tuple(
        _shortest(size)
        for size in parse_voxel_size(known if voxel_size is None else voxel_size, len(source.shape))
    )
    report = progress or (lambda _: None)
    if symmetry is not None:
        source = np.ascontiguousarray(source[...])
        detected = _symmetry_of(source, symmetry, sizes, chunks)
        report(_DETECTION)
    if for_shells:
        source = np.asarray(source[...])
        if resolution is not None and voxel_size is None and known is None:
            raise ValueError(f"resolution {resolution:g} angstrom of an array needs its voxel_size")
        resolution = _shortest(
            estimate_resolution(source, sizes) if resolution is None else float(resolution)
        )
    if symmetry is not None and detected is not None:
        return fit_symmetric_volume(
            source,
            settings,
            detected,
            chunk_shape,
            resolution=resolution,
            voxel_size=sizes,
            device=device,
            progress=lambda f: report(_DETECTION + (1 - _DETECTION) * f),
        )
    if for_shells:
        assert resolution is not None
        model = fit_fsc(
            source,
            settings,
            chunk_shape,
            resolution=resolution,
            voxel_size=sizes,
            padded=padded,
            device=device,
            progress=progress,
        )
    else:
        model = fit(source, settings, chunk_shape, device=device, progress=progress)
    if symmetry is None:
        return model
    return with_choice(model, Choice("symmetry", None, f"no group is found that holds at {THRESHOLD:g} dB"))


def _symmetry_of(
    volume: Array, symmetry: str, voxel_size: tuple[float, ...], chunks: int | Sequence[int] | None
) -> Detected | None:
    """The symmetry asked for, checked and refined; of ``auto`` the one found, or None.

    Raises:
        ValueError: the text names none, the volume is not 3-D, or one that is named is not one chunk.
    """
    if volume.ndim != 3:
        raise ValueError(f"symmetry needs a volume of three axes, got shape {volume.shape}")
    if is_auto(symmetry):
        return detect(volume)
    if chunks is not None and _chunk_shape(volume, chunks) != volume.shape:
        raise ValueError(
            f"symmetry {symmetry} needs the volume of shape {volume.shape} as one chunk, got chunks {chunks}"
        )
    return refine(volume, parse_symmetry(symmetry, voxel_size[0]))


def _shortest(value: float) -> float:
    """The number of the fewest digits that is the same in float32."""
    with np.errstate(over="ignore", under="ignore"):
        short = float(str(np.float32(value)))
    return short if 0 < short < np.inf else value


def open_volume(volume: Any) -> tuple[Any, tuple[float, ...] | None]:
    """Something with ``shape``, ``dtype`` and NumPy slicing, and its voxel size where it is known."""
    if isinstance(volume, str | os.PathLike):
        from inrcodec import mrc

        opened = mrc.open_volume(volume)
        return opened.data, opened.voxel_size if all(size > 0 for size in opened.voxel_size) else None
    if not (hasattr(volume, "shape") and hasattr(volume, "dtype") and hasattr(volume, "__getitem__")):
        raise TypeError(f"volume must be an array or the path of an MRC file, got {type(volume).__name__}")
    return volume, None


def _chunk_shape(volume: Any, chunks: int | Sequence[int] | None) -> tuple[int, ...]:
    """Chunk shape for a volume, clipped to it."""
    shape = tuple(int(n) for n in volume.shape)
    if chunks is None:
        chunks = getattr(volume, "chunks", None) or CHUNK
    lengths = (chunks,) * len(shape) if isinstance(chunks, int | np.integer) else tuple(chunks)
    if len(lengths) != len(shape) or any(length < 1 for length in lengths):
        raise ValueError(f"chunks {chunks} do not fit a volume of shape {shape}")
    return tuple(min(int(length), n) for length, n in zip(lengths, shape, strict=True))
