"""Fourier shells: their sums, their limits, and the resolution that a spectrum speaks of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.fourier_shell import FourierShells, estimate_resolution
from inrcodec.synthetic import generate


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=3), st.floats(0.1, 10), st.integers(0, 99))
def test_sums_are_those_of_the_full_transform(shape: list[int], voxel: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape)
    shells = FourierShells(tuple(shape), voxel)
    f = np.meshgrid(*(np.fft.fftfreq(n, voxel) for n in shape), indexing="ij")
    radius = (np.sqrt(sum(x**2 for x in f)) / shells.pixel + 0.5).astype(int)
    power = np.abs(np.fft.fftn(values)) ** 2
    expected = [power[radius == r].sum() for r in range(1, shells.count + 1)]
    np.testing.assert_allclose(shells.power(values), expected, rtol=1e-9)
    np.testing.assert_array_equal(
        shells.coefficients, [np.sum(radius == r) for r in range(1, shells.count + 1)]
    )


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf"), (1.0, 0.0, 1.0)])
def test_voxel_sizes_that_make_no_sense(size: float) -> None:
    with pytest.raises(ValueError, match="voxel_size must be positive"):
        FourierShells((8, 8, 8), size)


def test_one_voxel_size_per_axis() -> None:
    with pytest.raises(ValueError, match="voxel_size has 2 values, the volume 3 axes"):
        FourierShells((8, 8, 8), (1.0, 1.0))


def test_a_box_without_shells() -> None:
    with pytest.raises(ValueError, match="no shell"):
        FourierShells((1, 1, 1))


@pytest.mark.parametrize("resolution", [0.0, -3.0, float("nan"), float("inf")])
def test_resolutions_that_make_no_sense(resolution: float) -> None:
    with pytest.raises(ValueError, match=f"resolution must be positive and finite, got {resolution}"):
        FourierShells((16, 16, 16)).up_to(resolution)


def test_shells_up_to_a_resolution() -> None:
    shells = FourierShells((40, 40, 40), 1.5)
    assert shells.up_to(60.0) == 1
    assert shells.up_to(6.0) == 10
    assert shells.up_to(0.1) == shells.count == 20
    with pytest.raises(ValueError, match="resolution 61 is coarser than the first Fourier shell"):
        shells.up_to(61.0)


@pytest.mark.parametrize("mask", ["none", "soft"])
@pytest.mark.parametrize(("voxel", "resolution"), [(1.0, 3.0), (1.0, 4.0), (0.8, 2.5), (2.0, 8.0)])
def test_a_low_pass_filter_is_found(voxel: float, resolution: float, mask: str) -> None:
    volume = generate((64, 64, 64), voxel_size=voxel, resolution=resolution, mask=mask)
    assert estimate_resolution(volume, voxel) == pytest.approx(resolution, rel=0.12)


def test_noise_above_the_signal_is_found() -> None:
    rng = np.random.default_rng(0)
    volume = generate((64, 64, 64), resolution=4.0) + rng.normal(0, 0.02, (64, 64, 64))
    assert estimate_resolution(volume) == pytest.approx(4.0, rel=0.15)


def test_noise_alone_and_smooth_spectra_reach_to_the_nyquist_limit() -> None:
    assert estimate_resolution(np.random.default_rng(0).normal(size=(32, 32, 32)), 1.5) == 3.0
    assert estimate_resolution(np.zeros((8, 8, 8)), 1.0) == 2.0


def test_integers_and_specials() -> None:
    volume = generate((48, 48, 48), resolution=5.0)
    damaged = volume.copy()
    damaged[0, 0, 0] = np.nan
    assert estimate_resolution(damaged) == pytest.approx(estimate_resolution(volume), rel=0.1)
    assert estimate_resolution((volume * 100).astype(np.int16)) == pytest.approx(5.0, rel=0.15)
