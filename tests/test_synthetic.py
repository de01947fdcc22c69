"""Generated density has the properties that its parameters promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inrcodec import protein, synthetic


def radial_power(volume: np.ndarray[Any, Any], voxel_size: float = 1.0) -> tuple[Any, Any]:
    """Frequency in 1/A and mean power of shells one Fourier pixel wide, without the mean."""
    n = max(volume.shape)
    spectrum = np.abs(np.fft.fftn(volume.astype(np.float64))) ** 2
    k = [np.fft.fftfreq(m) for m in volume.shape]
    shell = np.round(n * np.sqrt(sum(q**2 for q in np.meshgrid(*k, indexing="ij")))).astype(int).ravel()
    power = np.bincount(shell, spectrum.ravel()) / np.maximum(np.bincount(shell), 1)
    return np.arange(1, len(power)) / (n * voxel_size), power[1:]


@pytest.mark.parametrize("shape", [(64, 64, 64), (32, 48, 40), (20, 7, 1)])
def test_shape_dtype_and_finiteness(shape: tuple[int, ...]) -> None:
    volume = synthetic.generate(shape, noise=0.1)
    assert volume.shape == shape
    assert volume.dtype == np.float32
    assert volume.flags.c_contiguous
    assert np.isfinite(volume).all()
    assert volume.std() > 0


def test_same_seed_same_volume() -> None:
    settings: dict[str, Any] = {"noise": 0.3, "mask": "soft", "local_b_factor": 80.0, "border": 4}
    a, b, c = (synthetic.generate((32, 32, 32), seed=seed, **settings) for seed in (5, 5, 6))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("kind", ["generate", "noisy", "local", "tomogram"])
@pytest.mark.parametrize("resolution", [3.0, 5.0])
def test_nothing_beyond_the_band_limit(kind: str, resolution: float) -> None:
    if kind == "tomogram":
        volume = synthetic.tomogram((48, 48, 48), voxel_size=1.0, resolution=resolution)
    else:
        volume = synthetic.generate(
            (48, 48, 48),
            resolution=resolution,
            noise=0.5 if kind == "noisy" else 0.0,
            local_b_factor=100.0 if kind == "local" else 0.0,
        )
    frequency, power = radial_power(volume)
    beyond = frequency > 1.1 / resolution + 1 / 48
    assert power[beyond].max() < 1e-9 * power.max()
    assert power[(frequency < 0.9 / resolution)].min() > 1e-7 * power.max()


def test_b_factor_sets_the_fall_off() -> None:
    flat = synthetic.generate((48, 48, 48), b_factor=0.0, seed=1)
    steep = synthetic.generate((48, 48, 48), b_factor=80.0, seed=1)
    frequency, a = radial_power(flat)
    _, b = radial_power(steep)
    band = (frequency > 0.05) & (frequency < 0.28)
    slope = np.polyfit(frequency[band] ** 2, np.log(b[band] / a[band]), 1)[0]
    assert slope == pytest.approx(-80 / 2, rel=0.02)  # power falls as exp(-B s^2 / 2)


def test_noise_level_and_colour() -> None:
    clean = synthetic.generate((48, 48, 48), seed=2)
    noisy = synthetic.generate((48, 48, 48), seed=2, noise=0.7, noise_colour=1.5)
    noise = noisy - clean
    assert noise.std() == pytest.approx(0.7, rel=1e-3)
    frequency, power = radial_power(noise)
    band = (frequency > 0.06) & (frequency < 0.29)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize("mask", ["soft", "hard", "sphere"])
def test_masks_set_exact_zeros(mask: synthetic.Mask) -> None:
    bare = synthetic.generate((48, 48, 48), noise=0.2, seed=3)
    masked = synthetic.generate((48, 48, 48), noise=0.2, seed=3, mask=mask)
    outside = masked == 0
    assert 0.3 < outside.mean() < 0.95
    assert (bare == 0).mean() < 0.01
    kept = masked == bare
    # A hard mask has no edge: a voxel is kept as it is or zero. Soft ones have an edge in between.
    assert (kept | outside).mean() == 1.0 if mask == "hard" else 0.02 < (~kept & ~outside).mean() < 0.6


@pytest.mark.parametrize("voxel_size", [1.0, 3.0])
def test_packing_is_that_of_protein(voxel_size: float) -> None:
    rng = np.random.default_rng(4)
    domain = np.repeat(np.arange(protein.DIRECTIONS), 60 * 60 * 15).reshape(60, 60, 60)
    density = protein.pack(rng, domain, voxel_size, 3.0 * voxel_size) / voxel_size**3
    assert 0.06 < density.mean() / 1.1 < 0.1  # in carbon equivalents of 1.1 per atom, per A^3


def test_levels_quantise_around_zero() -> None:
    volume = synthetic.generate((32, 32, 32), levels=50, mask="hard")
    values = np.unique(volume)
    assert len(values) <= 52
    assert 0 in values


def test_border_gives_a_chunk_that_is_not_periodic() -> None:
    whole, chunk = (synthetic.generate((40, 40, 40), fill=0.5, border=b, noise=1.0) for b in (0, 10))

    def seam(volume: Any) -> float:
        inner = np.abs(np.diff(volume, axis=0)).mean()
        return float(np.abs(volume[0] - volume[-1]).mean() / inner)

    assert seam(whole) < 1.2
    assert seam(chunk) > 1.4


def test_random_maps_differ_and_repeat() -> None:
    maps = [synthetic.random_map(np.random.default_rng(seed), 24) for seed in range(12)]
    assert all(m.shape == (24, 24, 24) and m.dtype == np.float32 and np.isfinite(m).all() for m in maps)
    assert len({m.tobytes() for m in maps}) == len(maps)
    np.testing.assert_array_equal(maps[3], synthetic.random_map(np.random.default_rng(3), (24, 24, 24)))
    zeros = [float((m == 0).mean()) for m in maps]
    assert min(zeros) < 0.05 < 0.3 < max(zeros)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (8, 8)}, "three"),
        ({"shape": (8, 0, 8)}, "positive"),
        ({"resolution": 0.0}, "resolution"),
        ({"voxel_size": -1.0}, "voxel_size"),
    ],
)
def test_wrong_arguments(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic.generate(**settings)
