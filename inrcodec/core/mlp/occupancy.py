"""The seed paper's occupancy map: one bit for every voxel, packed eight to a byte and gzipped."""

from __future__ import annotations

import gzip
import math
from typing import Any

import numpy as np

from inrcodec.core.mlp.fixed import inflated
from inrcodec.core.payload import PayloadError

_GZIP = 31  # zlib's name for its gzip wrapper

Array = np.ndarray[Any, Any]


def compress(mask: Array) -> bytes:
    """Section bytes of a bool mask of any shape, in C order, first voxel in the top bit."""
    return gzip.compress(np.packbits(mask).tobytes(), compresslevel=9, mtime=0)


def decompress(data: bytes, shape: tuple[int, ...]) -> Array:
    """The bool mask of a section.

    Raises:
        PayloadError: the section is damaged, or holds another number of voxels.
    """
    count = math.prod(shape)
    packed = np.frombuffer(inflated(data, -(-count // 8), "occupancy bits", _GZIP), np.uint8)
    bits = np.unpackbits(packed)
    if bits[count:].any():
        raise PayloadError("occupancy bits beyond the last voxel are set")
    return bits[:count].reshape(shape).astype(bool)
