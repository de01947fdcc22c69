"""How well a volume agrees with itself when turned about an axis, for all folds at once.

Around an axis the density is a function of the angle on each of many circles. n-fold symmetry leaves only
every n-th of its Fourier coefficients, so one transform tells how well each n holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.symmetry.interpolation import interpolate
from inrcodec.core.symmetry.levels import Level

Array = np.ndarray[Any, Any]

MAX_FOLD = 24  # that the search considers
_FINE = (1.2, 96)  # voxels between circles, points on each
_ROUGH = (1.8, 64)
_DIRECTIONS = 600  # on half the sphere: 6 degrees apart


@dataclass(frozen=True)
class Axis:
    """An axis through the centre, and how well each fold holds about it.

    Args:
        direction: unit vector ``(z, y, x)``.
        gain: decibels by which n-fold turns predict the volume better than other turns about this axis, for n
            from 0 to ``MAX_FOLD`` (0 for n below 2).
        angular: share of the variance that depends on the angle at all.
    """

    direction: Array
    gain: Array
    angular: float


def scan(level: Level, centre: Array, direction: Array, radius: float, rough: bool = False) -> Axis:
    """The agreement about one axis. ``centre`` and ``radius`` are in voxels of the full volume."""
    spacing, angles = _ROUGH if rough else _FINE
    step = spacing * float(level.scale.max())
    along, across = np.meshgrid(
        np.arange(-radius, radius, step), np.arange(step / 2, radius, step), indexing="ij"
    )
    near = along**2 + across**2 < radius**2
    along, across = along[near], across[near]
    first, second = perpendicular(direction)
    angle = 2 * np.pi * np.arange(angles) / angles
    circle = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    points = centre + along[:, None, None] * direction + across[:, None, None] * circle
    values = interpolate(level.volume, level.own(points).reshape(-1, 3), 2).reshape(-1, angles)
    weight = across / across.sum()
    mean = float(weight @ values.mean(axis=1))
    variance = float(weight @ ((values - mean) ** 2).mean(axis=1))
    power = 2 * weight @ (np.abs(np.fft.rfft(values, axis=1)) / angles) ** 2
    power[0] = 0
    angular = float(power.sum())
    gain = np.zeros(MAX_FOLD + 1)
    for n in range(2, MAX_FOLD + 1):
        broken = max(angular - float(power[::n].sum()), 0.0)
        gain[n] = 10 * np.log10((angular * (n - 1) / n + 1e-30) / (broken + 1e-20 * variance + 1e-30))
    return Axis(direction, gain, angular / variance if variance > 0 else 0.0)


def directions() -> Array:
    """Unit vectors ``(n, 3)`` that cover half the sphere evenly, after the lattice's axes and diagonals."""
    lattice = [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0, 1, 1],
        [0, 1, -1],
        [1, 0, 1],
        [1, 0, -1],
        [1, 1, 0],
        [1, -1, 0],
    ]
    lattice += [[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]]
    special = np.array(lattice, float)
    special /= np.linalg.norm(special, axis=1, keepdims=True)
    k = np.arange(_DIRECTIONS) + 0.5
    height = k / _DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - height**2)
    return np.concatenate([special, np.stack([height, flat * np.cos(turn), flat * np.sin(turn)], axis=1)])


def perpendicular(direction: Array) -> tuple[Array, Array]:
    """Two unit vectors that make a right-handed frame with a unit vector."""
    other = np.eye(3)[int(np.argmin(np.abs(direction)))]
    first = np.cross(direction, other)
    first /= np.linalg.norm(first)
    return first, np.cross(direction, first)
