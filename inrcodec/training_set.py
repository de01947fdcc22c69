"""Training points of MRC maps in a chunked HDF5 file, written and read in parts so that memory stays bounded.

Of the seed paper (arXiv:2512.12975): coordinates normalised to [-1, 1] and their densities as pairs in HDF5
chunks of at most a million points. Points lie in random order, of all files together: a training step sees
the whole of every map, and the first points serve as validation set. Needs h5py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from inrcodec.core.mlp.chunks import is_occupied
from inrcodec.core.mlp.points import slab_pairs
from inrcodec.core.mlp.writing import check_scale, largest_density
from inrcodec.core.payload import MAX_SIDE, MAX_VOXELS
from inrcodec.core.prepare import as_volume_shape

CHUNK_POINTS = 1_000_000  # most points of an HDF5 chunk
SLAB_VOXELS = 2**21  # of a map read at once
MAX_FILES = 2**16

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Summary:
    """What a training set says of one of its files.

    Attributes:
        points: occupied voxels.
        scale: density of the network's 1: the largest magnitude among them.
    """

    points: int
    scale: float


class TrainingSet:
    """An open training set: the ``points`` argument of :func:`inrcodec.core.mlp.training.train`.

    Attributes:
        count: number of points.
        files: number of files.
        part: points of an HDF5 chunk, read at once.
        scales: (files,) float64, density of the network's 1 in each file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file that :func:`write_training_set` has made.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a training set.
        """
        self._file = h5py.File(path, "r")
        try:
            pairs, files = self._file.get("pairs"), self._file.get("files")
            for data, shape, dtype in ((pairs, (4,), "f4"), (files, (), "u2")):
                if not isinstance(data, h5py.Dataset) or data.shape[1:] != shape or data.dtype != dtype:
                    raise ValueError(
                        f"{path} is not a training set: no pairs of float32 or no files of uint16"
                    )
            if len(pairs) != len(files) or pairs.chunks is None or pairs.chunks[0] > CHUNK_POINTS:
                raise ValueError(f"{path} is not a training set: {pairs.shape} pairs, {files.shape} files")
            self._pairs, self._files = pairs, files
            self.count, self.part = len(pairs), int(pairs.chunks[0])
            self.scales = np.asarray(self._file["scales"][:], np.float64)
            self.files = len(self.scales)
        except BaseException as error:
            self._file.close()
            if isinstance(error, KeyError):
                raise ValueError(f"{path} is not a training set: {error}") from error
            raise

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        """(n, 4) float32 of x, y, z and density, and (n,) int64 numbers of files."""
        return self._pairs[start:stop], self._files[start:stop].astype(np.int64)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> TrainingSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def slabs(volume: Any) -> Iterator[tuple[int, Array]]:
    """Sections of a volume of 1 to 4 dimensions, seen as (d, h, w): number of the first, densities."""
    shape = as_volume_shape(tuple(volume.shape))
    seen = volume.reshape(shape)
    step = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], step):
        yield first, np.asarray(seen[first : first + step])


def summarise(volume: Any, threshold: float) -> Summary:
    """Count the occupied voxels of a volume and find its largest density, slab by slab.

    Raises:
        ValueError: a side is too long, no density lies above the threshold, or the densities are too large
            or too small for the format.
    """
    if max(as_volume_shape(tuple(volume.shape))) > MAX_SIDE:
        raise ValueError(f"a map of {tuple(volume.shape)} voxels: the mlp field takes {MAX_SIDE} a side")
    if volume.size > MAX_VOXELS:
        raise ValueError(f"a map of {tuple(volume.shape)} voxels: the mlp field takes {MAX_VOXELS} in all")
    points, scale = 0, 0.0
    for _, densities in slabs(volume):
        occupied = is_occupied(densities, threshold)
        points += int(np.count_nonzero(occupied))
        scale = max(scale, largest_density(densities, occupied))
    if not points:
        raise ValueError(f"no density lies above the threshold {threshold:g}")
    check_scale(scale)
    return Summary(points, scale)


def write_training_set(
    path: str | os.PathLike[str],
    volumes: Sequence[Any],
    threshold: float,
    *,
    chunk_points: int = CHUNK_POINTS,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[Summary]:
    """Write the points of volumes (arrays of 1 to 4 dimensions, read by sections) in random order.

    The file is ``pairs``, (n, 4) float32 of x, y, z and density over the file's largest, and ``files``, (n,)
    uint16; both in chunks of at most ``chunk_points``; and ``scales``, (volumes,) float64. Points are dealt
    out to the chunks at random as the volumes are read once; the order inside a chunk is left to the
    training.

    Returns:
        A summary of each volume.

    Raises:
        ValueError: as for :func:`summarise`; too many volumes; chunks of none or more than a million points.
    """
    if not 1 <= chunk_points <= CHUNK_POINTS:
        raise ValueError(f"chunks have 1 to {CHUNK_POINTS} points, got {chunk_points}")
    if not 1 <= len(volumes) <= MAX_FILES:
        raise ValueError(f"a training set is of 1 to {MAX_FILES} files, got {len(volumes)}")
    summaries = [summarise(volume, threshold) for volume in volumes]
    scales = [summary.scale for summary in summaries]
    writer = ShuffledWriter(path, sum(s.points for s in summaries), scales, chunk_points, seed)
    voxels = sum(int(volume.size) for volume in volumes)
    done = 0
    with writer:
        for number, (volume, summary) in enumerate(zip(volumes, summaries, strict=True)):
            grid = as_volume_shape(tuple(volume.shape))
            for first, densities in slabs(volume):
                occupied = is_occupied(densities, threshold)
                with np.errstate(invalid="ignore", over="ignore"):
                    scaled = densities.astype(np.float64) / summary.scale
                writer.put(slab_pairs(scaled, occupied, grid, first), number)
                done += densities.size
                if progress is not None:
                    progress(done / voxels)
    return summaries


class ShuffledWriter:
    """Writes points in random order into HDF5, each batch dealt out to all chunks.

    How many points of a batch a chunk gets is drawn from the multivariate hypergeometric distribution, so
    that every chunk is a random sample of all points and all are full in the end.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        count: int,
        scales: Sequence[float],
        chunk_points: int = CHUNK_POINTS,
        seed: int = 0,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        size = min(count, chunk_points)
        starts = np.arange(0, count, size)
        self._left = np.diff(starts, append=count)
        self._at = starts.copy()
        self._file = h5py.File(path, "w")
        self._pairs = self._file.create_dataset("pairs", (count, 4), "f4", chunks=(size, 4))
        self._files = self._file.create_dataset("files", (count,), "u2", chunks=(size,))
        self._file["scales"] = np.asarray(scales, np.float64)

    def put(self, pairs: Array, number: int) -> None:
        """Add (n, 4) points of a file."""
        if len(pairs) > self._left.sum():
            raise ValueError(f"{len(pairs)} points for {self._left.sum()} places")
        shuffled = self._rng.permutation(pairs)
        shares = self._rng.multivariate_hypergeometric(self._left, len(pairs), method="marginals")
        start = 0
        for chunk in np.flatnonzero(shares):
            at, share = int(self._at[chunk]), int(shares[chunk])
            self._pairs[at : at + share] = shuffled[start : start + share]
            self._files[at : at + share] = number
            start += share
        self._at += shares
        self._left -= shares

    def __enter__(self) -> ShuffledWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        left = int(self._left.sum())
        self._file.close()
        if kind is None and left:
            raise ValueError(f"{left} points are missing from the training set")
