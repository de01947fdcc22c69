"""OME-Zarr (NGFF) metadata, so that viewers scale, place and name the axes of a map.

Version 0.4 goes with zarr format 2, version 0.5 with format 3 (https://ngff.openmicroscopy.org). The store is
a group whose one resolution level is the array ``"0"``.
"""

from __future__ import annotations

from typing import Any

from inrcodec.mrc import MRCVolume

VERSIONS = {2: "0.4", 3: "0.5"}


def attributes(volume: MRCVolume, name: str, zarr_format: int) -> dict[str, Any]:
    """The group's attributes: one multiscale image with one level.

    Args:
        volume: axes are named as its header has them; voxel sizes and origin are in angstrom. A header
            without a voxel size gives scale 1 and no unit.
        name: what the image is called.
        zarr_format: 2 or 3.

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
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if known and any(volume.origin):
        transformations.append({"type": "translation", "translation": [0.0] * lead + list(volume.origin)})
    image = {
        "name": name,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": transformations}],
    }
    if zarr_format == 2:
        return {"multiscales": [{"version": version, **image}]}
    return {"ome": {"version": version, "multiscales": [image]}}
