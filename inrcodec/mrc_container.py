"""The bytes of a ``.mrc.inr`` file: an MRC map in one file, its densities as payloads.

Layout in words and offsets: ``docs/mrc-inr.md``. Nothing outside this module knows byte offsets. Parsing
trusts nothing: every length is checked against the file's own before memory is taken.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from inrcodec.config import settings_from_config, settings_to_config
from inrcodec.core import Settings
from inrcodec.core.payload import DTYPES, MAX_NDIM

Array = np.ndarray[Any, Any]

MAGIC = b"\x89MRCINR\n"
VERSION = 1
MRC_HEADER_BYTES = 1024
MAX_CHUNK_VOXELS = 2**27  # 512^3: what one read may have to decode
MAX_CONFIGURATION_BYTES = 2**16
FIRST_READ = 2**16
"""Bytes that hold the whole head of most files: read at once, they spare a second request."""

_PRELUDE = struct.Struct("<8sIIQQQI")  # magic, version, configuration, chunks, extended header, file, its CRC
_CRC = struct.Struct("<I")
_ENTRY = np.dtype([("offset", "<u8"), ("length", "<u4")])
_FIXED = _PRELUDE.size + _CRC.size + MRC_HEADER_BYTES


class ContainerError(ValueError):
    """The ``.mrc.inr`` file is damaged, cut short, of an unknown version, or none at all."""


@dataclass(frozen=True, eq=False)
class Head:
    """Everything of a file but the extended header and the payloads.

    Attributes:
        mrc_header: the 1024 bytes of the map's main header.
        settings: what the payloads were written with.
        shape: voxels per axis, in array order.
        dtype: of the densities in the map, byte order included.
        chunk_shape: voxels per axis of a chunk; chunks at the far ends are padded with zeros.
        offsets, lengths: int64, where each payload lies in the file, chunks in C order of the grid; length 0
            stands for a chunk of zeros.
        extended_header: first byte and one past the last of the map's extended header in the file.
        extended_header_crc: its CRC-32.
        file_bytes: length of the whole file.
    """

    mrc_header: bytes
    settings: Settings
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    offsets: Array = field(repr=False)
    lengths: Array = field(repr=False)
    extended_header: tuple[int, int]
    extended_header_crc: int
    file_bytes: int

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Chunks per axis."""
        return grid_of(self.shape, self.chunk_shape)

    @property
    def data_start(self) -> int:
        """Bytes of the map before its densities."""
        return MRC_HEADER_BYTES + self.extended_header[1] - self.extended_header[0]

    @property
    def map_bytes(self) -> int:
        """Length of the map itself."""
        return self.data_start + math.prod(self.shape) * self.dtype.itemsize

    def check_extended_header(self, data: bytes) -> bytes:
        """The extended header, if it is the one that was written.

        Raises:
            ContainerError: it is not.
        """
        if zlib.crc32(data) != self.extended_header_crc:
            raise ContainerError("checksum mismatch: the extended header is damaged")
        return data


