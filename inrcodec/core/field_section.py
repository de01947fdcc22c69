"""The field section: the numbers that turn latents into densities."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.fields.basis import TABLE_BITS
from inrcodec.core.fields.layout import BINS, Layout, get_layout
from inrcodec.core.fields.local_fourier import LATENT_BITS
from inrcodec.core.payload import MAX_DENSITY, MAX_SIDE, PayloadError, Reader, pack_short, pack_varint, short
from inrcodec.core.shells import ShellTable
from inrcodec.core.volume import VolumeModel

# flags: how the background is written (none, 0, the upper half of a double, a double), and what else is there
_NO_BACKGROUND, _ZERO, _SHORT, _DOUBLE = range(4)
_OFFSET, _BOX = 4, 8

# the envelope: a nibble an entry, its difference to the entry before that is not 0
_FIRST_ENTRY = 48
_MIDDLE, _WIDE = 8, 15  # the nibble of no difference; the one that announces an entry in two nibbles

Array = np.ndarray[Any, Any]
Box = tuple[slice, slice, slice]


@dataclass(eq=False)
class FieldSection:
    """Parameters of a local-Fourier field.

    Attributes:
        step: quantiser step, density units; kept as the upper half of a double in chunk scope.
        offset: density of a field whose latents are all zero; kept likewise, unless it is the background.
        block: number of the block: nominal length and edges.
        network: number of the built-in prior that weights refer to.
        offsets: (3,) reconstruction offsets for magnitudes 1, 2 and above, in 1/64 step.
        envelope: (BINS,) coarse spectrum; bins of 0 hold no latents.
        background: density of voxels that are not represented, or None.
        box: where the field lies in the chunk, seen as (d, h, w); outside is background.
        volume: in volume scope, whose ``step``, ``block`` and ``prior`` the field has; None in chunk scope.
    """

    step: float
    offset: float
    block: int
    network: int
    offsets: Array
    envelope: Array
    background: float | None
    box: Box
    volume: VolumeModel | None = None

    def __post_init__(self) -> None:
        if self.volume is None:
            self.step = short(self.step)
        if self.offset != self.background:
            self.offset = short(self.offset)
        # written so that NaN fails
        if not (0 < self.step <= MAX_DENSITY and abs(self.offset) <= MAX_DENSITY):
            raise PayloadError(f"field step {self.step} or offset {self.offset} makes no sense")
        if self.background is not None and not abs(self.background) <= MAX_DENSITY:
            raise PayloadError(f"background {self.background} makes no sense")
        if any(s.stop - s.start > MAX_SIDE for s in self.box):
            raise PayloadError(f"field box {self.box} is longer than {MAX_SIDE} voxels")

    @property
    def shells(self) -> ShellTable | None:
        """The volume's steps by radial shell; None is one step."""
        return None if self.volume is None else self.volume.shells

    @property
    def layout(self) -> Layout:
        d, h, w = (s.stop - s.start for s in self.box)
        return get_layout((d, h, w), self.block)

    @property
    def active(self) -> Array:
        """Band indices that hold latents."""
        held = self.envelope[self.layout.bin] > 0
        return np.flatnonzero(held if self.shells is None else held & self.shells.coded(self.layout))

    @property
    def unit(self) -> float:
        """Density of one unit of :func:`local_fourier.synthesise_exact`."""
        return self.step * 2.0 ** -(TABLE_BITS + LATENT_BITS)

    def to_bytes(self, shape: tuple[int, int, int]) -> bytes:
        """The section of a chunk of (d, h, w) voxels."""
        out = bytearray([0])
        if self.volume is None:
            out.append(self.block - 1)
            out += pack_short(self.step) + pack_varint(self.network)
        else:
            out += struct.pack("<I", self.volume.digest)
        out += struct.pack("<3b", *(int(o) for o in self.offsets))
        out += pack_envelope(self.envelope)
        if self.background is not None:
            exact = short(self.background) == self.background
            kind = _ZERO if self.background == 0 else _SHORT if exact else _DOUBLE
            out[0] |= kind
            out += (b"", pack_short(self.background), struct.pack("<d", self.background))[kind - 1]
        if self.offset != self.background:
            out[0] |= _OFFSET
            out += pack_short(self.offset)
        if any((s.start, s.stop) != (0, n) for s, n in zip(self.box, shape, strict=True)):
            out[0] |= _BOX
            for s in self.box:
                out += pack_varint(s.start) + pack_varint(s.stop - s.start)
        return bytes(out)

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        shape: tuple[int, int, int],
        *,
        scope: str = "chunk",
        volume: VolumeModel | None = None,
    ) -> FieldSection:
        """Parse and check a section for a chunk of (d, h, w) voxels; in volume scope the volume is needed."""
        reader = Reader(data)
        flags = reader.u8()
        if flags >= 2 * _BOX:
            raise PayloadError(f"unknown field flags {flags}")
        if scope == "volume":
            volume = _checked_volume(_digest(reader), volume)
            block, step, network = volume.block, volume.step, volume.prior
        else:
            volume = None
            block, step, network = reader.u8() + 1, reader.short(), reader.varint()
        offsets = np.frombuffer(reader.take(3), np.int8).astype(np.int64)
        envelope = read_envelope(reader)
        kind = flags % 4
        background = (
            (None, 0.0)[kind] if kind < _SHORT else reader.short() if kind == _SHORT else reader.f64()
        )
        if not flags & _OFFSET and background is None:
            raise PayloadError("a field without background needs an offset")
        offset = reader.short() if flags & _OFFSET else background
        assert offset is not None
        spans = [(0, n) for n in shape]
        if flags & _BOX:
            spans = [(reader.varint(), reader.varint()) for _ in range(3)]
            if any(size == 0 or start + size > n for (start, size), n in zip(spans, shape, strict=True)):
                raise PayloadError(f"field box {spans} does not lie in a chunk of {shape}")
        reader.end()
        d, h, w = (slice(start, start + size) for start, size in spans)
        return cls(step, offset, block, network, offsets, envelope, background, (d, h, w), volume)


