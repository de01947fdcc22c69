"""Generated symmetric maps: what a reconstruction with imposed symmetry leaves, without a real map.

An asymmetric unit is filled with protein-like density (and noise), its copies under the group are
interpolated and summed, and the sum is low-pass filtered. So the map is symmetric to the accuracy of that
interpolation, tens of decibels, as deposited maps are; no noise is added after. Lengths are in voxels; the
packing takes one as 1 A.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, PointGroup, Symmetry, parse_symmetry
from inrcodec.core.symmetry.interpolation import interpolate
from inrcodec.protein import DIRECTIONS, pack

Array = np.ndarray[Any, Any]
Volume = np.ndarray[Any, np.dtype[np.float32]]

_MARGIN = 5.0  # voxels around the asymmetric unit into which its filtered density reaches
_BORDER = 8  # voxels around the box of a helix
_DOMAIN = 28.0  # voxels, over which secondary structure keeps its direction
_SOLVENT = 0.5  # level of the bulk solvent over the particle's mean density


def symmetric_map(
    symmetry: str,
    size: int = 128,
    *,
    seed: int = 0,
    resolution: float = 3.0,
    b_factor: float = 40.0,
    noise: float = 0.0,
    taps: int = 4,
) -> Volume:
    """A symmetric particle's density in a cubic box, about the voxel of index ``size // 2``.

    Args:
        symmetry: as :func:`~inrcodec.core.symmetry.groups.parse_symmetry` reads it, a helix's rise in voxels.
        size: voxels per axis, at least 16.
        seed: the same seed and arguments give the same volume.
        resolution: voxels; amplitudes vanish beyond it, with a cosine edge from 0.9 to 1.1 of its frequency.
        b_factor: voxels^2, the fall-off ``exp(-B s^2 / 4)`` of amplitudes with frequency s.
        noise: standard deviation of white noise, as symmetric as the particle, over that of the particle's
            density, before the filter. It fills the sphere (for a helix the cylinder) that the box holds.
        taps: voxels along each axis that the interpolation of the copies takes from a grid twice as fine: 2
            (trilinear), 4, 6 or 8.

    Returns:
        float32, ``(size, size, size)``, unit standard deviation.

    Raises:
        ValueError: no such symmetry, or a size or resolution out of range.
    """
    group = parse_symmetry(symmetry)
    if size < 16 or resolution < 2:
        raise ValueError(f"size must be at least 16 and resolution at least 2, got {size} and {resolution}")
    rng = np.random.default_rng(seed)
    radius = 0.44 * size
    # A helix goes on beyond the box, so that the filter below, which is periodic, leaves no mark at its ends.
    border = _BORDER if isinstance(group, Helix) else 0
    full = size + 2 * border
    moves = _moves(group, full)
    depth = _depth(group, moves, full)
    unit = _unit(rng, group, depth, radius, resolution, b_factor, noise)
    volume = _copies(group, moves, unit, depth, taps)
    volume = _filtered(volume, _band(_frequency(full), resolution))
    volume = volume[(slice(border, border + size),) * 3]
    return np.ascontiguousarray(volume / (float(volume.std()) or 1.0), np.float32)


def _moves(group: PointGroup | Helix, size: int) -> list[tuple[Array, float]]:
    """Rotations ``(3, 3)`` and shifts along z that reach the box, the identity first."""
    if isinstance(group, PointGroup):
        return [(r / UNIT, 0.0) for r in group.operations()]
    reach = int(size * RISE_UNIT // group.rise) + 1
    steps = sorted(range(-reach, reach + 1), key=abs)
    return [(group.rotation(k, j) / UNIT, group.shift(k) / RISE_UNIT) for k in steps for j in range(group.n)]


def _grid(size: int) -> list[Array]:
    """Coordinates ``(z, y, x)`` about the centre, to be broadcast."""
    axis = np.arange(size, dtype=np.float32) - size // 2
    return [axis[:, None, None], axis[:, None], axis]


def _depth(group: PointGroup | Helix, moves: list[tuple[Array, float]], size: int) -> Array:
    """How deep each voxel is in the asymmetric unit, in voxels: its distance from the nearest face, signed.

    The unit is the cell of the points nearer to one seed than to the seed's copies.
    """
    seed = np.array([0.25, 0.2, 0.6]) * size * 0.4
    if isinstance(group, Helix):
        seed[0] = 0
    z, y, x = _grid(size)
    depth = np.full((size,) * 3, np.inf, np.float32)
    for rotation, shift in moves[1:]:
        other = rotation @ seed + [shift, 0, 0]
        if np.linalg.norm(other - seed) > 2 * size:
            continue
        middle = (seed + other) / 2
        a, b, c = ((seed - other) / np.linalg.norm(seed - other)).astype(np.float32)
        plane = np.float32(np.dot(middle, [a, b, c]))
        np.minimum(depth, (a * z + b * y) + (c * x - plane), out=depth)
    return depth


def _unit(
    rng: np.random.Generator,
    group: PointGroup | Helix,
    depth: Array,
    radius: float,
    resolution: float,
    b_factor: float,
    noise: float,
) -> Array:
    """Density of the asymmetric unit, band-limited, 0 beyond a margin around it."""
    size = len(depth)
    z, y, x = _grid(size)
    across = np.sqrt(x * x + y * y)
    distance = across + 0 * z if isinstance(group, Helix) else np.sqrt(across**2 + z * z)
    s = _frequency(size)
    # An irregular outline, and for the large shells of T, O and I a hollow inside.
    bumps = _filtered(rng.standard_normal((size,) * 3), np.exp(-((s * size / 6) ** 2)))
    outer = radius * (0.7 if isinstance(group, Helix) else 1.0) * (0.9 + 0.06 * bumps / float(bumps.std()))
    hollow = 0.5 * radius if isinstance(group, PointGroup) and group.family in "TOI" else 0.0
    inside = (depth >= 0) & (distance < np.minimum(outer, size / 2 - 2)) & (distance >= hollow)
    density = pack(rng, np.where(inside, _domains(rng, size), -1), 1.0, resolution)
    envelope = _filtered(np.where(inside, 1.0, 0.0), np.exp(-2 * (np.pi * 2 * s) ** 2))
    density -= _SOLVENT * density.sum() / max(int(inside.sum()), 1) * envelope
    density = _filtered(density, np.exp(-b_factor * s**2 / 4) * _band(s, resolution))
    density /= (float(density[inside].std()) if inside.any() else 0.0) or 1.0
    if noise:
        edge = np.clip((distance - (size / 2 - 6)) / 4, 0, 1)
        cell = (depth >= 0) * (0.5 + 0.5 * np.cos(np.pi * edge))
        density += noise * _filtered(rng.standard_normal(depth.shape) * cell, _band(s, resolution))
    taper = np.clip((depth + _MARGIN) / 2, 0, 1)
    return np.asarray(density * (0.5 - 0.5 * np.cos(np.pi * taper)))


def _domains(rng: np.random.Generator, size: int) -> Array:
    """The box cut into irregular domains, numbered 0 to ``DIRECTIONS`` - 1."""
    blur = np.exp(-((_frequency(size) * _DOMAIN) ** 2))
    fields = [_filtered(rng.standard_normal((size,) * 3), blur) for _ in range(DIRECTIONS)]
    return np.asarray(np.argmax(fields, axis=0))


def _copies(
    group: PointGroup | Helix, moves: list[tuple[Array, float]], unit: Array, depth: Array, taps: int
) -> Array:
    """The sum of the unit's copies. Those that map voxels to voxels are taken last, and exactly."""
    size, centre = len(unit), len(unit) // 2
    exact: list[Array] = []
    if isinstance(group, PointGroup):
        symmetry = Symmetry.standard(group, unit.shape)
        exact = list(symmetry.operations()[symmetry.lattice()] / UNIT)
        moves = _representatives(moves, exact)
    fine = _finer(unit)
    support = np.asarray(depth > -_MARGIN)
    low, high = np.flatnonzero(support.any(axis=(1, 2)))[[0, -1]] - centre
    total = np.zeros_like(unit)
    for rotation, shift in moves:
        planes = np.arange(size) - centre
        if isinstance(group, Helix):
            planes = planes[(planes - shift >= low - 1) & (planes - shift <= high + 1)]
        for z in planes:
            y, x = np.meshgrid(*2 * [np.arange(size) - centre], indexing="ij")
            points = np.stack([np.full(y.size, z - shift), y.ravel(), x.ravel()], axis=1) @ rotation + centre
            near = np.rint(points).astype(np.int64)
            ok = np.asarray(((near >= 0) & (near < size)).all(axis=1))
            ok[ok] = support[tuple(near[ok].T)]
            total[z + centre].reshape(-1)[ok] += interpolate(fine, 2 * points[ok], taps)
    axis = np.arange(size) - centre
    return sum((_turned(total, r, axis) for r in exact), np.zeros_like(total)) if exact else total


