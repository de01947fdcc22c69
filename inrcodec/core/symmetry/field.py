"""The field of an asymmetric unit, and the volume that its group makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.basis import TABLE_BITS
from inrcodec.core.fields.layout import Layout, get_layout
from inrcodec.core.fields.local_fourier import LATENT_BITS, synthesise_exact
from inrcodec.core.latent_coding import decode_latents, dequantiser
from inrcodec.core.shells import ShellTable
from inrcodec.core.symmetry.expansion import Expansion, Spans
from inrcodec.core.symmetry.images import Box
from inrcodec.core.symmetry.section import SymmetrySection

VALUE_BITS = 10  # values of the asymmetric unit are whole numbers of 2**-10 step
UNIT_STEP = 2.0 ** -(TABLE_BITS + LATENT_BITS)  # a unit of synthesis, in steps
_FINER = 2.0 ** (TABLE_BITS + LATENT_BITS - VALUE_BITS)

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class SymmetricField:
    """A decoded symmetry section.

    Attributes:
        section: where, and under which group.
        block: nominal block length, voxels.
        latents: (active bands, blocks) int32.
        shells: steps by radial shell, or None.
    """

    section: SymmetrySection
    block: int
    latents: Array
    shells: ShellTable | None = None
    _held: Expansion | None = None

    @classmethod
    def decode(
        cls,
        backend: Backend,
        data: bytes,
        shape: tuple[int, int, int],
        block: int,
        network: ContextNetwork,
        shells: ShellTable | None,
    ) -> SymmetricField:
        """The field of a section's bytes, of a chunk of (d, h, w) voxels.

        Raises:
            PayloadError: the section is damaged.
        """
        section = SymmetrySection.from_bytes(data, shape)
        field = cls(section, block, np.zeros((0, 0), np.int32), shells)
        field.latents = decode_latents(
            backend, section.latents, field.layout, section.envelope, field.active, network
        )
        return field

    @property
    def layout(self) -> Layout:
        return get_layout(self.section.shape, self.block)

    @property
    def active(self) -> Array:
        """(active bands,) bands that hold latents."""
        held = self.section.envelope[self.layout.bin] > 0
        return np.flatnonzero(held if self.shells is None else held & self.shells.coded(self.layout))

    def units(self, backend: Backend, region: Box) -> Array:
        """What the field adds to a region's voxels: (d, h, w) float64 whole numbers, units of synthesis."""
        out = (self._held or self._expansion(backend)).region(region)
        out *= _FINER
        return out

    def hold(self, backend: Backend) -> None:
        """Make ready for the units of many regions."""
        self._held = self._expansion(backend)
        self._held.hold()

    def _expansion(self, backend: Backend) -> Expansion:
        first = [start for start, _ in self.section.field]
        active = self.active
        dequantised = dequantiser(self.section.offsets, self.shells, self.layout, active)

        def values(spans: Spans) -> Array:
            d, h, w = (slice(a - start, b - start) for (a, b), start in zip(spans, first, strict=True))
            units = synthesise_exact(backend, self.latents, active, self.layout, (d, h, w), dequantised)
            return np.rint(backend.to_numpy(units) / _FINER)

        return Expansion(self.section.images, self.section.field, values)
