"""What the asymmetric unit says of a volume: the symmetric part of a field, decoded."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from inrcodec.core.symmetry.images import Box, Images
from inrcodec.core.symmetry.sampling import Sampler, Span, spans_needed
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]
Spans = tuple[Span, Span, Span]
Corner = tuple[int, int, int]
Values = Callable[[Spans], Array]


def expand(images: Images, field: Spans, values: Values, region: Box) -> Array:
    """Values of a region's voxels, each that of its image in the asymmetric unit.

    Args:
        images: of voxels under the group.
        field: start and end of the asymmetric unit's field along z, y, x, in voxels of the volume (it may
            stick out of it).
        values: gives the field, whole numbers in float64, between such starts and ends.
        region: of the volume.

    Returns:
        (d, h, w) float64 whole numbers; 0 where the image lies outside the field.
    """
    return _axial(images, field, values, region) if images.axial else _general(images, field, values, region)


def _axial(images: Images, field: Spans, values: Values, region: Box) -> Array:
    parts = list(images.columns(region))
    depth, height, width = (s.stop - s.start for s in region)
    out = np.zeros((depth, height * width))
    if parts:
        low = np.min([[p.z.min(), p.y.min(), p.x.min()] for p in parts], axis=0)
        high = np.max([[p.z.max(), p.y.max(), p.x.max()] for p in parts], axis=0)
        sampler = _sampler(images, field, values, low, high)
        if sampler is not None:
            for part in parts:
                out[np.ix_(part.planes, part.columns)] = sampler.columns(part.z, part.y, part.x)
    return out.reshape(depth, height, width)


def _sampler(images: Images, field: Spans, values: Values, low: Array, high: Array) -> Sampler | None:
    spans = spans_needed(low, high, field, images.axes)
    if spans is None:
        return None
    (z, _), (y, _), (x, _) = spans
    return Sampler(values(spans), (z, y, x), field, images.axes)


def _general(images: Images, field: Spans, values: Values, region: Box) -> Array:
    origin, shape, wanted, table = distinct(images, region)
    sampled = np.zeros(prod(shape) + 1)
    if wanted.size:
        z, y, x = (a + o for a, o in zip(np.unravel_index(wanted, shape), origin, strict=True))
        if images.axes:
            z, y, x = images.between(z, y, x)
        else:
            z, y, x = z << POSITION_BITS, y << POSITION_BITS, x << POSITION_BITS
        low, high = (np.array([f(a) for a in (z, y, x)]) for f in (np.min, np.max))
        sampler = _sampler(images, field, values, low, high)
        if sampler is not None:
            sampled[wanted] = sampler.points(z, y, x)
    return sampled[table]


def distinct(images: Images, region: Box) -> tuple[Corner, Corner, Array, Array]:
    """Voxels that lattice operations take a region's to.

    Returns:
        Corner and shape of a box that holds them, their flat indices in it, and for each voxel of the region
        its own; one beyond the box's last for voxels without an image.
    """
    ranges = [np.arange(s.start, s.stop, dtype=np.int64) for s in region]
    _, y, x = np.ix_(*ranges)
    planes = [images.on_lattice(plane[None, None], y, x) for plane in ranges[0][:, None]]
    lows = [min(int(p[a].min()) for p in planes) for a in range(3)]
    highs = [max(int(p[a].max()) for p in planes) for a in range(3)]
    low, shape = (lows[0], lows[1], lows[2]), tuple(b - a + 1 for a, b in zip(lows, highs, strict=True))
    held = np.zeros(prod(shape) + 1, bool)
    table = np.empty([len(r) for r in ranges], np.int32)
    squares = [(r * 2**POSITION_BITS - c) ** 2 for r, c in zip(ranges, images.symmetry.centre, strict=True)]
    for row, (pz, py, px), square in zip(table, planes, squares[0], strict=True):
        row[...] = (((pz - low[0]) * shape[1] + py - low[1]) * shape[2] + px - low[2])[0]
        row[~images.inside(square + squares[1][:, None] + squares[2])] = prod(shape)
        held[row.ravel()] = True
    held[-1] = False
    return low, (shape[0], shape[1], shape[2]), np.flatnonzero(held), table