def volume_digest(data: bytes) -> int:
    """The digest, in the section of a payload of volume scope, of what the volume's chunks share."""
    reader = Reader(data)
    reader.u8()
    return _digest(reader)


def _digest(reader: Reader) -> int:
    return int.from_bytes(reader.take(4), "little")


def _checked_volume(digest: int, volume: VolumeModel | None) -> VolumeModel:
    if volume is None:
        raise PayloadError("payload is of volume scope: decode it with the codec that wrote it")
    if volume.digest != digest:
        raise PayloadError(f"payload needs the networks {digest:08x}, the codec's are {volume.digest:08x}")
    return volume


def pack_envelope(envelope: Array) -> bytes:
    """A spectral envelope (BINS,) in nibbles."""
    used = int(np.flatnonzero(envelope)[-1]) + 1 if envelope.any() else 0
    nibbles: list[int] = []
    before = _FIRST_ENTRY
    for entry in envelope[:used].tolist():
        moved = entry - before + _MIDDLE
        if entry == 0:
            nibbles.append(0)
            continue
        nibbles += [moved] if 0 < moved < _WIDE else [_WIDE, entry >> 4, entry & 15]
        before = entry
    nibbles += [0] * (len(nibbles) % 2)
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    return bytes([used, *(high << 4 | low for high, low in pairs)])


def read_envelope(reader: Reader) -> Array:
    """The inverse of :func:`pack_envelope`."""
    used = reader.u8()
    if used > BINS:
        raise PayloadError(f"spectral envelope of {used} bins, at most {BINS}")
    spare: list[int] = []

    def nibble() -> int:
        if spare:
            return spare.pop()
        byte = reader.u8()
        spare.append(byte & 15)
        return byte >> 4

    envelope = np.zeros(BINS, np.int64)
    before = _FIRST_ENTRY
    for i in range(used):
        moved = nibble()
        if moved:
            before = nibble() << 4 | nibble() if moved == _WIDE else before + moved - _MIDDLE
            if not 0 < before <= 255:
                raise PayloadError(f"spectral envelope of {before}")
            envelope[i] = before
    return envelope
