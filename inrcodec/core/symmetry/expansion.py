"""What the asymmetric unit says of a volume: the symmetric part of a field, decoded."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from inrcodec.core.backend import in_threads
from inrcodec.core.symmetry.images import Box, Images
from inrcodec.core.symmetry.sampling import Sampler, Span, spans_needed
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]
Spans = tuple[Span, Span, Span]
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
    (z, y, x), table = distinct(images, region)
    sampled = np.zeros(len(z) + 1)
    if z.size:
        if images.axes:
            z, y, x = images.between(z, y, x)
        else:
            z, y, x = z << POSITION_BITS, y << POSITION_BITS, x << POSITION_BITS
        low, high = (np.array([f(a) for a in (z, y, x)]) for f in (np.min, np.max))
        sampler = _sampler(images, field, values, low, high)
        if sampler is not None:
            sampled[:-1] = sampler.points(z, y, x)
    return np.take(sampled, table)


def distinct(images: Images, region: Box) -> tuple[tuple[Array, Array, Array], Array]:
    """Voxels that lattice operations take a region's to, each once.

    Returns:
        Their indices z, y, x, and for each voxel of the region the number of its own in them; one beyond the
        last for voxels without an image.
    """
    ranges = [np.arange(s.start, s.stop, dtype=np.int64) for s in region]
    spans = images.lattice_spans(region)
    low, shape = [a for a, _ in spans], [b - a for a, b in spans]
    held = np.zeros(prod(shape), bool)
    table = np.full([len(r) for r in ranges], -1, np.int32)
    squares = [(r * 2**POSITION_BITS - c) ** 2 for r, c in zip(ranges, images.symmetry.centre, strict=True)]

    def number(plane: int) -> None:
        near = [np.flatnonzero(images.inside(squares[0][plane] + s)) for s in squares[1:]]
        if not all(n.size for n in near):
            return
        rows, columns = (slice(int(n[0]), int(n[-1]) + 1) for n in near)
        _, y, x = np.ix_(ranges[0][:1], ranges[1][rows], ranges[2][columns])
        at_z, at_y, at_x = images.on_lattice(ranges[0][plane].reshape(1, 1, 1), y, x)
        own = (((at_z - low[0]) * shape[1] + at_y - low[1]) * shape[2] + at_x - low[2])[0]
        inside = images.inside(squares[0][plane] + squares[1][rows, None] + squares[2][columns])
        held[own[inside]] = True
        table[plane, rows, columns] = np.where(inside, own, -1)

    in_threads(number, range(len(table)))
    wanted = np.flatnonzero(held)
    rank = np.full(len(held) + 1, len(wanted), np.int32)  # the last one is that of -1
    rank[wanted] = np.arange(len(wanted), dtype=np.int32)

    def rename(plane: int) -> None:
        table[plane] = rank[table[plane]]

    in_threads(rename, range(len(table)))
    at = [a + o for a, o in zip(np.unravel_index(wanted, shape), low, strict=True)]
    return (at[0], at[1], at[2]), table
