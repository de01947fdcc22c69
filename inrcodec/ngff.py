"""OME-Zarr (NGFF) metadata, so that viewers scale, place and name the axes of a map.

Version 0.4 goes with zarr format 2, version 0.5 with format 3 (https://ngff.openmicroscopy.org). The store is
a group whose resolution levels are the arrays ``"0"`` (the map itself), ``"1"`` ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inrcodec.mrc import MRCVolume

DOWNSCALING = "frequencies below the coarser grid's Nyquist frequency are kept, all others dropped"
_OME_KEYS = ("multiscales", "omero", "labels", "plate", "well", "image-label", "bioformats2raw.layout")
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
    image: dict[str, Any] = {"name": name, "axes": axes, "datasets": datasets}
    if levels:
        image |= {"type": "Fourier cropping", "metadata": {"description": DOWNSCALING}}
    if zarr_format == 2:
        return {"multiscales": [{"version": version, **image}]}
    return {"ome": {"version": version, "multiscales": [image]}}


def converted(attributes: Mapping[str, Any], zarr_format: int) -> dict[str, Any]:
    """A group's attributes, those of OME-Zarr as the version that goes with a zarr format has them.

    Version 0.5 gathers in ``"ome"``, under one version, what version 0.4 keeps side by side with a version
    each. Groups without multiscale images come back as they are.

    Args:
        attributes: of a group of version 0.4 or 0.5, not modified.
        zarr_format: 2 for version 0.4, 3 for 0.5.
    """
    out = dict(attributes)
    if zarr_format == 3 and "multiscales" in out and "ome" not in out:
        moved = {key: _without_version(out.pop(key)) for key in _OME_KEYS if key in out}
        return {"ome": {"version": VERSIONS[3], **moved}, **out}
    ome = out.get("ome")
    if zarr_format == 2 and isinstance(ome, Mapping) and isinstance(ome.get("multiscales"), list):
        del out["ome"]
        moved = {key: value for key, value in ome.items() if key != "version"}
        moved["multiscales"] = [{"version": VERSIONS[2], **image} for image in moved["multiscales"]]
        return {**moved, **out}
    return out


def _without_version(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_version(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if key != "version"}
    return value
