"""Generated cryo-EM-like density: atoms in an envelope, solvent, noise, band limit, masks.

For tests, examples and the training of the built-in prior, so that none of them needs a real map. What
matters to a codec is imitated: the packing of protein (about 0.07 heavy atoms per cubic angstrom in parallel
secondary structure), the fall-off of electron scattering factors and B-factors, a band limit well below
the Nyquist frequency, noise with the same band limit, local resolution, and masks that set exact zeros.

Lengths are in angstrom (A), frequencies in 1/A, B-factors in A^2, volumes in ``(z, y, x)`` order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from inrcodec.protein import ATOMS_PER_A3, DIRECTIONS, pack

Volume = np.ndarray[Any, np.dtype[np.float32]]
Array = np.ndarray[Any, Any]
Mask = Literal["none", "soft", "hard", "sphere"]

_DOMAIN = 28.0  # A, over which secondary structure keeps its direction
# 1 / (1 + (2.1 s)^2) follows carbon's electron scattering factor (Mott-Bethe, from the X-ray factors of the
# International Tables) within 4 % to s = 0.6/A and 13 % to 1/A.
_LORENTZ = 2.1  # A


def generate(
    shape: Sequence[int] = (64, 64, 64),
    *,
    voxel_size: float = 1.0,
    resolution: float = 3.0,
    b_factor: float = 40.0,
    n_atoms: int | None = None,
    fill: float = 0.15,
    solvent: float = 0.5,
    noise: float = 0.0,
    noise_colour: float = 1.0,
    local_b_factor: float = 0.0,
    mask: Mask = "none",
    levels: int | None = None,
    border: int = 0,
    seed: int | Sequence[int] = 0,
) -> Volume:
    """A particle's density as a deposited map has it.

    Args:
        shape: voxels per axis, ``(z, y, x)``.
        voxel_size: A per voxel.
        resolution: A; amplitudes vanish beyond it, with a cosine edge from 0.9/resolution to
            1.1/resolution.
        b_factor: A^2, what is left of the fall-off ``exp(-B s^2 / 4)`` after sharpening; negative is
            over-sharpened.
        n_atoms: heavy atoms; None fills ``fill`` of the box.
        fill: fraction of the box inside the particle's envelope, used when ``n_atoms`` is None.
        solvent: the bulk solvent's level as a fraction of the particle's mean density.
        noise: standard deviation of the noise over that of the particle's density inside the envelope.
        noise_colour: exponent c of the noise's amplitude spectrum s^c inside the band; 0 is white,
            1 to 2 is what sharpening leaves.
        local_b_factor: A^2 added from the particle's core (none of it) to its rim (all of it).
        mask: ``soft`` (envelope with a cosine edge), ``hard`` (dilated envelope, no edge), ``sphere`` (the
            largest sphere, cosine edge), or ``none``. Outside a mask voxels are exactly 0.
        levels: quantise to this many evenly spaced values, as a map kept in 8 bits once.
        border: voxels generated around the box and cut off again, so that the result is a chunk of a larger
            map and not periodic.
        seed: the same seed and arguments give the same volume.

    Returns:
        float32, contiguous, of the given shape; unit standard deviation inside the envelope before noise.

    Raises:
        ValueError: the shape is not three positive numbers, or a length is not positive.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape must be three positive numbers, got {tuple(shape)}")
    if voxel_size <= 0 or resolution <= 0:
        raise ValueError(f"voxel_size and resolution must be positive, got {voxel_size}, {resolution}")
    rng = np.random.default_rng(seed)
    full = tuple(int(n) + 2 * border for n in shape)
    if n_atoms is not None:
        fill = n_atoms / ATOMS_PER_A3 / (np.prod(full) * voxel_size**3)
    level = _envelope_level(rng, full)
    cut = float(np.quantile(level, 1 - min(max(float(fill), 0.0), 1.0)))
    inside = level > cut
    domain = np.where(inside, _domains(rng, full, voxel_size), -1)
    density = pack(rng, domain, voxel_size, resolution)
    s = _frequency(full, voxel_size)
    band = _band(s, resolution)
    spectrum = np.fft.rfftn(density)
    # Solvent fills what the particle leaves: a blurred negative of the envelope, seen at low resolution only.
    mean = float(density.sum()) / max(int(inside.sum()), 1)
    envelope = np.fft.rfftn(inside.astype(float)) * np.exp(-2 * (np.pi * 2.0 * s) ** 2)
    spectrum = (spectrum - solvent * mean * envelope) * band
    spectrum *= np.exp(-b_factor * s**2 / 4) / (1 + (_LORENTZ * s) ** 2)
    volume = _inverse(spectrum, full)
    if local_b_factor:
        blurred = _inverse(spectrum * np.exp(-local_b_factor * s**2 / 4), full)
        # The product with a smooth weight widens the band slightly; the filter restores it.
        volume = _inverse(np.fft.rfftn(volume + _rim(level, cut) * (blurred - volume)) * band, full)
    volume /= (float(volume[inside].std()) if inside.any() else 0.0) or 1.0
    if noise:
        volume += noise * _noise(rng, full, s, band, noise_colour)
    if mask != "none":
        volume *= _mask(mask, inside, voxel_size)
    crop = tuple(slice(border, border + int(n)) for n in shape)
    return _quantised(volume[crop], levels)


