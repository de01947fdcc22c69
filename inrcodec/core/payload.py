"""The bytes of a chunk: header, sections, checksum.

Layout in words and offsets: ``docs/format.md``. Nothing outside this module knows byte offsets. Parsing
trusts nothing: every count is checked against what is left of the payload and against the format's limits
before memory is taken.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

MAGIC = b"INR"
VERSION = 2
MAX_VOXELS = 2**30
MAX_NDIM = 4
MAX_SIDE = 4096  # voxels along one axis of a field
MAX_DENSITY = 1e290  # of steps, offsets and backgrounds: no arithmetic on them overflows float64

DTYPES: dict[int, str] = {
    1: "float16",
    2: "float32",
    3: "float64",
    4: "int8",
    5: "uint8",
    6: "int16",
    7: "uint16",
}
_DTYPE_CODES = {name: code for code, name in DTYPES.items()}
_BIG_ENDIAN = 0x80
_FORTRAN = 0x40
_VOLUME_SCOPE = 0x80


class PayloadError(ValueError):
    """The payload is damaged, cut short, of an unknown version, or needs networks that were not given."""


class Field(IntEnum):
    """How the chunk is represented."""

    CONSTANT = 0
    LOSSLESS = 1
    LOCAL_FOURIER = 2


class Section(IntEnum):
    """What a section of the payload holds."""

    CONSTANT = 1
    LOSSLESS = 2
    FIELD = 3
    WEIGHTS = 4
    LATENTS = 5
    OCCUPANCY = 6
    CORRECTIONS = 7
    VERBATIM = 8


TARGETS = ("none", "snr", "max_error", "ratio", "fsc")


@dataclass
class Payload:
    """A parsed payload: what it says of the chunk, and its sections as bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    field: Field
    target: str
    target_value: float
    scope: str = "chunk"
    fortran: bool = False  # the chunk was handed over in Fortran memory order, and goes back so
    sections: dict[Section, bytes] = dataclasses.field(default_factory=dict)

    def section(self, section: Section) -> bytes:
        """The bytes of a section that must be there."""
        if section not in self.sections:
            raise PayloadError(f"payload has no {section.name.lower()} section")
        return self.sections[section]

    def to_bytes(self) -> bytes:
        out = bytearray(MAGIC)
        out.append(VERSION)
        out.append(int(self.field) | (_VOLUME_SCOPE if self.scope == "volume" else 0))
        out.append(dtype_code(self.dtype) | (_FORTRAN if self.fortran else 0))
        out.append(TARGETS.index(self.target))
        out += struct.pack("<d", self.target_value)
        out.append(len(self.shape))
        for n in self.shape:
            out += pack_varint(n)
        out.append(len(self.sections))
        for section, body in self.sections.items():
            out.append(int(section))
            out += pack_varint(len(body))
        for body in self.sections.values():
            out += body
        out += struct.pack("<I", zlib.crc32(out))
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Payload:
        """Parse and check a payload.

        Raises:
            PayloadError: the payload is not one, is damaged, or claims more than the format allows.
        """
        view = memoryview(data).cast("B")
        if len(view) < 16 or bytes(view[:3]) != MAGIC:
            raise PayloadError(f"not an inrcodec payload: {len(view)} bytes starting {bytes(view[:3])!r}")
        if view[3] != VERSION:
            raise PayloadError(f"payload format version {view[3]}, this release reads version {VERSION}")
        (crc,) = struct.unpack("<I", view[-4:])
        if zlib.crc32(view[:-4]) != crc:
            raise PayloadError("checksum mismatch: the payload is damaged or cut short")
        reader = Reader(view[4:-4])
        code = reader.u8()
        kind = _member(Field, code & ~_VOLUME_SCOPE, "field")
        dtype_byte = reader.u8()
        dtype = dtype_from_code(dtype_byte & ~_FORTRAN)
        target_code = reader.u8()
        if target_code >= len(TARGETS):
            raise PayloadError(f"unknown target code {target_code}")
        target_value = reader.f64()
        ndim = reader.u8()
        if not 1 <= ndim <= MAX_NDIM:
            raise PayloadError(f"{ndim} dimensions, the format holds 1 to {MAX_NDIM}")
        shape = tuple(reader.varint() for _ in range(ndim))
        voxels = math.prod(shape)
        if not 1 <= voxels <= MAX_VOXELS:
            raise PayloadError(f"shape {shape} claims {voxels} voxels, the format holds 1 to {MAX_VOXELS}")
        entries = [(_member(Section, reader.u8(), "section"), reader.varint()) for _ in range(reader.u8())]
        sections: dict[Section, bytes] = {}
        for section, length in entries:
            if section in sections:
                raise PayloadError(f"two {section.name.lower()} sections")
            sections[section] = reader.take(length)
        reader.end()
        scope = "volume" if code & _VOLUME_SCOPE else "chunk"
        fortran = bool(dtype_byte & _FORTRAN)
        return cls(shape, dtype, kind, TARGETS[target_code], target_value, scope, fortran, sections)


class Reader:
    """A cursor over untrusted bytes; every read past the end is a :class:`PayloadError`."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise PayloadError(f"{length} bytes claimed, {len(self._data) - self._at} left")
        self._at += length
        return bytes(self._data[self._at - length : self._at])

    def u8(self) -> int:
        return self.take(1)[0]

    def f64(self) -> float:
        value: float = struct.unpack("<d", self.take(8))[0]
        return value

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise PayloadError("a length of more than 63 bits")

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise PayloadError(f"{len(self._data) - self._at} bytes left over")


def pack_varint(value: int) -> bytes:
    """LEB128: seven bits a byte, low first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def dtype_code(dtype: np.dtype[Any]) -> int:
    """The format's code for a dtype.

    Raises:
        TypeError: the format has no such dtype.
    """
    code = _DTYPE_CODES.get(dtype.name)
    if code is None:
        raise TypeError(f"dtype {dtype} is not supported; supported are {', '.join(DTYPES.values())}")
    # dtype.name is the same for both byte orders; byteorder "=" is this machine's own.
    return code | (_BIG_ENDIAN if dtype != dtype.newbyteorder("<") else 0)


def dtype_from_code(code: int) -> np.dtype[Any]:
    name = DTYPES.get(code & ~_BIG_ENDIAN)
    if name is None:
        raise PayloadError(f"unknown dtype code {code}")
    return np.dtype(name).newbyteorder(">" if code & _BIG_ENDIAN else "<")


def _member(enum: Any, value: int, what: str) -> Any:
    try:
        return enum(value)
    except ValueError:
        raise PayloadError(f"unknown {what} code {value}") from None
