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
VERSION = 5
SHORTEST = 13  # bytes: frame and checksum of a payload of one axis and no section
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
_MORE_SECTIONS = 0x40  # a second byte says which of sections 9 to 16 are there


class PayloadError(ValueError):
    """The payload is damaged, cut short, of an unknown version, or needs networks that were not given."""


class Field(IntEnum):
    """How the chunk is represented."""

    CONSTANT = 0
    LOSSLESS = 1
    LOCAL_FOURIER = 2
    MLP = 3


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
    SYMMETRY = 9
    PREDICTION = 10
    LEVELS = 11


TARGETS = ("none", "snr", "max_error", "ratio", "fsc")


@dataclass
class Payload:
    """A parsed payload: what it says of the chunk, and its sections as bytes.

    The target is in payloads of chunk scope only: in volume scope it is the volume's, and constant and
    lossless chunks meet them all.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    field: Field
    target: str = "none"
    target_value: float = 0.0
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
        held = sorted(self.sections)
        mask = sum(1 << (section - 1) for section in held)
        scope = _VOLUME_SCOPE if self.scope == "volume" else 0
        out.append(int(self.field) | scope | (_MORE_SECTIONS if mask > 0xFF else 0))
        out.append(dtype_code(self.dtype) | (_FORTRAN if self.fortran else 0))
        out.append(TARGETS.index(self.target) | len(self.shape) << 4)
        if self.target != "none":
            out += struct.pack("<d", self.target_value)
        for n in self.shape:
            out += pack_varint(n)
        out += mask.to_bytes(2 if mask > 0xFF else 1, "little")
        for section in held[:-1]:  # the last one's length follows from the payload's
            out += pack_varint(len(self.sections[section]))
        for section in held:
            out += self.sections[section]
        out += struct.pack("<I", zlib.crc32(out))
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Payload:
        """Parse and check a payload.

        Raises:
            PayloadError: the payload is not one, is damaged, or claims more than the format allows.
        """
        view = memoryview(data).cast("B")
        if len(view) < SHORTEST or bytes(view[:3]) != MAGIC:
            raise PayloadError(f"not an inrcodec payload: {len(view)} bytes starting {bytes(view[:3])!r}")
        if view[3] != VERSION:
            raise PayloadError(f"payload format version {view[3]}, this release reads version {VERSION}")
        (crc,) = struct.unpack("<I", view[-4:])
        if zlib.crc32(view[:-4]) != crc:
            raise PayloadError("checksum mismatch: the payload is damaged or cut short")
        reader = Reader(view[4:-4])
        code = reader.u8()
        kind = _member(Field, code & ~(_VOLUME_SCOPE | _MORE_SECTIONS), "field")
        dtype_byte = reader.u8()
        dtype = dtype_from_code(dtype_byte & ~_FORTRAN)
        ndim, target_code = divmod(reader.u8(), 16)
        if target_code >= len(TARGETS):
            raise PayloadError(f"unknown target code {target_code}")
        target = TARGETS[target_code]
        target_value = 0.0 if target == "none" else reader.f64()
        if not 1 <= ndim <= MAX_NDIM:
            raise PayloadError(f"{ndim} dimensions, the format holds 1 to {MAX_NDIM}")
        shape = tuple(reader.varint() for _ in range(ndim))
        voxels = math.prod(shape)
        if not 1 <= voxels <= MAX_VOXELS:
            raise PayloadError(f"shape {shape} claims {voxels} voxels, the format holds 1 to {MAX_VOXELS}")
        mask = reader.u8() | (reader.u8() << 8 if code & _MORE_SECTIONS else 0)
        if mask >> len(Section):
            raise PayloadError(f"unknown sections in {mask:#x}")
        held = [section for section in Section if mask >> (section - 1) & 1]
        lengths = [reader.varint() for _ in held[:-1]]
        sections = {section: reader.take(n) for section, n in zip(held, lengths, strict=False)}
        if held:
            sections[held[-1]] = reader.rest()
        reader.end()
        scope = "volume" if code & _VOLUME_SCOPE else "chunk"
        fortran = bool(dtype_byte & _FORTRAN)
        return cls(shape, dtype, kind, target, target_value, scope, fortran, sections)


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

    def short(self) -> float:
        """The upper half of an IEEE double."""
        value: float = struct.unpack("<d", bytes(4) + self.take(4))[0]
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


def pack_short(value: float) -> bytes:
    """The upper half of an IEEE double: its whole range, with 20 bits behind the point."""
    return struct.pack("<d", value)[4:]


def short(value: float) -> float:
    """A number as :func:`pack_short` keeps it, never larger in magnitude."""
    return Reader(pack_short(value)).short()


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