def tomogram(
    shape: Sequence[int] = (64, 64, 64),
    *,
    voxel_size: float = 10.0,
    resolution: float = 30.0,
    noise: float = 2.0,
    noise_colour: float = 0.0,
    wedge: float = 0.0,
    levels: int | None = None,
    seed: int | Sequence[int] = 0,
) -> Volume:
    """A tomogram's density: membranes and globular complexes under band-limited noise, no mask.

    Args:
        shape: voxels per axis, ``(z, y, x)``.
        voxel_size, resolution: A; as in :func:`generate`.
        noise: standard deviation of the noise over that of the structures.
        noise_colour: as in :func:`generate`; negative exponents are what weighting and denoising leave.
        wedge: half angle in degrees of the missing wedge around z (tilts about y), 0 for none.
        levels: as in :func:`generate`.
        seed: the same seed and arguments give the same volume.

    Returns:
        float32, contiguous, of the given shape.
    """
    rng = np.random.default_rng(seed)
    full = tuple(int(n) for n in shape)
    grid = [np.arange(n, dtype=np.float32) * voxel_size for n in full]
    extent = np.array(full) * voxel_size
    density = np.zeros(full, np.float32)
    for _ in range(int(rng.integers(1, 4))):  # vesicles and organelles: two leaflets 40 A apart
        centre, radius = rng.uniform(0, 1, 3) * extent, rng.uniform(0.2, 0.8) * extent.min()
        stretch = rng.uniform(0.8, 1.25, 3)
        r = np.sqrt(_squares(grid, centre, stretch)) - radius
        density += np.exp(-((np.abs(r) - 20.0) ** 2) / (2 * 12.0**2)).astype(np.float32)
    for _ in range(int(rng.integers(5, 60))):  # complexes of 40 to 150 A radius
        centre, radius = rng.uniform(0, 1, 3) * extent, rng.uniform(40, 150)
        q = _squares(grid, centre, rng.uniform(0.7, 1.4, 3)) / radius**2
        density += (rng.uniform(0.5, 1.5) * np.exp(-(q**2))).astype(np.float32)
    s = _frequency(full, voxel_size)
    band = _band(s, resolution)
    if wedge:
        kz, kx = np.fft.fftfreq(full[0])[:, None, None], np.fft.rfftfreq(full[2])
        band = band * (np.abs(kx) >= np.tan(np.radians(wedge)) * np.abs(kz))
    volume = _inverse(np.fft.rfftn(density) * band, full)
    volume /= float(volume.std()) or 1.0
    return _quantised(volume + noise * _noise(rng, full, s, band, noise_colour), levels)


