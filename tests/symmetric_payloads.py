"""Payloads with a symmetry section, made of random latents: quick, and nothing an encoder would choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inrcodec.core.field_section import FieldSection
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.latent_coding import encode_latents
from inrcodec.core.payload import Field, Payload, Section
from inrcodec.core.prior import CURRENT, prior
from inrcodec.core.symmetry.expansion import Spans
from inrcodec.core.symmetry.groups import UNIT, Symmetry, parse_symmetry
from inrcodec.core.symmetry.images import Images
from inrcodec.core.symmetry.section import SymmetrySection
from inrcodec.core.volume import VolumeModel

BINS = 32
OFFSETS = np.array([-9, -4, -1])

Array = np.ndarray[Any, Any]
Shape = tuple[int, int, int]

# groups that map voxels to voxels, and a direction of their asymmetric unit
EXACT = [("C2", (0, 0, 1)), ("C4", (0, 2, 1)), ("D2", (0, 1, 2)), ("T222", (6, 3, 1)), ("O", (6, 3, 1))]


def turn(seed: int) -> tuple[int, ...]:
    """A random orientation, as whole numbers of 2**-30."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q *= np.linalg.det(q)
    return tuple(int(v) for v in np.rint(q.ravel() * UNIT))


def place(
    symbol: str,
    shape: Shape,
    centre: tuple[int, int, int] | None = None,
    orientation: tuple[int, ...] | None = None,
) -> Symmetry:
    """A symmetry in a volume, about its middle voxel unless told otherwise (rises in voxels)."""
    standard = Symmetry.standard(parse_symmetry(symbol), shape)
    return replace(standard, centre=centre or standard.centre, orientation=orientation)


def random_latents(shape: Shape, block: int, seed: int, most: int = 6) -> tuple[Array, Array, bytes]:
    """Latents of all bands of a field up to half the Nyquist frequency, their envelope, and their bytes."""
    rng = np.random.default_rng(seed)
    layout = get_layout(shape, block)
    envelope = np.zeros(BINS, np.int64)
    envelope[: int(rng.integers(8, 16))] = rng.integers(40, 60)
    active = np.flatnonzero(envelope[layout.bin] > 0)
    values = rng.integers(-most, most + 1, (len(active), layout.blocks)).astype(np.int32)
    return values, envelope, encode_latents(values, layout, envelope, active, prior())


@dataclass(frozen=True)
class Made:
    """How a payload is made.

    Attributes:
        images: of its voxels.
        shape: of the chunk.
        field: start and end of the asymmetric unit's field.
        block: nominal block length.
        box: of the chunk's own field; None is all of it.
        seed: of all latents.
    """

    images: Images
    shape: Shape
    field: Spans
    block: int = 6
    box: tuple[slice, slice, slice] | None = None
    seed: int = 0

    def section(self) -> SymmetrySection:
        size = tuple(b - a for a, b in self.field)
        _, envelope, data = random_latents((size[0], size[1], size[2]), self.block, self.seed)
        return SymmetrySection(self.images, OFFSETS, envelope, self.field, data)

    def payload(self, volume: VolumeModel | None = None) -> Payload:
        """float32, of chunk scope unless a volume's model is given (one of the prior's own networks)."""
        whole = tuple(slice(0, n) for n in self.shape)
        box = self.box or (whole[0], whole[1], whole[2])
        d, h, w = (s.stop - s.start for s in box)
        _, envelope, data = random_latents((d, h, w), self.block, self.seed + 1, 1)
        field = FieldSection(
            step=0.125,
            offset=0.5,
            block=self.block,
            network=CURRENT,
            offsets=OFFSETS,
            envelope=envelope,
            background=0.0,
            box=box,
            volume=volume,
        )
        out = Payload(self.shape, np.dtype("<f4"), Field.LOCAL_FOURIER)
        out.scope = "chunk" if volume is None else "volume"
        out.sections[Section.FIELD] = field.to_bytes(self.shape)
        out.sections[Section.LATENTS] = data
        out.sections[Section.SYMMETRY] = self.section().to_bytes(self.shape)
        return out


def whole_field(shape: Shape, beyond: int = 0) -> Spans:
    """A field as large as the chunk, and so many voxels more to each side (fewer, where negative)."""
    d, h, w = ((-beyond, n + beyond) for n in shape)
    return d, h, w


CASES: dict[str, Made] = {}


def _case(
    name: str,
    symbol: str,
    shape: Shape,
    direction: tuple[int, int, int],
    *,
    beyond: int = 0,
    radius: int | None = None,
    **options: Any,
) -> None:
    images = Images(place(symbol, shape, **options), direction, radius)
    CASES[name] = Made(images, shape, whole_field(shape, beyond), seed=len(CASES))


_case("C2", "C2", (16, 17, 18), (0, 0, 1))
_case("C4", "C4", (9, 16, 16), (0, 2, 1), radius=7)
_case("C7", "C7", (12, 18, 17), (0, 1, 3))
_case("C3-off-axis", "C3", (8, 16, 15), (0, -5, 1), centre=(0, 7 * 1024 + 300, 8 * 1024 - 11), beyond=1)
_case("D2", "D2", (16, 15, 14), (0, 1, 2))
_case("D2-between-planes", "D2", (11, 12, 13), (1, 1, 2), centre=(5 * 1024 + 100, 6 * 1024, 6 * 1024))
_case("D3", "D3", (17, 16, 16), (0, 3, 1), beyond=-1)
_case("T", "T", (16, 16, 16), (6, 3, -1), radius=8)
_case("T222", "T222", (14, 14, 14), (6, 3, 1))
_case("I", "I", (16, 16, 16), (6, 3, 1), beyond=2, radius=7)
_case("I3", "I3", (12, 12, 12), (-3, 6, 1))
_case("O", "O", (16, 16, 16), (20, 5, 2))
_case("O-off-lattice", "O", (14, 14, 14), (6, 1, 3), centre=(7 * 1024 + 511, 7 * 1024 - 3, 6 * 1024 + 77))
_case("C5-turned", "C5", (13, 14, 15), (6, 3, 1), orientation=turn(3))
_case("D4-turned", "D4", (14, 14, 14), (1, 6, 3), orientation=turn(4), centre=(7000, 7101, 7202))
_case("helix", "helical:3.37,41.7", (24, 16, 16), (0, 0, 1), beyond=1)
_case("helix-C2", "helical:2.5,-66.25,C2", (18, 15, 16), (0, 1, 1), radius=6)
