"""The symmetry section: the group, its place, and the field of the asymmetric unit."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from inrcodec.core.field_section import pack_envelope, read_envelope
from inrcodec.core.payload import MAX_SIDE, MAX_VOXELS, PayloadError, Reader, pack_varint
from inrcodec.core.symmetry.expansion import Spans
from inrcodec.core.symmetry.groups import Helix, PointGroup, Symmetry
from inrcodec.core.symmetry.images import Images

_FAMILIES = "CDTOI"
_HELIX = 5
_CENTRE, _ORIENTATION, _RADIUS = 16, 32, 64  # flags: what is other than standard, and a radius
_LARGEST_RADIUS = 2**16  # voxels
_ROOM = 8  # times the chunk's voxels, and this many more, is the largest field of an asymmetric unit
_FAR = 4  # times the chunk's longest axis, and this many more, is the furthest a field may start from it

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class SymmetrySection:
    """Parameters of a symmetric field.

    Attributes:
        images: of the chunk's voxels in the asymmetric unit.
        offsets: (3,) reconstruction offsets for magnitudes 1, 2 and above, in 1/64 step.
        envelope: (BINS,) coarse spectrum; bins of 0 hold no latents.
        field: start and end of the field along z, y, x, in voxels of the chunk; it may stick out of it.
        latents: their bytes.
    """

    images: Images
    offsets: Array
    envelope: Array
    field: Spans
    latents: bytes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(d, h, w) voxels of the field."""
        d, h, w = (stop - start for start, stop in self.field)
        return d, h, w

    def to_bytes(self, shape: tuple[int, int, int]) -> bytes:
        """The section's bytes; ``shape`` is that of the chunk."""
        symmetry = self.images.symmetry
        group = symmetry.group
        central = symmetry.centre == Symmetry.standard(group, shape).centre
        family = _HELIX if isinstance(group, Helix) else _FAMILIES.index(group.family)
        flags = family | (0 if central else _CENTRE) | (0 if symmetry.orientation is None else _ORIENTATION)
        flags |= 0 if self.images.radius is None else _RADIUS
        out = bytearray(struct.pack("<2B3b", flags, group.n, *self.images.direction))
        if isinstance(group, Helix):
            out += struct.pack("<qq", group.rise, group.twist)
        if not central:
            out += struct.pack("<3i", *symmetry.centre)
        if symmetry.orientation is not None:
            out += struct.pack("<9i", *symmetry.orientation)
        if self.images.radius is not None:
            out += pack_varint(self.images.radius)
        out += struct.pack("<3b", *self.offsets.tolist()) + pack_envelope(self.envelope)
        for start, stop in self.field:
            out += pack_varint(2 * start if start >= 0 else -2 * start - 1) + pack_varint(stop - start)
        return bytes(out) + self.latents

    @classmethod
    def from_bytes(cls, data: bytes, shape: tuple[int, int, int]) -> SymmetrySection:
        """Parse and check.

        Raises:
            PayloadError: what it says is not a symmetry or not a field that goes with the chunk's shape.
        """
        reader = Reader(data)
        flags, n = reader.u8(), reader.u8()
        direction = struct.unpack("<3b", reader.take(3))
        family = flags & 15
        if flags >= 2 * _RADIUS or family > _HELIX:
            raise PayloadError(f"unknown symmetry flags {flags}")
        try:
            group: PointGroup | Helix
            if family == _HELIX:
                rise, twist = struct.unpack("<qq", reader.take(16))
                group = Helix(rise, twist, n)
            else:
                group = PointGroup(_FAMILIES[family], n)
            centre = Symmetry.standard(group, shape).centre
            if flags & _CENTRE:
                z, y, x = struct.unpack("<3i", reader.take(12))
                centre = (z, y, x)
            orientation = struct.unpack("<9i", reader.take(36)) if flags & _ORIENTATION else None
            symmetry = Symmetry(group, centre, orientation)
        except PayloadError:
            raise
        except ValueError as error:
            raise PayloadError(f"symmetry section: {error}") from error
        if isinstance(group, Helix) and orientation is not None:
            raise PayloadError("a helix whose axis is not z")
        radius = reader.varint() if flags & _RADIUS else None
        if radius is not None and radius > _LARGEST_RADIUS:
            raise PayloadError(f"a symmetry of radius {radius} voxels")
        offsets = np.frombuffer(reader.take(3), np.int8).astype(np.int64)
        envelope = read_envelope(reader)
        spans = []
        for _ in range(3):
            coded, size = reader.varint(), reader.varint()
            start = -(coded + 1) // 2 if coded & 1 else coded // 2
            spans.append((start, start + size))
        sizes = [stop - start for start, stop in spans]
        room = min(MAX_VOXELS, _ROOM * (prod(shape) + 2**15))
        far = _FAR * (max(shape) + _ROOM)
        if (
            min(sizes) < 1
            or max(sizes) > MAX_SIDE
            or prod(sizes) > room
            or max(abs(a) for a, _ in spans) > far
        ):
            raise PayloadError(f"field {spans} of an asymmetric unit does not go with a chunk of {shape}")
        field = (spans[0], spans[1], spans[2])
        return cls(Images(symmetry, direction, radius), offsets, envelope, field, reader.rest())