def random_map(rng: np.random.Generator, size: int | Sequence[int] = 64) -> Volume:
    """A volume with parameters drawn from the ranges of deposited maps, tomograms and their crops.

    Args:
        rng: source of all randomness; the same state gives the same volume.
        size: voxels per axis, one number for a cube.

    Returns:
        float32, contiguous. Resolution is 2.5-12 A (20-60 A in tomograms), 1.05-4 times the Nyquist limit;
        scale and offset of the values vary too.
    """
    shape = (size,) * 3 if isinstance(size, int) else tuple(size)
    ratio = float(np.exp(rng.uniform(np.log(1.05), np.log(4.0))))
    levels = int(rng.integers(40, 255)) if rng.random() < 0.08 else None
    seed = int(rng.integers(2**62))
    scale = float(10 ** rng.uniform(-3, 2))
    if rng.random() < 0.12:
        resolution = float(rng.uniform(20, 60))
        volume = tomogram(
            shape,
            voxel_size=resolution / (2 * ratio),
            resolution=resolution,
            noise=float(np.exp(rng.uniform(np.log(0.3), np.log(6)))),
            noise_colour=float(rng.uniform(-1, 1)),
            wedge=float(rng.choice([0.0, 30.0])),
            levels=levels,
            seed=seed,
        )
        return np.asarray((volume + rng.uniform(-5, 5)) * scale, np.float32)
    resolution = float(np.exp(rng.uniform(np.log(2.5), np.log(12.0))))
    noise = 0.0 if rng.random() < 0.2 else float(np.exp(rng.uniform(np.log(0.01), np.log(2.0))))
    mask: Mask = rng.choice(np.array(["none", "soft", "hard", "sphere"]), p=[0.5, 0.25, 0.1, 0.15])
    volume = generate(
        shape,
        voxel_size=resolution / (2 * ratio),
        resolution=resolution,
        # A B-factor acts within the band: at 12 A a B of 500 A^2 does what 30 A^2 does at 3 A.
        b_factor=float(rng.uniform(-2.0, 8.0)) * resolution**2,
        fill=float(np.exp(rng.uniform(np.log(0.04), np.log(0.5)))),
        solvent=float(rng.uniform(0.2, 0.9)),
        noise=noise,
        noise_colour=float(rng.uniform(0, 2)),
        local_b_factor=float(rng.uniform(0, 12) * resolution**2) if rng.random() < 0.5 else 0.0,
        mask=mask,
        levels=levels,
        border=int(rng.integers(4, max(shape) // 8 + 5)) if rng.random() < 0.5 else 0,
        seed=seed,
    )
    return np.asarray(volume * scale, np.float32)


def _envelope_level(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A smooth function of position whose upper level sets are irregular, particle-like bodies."""
    s = _frequency(shape, 1.0)
    bumps = np.fft.rfftn(rng.standard_normal(shape).astype(np.float32))
    bumps = _inverse(bumps * np.exp(-((s * max(shape) / 5) ** 2)), shape)
    grid = [np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32) for n in shape]
    stretch = rng.uniform(0.75, 1.3, 3)
    q = _squares(grid, rng.uniform(-0.08, 0.08, 3), stretch)
    level = bumps * (0.25 / (float(bumps.std()) or 1.0)) - q
    return np.asarray(level, np.float32)


def _domains(rng: np.random.Generator, shape: tuple[int, ...], voxel_size: float) -> Array:
    """The box cut into irregular domains, numbered 0 to ``DIRECTIONS`` - 1."""
    blur = np.exp(-((_frequency(shape, voxel_size) * _DOMAIN) ** 2))
    fields = [_inverse(np.fft.rfftn(rng.standard_normal(shape)) * blur, shape) for _ in range(DIRECTIONS)]
    return np.asarray(np.argmax(fields, axis=0))


def _frequency(shape: Sequence[int], voxel_size: float) -> Array:
    """Length of the frequency vector of every ``rfftn`` coefficient, 1/A."""
    axes = [np.fft.fftfreq(n, voxel_size) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1], voxel_size)]
    return np.asarray(np.sqrt(_squares(axes, np.zeros(3), np.ones(3))))


def _squares(axes: Sequence[Array], centre: Array, stretch: Array) -> Array:
    """Squared distance from ``centre`` of a grid, each axis divided by its stretch."""
    z, y, x = (((a - c) / t) ** 2 for a, c, t in zip(axes, centre, stretch, strict=True))
    return np.asarray(z[:, None, None] + y[:, None] + x)


def _band(s: Array, resolution: float) -> Array:
    """Low-pass filter with a cosine edge from 0.9/resolution to 1.1/resolution."""
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip((s * resolution - 0.9) / 0.2, 0, 1)))


def _inverse(spectrum: Array, shape: Sequence[int]) -> Array:
    return np.fft.irfftn(spectrum, s=tuple(shape), axes=(0, 1, 2))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], s: Array, band: Array, colour: float) -> Array:
    """Gaussian noise of amplitude spectrum s^colour inside the band, unit standard deviation."""
    # The mean has no place in a power law: it takes the amplitude of the lowest frequency.
    lowest = float(s[s > 0].min()) if (s > 0).any() else 1.0
    white = np.fft.rfftn(rng.standard_normal(shape))
    noise = _inverse(white * band * np.maximum(s, lowest) ** colour, shape)
    return np.asarray(noise / (float(noise.std()) or 1.0))


def _rim(level: Array, cut: float) -> Array:
    """0 in the particle's core, 1 at the envelope's surface and outside."""
    t = np.clip((float(level.max()) - level) / max(float(level.max()) - cut, 1e-9), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _mask(kind: Mask, inside: Array, voxel_size: float) -> Array:
    """Weights 0 to 1 with exact zeros outside."""
    if kind == "sphere":
        axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in inside.shape]
        edge = np.clip((np.sqrt(_squares(axes, np.zeros(3), np.ones(3))) - 0.9) / 0.1, 0, 1)
        return np.asarray(0.5 + 0.5 * np.cos(np.pi * edge))
    # A blurred envelope grows with a low threshold; 2.5 A or 1.5 voxels, whichever is wider.
    width = max(2.5, 1.5 * voxel_size)
    blur = np.exp(-2 * (np.pi * width * _frequency(inside.shape, voxel_size)) ** 2)
    grown = _inverse(np.fft.rfftn(inside.astype(float)) * blur, inside.shape)
    if kind == "hard":
        return np.asarray(grown > 0.2)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip((grown - 0.02) / 0.4, 0, 1)))


def _quantised(volume: Array, levels: int | None) -> Volume:
    """The volume as float32, on ``levels`` evenly spaced values that include 0."""
    if levels is not None:
        step = float(np.ptp(volume)) / (levels - 1) or 1.0
        volume = np.round(volume / step) * step
    return np.ascontiguousarray(volume + 0.0, np.float32)  # no negative zeros