def _representatives(moves: list[tuple[Array, float]], exact: list[Array]) -> list[tuple[Array, float]]:
    """One operation r of each set {h r}, h from the subgroup ``exact``."""
    left = [rotation for rotation, _ in moves]
    chosen = []
    while left:
        chosen.append((left[0], 0.0))
        images = [h @ left[0] for h in exact]
        left = [r for r in left if min(np.abs(r - image).max() for image in images) > 1e-6]
    return chosen


def _turned(volume: Array, rotation: Array, axis: Array) -> Array:
    """The volume turned by a rotation of whole entries, about the centre and periodically."""
    source = np.rint(rotation).astype(np.int64).T
    order = np.argmax(np.abs(source), axis=1)
    size = len(axis)
    # Row i of the inverse says which coordinate (z, y, x) of the target gives coordinate i of the source.
    index = []
    for i, j in enumerate(order):
        where = (source[i, j] * axis + size // 2) % size
        index.append(where.reshape([-1 if a == j else 1 for a in range(3)]))
    return np.asarray(volume[tuple(index)])


def _finer(volume: Array) -> Array:
    """The volume on a grid twice as fine, float32, by zeros around its spectrum."""
    size = len(volume)
    spectrum = np.fft.rfftn(volume)
    fine = np.zeros((2 * size, 2 * size, size + 1), np.complex64)
    half = (size - 1) // 2
    rows = np.r_[0 : half + 1, -half:0]
    fine[np.ix_(rows, rows, range(half + 1))] = 8 * spectrum[np.ix_(rows, rows, range(half + 1))]
    return np.asarray(np.fft.irfftn(fine, s=(2 * size,) * 3, axes=(0, 1, 2)), np.float32)


def _frequency(size: int) -> Array:
    """Length of the frequency vector of every ``rfftn`` coefficient, 1/voxel."""
    k = np.fft.fftfreq(size)
    return np.asarray(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(size) ** 2))


def _band(s: Array, resolution: float) -> Array:
    """Low-pass filter with a cosine edge from 0.9/resolution to 1.1/resolution."""
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip((s * resolution - 0.9) / 0.2, 0, 1)))


def _filtered(volume: Array, weights: Array) -> Array:
    return np.fft.irfftn(np.fft.rfftn(volume) * weights, s=volume.shape, axes=(0, 1, 2))
