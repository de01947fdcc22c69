"""The lossless fallback: what the field cannot code smaller, Blosc (Zstandard, bit shuffle) does."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numcodecs.blosc import Blosc

from inrcodec.core.payload import PayloadError

_HEADER = 16  # a Blosc 1 frame begins with 16 bytes, the decoded size at offset 4


def compress(chunk: np.ndarray[Any, Any], level: int = 7) -> bytes:
    """Blosc-compressed bytes of a chunk in C order."""
    codec = Blosc(cname="zstd", clevel=level, shuffle=Blosc.BITSHUFFLE)
    return bytes(codec.encode(np.ascontiguousarray(chunk)))


def decompress(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The chunk of a lossless section; sizes are checked before memory is taken."""
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) < _HEADER:
        raise PayloadError(f"lossless section of {len(data)} bytes is too short")
    nbytes, _, cbytes = struct.unpack_from("<III", data, 4)
    if nbytes != expected or cbytes != len(data):
        raise PayloadError(f"lossless section holds {nbytes} bytes, shape {shape} {dtype} needs {expected}")
    try:
        raw = Blosc().decode(data)
    except RuntimeError as error:
        raise PayloadError(f"lossless section does not decompress: {error}") from error
    return np.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)
