"""The field section: the numbers that turn latents into densities."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.fields.basis import TABLE_BITS
from inrcodec.core.fields.layout import BINS, MAX_BLOCK, Layout, get_layout
from inrcodec.core.fields.local_fourier import LATENT_BITS
from inrcodec.core.payload import MAX_DENSITY, MAX_SIDE, PayloadError, Reader, pack_varint
from inrcodec.core.shells import ShellTable

_BACKGROUND = 1

Array = np.ndarray[Any, Any]
Box = tuple[slice, slice, slice]


@dataclass(eq=False)
class FieldSection:
    """Parameters of a local-Fourier field.

    Attributes:
        step: quantiser step, density units.
        offset: density of a field whose latents are all zero.
        block: nominal block length, voxels.
        network: number of the built-in prior that weights refer to (chunk scope), or the digest of the
            volume's networks (volume scope).
        offsets: (3,) reconstruction offsets for magnitudes 1, 2 and above, in 1/64 step.
        envelope: (BINS,) coarse spectrum; bins of 0 hold no latents.
        background: density of voxels that are not represented, or None.
        box: where the field lies in the chunk, seen as (d, h, w); outside is background.
        shells: the volume's steps by radial shell, which are not in the section itself; None is one step.
    """

    step: float
    offset: float
    block: int
    network: int
    offsets: Array
    envelope: Array
    background: float | None
    box: Box
    shells: ShellTable | None = None

    def __post_init__(self) -> None:
        # written so that NaN fails
        if not (0 < self.step <= MAX_DENSITY and abs(self.offset) <= MAX_DENSITY):
            raise PayloadError(f"field step {self.step} or offset {self.offset} makes no sense")
        if self.background is not None and not abs(self.background) <= MAX_DENSITY:
            raise PayloadError(f"background {self.background} makes no sense")
        if any(s.stop - s.start > MAX_SIDE for s in self.box):
            raise PayloadError(f"field box {self.box} is longer than {MAX_SIDE} voxels")

    @property
    def layout(self) -> Layout:
        d, h, w = (s.stop - s.start for s in self.box)
        return get_layout((d, h, w), self.block)

    @property
    def active(self) -> Array:
        """Band indices that hold latents."""
        held = self.envelope[self.layout.bin] > 0
        return np.flatnonzero(
            held if self.shells is None else held & (self.shells.multipliers(self.layout) > 0)
        )

    @property
    def unit(self) -> float:
        """Density of one unit of :func:`local_fourier.synthesise_exact`."""
        return self.step * 2.0 ** -(TABLE_BITS + LATENT_BITS)

    def to_bytes(self) -> bytes:
        out = bytearray([0 if self.background is None else _BACKGROUND, self.block])
        out += struct.pack("<dd3b", self.step, self.offset, *(int(o) for o in self.offsets))
        out += pack_varint(self.network)
        used = int(np.flatnonzero(self.envelope)[-1]) + 1 if self.envelope.any() else 0
        out.append(used)
        out += self.envelope[:used].astype(np.uint8).tobytes()
        if self.background is not None:
            out += struct.pack("<d", self.background)
            for s in self.box:
                out += pack_varint(s.start) + pack_varint(s.stop - s.start)
        return bytes(out)

    @classmethod
    def from_bytes(
        cls, data: bytes, shape: tuple[int, int, int], shells: ShellTable | None = None
    ) -> FieldSection:
        """Parse and check a section for a chunk of (d, h, w) voxels."""
        reader = Reader(data)
        flags, block = reader.u8(), reader.u8()
        if flags > _BACKGROUND:
            raise PayloadError(f"unknown field flags {flags}")
        if not 1 <= block <= MAX_BLOCK:
            raise PayloadError(f"block length {block} is not between 1 and {MAX_BLOCK}")
        step, offset = reader.f64(), reader.f64()
        offsets = np.frombuffer(reader.take(3), np.int8).astype(np.int64)
        network = reader.varint()
        used = reader.u8()
        if used > BINS:
            raise PayloadError(f"spectral envelope of {used} bins, at most {BINS}")
        envelope = np.zeros(BINS, np.int64)
        envelope[:used] = np.frombuffer(reader.take(used), np.uint8)
        background, box = None, _box([(0, n) for n in shape])
        if flags & _BACKGROUND:
            background = reader.f64()
            spans = [(reader.varint(), reader.varint()) for _ in range(3)]
            if any(size == 0 or start + size > n for (start, size), n in zip(spans, shape, strict=True)):
                raise PayloadError(f"field box {spans} does not lie in a chunk of {shape}")
            box = _box(spans)
        reader.end()
        return cls(step, offset, block, network, offsets, envelope, background, box, shells)


def _box(spans: list[tuple[int, int]]) -> Box:
    d, h, w = (slice(start, start + size) for start, size in spans)
    return d, h, w
