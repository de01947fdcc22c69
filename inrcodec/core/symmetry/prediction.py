"""What the asymmetric unit says of a volume: the symmetric part of a field, decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inrcodec.core.symmetry.images import Box, Images
from inrcodec.core.symmetry.sampling import Sampler, Span, spans_needed
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]
Spans = tuple[Span, Span, Span]
Values = Callable[[Spans], Array]


def predict(images: Images, field: Spans, values: Values, region: Box) -> Array:
    """Values of a region's voxels, each that of its image in the asymmetric unit.

    Args:
        images: of voxels under the group.
        field: start and end of the asymmetric unit's field along z, y, x, in voxels of the volume (it may stick
            out of it).
        values: gives the field, whole numbers in float64, between such starts and ends.
        region: of the volume.

    Returns:
        (d, h, w) float64 whole numbers; 0 where the image lies outside the field.
    """
    return _axial(images, field, values, region) if images.axial else _general(images, field, values, region)


def _axial(images: Images, field: Spans, values: Values, region: Box) -> Array:
    parts = list(images.columns(region))
    low = np.min([[p.z.min(), p.y.min(), p.x.min()] for p in parts], axis=0)
    high = np.max([[p.z.max(), p.y.max(), p.x.max()] for p in parts], axis=0)
    depth, height, width = (s.stop - s.start for s in region)
    sampler = _sampler(images, field, values, low, high)
    out = np.zeros((depth, height, width))
    if sampler is not None:
        for part in parts:
            out[part.planes] = sampler.columns(part.z, part.y, part.x).reshape(-1, height, width)
    return out


def _sampler(images: Images, field: Spans, values: Values, low: Array, high: Array) -> Sampler | None:
    spans = spans_needed(low, high, field, images.axes)
    if spans is None:
        return None
    (z, _), (y, _), (x, _) = spans
    return Sampler(values(spans), (z, y, x), field, images.axes)


def _general(images: Images, field: Spans, values: Values, region: Box) -> Array:
    origin, shape, wanted, table = distinct(images, region)
    if not images.axes:
        low = np.array(origin) << POSITION_BITS
        high = low + ((np.array(shape) - 1) << POSITION_BITS)
        sampler = _sampler(images, field, values, low, high)
        if sampler is None:
            return np.zeros([s.stop - s.start for s in region])
        z, y, x = (
            np.arange(n, dtype=np.int64) + a << POSITION_BITS for n, a in zip(shape, origin, strict=True)
        )
        plane = np.meshgrid(y, x, indexing="ij")
        return sampler.columns(z, plane[0].ravel(), plane[1].ravel()).reshape(-1)[table]
    z, y, x = (a + o for a, o in zip(np.unravel_index(wanted, shape), origin, strict=True))
    z, y, x = images.between(z, y, x)
    sampled = np.zeros(shape)
    low = np.array([z.min(), y.min(), x.min()])
    high = np.array([z.max(), y.max(), x.max()])
    sampler = _sampler(images, field, values, low, high)
    if sampler is not None:
        sampled.reshape(-1)[wanted] = sampler.points(z, y, x)
    return sampled.reshape(-1)[table]


def distinct(images: Images, region: Box) -> tuple[tuple[int, ...], tuple[int, ...], Array, Array]:
    """Voxels that lattice operations take a region's to.

    Returns:
        Corner and shape of a box that holds them, their flat indices in it, and for each voxel of the region its own.
    """
    z, y, x = np.ix_(*(np.arange(s.start, s.stop, dtype=np.int64) for s in region))
    planes = [images.on_lattice(plane[None, None], y, x) for plane in z.ravel()]
    low = [min(int(p[a].min()) for p in planes) for a in range(3)]
    high = [max(int(p[a].max()) for p in planes) for a in range(3)]
    shape = tuple(b - a + 1 for a, b in zip(low, high, strict=True))
    held = np.zeros(shape, bool).reshape(-1)
    table = np.empty([s.stop - s.start for s in region], np.int32)
    for row, (pz, py, px) in zip(table, planes, strict=True):
        row[...] = (((pz - low[0]) * shape[1] + py - low[1]) * shape[2] + px - low[2])[0]
        held[row.ravel()] = True
    return tuple(low), shape, np.flatnonzero(held), table
