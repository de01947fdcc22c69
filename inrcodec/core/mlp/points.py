"""Training points: coordinates and densities of occupied voxels, and the order they are trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from inrcodec.core.mlp.encoding import coordinates

MOST_VALIDATION = 2**16  # points held out

Array = np.ndarray[Any, Any]


class Points(Protocol):
    """Points in random order, wherever they are kept.

    Attributes:
        count: number of points.
        files: number of files they come from.
        part: points read at once.
    """

    count: int
    files: int
    part: int

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        """(n, 4) float32 of x, y, z (-1 to 1) and density (at most 1), and (n,) numbers of files."""
        ...


class PointArray:
    """Points of one file in memory."""

    def __init__(self, pairs: Array) -> None:
        self.pairs = pairs
        self.count, self.files, self.part = len(pairs), 1, len(pairs)

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        pairs = self.pairs[start:stop]
        return pairs, np.zeros(len(pairs), np.int64)


def slab_pairs(densities: Array, occupied: Array, grid: tuple[int, int, int], first: int) -> Array:
    """(n, 4) float32 x, y, z and density of the occupied voxels of a slab of sections.

    Args:
        densities: (sections, h, w), divided by the file's largest magnitude.
        occupied: mask of the same shape.
        grid: (d, h, w) of the whole volume.
        first: number of the slab's first section.
    """
    z, y, x = np.nonzero(occupied)
    axes = [coordinates(n) for n in grid]
    out = np.empty((len(z), 4), np.float32)
    out[:, 0], out[:, 1], out[:, 2] = axes[2][x], axes[1][y], axes[0][z + first]
    out[:, 3] = densities[z, y, x]
    return out


def held_out(count: int, share: float) -> int:
    """Points at the start of the set that are not trained on; always some to train on are left."""
    return min(int(count * share), MOST_VALIDATION, count - 1)


def batches(
    points: Points, held: int, batch: int, seed: int, first: int, last: int
) -> Iterator[tuple[Array, Array]]:
    """The batches of steps ``first`` to ``last`` - 1: epoch after epoch, parts and points in random order.

    They depend on the arguments alone, so a training that is taken up again goes on as if it had not stopped.
    """
    starts = list(range(held, points.count, max(points.part, batch)))
    stops = [*starts[1:], points.count]
    steps = [max(1, (b - a) // batch) for a, b in zip(starts, stops, strict=True)]
    epoch, at = divmod(first, sum(steps))
    step = first - at
    while step < last:
        for part in np.random.default_rng([seed, epoch]).permutation(len(starts)):
            if step + steps[part] <= first:
                step += steps[part]
                continue
            pairs, files = points.read(starts[part], stops[part])
            order = np.random.default_rng([seed, epoch, int(part)]).permutation(len(pairs))
            for i in range(steps[part]):
                if step >= last:
                    return
                if step >= first:
                    chosen = order[i * batch : (i + 1) * batch]
                    yield pairs[chosen], files[chosen]
                step += 1
        epoch += 1
