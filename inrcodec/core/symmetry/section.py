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
from inrcodec.core.symmetry.groups import CENTRE_UNIT, LEAST_RISE, Helix, PointGroup, Symmetry
from inrcodec.core.symmetry.images import Images

_FAMILIES = "CDTOI"
_HELIX = 5
_CENTRE, _ORIENTATION, _RADIUS = 16, 32, 64  # flags: what is other than standard, and a radius
_LARGEST_RADIUS = 2**16  # voxels
_ROOM = 8  # times the chunk's voxels, and this many more, is the largest field of an asymmetric unit
_LARGEST_CENTRE = 2**23  # in 2**-10 voxel: scores of images are exact in 64 bits
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
        """The section's bytes; ``shape`` is that of the chunk.

        Raises:
            PayloadError: the format holds no such symmetry or no such field.
        """
        self._check(shape)
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
        radius = reader.varint() if flags & _RADIUS else None
        offsets = np.frombuffer(reader.take(3), np.int8).astype(np.int64)
        envelope = read_envelope(reader)
        spans = []
        for _ in range(3):
            coded, size = reader.varint(), reader.varint()
            start = -(coded + 1) // 2 if coded & 1 else coded // 2
            spans.append((start, start + size))
        field = (spans[0], spans[1], spans[2])
        out = cls(Images(symmetry, direction, radius), offsets, envelope, field, reader.rest())
        out._check(shape)
        return out

    def _check(self, shape: tuple[int, int, int]) -> None:
        """Refuse what the format does not hold: all work is then in proportion to the chunk."""
        symmetry, radius = self.images.symmetry, self.images.radius
        group = symmetry.group
        if isinstance(group, Helix) and symmetry.orientation is not None:
            raise PayloadError("a helix whose axis is not z")
        if isinstance(group, Helix) and group.rise < LEAST_RISE:
            raise PayloadError(f"a helix with a rise of {group.rise} 2**-20 voxel, at least {LEAST_RISE}")
        if radius is not None and not 0 <= radius <= _LARGEST_RADIUS:
            raise PayloadError(f"a symmetry of radius {radius} voxels")
        if max(shape) > MAX_SIDE:
            raise PayloadError(f"symmetry in a chunk of {shape}, at most {MAX_SIDE} voxels a side")
        if max(map(abs, symmetry.centre)) > _LARGEST_CENTRE:
            raise PayloadError(f"centre of a symmetry out of range: {symmetry.centre}")
        room = _ROOM * (prod(shape) + 2**15)
        far = _FAR * (max(shape) + _ROOM)
        if (
            min(self.shape) < 1
            or max(self.shape) > MAX_SIDE
            or prod(self.shape) > min(MAX_VOXELS, room)
            or max(abs(start) for start, _ in self.field) > far
        ):
            raise PayloadError(
                f"field {self.field} of an asymmetric unit does not go with a chunk of {shape}"
            )
        if not self.images.axial and _scattered(self.images, shape) > room:
            raise PayloadError(f"a symmetry about {symmetry.centre} scatters a chunk of {shape}")


def _scattered(images: Images, shape: tuple[int, int, int]) -> int:
    """Voxels of a box that holds whatever lattice operations make of the chunk."""
    centre = images.symmetry.centre
    reach = np.array(
        [max(abs(c), abs(CENTRE_UNIT * (n - 1) - c)) for c, n in zip(centre, shape, strict=True)]
    )
    furthest = (np.abs(images.lattice) * reach).max(axis=(0, 2))
    return prod(2 * -(-int(r) // CENTRE_UNIT) + 1 for r in furthest)
