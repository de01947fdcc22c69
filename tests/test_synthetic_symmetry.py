"""Generated symmetric maps have the symmetry, the band limit and the noise that they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, PointGroup, parse_symmetry
from inrcodec.core.symmetry.interpolation import interpolate
from inrcodec.synthetic_symmetry import symmetric_map

Array = np.ndarray[Any, Any]
SIZE = 48


def predicted(volume: Array, rotation: Array, rise: float = 0.0) -> float:
    """Decibels at which a central sphere predicts its image, by an interpolation of 8 taps."""
    centre = len(volume) // 2
    voxels = np.argwhere(np.ones(volume.shape, bool))
    near = ((voxels - centre) ** 2).sum(axis=1) < (centre - 5 - abs(rise)) ** 2
    points = voxels[near][::5]
    own = volume[tuple(points.T)]
    images = (points - centre) @ rotation.T / UNIT + centre + [rise, 0, 0]
    error = interpolate(volume, images, 8) - own
    return float(10 * np.log10(own.var() / max(float((error**2).mean()), 1e-30)))


@pytest.mark.parametrize("symbol", ["C2", "C5", "D3", "D4", "T", "T222", "O", "I"])
def test_every_operation_holds(symbol: str) -> None:
    volume = symmetric_map(symbol, SIZE, noise=0.1)
    assert volume.shape == (SIZE,) * 3
    assert volume.dtype == np.float32
    assert volume.flags.c_contiguous
    group = parse_symmetry(symbol)
    assert isinstance(group, PointGroup)
    assert min(predicted(volume, r) for r in group.operations()[1:]) > 30


@pytest.mark.parametrize("symbol", ["helical:6.5,40", "helical:9,-70,C2"])
def test_every_copy_of_a_helix_holds(symbol: str) -> None:
    volume = symmetric_map(symbol, SIZE)
    helix = parse_symmetry(symbol)
    assert isinstance(helix, Helix)
    for k, j in [(1, 0), (-1, 0), (1, helix.n - 1), (-1, 1)]:
        assert predicted(volume, helix.rotation(k, j), helix.shift(k) / RISE_UNIT) > 30
    assert predicted(volume, helix.rotation(-1), helix.shift(1) / RISE_UNIT) < 10  # the other hand
    # It goes on through the box, from face to face.
    assert volume[2].std() > 0.5 * volume[SIZE // 2].std()


def test_no_more_symmetry_than_asked_for() -> None:
    volume = symmetric_map("C5", SIZE)
    for other in ("C2", "C3", "C4", "C6", "C7"):
        group = parse_symmetry(other)
        assert isinstance(group, PointGroup)
        assert predicted(volume, group.operations()[1]) < 10
    dihedral = parse_symmetry("D5")
    assert isinstance(dihedral, PointGroup)
    assert predicted(volume, dihedral.operations()[5]) < 10


def test_operations_that_keep_the_lattice_are_exact() -> None:
    volume = symmetric_map("D2", 32)[1:, 1:, 1:]  # index 0 has no image in an even box
    for axes in ((0, 1), (0, 2), (1, 2)):
        np.testing.assert_allclose(np.flip(volume, axes), volume, atol=1e-5)


@pytest.mark.parametrize("resolution", [3.0, 5.0])
def test_nothing_beyond_the_band_limit(resolution: float) -> None:
    volume = symmetric_map("C3", 32, resolution=resolution, noise=0.3)
    power = np.abs(np.fft.fftn(volume.astype(np.float64))) ** 2
    k = np.fft.fftfreq(32)
    s = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    assert power[s > 1.1 / resolution].max() < 1e-9 * power.max()
    assert power[s < 0.9 / resolution].max() == power.max()


def test_noise_fills_the_sphere_that_the_box_holds() -> None:
    clean, noisy = (symmetric_map("O", SIZE, noise=noise) for noise in (0.0, 1.0))
    hole = np.s_[SIZE // 2 - 3 : SIZE // 2 + 3, SIZE // 2 - 3 : SIZE // 2 + 3, SIZE // 2 - 3 : SIZE // 2 + 3]
    assert noisy[hole].std() > 5 * clean[hole].std()
    assert noisy[:4, :4, :4].std() < 0.1 * noisy[hole].std()


def test_same_seed_same_volume() -> None:
    a, b, c = (symmetric_map("C2", 24, seed=seed, noise=0.1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_better_interpolation_is_more_symmetric() -> None:
    group = parse_symmetry("C7")
    assert isinstance(group, PointGroup)
    linear, sinc = (predicted(symmetric_map("C7", SIZE, taps=t), group.operations()[1]) for t in (2, 6))
    assert sinc > linear + 6


@pytest.mark.parametrize(("size", "resolution"), [(8, 3.0), (32, 1.0)])
def test_sizes_and_resolutions_that_are_none(size: int, resolution: float) -> None:
    with pytest.raises(ValueError, match="size must be"):
        symmetric_map("C2", size, resolution=resolution)
    with pytest.raises(ValueError, match="not a symmetry"):
        symmetric_map("C1", 32)
