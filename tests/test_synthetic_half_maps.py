"""Generated half-maps: what the maps have to do with each other."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec import metrics
from inrcodec.synthetic_half_maps import half_maps

SIZE, VOXEL, RESOLUTION = 48, 1.2, 4.0


@pytest.mark.parametrize("regularised", [False, True])
def test_the_halves_correlate_down_to_the_resolution(regularised: bool) -> None:
    maps = half_maps(SIZE, voxel_size=VOXEL, resolution=RESOLUTION, regularised=regularised)
    frequency, correlation = metrics.fsc(maps.half1, maps.half2, VOXEL)
    near = np.abs(frequency - 1 / RESOLUTION) < 1.5 / (SIZE * VOXEL)
    assert near.sum() == 3
    assert 0.05 < correlation[near].mean() < 0.25
    assert correlation[frequency < 0.3 / RESOLUTION].min() > 0.8
    assert np.abs(correlation[frequency > 1.2 / RESOLUTION]).mean() < 0.1


def test_what_is_made_of_both() -> None:
    maps = half_maps(SIZE, voxel_size=VOXEL, resolution=RESOLUTION)
    np.testing.assert_allclose(maps.mean, (maps.half1 + maps.half2) / 2, atol=1e-4 * maps.mean.std())
    outside = maps.masked == 0
    assert 0.6 < outside.mean() < 0.8
    inside = ~outside & (np.abs(maps.masked - maps.sharpened) < 1e-6)
    assert 0.1 < inside.mean() < 0.3
    spectrum = np.abs(np.fft.rfftn(maps.sharpened))
    assert (
        spectrum[SIZE // 2].max() < 1e-3 * spectrum.max()
    )  # the filter leaves nothing at the Nyquist frequency
    _, correlation = metrics.fsc(maps.wiener, maps.mean, VOXEL)
    assert correlation[:8].min() > 0.99


def test_regularised_halves_hold_less_noise() -> None:
    plain, filtered = half_maps(SIZE), half_maps(SIZE, regularised=True)
    assert filtered.half1.std() < 0.9 * plain.half1.std()
    np.testing.assert_array_equal(plain.wiener, filtered.wiener)


def test_they_repeat() -> None:
    np.testing.assert_array_equal(half_maps(32, seed=3).half2, half_maps(32, seed=3).half2)
    assert (half_maps(32, seed=3).half2 != half_maps(32, seed=4).half2).any()


@pytest.mark.parametrize("resolution", [2.0, 30.0])
def test_resolutions_that_make_no_sense(resolution: float) -> None:
    with pytest.raises(ValueError, match=f"a resolution of {resolution} A in 32 voxels"):
        half_maps(32, resolution=resolution)
