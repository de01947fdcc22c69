"""Shards of zarr format 3, taken apart into payloads and put together from them.

Layout: the ``sharding_indexed`` codec of the zarr 3 specification. A shard is its chunks' bytes in any order
and an index, at its end or start: offset and length of each chunk in C order, as little-endian 64-bit numbers
(all ones for a chunk that is not stored), and the CRC-32C of the index.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import google_crc32c
import numpy as np

_MISSING = 2**64 - 1
_CHECKSUM = 4  # bytes

Index = tuple[int, ...]


def split(shard: bytes, counts: Index, *, index_at_end: bool = True) -> Iterator[tuple[Index, bytes]]:
    """The stored chunks of a shard: position in the shard, in chunks, and bytes.

    Args:
        shard: the bytes of the shard.
        counts: chunks per axis.
        index_at_end: where the index is.

    Raises:
        ValueError: the shard is damaged: too short, another checksum, or a chunk that lies outside.
    """
    size = 16 * math.prod(counts) + _CHECKSUM
    if len(shard) < size:
        raise ValueError(f"shard of {len(shard)} bytes, its index alone has {size}")
    index = shard[-size:] if index_at_end else shard[:size]
    entries, checksum = index[:-_CHECKSUM], int.from_bytes(index[-_CHECKSUM:], "little")
    if google_crc32c.value(entries) != checksum:
        raise ValueError("checksum mismatch: the index of the shard is damaged")
    low, high = (0, len(shard) - size) if index_at_end else (size, len(shard))
    table = np.frombuffer(entries, "<u8").reshape(-1, 2).tolist()
    for position, (offset, length) in zip(np.ndindex(counts), table, strict=True):
        if offset == length == _MISSING:
            continue
        if not low <= offset <= offset + length <= high:
            raise ValueError(f"chunk {position} claims bytes {offset} to {offset + length} of {len(shard)}")
        yield position, shard[offset : offset + length]


def join(chunks: Mapping[Index, bytes], counts: Index) -> bytes:
    """A shard of chunks given by their position in it, index at the end; the inverse of :func:`split`.

    Raises:
        ValueError: a position outside the shard.
    """
    index = np.full((*counts, 2), _MISSING, "<u8")
    body = bytearray()
    for position, chunk in sorted(chunks.items()):
        if len(position) != len(counts) or any(not 0 <= p < n for p, n in zip(position, counts, strict=True)):
            raise ValueError(f"chunk {position} of a shard of {counts} chunks")
        index[position] = len(body), len(chunk)
        body += chunk
    entries = index.tobytes()
    return bytes(body) + entries + google_crc32c.value(entries).to_bytes(_CHECKSUM, "little")
