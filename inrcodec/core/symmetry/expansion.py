"""What the asymmetric unit says of a volume: the symmetric part of a field, decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(eq=False)
class Expansion:
    """Values of voxels, each that of its image in the asymmetric unit.

    Attributes:
        images: of voxels under the group.
        field: start and end of the asymmetric unit's field along z, y, x, in voxels of the volume (it may
            stick out of it).
        values: gives the field, whole numbers in float64, between such starts and ends.
    """

    images: Images
    field: Spans
    values: Values
    _held: Sampler | None = None

    def hold(self) -> None:
        """Evaluate the whole field now where most of it would be evaluated again for every region."""
        if len(self.images.axes) == 3:
            self._held = self._sampler_of(self.field)

    def region(self, region: Box) -> Array:
        """(d, h, w) float64 whole numbers of a region's voxels; 0 where the image lies outside the field."""
        return self._axial(region) if self.images.axial else self._general(region)

    def _axial(self, region: Box) -> Array:
        parts = list(self.images.columns(region))
        depth, height, width = (s.stop - s.start for s in region)
        out = np.zeros((depth, height * width))
        if parts:
            low = np.min([[p.z.min(), p.y.min(), p.x.min()] for p in parts], axis=0)
            high = np.max([[p.z.max(), p.y.max(), p.x.max()] for p in parts], axis=0)
            sampler = self._sampler(low, high)
            if sampler is not None:
                for part in parts:
                    out[np.ix_(part.planes, part.columns)] = sampler.columns(part.z, part.y, part.x)
        return out.reshape(depth, height, width)

    def _general(self, region: Box) -> Array:
        if len(self.images.lattice) > 1:
            voxels, table = distinct(self.images, region)
            sampled = np.zeros(len(voxels[0]) + 1)
            self._sample(voxels, sampled[:-1])
            return np.take(sampled, table)
        voxels, inside = within(self.images, region)
        out = np.zeros(inside.shape)
        out[inside] = self._sample(voxels, np.zeros(len(voxels[0])))
        return out

    def _sample(self, voxels: tuple[Array, Array, Array], out: Array) -> Array:
        """Values at the images of voxels, which lie where no lattice operation takes them further."""
        if voxels[0].size:
            if self.images.axes:
                z, y, x = self.images.between(*voxels)
            else:
                z, y, x = (a << POSITION_BITS for a in voxels)
            low, high = (np.array([f(a) for a in (z, y, x)]) for f in (np.min, np.max))
            sampler = self._sampler(low, high)
            if sampler is not None:
                out[:] = sampler.points(z, y, x)
        return out

    def _sampler(self, low: Array, high: Array) -> Sampler | None:
        """Of positions between two corners; None where the field has none of them."""
        if self._held is not None:
            return self._held
        spans = spans_needed(low, high, self.field, self.images.axes)
        return None if spans is None else self._sampler_of(spans)

    def _sampler_of(self, spans: Spans) -> Sampler:
        (z, _), (y, _), (x, _) = spans
        return Sampler(self.values(spans), (z, y, x), self.field, self.images.axes)


def within(images: Images, region: Box) -> tuple[tuple[Array, Array, Array], Array]:
    """Indices z, y, x of a region's voxels that have images, and where they are in it: (d, h, w) bool."""
    z, y, x = (
        (np.arange(s.start, s.stop, dtype=np.int64) * 2**POSITION_BITS - c) ** 2
        for s, c in zip(region, images.symmetry.centre, strict=True)
    )
    inside = images.inside(z[:, None, None] + y[:, None] + x)
    at = [(a + s.start).astype(np.int32) for a, s in zip(np.nonzero(inside), region, strict=True)]
    return (at[0], at[1], at[2]), inside


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