def grid_of(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks per axis of a volume."""
    return tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))


def pack(
    mrc_header: bytes,
    extended_header: bytes,
    settings: Settings,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunk_shape: tuple[int, ...],
    payloads: Sequence[bytes],
) -> bytes:
    """A whole file.

    Args:
        mrc_header: 1024 bytes.
        extended_header: may be empty.
        settings: what the payloads were written with.
        shape, dtype: of the densities in the map, byte order included.
        chunk_shape: voxels per axis of a chunk.
        payloads: one per chunk, in C order of the grid; empty for a chunk of zeros.

    Raises:
        ValueError: the parts do not belong together.
    """
    if len(mrc_header) != MRC_HEADER_BYTES:
        raise ValueError(f"an MRC header has {MRC_HEADER_BYTES} bytes, got {len(mrc_header)}")
    if len(payloads) != math.prod(grid_of(shape, chunk_shape)):
        raise ValueError(f"{len(payloads)} payloads for a grid of {grid_of(shape, chunk_shape)} chunks")
    if math.prod(chunk_shape) > MAX_CHUNK_VOXELS:
        raise ValueError(f"chunks of {chunk_shape} voxels, the format holds {MAX_CHUNK_VOXELS} at most")
    configuration = {
        "shape": list(shape),
        "dtype": dtype.newbyteorder("=").name,
        "byte_order": "big" if dtype != dtype.newbyteorder("<") else "little",
        "chunks": list(chunk_shape),
        "codec": settings_to_config(settings),
    }
    text = json.dumps(configuration, separators=(",", ":"), allow_nan=False).encode("ascii")
    index = np.zeros(len(payloads), _ENTRY)
    index["length"] = [len(payload) for payload in payloads]
    start = _FIXED + len(text) + index.nbytes + len(extended_header)
    ends = start + np.cumsum(index["length"], dtype=np.uint64)
    index["offset"] = ends - index["length"]
    total = int(ends[-1])
    prelude = _PRELUDE.pack(
        MAGIC, VERSION, len(text), len(payloads), len(extended_header), total, zlib.crc32(extended_header)
    )
    body = mrc_header + text + index.tobytes()
    checksum = _CRC.pack(zlib.crc32(body, zlib.crc32(prelude)))
    return b"".join([prelude, checksum, body, extended_header, *payloads])


def head_bytes(start: bytes, file_bytes: int) -> int:
    """How many bytes the head of a file has, by the file's first bytes.

    Args:
        start: at least the first 1072 bytes of the file, or all of it.
        file_bytes: how long the file really is.

    Raises:
        ContainerError: this is no such file, it is of another version or cut short, or claims more than it
            can hold.
    """
    if len(start) < _FIXED or start[: len(MAGIC)] != MAGIC:
        raise ContainerError(
            f"not a .mrc.inr file: {file_bytes} bytes starting {bytes(start[: len(MAGIC)])!r}"
        )
    _, version, text, chunks, extended, total, _ = _PRELUDE.unpack_from(start)
    if version != VERSION:
        raise ContainerError(f".mrc.inr version {version}, this release reads version {VERSION}")
    if total != file_bytes:
        raise ContainerError(f"the file has {file_bytes} bytes and says {total}: it is cut short or damaged")
    if text > MAX_CONFIGURATION_BYTES:
        raise ContainerError(
            f"a configuration of {text} bytes, the format holds at most {MAX_CONFIGURATION_BYTES}"
        )
    end = _FIXED + text + chunks * _ENTRY.itemsize
    if chunks < 1 or end + extended > file_bytes:
        raise ContainerError(
            f"{chunks} chunks and {extended} bytes of extended header do not fit {file_bytes} bytes"
        )
    return int(end)


def parse(start: bytes, file_bytes: int) -> Head:
    """The head of a file.

    Args:
        start: at least :func:`head_bytes` bytes from the file's beginning.
        file_bytes: how long the file really is.

    Raises:
        ContainerError: as for :func:`head_bytes`, or the head is damaged or contradicts itself.
    """
    end = head_bytes(start, file_bytes)
    if len(start) < end:
        raise ContainerError(f"the head has {end} bytes, {len(start)} are there")
    _, _, text, chunks, extended, total, extended_crc = _PRELUDE.unpack_from(start)
    (checksum,) = _CRC.unpack_from(start, _PRELUDE.size)
    body = bytes(start[_PRELUDE.size + _CRC.size : end])
    if zlib.crc32(body, zlib.crc32(start[: _PRELUDE.size])) != checksum:
        raise ContainerError("checksum mismatch: the head of the .mrc.inr file is damaged")
    mrc_header = body[:MRC_HEADER_BYTES]
    settings, shape, dtype, chunk_shape = _configuration(body[MRC_HEADER_BYTES : MRC_HEADER_BYTES + text])
    if math.prod(grid_of(shape, chunk_shape)) != chunks:
        raise ContainerError(
            f"{chunks} chunks in the index, shape {shape} in chunks of {chunk_shape} has "
            f"{math.prod(grid_of(shape, chunk_shape))}"
        )
    index = np.frombuffer(body, _ENTRY, chunks, MRC_HEADER_BYTES + text)
    lengths = index["length"].astype(np.int64)
    ends = end + extended + np.cumsum(lengths)
    # Offsets beyond the file's end would wrap as signed numbers: they are compared as they are.
    if int(ends[-1]) != total or not np.array_equal(index["offset"], (ends - lengths).astype(np.uint64)):
        raise ContainerError(
            "the payloads do not follow one another from the extended header to the file's end"
        )
    return Head(
        mrc_header,
        settings,
        shape,
        dtype,
        chunk_shape,
        ends - lengths,
        lengths,
        (end, end + extended),
        extended_crc,
        total,
    )


def _configuration(text: bytes) -> tuple[Settings, tuple[int, ...], np.dtype[Any], tuple[int, ...]]:
    """Settings, shape, dtype and chunk shape of the configuration's JSON."""
    try:
        configuration = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"the configuration is no JSON: {error}") from error
    keys = {"shape", "dtype", "byte_order", "chunks", "codec"}
    if not isinstance(configuration, dict) or set(configuration) != keys:
        raise ContainerError(f"the configuration must have the keys {', '.join(sorted(keys))}")
    shape = _lengths("shape", configuration["shape"])
    chunk_shape = _lengths("chunks", configuration["chunks"])
    if len(shape) != len(chunk_shape):
        raise ContainerError(f"shape {shape} and chunks {chunk_shape} have other numbers of axes")
    if math.prod(shape) > 2**56:
        raise ContainerError(f"shape {shape} has more voxels than a file can hold")
    if math.prod(chunk_shape) > MAX_CHUNK_VOXELS:
        raise ContainerError(f"chunks of {chunk_shape} voxels, the format holds {MAX_CHUNK_VOXELS} at most")
    if configuration["dtype"] not in DTYPES.values():
        raise ContainerError(f"unknown dtype {configuration['dtype']!r}")
    if configuration["byte_order"] not in ("little", "big"):
        raise ContainerError(f"unknown byte order {configuration['byte_order']!r}")
    little = np.dtype(configuration["dtype"]).newbyteorder("<")
    dtype = little.newbyteorder(">") if configuration["byte_order"] == "big" else little
    try:
        settings = settings_from_config(configuration["codec"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ContainerError(f"the codec's configuration is none: {error}") from error
    return settings, shape, dtype, chunk_shape


def _lengths(name: str, value: Any) -> tuple[int, ...]:
    good = isinstance(value, list) and 1 <= len(value) <= MAX_NDIM
    if not good or not all(type(n) is int and 1 <= n < 2**31 for n in value):
        raise ContainerError(f"{name} must be 1 to {MAX_NDIM} positive lengths, got {value!r}")
    return tuple(value)
