"""OME-Zarr (NGFF) metadata, so that viewers scale, place and name the axes of a map.

Version 0.4 goes with zarr format 2, version 0.5 with format 3 (https://ngff.openmicroscopy.org). The store is
a group whose resolution levels are the arrays ``"0"`` (the map itself), ``"1"`` ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inrcodec.mrc import MRCVolume

DOWNSCALING = "frequencies below the coarser grid's Nyquist frequency are kept, all others dropped"
VERSIONS = {2: "0.4", 3: "0.5"}


def attributes(
    volume: MRCVolume, name: str, zarr_format: int, levels: Sequence[Sequence[int]] = ()
) -> dict[str, Any]:
    """The group's attributes: one multiscale image.

    The first voxel of every level is at the same place, that of the map's first voxel: Fourier cropping keeps
    it there. Only the scale differs between levels.

    Args:
        volume: axes are named as its header has them; voxel sizes and origin are in angstrom. A header
            without a voxel size gives scale 1 and no unit.
        name: what the image is called.
        zarr_format: 2 or 3.
        levels: shapes of coarser levels, finest first; they cover the same field of view.

    Raises:
        ValueError: another format.
    """
    if zarr_format not in VERSIONS:
        raise ValueError(f"zarr_format must be 2 or 3, got {zarr_format}")
    version = VERSIONS[zarr_format]
    known = all(size > 0 for size in volume.voxel_size)
    lead = len(volume.axes) - len(volume.voxel_size)  # a stack's axis of volumes is not in space
    unit = {"unit": "angstrom"} if known else {}
    axes = [{"name": axis} for axis in volume.axes[:lead]]
    axes += [{"name": axis, "type": "space", **unit} for axis in volume.axes[lead:]]
    scale = [1.0] * lead + (list(volume.voxel_size) if known else [1.0] * len(volume.voxel_size))
    shape = volume.data.shape
    datasets = []
    for path, level in enumerate((shape, *levels)):
        factors = [n / m for n, m in zip(shape, level, strict=True)]
        of_level = [size * factor for size, factor in zip(scale, factors, strict=True)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": of_level}]
        if known and any(volume.origin):
            transformations.append({"type": "translation", "translation": [0.0] * lead + list(volume.origin)})
        datasets.append({"path": str(path), "coordinateTransformations": transformations})
    image = {"name": name, "axes": axes, "datasets": datasets}
    if levels:
        image |= {"type": "Fourier cropping", "metadata": {"description": DOWNSCALING}}
    if zarr_format == 2:
        return {"multiscales": [{"version": version, **image}]}
    return {"ome": {"version": version, "multiscales": [image]}}
