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

Volume = np.ndarray[Any, np.dtype[np.float32]]
Array = np.ndarray[Any, Any]
Mask = Literal["none", "soft", "hard", "sphere"]

_ATOMS = 8  # heavy atoms per residue, on average
_HELIX = (8.6, 8.6, 1.5, 2.3, 1.745)  # A between axes, A rise, A radius, radians per residue: 96 A^3
_STRAND = (4.8, 8.5, 3.3, 0.9, 3.14)  # A between strands and sheets, ...: 135 A^3 a residue
_DOMAIN = 28.0  # A, over which secondary structure keeps its direction
_DIRECTIONS = 4  # different ones in a particle
_COARSE = 2.2  # A per voxel, beyond which residues are placed without secondary structure
_LORENTZ = 1.9  # A; 1 / (1 + (1.9 s)^2) follows carbon's electron scattering factor to s = 1/A within 15 %


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
        fill = n_atoms / _ATOMS * _residue_volume(_HELIX) / (np.prod(full) * voxel_size**3)
    level = _envelope_level(rng, full)
    cut = float(np.quantile(level, 1 - min(max(float(fill), 0.0), 1.0)))
    inside = level > cut
    density = _atoms(rng, full, voxel_size, resolution, inside)
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


def _residue_volume(kind: tuple[float, ...]) -> float:
    """A^3 per residue of a lattice; rows of equal spacings are hexagonal."""
    across, along, rise, _, _ = kind
    return across * along * rise * (0.75**0.5 if across == along else 1.0)


def _atoms(
    rng: np.random.Generator, shape: tuple[int, ...], voxel_size: float, resolution: float, inside: Array
) -> Array:
    """Scattering power on the voxel grid of protein packed into the envelope ``inside``.

    The box is cut into irregular domains; in each, helices or strands run parallel on a lattice as closely
    packed as in proteins, bent by a smooth warp so that nothing is crystalline.
    """
    s = _frequency(shape, voxel_size)
    fields = [
        _inverse(np.fft.rfftn(rng.standard_normal(shape)) * np.exp(-((s * _DOMAIN) ** 2)), shape)
        for _ in range(_DIRECTIONS)
    ]
    domain = np.where(inside, np.argmax(fields, axis=0), -1)
    heaviness = rng.uniform(0.8, 1.3, _DIRECTIONS)  # nucleic acids scatter more than protein, lipids less
    if voxel_size > _COARSE:
        return _crowd(rng, inside, voxel_size) * heaviness[domain]
    where = np.argwhere(inside) * voxel_size
    if not len(where):
        return np.zeros(shape)
    centre = (where.min(axis=0) + where.max(axis=0)) / 2
    reach = float(np.linalg.norm(where.max(axis=0) - centre)) + 10
    # Finer than the resolution atoms are worth placing one by one; else two of four times the weight.
    per_residue = _ATOMS if resolution < 6 else 2
    density = np.zeros(int(np.prod(shape)))
    for d in range(_DIRECTIONS):
        residues, outward = _lattice(rng, centre, reach, _HELIX if rng.random() < 0.6 else _STRAND)
        residues = _warped(rng, residues)
        index = np.floor(residues / voxel_size).astype(np.int64)
        ok = np.all((index >= 0) & (index < np.array(shape)), axis=1)
        ok[ok] = domain[tuple(index[ok].T)] == d
        residues, outward = residues[ok, None], outward[ok, None]
        # Half of a residue's atoms are backbone, half a side chain that points away from the axis.
        side = np.arange(per_residue)[:, None] % 2
        atoms = residues + side * 3.0 * outward
        atoms = atoms + rng.normal(0, 1, atoms.shape) * np.where(side, 1.4, 0.7)
        atoms = atoms.reshape(-1, 3)
        weight = rng.choice(np.array([6.0, 7.0, 8.0, 16.0]) / 6, len(atoms), p=[0.63, 0.17, 0.19, 0.01])
        density += _splat(atoms / voxel_size, weight * (_ATOMS / per_residue * heaviness[d]), shape)
    return density.reshape(shape)


def _crowd(rng: np.random.Generator, inside: Array, voxel_size: float) -> Array:
    """Scattering power where voxels are too coarse for secondary structure: residues on a jittered grid."""
    spacing = _residue_volume(_HELIX) ** (1 / 3)
    n = [max(1, round(m * voxel_size / spacing)) for m in inside.shape]
    total = np.zeros(inside.size)
    axes = [np.arange(k) for k in n[1:]]
    for z in range(n[0]):  # a plane at a time, for memory
        y, x = np.meshgrid(*axes, indexing="ij")
        points = np.stack([np.full(y.size, z), y.ravel(), x.ravel()], axis=1) + rng.uniform(0, 1, (y.size, 3))
        index = (points * (np.array(inside.shape) / n)).astype(np.int64)
        total += np.bincount(np.ravel_multi_index(tuple(index.T), inside.shape), minlength=total.size)
    return np.asarray(total.reshape(inside.shape) * (_ATOMS * inside))


def _lattice(
    rng: np.random.Generator, centre: Array, reach: float, kind: tuple[float, ...]
) -> tuple[Array, Array]:
    """Residues (n, 3) in A of a randomly turned lattice in a sphere, and unit vectors out of their axes."""
    across, along, rise, radius, turn = kind
    v = np.arange(-reach, reach, across)
    u = np.arange(-reach, reach, along * (np.sqrt(0.75) if across == along else 1.0))
    w = np.arange(-reach, reach, rise)
    uu, vv, ww = (a.ravel() for a in np.meshgrid(u, v, w, indexing="ij"))
    # Every other row is shifted by half: hexagonal for helices, staggered sheets for strands.
    vv = vv + across / 2 * (np.arange(len(u)) % 2).repeat(len(v) * len(w))
    near = uu**2 + vv**2 + ww**2 < reach**2
    angle = turn * np.tile(np.arange(len(w)), len(u) * len(v))
    angle = (angle + rng.uniform(0, 2 * np.pi, len(u) * len(v)).repeat(len(w)))[near]
    outward = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    axes = np.stack([uu[near], vv[near], ww[near]], axis=1)
    turned, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return (axes + radius * outward) @ turned.T + centre, outward @ turned.T


def _warped(rng: np.random.Generator, points: Array) -> Array:
    """Points (n, 3) in A, displaced by a few plane waves of 25-70 A length and about 3 A amplitude."""
    for _ in range(4):
        direction = rng.standard_normal(3)
        k = direction / np.linalg.norm(direction) * 2 * np.pi / rng.uniform(25, 70)
        phase = points @ k + rng.uniform(0, 2 * np.pi)
        points = points + np.sin(phase)[:, None] * rng.normal(0, 1.5, 3)
    return points


def _splat(points: Array, weight: Array, shape: tuple[int, ...]) -> Array:
    """Weights of points (n, 3) in voxels shared among their eight voxels, periodic; flat, float64."""
    base = np.floor(points).astype(np.int64)
    part = points - base
    total = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        index = np.ravel_multi_index(tuple((base + corner).T), shape, mode="wrap")
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        total += np.bincount(index, weight * share, len(total))
    return total


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
