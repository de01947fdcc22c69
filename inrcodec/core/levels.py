"""Densities that are whole multiples of a spacing: maps of 8 or 16 bits that were stored as floats since.

Such a chunk can be coded as the whole numbers that it is. Nothing of it is lost but the rounding of the
arithmetic that made floats of them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.payload import MAX_DENSITY, PayloadError

_SAMPLE = 4096  # voxels; they hold next to as many values where densities are not on levels
_MOST_SAMPLED = 1024
_MOST = 2**15  # levels, so that their numbers are int16
_LARGEST = 2.0**53  # times the largest spacing, it stays within float64
_NEAR = 1e-3  # of the spacing, from a density to its level

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Levels:
    """Densities ``offset + n * spacing`` for whole n.

    Attributes:
        spacing: of neighbouring levels, density units.
        offset: density of level 0.
    """

    spacing: float
    offset: float

    def to_bytes(self) -> bytes:
        return struct.pack("<2d", self.spacing, self.offset)

    @classmethod
    def from_bytes(cls, data: bytes) -> Levels:
        """The inverse of :meth:`to_bytes`.

        Raises:
            PayloadError: it is damaged.
        """
        if len(data) != 16:
            raise PayloadError(f"levels in {len(data)} bytes, the format has 16")
        levels = cls(*struct.unpack("<2d", data))
        # written so that NaN fails
        if not (0 < levels.spacing <= MAX_DENSITY and abs(levels.offset) <= MAX_DENSITY):
            raise PayloadError(f"{levels} make no sense")
        return levels

    def densities(self, numbers: Array) -> Array:
        """Densities of the levels nearest to numbers, float64; numbers beyond 2**53 count as that."""
        return np.asarray(np.clip(np.rint(numbers), -_LARGEST, _LARGEST) * self.spacing + self.offset)


def find_levels(chunk: Array) -> tuple[Levels, Array] | None:
    """Levels of a chunk of floats, and the number of each voxel's, int16; None where they lie on none."""
    flat = np.ascontiguousarray(chunk).reshape(-1)
    if len(np.unique(flat[:: max(1, flat.size // _SAMPLE)])) > _MOST_SAMPLED:
        return None
    values = np.unique(flat).astype(np.float64)
    # written so that NaN fails; sums and differences stay within float64
    if not 2 <= len(values) <= _MOST or not np.abs(values).max() <= MAX_DENSITY:
        return None
    spacing = float(np.diff(values).min())
    extent = float(values[-1] - values[0])
    if not extent < _MOST * spacing:
        return None
    spacing = extent / np.rint(extent / spacing)
    offset = float(values[np.abs(values).argmin()])
    numbers = np.rint((chunk.astype(np.float64) - offset) / spacing)
    levels = Levels(spacing, offset)
    if np.abs(levels.densities(numbers) - chunk).max() > _NEAR * spacing:
        return None
    return levels, numbers.astype(np.int16)
