"""Traits: they are those a volume was generated with."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from inrcodec.core import Target
from inrcodec.core.traits import Traits, measure_traits
from inrcodec.synthetic import generate


@pytest.mark.parametrize("resolution", [3.0, 4.0, 6.0])
def test_the_band_limit_is_the_resolution(resolution: float) -> None:
    found = measure_traits(generate((64, 64, 64), resolution=resolution, noise=0.3, seed=1))
    assert found.band_limit == pytest.approx(2 / resolution, rel=0.15)  # the edge is 20 % wide
    assert found.noise_floor is not None
    assert found.noise_floor > 60  # nothing beyond the filter


@pytest.mark.parametrize("noise", [0.03, 0.3])
def test_the_noise_floor_is_that_of_white_noise(noise: float) -> None:
    volume = generate((48, 48, 48), resolution=4.0, seed=2).astype(np.float64)
    volume += np.random.default_rng(0).normal(0, noise * volume.std(), volume.shape)
    found = measure_traits(volume)
    expected = 10 * np.log10((1 + noise**2) / noise**2)
    assert found.noise_floor == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_the_mask_is_what_is_represented(share: float) -> None:
    rng = np.random.default_rng(3)
    kept = rng.random((32, 32, 32)) < share
    found = measure_traits(np.where(kept, rng.normal(5, 1, kept.shape), 1.5).astype(np.float32))
    assert found.background == 1.5
    assert found.represented == pytest.approx(kept.mean())
    assert measure_traits(rng.normal(size=(16, 16, 16))).represented == 1.0


def test_a_threshold_represents_what_is_above_it() -> None:
    volume = np.random.default_rng(4).normal(size=(24, 24, 24)).astype(np.float32)
    assert measure_traits(volume, 1.0).represented == pytest.approx((volume > 1).mean())


def test_faces_tell_a_particle_in_a_box_from_a_part_of_a_map() -> None:
    assert measure_traits(generate((48, 48, 48), mask="sphere", seed=5)).faces < 0.1
    cut = generate((32, 32, 32), border=16, fill=0.9, seed=5)
    assert 0.5 < measure_traits(cut).faces < 1.5


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_the_unit_of_density_does_not_matter(unit: float) -> None:
    volume = generate((24, 24, 24), noise=0.2, mask="soft", seed=6).astype(np.float64)
    plain, scaled = measure_traits(volume), measure_traits(volume * unit)
    assert scaled.to_config() == plain.to_config()


def test_long_volumes_are_measured_in_the_middle() -> None:
    volume = np.zeros((2000, 4, 4), np.float32)
    volume[872:1128] = np.random.default_rng(7).normal(size=(256, 4, 4))
    found = measure_traits(volume)
    assert (found.shape, found.voxels, found.represented) == ((2000, 4, 4), 32_000, 1.0)


@pytest.mark.parametrize("shape", [(50,), (20, 30), (3, 10, 11, 12), (1, 1, 5), (1,)], ids=str)
def test_any_number_of_axes(shape: tuple[int, ...]) -> None:
    found = measure_traits(np.random.default_rng(8).normal(size=shape))
    assert found.shape == shape
    assert 0 < found.band_limit <= 1


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_nothing_to_measure(value: float) -> None:
    found = measure_traits(np.full((8, 8, 8), value))
    assert (found.represented, found.noise_floor, found.faces) == (0.0, None, 0.0)
    assert found.coded_share(Target("snr", 30)) == 0.0


def test_special_values_are_left_out() -> None:
    volume = generate((24, 24, 24), noise=0.2, seed=9)
    holed = volume.copy()
    holed[3, 4, 5], holed[0, 0, 0] = np.nan, -np.inf
    plain, found = measure_traits(volume), measure_traits(holed)
    assert found.represented == pytest.approx(plain.represented, abs=1e-3)
    assert found.noise_floor is not None
    assert found.noise_floor > 40  # holes are edges, weak ones
    assert np.isfinite(found.faces)


def test_the_share_expected_to_be_coded() -> None:
    traits = Traits((9, 9, 9), 0.5, 0.0, 0.8, 20.0, 0.1)
    inside = 0.5 * np.pi / 6 * 0.8**3
    assert traits.coded_share(Target("snr", 15)) == pytest.approx(inside)
    assert traits.coded_share(Target("snr", 25)) == 0.5  # noise in all frequencies is coded too
    assert traits.coded_share(Target("fsc", 0.99)) == pytest.approx(inside)


def test_as_plain_json() -> None:
    traits = measure_traits(generate((20, 24, 24), mask="soft", seed=10))
    config = json.loads(json.dumps(traits.to_config(), allow_nan=False))
    again = Traits.from_config(config)
    assert again.to_config() == config
    assert (again.shape, again.background) == (traits.shape, traits.background)
    assert again.represented == pytest.approx(traits.represented, rel=1e-3)


def test_in_words() -> None:
    traits = Traits((20, 20, 20), 0.25, -0.0, 0.5, 31.25, 0.01)
    assert traits.lines == [
        "cube of 8,000 voxels, 25.0% of the voxels represented, background 0",
        "signal up to 0.50 of the Nyquist frequency, outermost shells 31.2 dB below it",
        "standard deviation at the faces 0.01 of that inside",
    ]
    other = replace(traits, shape=(20, 20, 21), background=None, represented=1.0, noise_floor=None).lines
    assert other[:2] == ["box of 8,400 voxels, all voxels represented", "no spectrum"]
