"""The map inside a ``.mrc.inr`` file as a binary stream; only what is read of it is fetched and decoded."""

from __future__ import annotations

import io
import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from inrcodec import mrc_container
from inrcodec.core import decode_many, inspect
from inrcodec.mrc_container import ContainerError, Head

Array = np.ndarray[Any, Any]

_LEAST_CACHE = 2**26
_BATCH_VOXELS = 2**23  # decoded together: enough chunks for all threads, few enough for memory


class Source(Protocol):
    """Where the bytes of a file come from."""

    @property
    def size(self) -> int:
        """Length of the file in bytes."""

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each range (first byte, one past the last); shorter where the file ends."""


class FileSource:
    """A source that is an open binary file."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size = int(file.seek(0, io.SEEK_END))

    @property
    def size(self) -> int:
        return self._size

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        out = []
        for start, stop in ranges:
            self._file.seek(start)
            out.append(bytes(self._file.read(stop - start)))
        return out


class MRCReader(io.RawIOBase):
    """An MRC map, read from a ``.mrc.inr`` file.

    A seekable, read-only binary stream: header and extended header byte for byte, then the decoded densities
    in the map's dtype and byte order. ``mrcfile.mrcinterpreter.MrcInterpreter`` and whatever else reads
    streams can read it.

    Args:
        source: the file's bytes.
        cache_bytes: how many decoded bytes are kept. None keeps as many chunks as lie side by side across
            the first axis, and at least 64 MiB, so that reading in order decodes every chunk once.

    Raises:
        ContainerError: the source is no ``.mrc.inr`` file or is damaged.
    """

    def __init__(self, source: Source, *, cache_bytes: int | None = None) -> None:
        super().__init__()
        self._cache: OrderedDict[int, Array] = OrderedDict()
        self._source = source
        self.head = _read_head(source)
        head = self.head
        self._extended_header: bytes | None = None
        self._chunk_bytes = math.prod(head.chunk_shape) * head.dtype.itemsize
        side_by_side = math.prod(head.grid[1:]) * self._chunk_bytes
        self._cache_bytes = max(_LEAST_CACHE, side_by_side) if cache_bytes is None else cache_bytes
        self._position = 0
        self.decoded = 0
        """Number of chunks decoded so far."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.head.map_bytes}
        if whence not in base:
            raise ValueError(f"whence must be 0, 1 or 2, got {whence}")
        if base[whence] + offset < 0:
            raise ValueError(f"cannot seek to {base[whence] + offset}")
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the position on, up to the map's end; returns the bytes written.

        Raises:
            ContainerError, PayloadError: what is read is damaged.
        """
        if self.closed:
            raise ValueError("the stream is closed")
        view = memoryview(buffer).cast("B")
        start = self._position
        stop = min(start + len(view), self.head.map_bytes)
        if stop <= start:
            return 0
        at = start
        if at < self.head.data_start:
            end = min(stop, self.head.data_start)
            view[: end - at] = self._before_data(at, end)
            at = end
        if at < stop:
            view[at - start : stop - start] = self._data_bytes(
                at - self.head.data_start, stop - self.head.data_start
            )
        self._position = stop
        return stop - start

    def read_box(self, box: tuple[slice, ...]) -> Array:
        """Densities of a box, decoding only the chunks it touches.

        Args:
            box: one slice with step 1 per axis, inside the map.
        """
        head = self.head
        out = np.empty([cut.stop - cut.start for cut in box], head.dtype)
        if out.size == 0:
            return out
        touched = [
            range(cut.start // c, -(-cut.stop // c)) for cut, c in zip(box, head.chunk_shape, strict=True)
        ]
        at_once = max(1, _BATCH_VOXELS // math.prod(head.chunk_shape))
        for places in _batched(itertools.product(*touched), at_once):
            numbers = [int(np.ravel_multi_index(place, head.grid)) for place in places]
            for place, chunk in zip(places, self._chunks(numbers), strict=True):
                target, part = [], []
                for index, cut, c in zip(place, box, head.chunk_shape, strict=True):
                    low, high = max(cut.start, index * c), min(cut.stop, (index + 1) * c)
                    target.append(slice(low - cut.start, high - cut.start))
                    part.append(slice(low - index * c, high - index * c))
                out[tuple(target)] = chunk[tuple(part)]
        return out

    def close(self) -> None:
        self._cache.clear()
        super().close()

    def _before_data(self, start: int, stop: int) -> bytes:
        """Bytes of the headers; the extended one is fetched when it is first asked for."""
        if stop <= mrc_container.MRC_HEADER_BYTES:
            return self.head.mrc_header[start:stop]
        if self._extended_header is None:
            (data,) = self._source.read([self.head.extended_header])
            self._extended_header = self.head.check_extended_header(data)
        return (self.head.mrc_header + self._extended_header)[start:stop]

    def _data_bytes(self, start: int, stop: int) -> memoryview:
        """Bytes of the densities, counted from the first voxel."""
        size = self.head.dtype.itemsize
        first, last = start // size, -(-stop // size)
        out = np.empty(last - first, self.head.dtype)
        at = 0
        for box in boxes_of_range(first, last, self.head.shape):
            part = self.read_box(box)
            out[at : at + part.size] = part.reshape(-1)
            at += part.size
        return memoryview(out.view(np.uint8).data)[start - first * size : stop - first * size]

    def _chunks(self, numbers: list[int]) -> list[Array]:
        """Decoded chunks, from the cache where they are there."""
        found = {n: self._cache[n] for n in numbers if n in self._cache}
        missing = [n for n in numbers if n not in found]
        for n, chunk in zip(missing, self._decode(missing), strict=True):
            found[n] = self._cache[n] = chunk
        for n in numbers:
            self._cache.move_to_end(n)
        while len(self._cache) * self._chunk_bytes > self._cache_bytes:
            self._cache.popitem(last=False)
        return [found[n] for n in numbers]

    def _decode(self, numbers: list[int]) -> list[Array]:
        head = self.head
        payloads = self._payloads([n for n in numbers if head.lengths[n]])
        for payload in payloads:
            info = inspect(payload)
            if info.shape != head.chunk_shape or info.dtype.newbyteorder("=") != head.dtype.newbyteorder("="):
                raise ContainerError(
                    f"payload holds {info.shape} {info.dtype}, the file's chunks are {head.chunk_shape} "
                    f"{head.dtype}"
                )
        chunks = iter(decode_many(payloads, volume=head.settings.volume) if payloads else [])
        self.decoded += len(payloads)
        return [
            next(chunks).astype(head.dtype, copy=False)
            if head.lengths[n]
            else np.zeros(head.chunk_shape, head.dtype)
            for n in numbers
        ]

    def _payloads(self, numbers: list[int]) -> list[bytes]:
        """The bytes of payloads; those that lie side by side are one range."""
        starts = [int(self.head.offsets[n]) for n in numbers]
        stops = [int(self.head.offsets[n] + self.head.lengths[n]) for n in numbers]
        ranges: list[tuple[int, int]] = []
        for start, stop in zip(starts, stops, strict=True):
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], stop)
            else:
                ranges.append((start, stop))
        out = []
        pieces = iter(zip(ranges, self._source.read(ranges) if ranges else [], strict=True))
        (low, high), data = (0, 0), b""
        for start, stop in zip(starts, stops, strict=True):
            if stop > high:
                (low, high), data = next(pieces)
                if len(data) != high - low:
                    raise ContainerError(f"bytes {low} to {high} were asked for, {len(data)} came")
            out.append(data[start - low : stop - low])
        return out


