"""Protein-like packing: as dense as protein, only inside its domains, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.protein import ATOMS_PER_A3, DIRECTIONS, pack


def domains(size: int) -> np.ndarray:
    domain = np.full((size, size, size), -1)
    inner = slice(size // 4, 3 * size // 4)
    domain[inner, inner, inner] = np.arange(size // 2)[:, None, None] * DIRECTIONS // (size // 2)
    return domain


@pytest.mark.parametrize(("voxel_size", "resolution"), [(1.0, 3.0), (2.0, 5.0), (3.0, 9.0)])
def test_density_of_atoms_is_that_of_protein(voxel_size: float, resolution: float) -> None:
    domain = domains(48)
    density = pack(np.random.default_rng(0), domain, voxel_size, resolution)
    volume = (domain >= 0).sum() * voxel_size**3
    assert 0.5 * ATOMS_PER_A3 < density.sum() / volume < 1.5 * ATOMS_PER_A3


def test_atoms_stay_near_their_domains() -> None:
    domain = domains(48)
    density = pack(np.random.default_rng(1), domain, 1.0, 3.0)
    assert density.shape == domain.shape
    assert density.min() >= 0
    assert density[:8].sum() < 0.01 * density.sum()


def test_seeds_repeat() -> None:
    first, second = (pack(np.random.default_rng(2), domains(24), 1.5, 4.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
