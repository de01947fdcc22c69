"""What the asymmetric unit says of a volume: the symmetric part of a field, decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from inrcodec.core.backend import in_threads
from inrcodec.core.symmetry.images import Box, Images
from inrcodec.core.symmetry.sampling import Sampler, Span, spans_needed
from inrcodec.core.symmetry.splines import POSITION_BITS

_TILE = (32, 32, 64)  # voxels: images lie close together, and threads seldom wait for each other

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
        sampler = self._sampler((part.z, part.y, part.x) for part in parts)
        if sampler is not None:
            for part in parts:
                out[np.ix_(part.planes, part.columns)] = sampler.columns(part.z, part.y, part.x)
        return out.reshape(depth, height, width)

    def _general(self, region: Box) -> Array:
        if len(self.images.lattice) == 1:
            inside = ball(self.images, region)
            out = np.zeros(inside.shape)
            self._sample([s.start for s in region], inside, out)
            return out
        unit = Distinct.of(self.images, region)
        sampled = np.zeros(unit.count + 1)
        self._sample(unit.corner, unit.held, sampled, unit.numbers)
        return np.take(sampled, unit.table)

    def _sample(self, corner: list[int], held: Array, out: Array, numbers: Array | None = None) -> None:
        """Values at the images of voxels, which lie where no lattice operation takes them further.

        Args:
            corner: (3,) the first voxel of a box.
            held: mask of the box's voxels that are wanted.
            out: for their values: the box, or where ``numbers`` (of the box) says.
        """
        tiles = [tile for tile in _tiles(held.shape) if held[tile].any()]

        def positions(tile: Box) -> tuple[Array, Array, Array]:
            z, y, x = (
                a + (s.start + c) for a, s, c in zip(np.nonzero(held[tile]), tile, corner, strict=True)
            )
            if self.images.axes:
                return self.images.between(z, y, x)
            return z << POSITION_BITS, y << POSITION_BITS, x << POSITION_BITS

        sampler = self._held or self._sampler(map(positions, tiles))
        if sampler is None:
            return

        def sample(i: int) -> None:
            own = held[tiles[i]]
            values = sampler.points(*positions(tiles[i]))
            if numbers is None:
                out[tiles[i]][own] = values
            else:
                out[numbers[tiles[i]][own]] = values

        in_threads(sample, range(len(tiles)))

    def _sampler(self, positions: Iterable[tuple[Array, Array, Array]]) -> Sampler | None:
        """Of positions; None where the field has none of them."""
        if self._held is not None:
            return self._held
        ends = [[(int(a.min()), int(a.max())) for a in part] for part in positions]
        if not ends:
            return None
        bounds = np.array(ends)
        spans = spans_needed(
            bounds[..., 0].min(axis=0), bounds[..., 1].max(axis=0), self.field, self.images.axes
        )
        return None if spans is None else self._sampler_of(spans)

    def _sampler_of(self, spans: Spans) -> Sampler:
        (z, _), (y, _), (x, _) = spans
        return Sampler(self.values(spans), (z, y, x), self.field, self.images.axes)


def _tiles(shape: tuple[int, ...]) -> list[Box]:
    """A box in small ones, whose images lie close together."""
    starts = product(*(range(0, n, size) for n, size in zip(shape, _TILE, strict=True)))
    return [(slice(z, z + _TILE[0]), slice(y, y + _TILE[1]), slice(x, x + _TILE[2])) for z, y, x in starts]


def ball(images: Images, region: Box) -> Array:
    """(d, h, w) which of a region's voxels have images."""
    z, y, x = (
        (np.arange(s.start, s.stop, dtype=np.int64) * 2**POSITION_BITS - c) ** 2
        for s, c in zip(region, images.symmetry.centre, strict=True)
    )
    return np.stack([images.inside(plane + y[:, None] + x) for plane in z])


@dataclass(eq=False)
class Distinct:
    """Voxels that lattice operations take a region's to, each once.

    Attributes:
        corner: (3,) the first voxel of a box that holds them.
        held: mask of them in the box.
        numbers: (the box) their numbers in C order.
        count: how many there are.
        table: (the region) the number of each voxel's own; ``count`` where a voxel has no image.
    """

    corner: list[int]
    held: Array
    numbers: Array
    count: int
    table: Array

    @classmethod
    def of(cls, images: Images, region: Box) -> Distinct:
        ranges = [np.arange(s.start, s.stop, dtype=np.int64) for s in region]
        spans = images.lattice_spans(region)
        low, shape = [a for a, _ in spans], [b - a for a, b in spans]
        held = np.zeros(prod(shape), bool)
        table = np.full([len(r) for r in ranges], -1, np.int32)
        inside = ball(images, region)

        tiles = [tile for tile in _tiles(inside.shape) if inside[tile].any()]

        def number(i: int) -> None:
            tile = tiles[i]
            at = images.on_lattice(*np.ix_(*(r[s] for r, s in zip(ranges, tile, strict=True))))
            z, y, x = (a - start for a, start in zip(at, low, strict=True))
            own = (z * shape[1] + y) * shape[2] + x
            held[own[inside[tile]]] = True
            np.copyto(table[tile], own, where=inside[tile])

        in_threads(number, range(len(tiles)))
        wanted = np.flatnonzero(held)
        numbers = np.full(len(held) + 1, len(wanted), np.int32)  # the last one is that of -1
        numbers[wanted] = np.arange(len(wanted), dtype=np.int32)

        def rename(plane: int) -> None:
            table[plane] = numbers[table[plane]]

        in_threads(rename, range(len(table)))
        return cls(low, held.reshape(shape), numbers[:-1].reshape(shape), len(wanted), table)

    def voxels(self) -> tuple[Array, Array, Array]:
        """Their indices z, y, x in the volume, in C order."""
        z, y, x = (a + low for a, low in zip(np.nonzero(self.held), self.corner, strict=True))
        return z, y, x
