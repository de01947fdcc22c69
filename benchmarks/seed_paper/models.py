"""Generated maps from atomic models, at a stated resolution. Needs gemmi.

No coordinates of real proteins are used: the models are made up. Polyalanine helices with the dimensions of
an alpha helix lie side by side in turned bundles, their ends frayed into coils, and fill a ball, a rod or a
ring. There is no solvent and no noise. Densities are gemmi's, from electron scattering factors; every atom is
blurred by a Gaussian with a standard deviation of 0.225 of the resolution, as is usual for maps simulated
from models.
"""

from __future__ import annotations

import math
from typing import Any

import gemmi
import numpy as np

SHAPES = ("ball", "rod", "ring")
_SPACING = 9.5  # angstrom between the axes of neighbouring helices
_BLUR = 0.225  # standard deviation over resolution
_FINENESS = 4.0  # voxels per resolution
# Atoms of an alpha helix in cylindrical coordinates: radius and height in angstrom, angle in degrees.
_ATOMS = (
    ("N", "N", 1.55, -0.90, -27.6),
    ("CA", "C", 2.28, 0.00, 0.0),
    ("C", "C", 1.66, 1.10, 26.4),
    ("O", "O", 2.02, 2.30, 22.0),
    ("CB", "C", 3.29, -0.30, 12.0),
)
_RISE, _TURN = 1.5, math.radians(100.0)

Array = np.ndarray[Any, Any]


def is_inside(shape: str, points: Array) -> Array:
    """Which of (n, 3) points, in angstrom about the centre, belong to a particle."""
    x, y, z = points.T
    across = np.hypot(x, y)
    if shape == "ball":
        return np.asarray(np.hypot(across, z) < 38.0)
    if shape == "rod":
        return np.asarray((across < 22.0) & (np.abs(z) < 60.0))
    if shape == "ring":
        return np.asarray(np.hypot(across - 42.0, z) < 19.0)
    raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")


def structure(shape: str, seed: int = 0) -> gemmi.Structure:
    """A made-up atomic model: one chain for each of eight bundles, polyalanine."""
    rng = np.random.default_rng(seed)
    model = gemmi.Model(1)
    reach = 64.0
    for octant in range(8):
        turned, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        chain = gemmi.Chain("ABCDEFGH"[octant])
        up = True
        for u in np.arange(-reach, reach, _SPACING * math.sqrt(0.75)):
            for v in np.arange(-reach, reach, _SPACING):
                base = turned @ np.array([u, v + _SPACING / 2 * (round(u / _SPACING) % 2), 0.0])
                along = turned[:, 2] * (1 if up else -1)
                _helix(rng, chain, base, along, turned[:, 0], shape, octant)
                up = not up
        if len(chain):
            model.add_chain(chain)
    made = gemmi.Structure()
    made.name = shape
    made.add_model(model)
    return made


def _helix(
    rng: np.random.Generator,
    chain: gemmi.Chain,
    base: Array,
    along: Array,
    side: Array,
    shape: str,
    octant: int,
) -> None:
    """Add the residues of one axis that lie in the particle and in the chain's octant; its ends are coils."""
    other = np.cross(along, side)
    heights = np.arange(-64.0, 64.0, _RISE)
    centres = base + heights[:, None] * along
    octants = (centres > 0) @ np.array([1, 2, 4])
    chosen = np.flatnonzero(is_inside(shape, centres) & (octants == octant))
    phase = rng.uniform(0, 2 * math.pi)
    for count, i in enumerate(chosen):
        is_coil = count < 3 or count >= len(chosen) - 3
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(len(chain) + 1, " ")
        shift = rng.normal(0, 1.5, 3) if is_coil else np.zeros(3)
        for name, element, radius, height, degrees in _ATOMS:
            angle = phase + i * _TURN + math.radians(degrees)
            outward = math.cos(angle) * side + math.sin(angle) * other
            where = centres[i] + radius * outward + height * along + shift
            atom = gemmi.Atom()
            atom.name, atom.element = name, gemmi.Element(element)
            atom.pos = gemmi.Position(*where)
            residue.add_atom(atom)
        chain.add_residue(residue)


def density(model: gemmi.Structure, resolution: float) -> tuple[Array, float]:
    """The map of a model at a resolution in angstrom: (d, h, w) float32 and its voxel size.

    There are four voxels to the resolution, and a margin of one and a half resolutions on every side.
    """
    voxel_size = resolution / _FINENESS
    positions = np.array([a.atom.pos.tolist() for a in model[0].all()])
    extent = float(np.abs(positions).max()) + 1.5 * resolution
    side = 2 * math.ceil(extent / voxel_size)
    calculator = gemmi.DensityCalculatorE()
    calculator.d_min = resolution
    length = side * voxel_size
    calculator.grid.set_unit_cell(gemmi.UnitCell(length, length, length, 90, 90, 90))
    calculator.grid.spacegroup = gemmi.SpaceGroup("P 1")
    calculator.grid.set_size(side, side, side)
    shifted = model[0].clone()
    blur = 8 * math.pi**2 * (_BLUR * resolution) ** 2
    for found in shifted.all():
        found.atom.pos += gemmi.Position(length / 2, length / 2, length / 2)
        found.atom.b_iso = blur
    calculator.add_model_density_to_grid(shifted)
    grid = np.array(calculator.grid.array, np.float32)
    return np.ascontiguousarray(grid.transpose(2, 1, 0)), voxel_size
