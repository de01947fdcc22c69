"""What compression changes at the resolution of a pair of half-maps. Needs the ``mrc`` extra.

The resolution is where the Fourier shell correlation of two maps from independent halves of the data falls
below 0.143 (Rosenthal & Henderson 2003, J. Mol. Biol. 333, 721-745).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial as bind
from typing import Any

import numpy as np
import zarr

from inrcodec import metrics
from inrcodec import store as stores
from inrcodec.codec import INRCodec
from inrcodec.core import Settings
from inrcodec.core.symmetry.groups import RISE_UNIT, Helix
from inrcodec.fourier_shell import crossing, finite
from inrcodec.mrc import open_volume
from inrcodec.urls import PathLike

Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]

LEVEL = 0.143


@dataclass(frozen=True)
class HalfMaps:
    """Fourier shell correlation of two half-maps, before and after compression.

    Attributes:
        frequency: (shells,) 1/angstrom.
        before, after: (shells,) correlation of one half with the other.
        resolution_before, resolution_after: angstrom where they fall below 0.143; None where they do not.
    """

    frequency: Array
    before: Array
    after: Array

    @property
    def resolution_before(self) -> float | None:
        return crossing(self.frequency, self.before, LEVEL)

    @property
    def resolution_after(self) -> float | None:
        return crossing(self.frequency, self.after, LEVEL)


def compare(
    first: PathLike,
    second: PathLike,
    store: PathLike,
    *,
    permissive: bool = False,
    progress: Progress = lambda stage, fraction: None,
) -> HalfMaps:
    """Compress two half-maps as a store was, each by itself, and compare their correlation.

    Args:
        first, second: MRC files of one shape and voxel size.
        store: whose settings, symmetry and chunk shape are used, with networks trained on each half.
        permissive: as for :func:`inrcodec.mrc.open_volume`.
        progress: called as the work goes on.

    Raises:
        OSError, ValueError: a file cannot be read, the maps differ in shape or voxel size, or their chunks
            are not those of the store.
    """
    array, _ = stores.open_store(store)
    settings = stores.settings_of(array)
    halves = [open_volume(path, permissive=permissive) for path in (first, second)]
    a, b = halves
    if a.data.shape != b.data.shape:
        raise ValueError(f"half-maps differ in shape: {a.data.shape} and {b.data.shape}")
    if not np.allclose(a.voxel_size, b.voxel_size, rtol=1e-3):
        raise ValueError(f"half-maps differ in voxel size: {a.voxel_size} and {b.voxel_size}")
    if a.data.ndim != len(a.voxel_size) or a.data.ndim != len(array.chunks):
        raise ValueError(f"half-maps of shape {a.data.shape} do not go with the store's {array.shape}")
    sizes = a.voxel_size if all(size > 0 for size in a.voxel_size) else 1.0
    chunks = tuple(min(c, n) for c, n in zip(array.chunks, a.data.shape, strict=True))
    decoded = [
        compressed(half.data, settings, chunks, sizes, bind(progress, f"half-map {i}"))
        for i, half in enumerate(halves, 1)
    ]
    frequency, before = metrics.fsc(finite(a.data), finite(b.data), sizes)
    _, after = metrics.fsc(finite(decoded[0]), finite(decoded[1]), sizes)
    return HalfMaps(frequency, before, after)


def compressed(
    data: Array,
    settings: Settings,
    chunks: tuple[int, ...],
    voxel_size: float | tuple[float, ...],
    progress: Callable[[float], None],
) -> Array:
    """A volume as it comes back from a store in volume scope with these settings."""
    target = settings.target
    options: dict[str, Any] = {target.kind: target.value}
    if target.kind == "fsc":
        resolution = None if settings.volume is None else settings.volume.resolution
        options |= {"resolution": resolution, "voxel_size": voxel_size}
    if settings.volume is not None and settings.volume.symmetry is not None:
        group = settings.volume.symmetry.symmetry.group
        options["symmetry"] = group.symbol
        if isinstance(group, Helix):
            options["symmetry"] = _in_angstrom(group, voxel_size)
            options["voxel_size"] = voxel_size
    codec = INRCodec.fit(
        data,
        chunks=chunks,
        effort=settings.effort,
        threshold=settings.threshold,
        block=settings.block,
        progress=lambda fraction: progress(0.8 * fraction),
        **options,
    )
    root = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=3)
    axes = ("t", "z", "y", "x")[-data.ndim :]
    return stores.write_array(root, data, codec, chunks, axes, lambda f: progress(0.8 + 0.2 * f))


def _in_angstrom(helix: Helix, voxel_size: float | tuple[float, ...]) -> str:
    """The name of a helix whose own one has its rise in voxels."""
    along = voxel_size[0] if isinstance(voxel_size, tuple) else voxel_size
    kind, _, rest = helix.symbol.partition(":")
    _, _, rest = rest.partition(",")
    return f"{kind}:{helix.rise / RISE_UNIT * along:.9f},{rest}"


def lines(found: HalfMaps) -> list[str]:
    """The comparison in words."""

    def words(resolution: float | None) -> str:
        return "none" if resolution is None else f"{resolution:.4g} A"

    before, after = found.resolution_before, found.resolution_after
    out = [
        f"half-maps       FSC {LEVEL} at {words(before)}; compressed, at {words(after)}",
    ]
    if before is not None:
        shells = found.frequency * before <= 1
        change = float(np.abs(found.after - found.before)[shells].max(initial=0.0))
        out.append(f"                up to there the halves' FSC changes by at most {change:.4f}")
    if before is not None and after is not None:
        out.append(f"                the crossing moves by {after - before:+.4f} A")
    return out
