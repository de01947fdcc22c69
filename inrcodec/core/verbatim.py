"""Voxels kept bit for bit beside the field: NaN, infinities, and what no correction brings within a bound."""

from __future__ import annotations

import math
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


def decode_into(
    data: bytes,
    out: Array,
    shape: tuple[int, ...] | None = None,
    corner: tuple[int, ...] | None = None,
) -> None:
    """Put the voxels of a section into a chunk, or those that lie in it into a box of the chunk.

    Args:
        data: the section.
        out: the chunk, or the box.
        shape: of the whole chunk; None where ``out`` is it.
        corner: where the box begins in the chunk; None is its origin.
    """
    shape = out.shape if shape is None else shape
    voxels = math.prod(shape)
    reader = Reader(data)
    count = reader.varint()
    body = reader.rest()
    expected = count * (4 + out.dtype.itemsize)
    if count > voxels or expected > _ZLIB_MOST * len(body):
        raise PayloadError(f"{count} verbatim voxels claimed in {len(body)} bytes")
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(body, expected + 1)
    except zlib.error as error:
        raise PayloadError(f"verbatim voxels do not decompress: {error}") from error
    if len(raw) != expected or not inflate.eof or inflate.unused_data:
        raise PayloadError(f"verbatim voxels take {len(raw)} bytes, {expected} expected")
    positions = np.cumsum(np.frombuffer(raw, "<u4", count), dtype=np.int64)
    if count and positions[-1] >= voxels:
        raise PayloadError(f"verbatim voxel {positions[-1]} lies outside a chunk of {voxels}")
    values = np.frombuffer(raw, out.dtype, count, 4 * count)
    index = np.stack(np.unravel_index(positions, shape)) - np.reshape(corner or (0,) * len(shape), (-1, 1))
    inside = ((index >= 0) & (index < np.reshape(out.shape, (-1, 1)))).all(axis=0)
    out[tuple(index[:, inside])] = values[inside]
