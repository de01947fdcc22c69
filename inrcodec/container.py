"""Many maps in one file: networks once, and headers and payloads of every map.

The layout in words: ``docs/format.md``, section 13. Parsing trusts nothing: every length is checked against
what is left of the file, and shapes against the format's limits, before memory is taken.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from inrcodec.core.mlp.fixed import FixedNetwork, inflated
from inrcodec.core.mlp.section import Shape
from inrcodec.core.payload import (
    MAX_DENSITY,
    MAX_NDIM,
    MAX_VOXELS,
    Field,
    PayloadError,
    Reader,
    dtype_code,
    dtype_from_code,
    pack_varint,
)
from inrcodec.core.volume import VolumeModel, unchanged_weights

if TYPE_CHECKING:
    from inrcodec.mrc import MRCVolume

MAGIC = b"INRP"
VERSION = 2
HEADER_BYTES = 1024
MAX_FILES = 2**16
MAX_NAME = 255  # bytes
MAX_MAP_VOXELS = 2**36
FIELDS = {"local-fourier": Field.LOCAL_FOURIER, "mlp": Field.MLP}


@dataclass(frozen=True, eq=False)
class PackedMap:
    """One map of a container.

    Attributes:
        name: of its file, without directories.
        header, extended_header: of the MRC file, byte for byte.
        shape, dtype: of the densities as the file has them, byte order included.
        chunk_shape: voxels per axis of a chunk; those at the far ends are cut.
        payloads: one for each chunk, in C order of the chunks.
        step, block: quantiser step (density units) and number of the block (length and edges) of a
            ``local-fourier`` map; 0 with ``mlp``.
    """

    name: str
    header: bytes
    extended_header: bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    payloads: tuple[bytes, ...]
    step: float = 0.0
    block: int = 0

    @classmethod
    def of(
        cls,
        name: str,
        volume: MRCVolume,
        chunk_shape: tuple[int, ...],
        payloads: Sequence[bytes],
        step: float = 0.0,
        block: int = 0,
    ) -> PackedMap:
        """The entry of a map, from its file and its payloads."""
        data, headers = volume.data, (volume.header, volume.extended_header)
        shape = tuple(int(n) for n in data.shape)
        return cls(name, *headers, shape, data.dtype, chunk_shape, tuple(payloads), step, block)


@dataclass(frozen=True, eq=False)
class Container:
    """What a file of many maps holds.

    Attributes:
        field: of all payloads that have one: ``mlp`` or ``local-fourier``.
        shared: the network's bytes: of ``mlp`` its shape and weights section, of ``local-fourier`` the number
            of the prior and, where they are not the prior's, the weights.
        maps: in the order they were packed.
    """

    field: Field
    shared: bytes
    maps: tuple[PackedMap, ...]

    @cached_property
    def network(self) -> FixedNetwork:
        """The shared network of the ``mlp`` field."""
        reader = Reader(self.shared)
        shape = Shape.read(reader)
        return FixedNetwork.from_bytes(reader.rest(), shape)

    def model(self, packed: PackedMap) -> VolumeModel:
        """The shared weights of the ``local-fourier`` field, with a map's own step and block."""
        reader = Reader(self.shared)
        prior = reader.varint()
        return VolumeModel(packed.step, packed.block, reader.rest() or unchanged_weights(), prior)

    def to_bytes(self) -> bytes:
        """The whole file.

        Raises:
            ValueError: there is no map or there are too many, or a name cannot be stored.
        """
        if not 1 <= len(self.maps) <= MAX_FILES:
            raise ValueError(f"a container holds 1 to {MAX_FILES} maps, got {len(self.maps)}")
        check_names([packed.name for packed in self.maps])
        out = bytearray(MAGIC)
        out += bytes([VERSION, int(self.field)])
        out += pack_varint(len(self.shared)) + self.shared + pack_varint(len(self.maps))
        for packed in self.maps:
            name = packed.name.encode()
            headers = zlib.compress(packed.header + packed.extended_header, 9)
            out += pack_varint(len(name)) + name
            out += pack_varint(len(packed.extended_header)) + pack_varint(len(headers)) + headers
            out += bytes([dtype_code(packed.dtype), len(packed.shape)])
            for n in (*packed.shape, *packed.chunk_shape):
                out += pack_varint(n)
            if self.field == Field.LOCAL_FOURIER:
                out += struct.pack("<dB", packed.step, packed.block - 1)
            for payload in packed.payloads:
                out += pack_varint(len(payload)) + payload
        out += struct.pack("<I", zlib.crc32(out))
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> Container:
        """Parse and check a file; payloads are not decoded.

        Raises:
            PayloadError: it is not a container, is damaged, or claims more than the format allows.
        """
        view = memoryview(data)
        if bytes(view[:4]) != MAGIC or len(view) < 11:
            raise PayloadError(f"not an inrcodec container: {len(view)} bytes starting {bytes(view[:4])!r}")
        if view[4] != VERSION:
            raise PayloadError(f"container version {view[4]}, this release reads version {VERSION}")
        (crc,) = struct.unpack("<I", view[-4:])
        if zlib.crc32(view[:-4]) != crc:
            raise PayloadError("checksum mismatch: the container is damaged or cut short")
        if view[5] not in FIELDS.values():
            raise PayloadError(f"a container of field {view[5]}, not of {', '.join(FIELDS)}")
        reader = Reader(view[6:-4])
        shared = reader.take(reader.varint())
        count = reader.varint()
        if not 1 <= count <= MAX_FILES:
            raise PayloadError(f"a container of {count} maps, the format holds 1 to {MAX_FILES}")
        maps = tuple(_read_map(reader, Field(view[5])) for _ in range(count))
        reader.end()
        try:
            check_names([packed.name for packed in maps])
        except ValueError as error:
            raise PayloadError(str(error)) from error
        return cls(Field(view[5]), shared, maps)


