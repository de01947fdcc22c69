"""The native decoder from Python, without HDF5 between: for the tests."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from inrcodec.core import VolumeModel
from inrcodec.core.payload import dtype_code


class _Chunk(ctypes.Structure):
    _fields_ = (
        ("axes", ctypes.c_int),
        ("shape", ctypes.c_uint64 * 4),
        ("dtype", ctypes.c_uint),
        ("big_endian", ctypes.c_bool),
    )


class _Volume(ctypes.Structure):
    _fields_ = (
        ("prior", ctypes.c_uint32),
        ("block", ctypes.c_uint32),
        ("step", ctypes.c_double),
        ("weights", ctypes.c_char_p),
        ("weights_size", ctypes.c_size_t),
        ("shells", ctypes.c_char_p),
        ("shells_size", ctypes.c_size_t),
        ("ends", ctypes.c_char_p),
        ("ends_size", ctypes.c_size_t),
    )


class NativeError(ValueError):
    """What the native decoder says is wrong."""


class NativeDecoder:
    """The shared library; its structures are those of ``decoder.h``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decode = ctypes.CDLL(str(path)).inr_decode
        self._decode.restype = ctypes.c_bool
        self._decode.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.POINTER(_Chunk),
            ctypes.POINTER(_Volume),
            ctypes.c_void_p,
            ctypes.c_char_p,
        ]

    def decode(
        self, payload: bytes, shape: tuple[int, ...], dtype: np.dtype, volume: VolumeModel | None = None
    ) -> np.ndarray:
        code = dtype_code(dtype)
        chunk = _Chunk(len(shape), (ctypes.c_uint64 * 4)(*shape), code & 0x3F, bool(code & 0x80))
        shared = None
        if volume is not None:
            weights = volume.weights if volume.changed else b""
            shells = volume.shells
            texts = (weights, *((b"", b"") if shells is None else (shells.exponents, shells.ends)))
            pointers = [item for text in texts for item in (text, len(text))]
            shared = _Volume(volume.prior, volume.block, volume.step, *pointers)
        out = np.empty(shape, dtype)
        error = ctypes.create_string_buffer(256)
        if not self._decode(payload, len(payload), chunk, shared, out.ctypes.data, error):
            raise NativeError(error.value.decode("ascii"))
        return out
