"""Voxels kept bit for bit beside the field: NaN, infinities, and what no correction brings within a bound."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from inrcodec.core.payload import PayloadError, Reader, pack_varint

_ZLIB_MOST = 1040  # zlib shrinks nothing by more than this: what claims more is not worth memory

Array = np.ndarray[Any, Any]


def encode(chunk: Array, mask: Array) -> bytes:
    """Section bytes of the voxels of a chunk that a mask of its shape sets."""
    positions = np.flatnonzero(mask)
    gaps = np.diff(positions, prepend=0).astype("<u4")
    body = gaps.tobytes() + chunk[mask].tobytes()
    return pack_varint(len(positions)) + zlib.compress(body, 9)


def decode_into(data: bytes, chunk: Array) -> None:
    """Put the voxels of a section into a C-contiguous chunk."""
    reader = Reader(data)
    count = reader.varint()
    body = reader.rest()
    expected = count * (4 + chunk.dtype.itemsize)
    if count > chunk.size or expected > _ZLIB_MOST * len(body):
        raise PayloadError(f"{count} verbatim voxels claimed in {len(body)} bytes")
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(body, expected + 1)
    except zlib.error as error:
        raise PayloadError(f"verbatim voxels do not decompress: {error}") from error
    if len(raw) != expected or not inflate.eof or inflate.unused_data:
        raise PayloadError(f"verbatim voxels take {len(raw)} bytes, {expected} expected")
    positions = np.cumsum(np.frombuffer(raw, "<u4", count), dtype=np.int64)
    if count and positions[-1] >= chunk.size:
        raise PayloadError(f"verbatim voxel {positions[-1]} lies outside a chunk of {chunk.size}")
    chunk.reshape(-1)[positions] = np.frombuffer(raw, chunk.dtype, count, 4 * count)
