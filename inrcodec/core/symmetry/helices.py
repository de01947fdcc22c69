"""The search for a helix about z: peaks of the autocorrelation along z and around the axis.

In cylindrical coordinates a screw motion is a shift, so density that repeats on a helix correlates with
itself wherever a whole number of subunits lies between (z, angle) and its copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrcodec.core.symmetry.groups import MAX_FOLD, RISE_UNIT, TURN, Helix
from inrcodec.core.symmetry.levels import Level

Array = NDArray[np.float64]

_ANGLES = 384  # samples of a turn
_RADII = 40  # at most
_LEAST = 0.6  # correlation of a peak; noise between copies lowers it
_BESIDE = 0.85  # times the best peak's correlation, from which others count
_TRIED = 3  # helices
_SAME_TURN = 0.02  # of 1/n turn
_DIP = 0.02  # of the correlation between the angles of a rotational symmetry, at least
_WINDOW = (2, 6)  # planes and angles around where a multiple of a screw motion must have its peak


def find_helices(level: Level, centre: NDArray[np.float64]) -> list[Helix]:
    """Helices about z that may hold, those of the shortest rise first; rises in voxels of the full volume.

    Args:
        level: of the volume.
        centre: ``(z, y, x)`` a point of the axis, in voxels of the full volume.
    """
    correlation = autocorrelation(cylinder(level.volume, level.own(centre)))
    if correlation is None:
        return []
    n = _fold(correlation[0])
    peaks = _peaks(correlation)
    out: list[Helix] = []
    for z, angle in peaks:
        rise, turn = _followed(correlation, z, angle)
        # turns by 1/n are the helix' own: of equal twists the smallest
        twist = (turn / _ANGLES + 0.5 / n) % (1 / n) - 0.5 / n
        helix = Helix(max(1, round(rise * level.scale[0] * RISE_UNIT)), round(twist * TURN), n)
        if not any(_alike(helix, other) for other in out):
            out.append(helix)
    return out[:_TRIED]


def _alike(a: Helix, b: Helix) -> bool:
    """Whether two helices are one but for errors of their peaks."""
    apart = abs(a.twist - b.twist) / TURN * a.n
    return abs(a.rise - b.rise) < RISE_UNIT and min(apart, 1 - apart) < _SAME_TURN


def cylinder(volume: NDArray[np.floating] | NDArray[np.integer], centre: Array) -> Array:
    """Samples ``(radii, planes, angles)`` around the axis through a point, times the root of the radius.

    The mean of each radius is taken off.
    """
    _, cy, cx = centre
    depth, height, width = volume.shape
    furthest = min(cy, height - 1 - cy, cx, width - 1 - cx)
    radii = np.linspace(1, max(furthest, 1), min(_RADII, max(1, int(furthest))))
    # from x to y is the positive sense about z
    angles = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    y = np.clip(cy + radii[:, None] * np.sin(angles), 0, height - 1)
    x = np.clip(cx + radii[:, None] * np.cos(angles), 0, width - 1)
    y0, x0 = np.minimum(y.astype(int), height - 2), np.minimum(x.astype(int), width - 2)
    v, u = y - y0, x - x0
    flat = volume.reshape(depth, -1)
    out = np.zeros((depth, *y.shape))
    for a, b, weight in ((0, 0, (1 - v) * (1 - u)), (0, 1, (1 - v) * u), (1, 0, v * (1 - u)), (1, 1, v * u)):
        out += flat[:, (y0 + a) * width + x0 + b] * weight
    out -= out.mean(axis=(0, 2), keepdims=True)
    return np.ascontiguousarray(np.moveaxis(out * np.sqrt(radii)[:, None], 0, 1))


def autocorrelation(samples: Array) -> Array | None:
    """``(planes / 2, angles)`` correlation with the samples moved up and turned; None for constant ones.

    Normalised by what overlaps, so that an exact copy has 1.
    """
    depth = samples.shape[1]
    energy = np.einsum("rza,rza->z", samples, samples)
    if not energy.sum() > 0:
        return None
    power = np.zeros((2 * depth, _ANGLES // 2 + 1))
    for ring in samples:
        power += np.abs(np.fft.rfft2(ring, (2 * depth, _ANGLES))) ** 2
    lags = max(1, depth // 2)
    total = np.fft.irfft2(power, (2 * depth, _ANGLES))[:lags]
    summed = np.concatenate([[0.0], np.cumsum(energy)])
    below, above = summed[depth - np.arange(lags)], summed[depth] - summed[np.arange(lags)]
    scale = np.sqrt(below * above)
    return np.asarray(total / np.maximum(scale, 1e-12 * energy.sum())[:, None])


def _fold(turns: Array) -> int:
    """The rotational symmetry about the axis, by the correlation with turned copies; 1 is none."""
    for n in range(MAX_FOLD, 1, -1):
        own = [_between(turns, _ANGLES * j / n) for j in range(1, n)]
        beside = [_between(turns, _ANGLES * (j + 0.5) / n) for j in range(n)]
        if min(own) > _LEAST and min(own) > max(beside) + _DIP:
            return n
    return 1


def _between(turns: Array, angle: float) -> float:
    first = int(angle)
    share = angle - first
    return float((1 - share) * turns[first % _ANGLES] + share * turns[(first + 1) % _ANGLES])


def _peaks(correlation: Array) -> list[tuple[float, float]]:
    """Planes and angles of strong peaks beyond the first plane, by planes and then by angle."""
    inner = correlation[1:-1]
    highest = np.ones(inner.shape, bool)
    for dz in (-1, 0, 1):
        for da in (-1, 0, 1):
            if dz or da:
                beside = np.roll(correlation[1 + dz : len(correlation) - 1 + dz], -da, axis=1)
                highest &= inner >= beside
    highest &= inner > _LEAST
    if not highest.any():
        return []
    highest &= inner > _BESIDE * inner[highest].max()
    at = [(int(z) + 1, int(a)) for z, a in zip(*np.nonzero(highest), strict=True)]
    at.sort(key=lambda p: (p[0], min(p[1], _ANGLES - p[1])))
    return [_refined(correlation, z, angle) for z, angle in at]


def _refined(correlation: Array, z: int, angle: int) -> tuple[float, float]:
    """A peak between samples, by parabolas."""
    column = correlation[max(z - 1, 0) : z + 2, angle % _ANGLES]
    row = correlation[z, [(angle + d) % _ANGLES for d in (-1, 0, 1)]]
    return z + (_top(column) if len(column) == 3 else 0.0), angle + _top(row)


def _top(three: Array) -> float:
    """Where a parabola through three samples has its top, from the middle one."""
    low, middle, high = three
    curve = low - 2 * middle + high
    return float(np.clip(0.5 * (low - high) / curve, -0.5, 0.5)) if curve < 0 else 0.0


def _followed(correlation: Array, z: float, angle: float) -> tuple[float, float]:
    """A screw motion by its multiples, which tell it more finely the further they reach."""
    angle -= _ANGLES if angle > _ANGLES / 2 else 0
    planes, angles = _WINDOW
    times = 1
    while 2 * times * z < len(correlation) - 1 - planes:
        times *= 2
        near_z, near_a = round(times * z), round(times * angle)
        low = max(1, near_z - planes)
        window = correlation[low : near_z + planes + 1][
            :, (np.arange(-angles, angles + 1) + near_a) % _ANGLES
        ]
        i, j = np.unravel_index(window.argmax(), window.shape)
        if window[i, j] < _LEAST:
            break
        far_z, far_a = _refined(correlation, low + int(i), near_a - angles + int(j))
        z, angle = far_z / times, far_a / times
    return z, angle
