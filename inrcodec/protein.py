"""Protein-like packing of atoms, for generated maps.

In each domain helices or strands run parallel on a lattice as closely packed as in proteins (about 0.07 heavy
atoms per cubic angstrom), bent by a smooth warp so that nothing is crystalline. Lengths are in angstrom (A).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DIRECTIONS = 4  # different ones in a particle
_ATOMS = 8  # heavy atoms per residue, on average
_HELIX = (8.6, 8.6, 1.5, 2.3, 1.745)  # A between axes, A rise, A radius, radians per residue: 96 A^3
_STRAND = (4.8, 8.5, 3.3, 0.9, 3.14)  # A between strands and sheets, ...: 135 A^3 a residue
_COARSE = 2.2  # A per voxel, beyond which residues are placed without secondary structure
ATOMS_PER_A3 = 0.073  # of a mixture of helices and strands


def _residue_volume(kind: tuple[float, ...]) -> float:
    """A^3 per residue of a lattice; rows of equal spacings are hexagonal."""
    across, along, rise, _, _ = kind
    return across * along * rise * (0.75**0.5 if across == along else 1.0)


def pack(rng: np.random.Generator, domain: Array, voxel_size: float, resolution: float) -> Array:
    """Scattering power on the voxel grid, in carbon atoms.

    Args:
        rng: source of all randomness.
        domain: integers per voxel, ``(z, y, x)``: the direction of its secondary structure, from 0 to
            ``DIRECTIONS`` - 1, and -1 where there is no protein.
        voxel_size: A per voxel.
        resolution: A, that of the map to make: beyond 6 A a residue is two scatterers instead of eight atoms.

    Returns:
        float64 of the domain's shape.
    """
    shape, inside = domain.shape, domain >= 0
    heaviness = rng.uniform(0.8, 1.3, DIRECTIONS)  # nucleic acids scatter more than protein, lipids less
    if voxel_size > _COARSE:
        return _crowd(rng, inside, voxel_size) * heaviness[domain]
    where = np.argwhere(inside) * voxel_size
    if not len(where):
        return np.zeros(shape)
    centre = (where.min(axis=0) + where.max(axis=0)) / 2
    reach = float(np.linalg.norm(where.max(axis=0) - centre)) + 10
    per_residue = _ATOMS if resolution < 6 else 2
    density = np.zeros(int(np.prod(shape)))
    for d in range(DIRECTIONS):
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