def check_names(names: list[str]) -> None:
    """Refuse names of files that could not all be written into one directory.

    Raises:
        ValueError: a name is empty, too long, comes twice, begins with a dot or has a separator or a control
            character in it.
    """
    seen: set[str] = set()
    for name in names:
        bad = not name or name[0] == "." or any(c in "/\\:" or not c.isprintable() for c in name)
        if bad or len(name.encode(errors="replace")) > MAX_NAME:
            raise ValueError(f"{name!r} is not a name of a file in a container")
        if name.casefold() in seen:
            raise ValueError(f"two maps of the name {name!r}: files of a container have different names")
        seen.add(name.casefold())


def _read_map(reader: Reader, field: Field) -> PackedMap:
    length = reader.varint()
    if length > MAX_NAME:
        raise PayloadError(f"a name of {length} bytes, at most {MAX_NAME}")
    try:
        name = reader.take(length).decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"a name is not UTF-8: {error}") from error
    extended = reader.varint()
    headers = inflated(reader.take(reader.varint()), HEADER_BYTES + extended, "MRC headers")
    dtype, ndim = dtype_from_code(reader.u8()), reader.u8()
    if not 1 <= ndim <= MAX_NDIM:
        raise PayloadError(f"{ndim} dimensions, the format holds 1 to {MAX_NDIM}")
    shape = tuple(reader.varint() for _ in range(ndim))
    chunk_shape = tuple(reader.varint() for _ in range(ndim))
    if not 1 <= math.prod(shape) <= MAX_MAP_VOXELS:
        raise PayloadError(f"shape {shape}: a map has 1 to {MAX_MAP_VOXELS} voxels")
    if not 1 <= math.prod(chunk_shape) <= MAX_VOXELS:
        raise PayloadError(f"chunk shape {chunk_shape}: a chunk has 1 to {MAX_VOXELS} voxels")
    step, block = 0.0, 0
    if field == Field.LOCAL_FOURIER:
        step, block = reader.f64(), reader.u8() + 1
        if not 0 < step <= MAX_DENSITY:  # written so that NaN fails
            raise PayloadError(f"{name}: step {step} makes no sense")
    chunks = math.prod(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))
    # a list grows with what is really there, however many chunks are claimed
    payloads = []
    for _ in range(chunks):
        payloads.append(reader.take(reader.varint()))
    header, extended_header = headers[:HEADER_BYTES], headers[HEADER_BYTES:]
    return PackedMap(name, header, extended_header, shape, dtype, chunk_shape, tuple(payloads), step, block)
