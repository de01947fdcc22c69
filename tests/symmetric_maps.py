"""Small symmetric maps, and what breaks their symmetry, that several test modules use."""

from __future__ import annotations

from functools import cache

import numpy as np

from inrcodec import INRCodec
from inrcodec.synthetic_symmetry import symmetric_map

LIGAND = (15, 8, 17)  # voxel
AMPLITUDE = 4.0  # of the ligand, standard deviations of the map


@cache
def d2() -> np.ndarray:
    """float32, 24^3 voxels, D2 about voxel 12, exactly; standard deviation 1. Not to be changed."""
    volume = symmetric_map("D2", 24)
    volume.setflags(write=False)
    return volume


def ligand() -> np.ndarray:
    """float32, 24^3 voxels: a blob of peak 1 that none of the group's operations repeats."""
    grid = np.ogrid[:24, :24, :24]
    square = sum((axis - c) ** 2 for axis, c in zip(grid, LIGAND, strict=True))
    return np.exp(-square / (2 * 1.7**2)).astype(np.float32)


def with_ligand() -> np.ndarray:
    return d2() + np.float32(AMPLITUDE) * ligand()


def masked() -> np.ndarray:
    """The map inside of a sphere, zeros outside."""
    square = sum((axis - 12) ** 2 for axis in np.ogrid[:24, :24, :24])
    return np.where(square < 9.5**2, d2(), np.float32(0))


def with_specials() -> np.ndarray:
    volume = d2().copy()
    volume[3, 4, :5] = np.nan
    volume[12, 12, 12] = np.inf
    return volume


@cache
def fitted() -> INRCodec:
    """A codec of :func:`d2` that uses its symmetry."""
    codec = INRCodec.fit(d2(), snr=25, symmetry="auto", effort=0)
    assert codec.volume is not None
    assert codec.volume.symmetry is not None
    return codec