def boxes_of_range(start: int, stop: int, shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Boxes that a run of voxels in C order is made of, in order.

    A run is a part of a row, rows, planes, rows and a part of a row: at most two boxes per axis and one.
    """
    if start >= stop:
        return
    if len(shape) == 1:
        yield (slice(start, stop),)
        return
    size = math.prod(shape[1:])
    first, last = -(-start // size), stop // size
    if first > last:  # inside one plane
        for box in boxes_of_range(start - last * size, stop - last * size, shape[1:]):
            yield (slice(last, last + 1), *box)
        return
    if start < first * size:
        for box in boxes_of_range(start - (first - 1) * size, size, shape[1:]):
            yield (slice(first - 1, first), *box)
    if first < last:
        yield (slice(first, last), *(slice(0, n) for n in shape[1:]))
    if last * size < stop:
        for box in boxes_of_range(0, stop - last * size, shape[1:]):
            yield (slice(last, last + 1), *box)


def _read_head(source: Source) -> Head:
    """The head in one request, or in two where it is long."""
    size = source.size
    (start,) = source.read([(0, min(size, mrc_container.FIRST_READ))])
    needed = mrc_container.head_bytes(start, size)
    if needed > len(start):
        (rest,) = source.read([(len(start), needed)])
        start += rest
    return mrc_container.parse(start, size)


def _batched(items: Iterator[Any], count: int) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(items, count)):
        yield batch
