"""Rate over quality: fronts of points, interpolation, and the Bjontegaard-delta rate.

Bjontegaard, "Calculation of average PSNR differences between RD-curves", ITU-T SG16 document VCEG-M33 (2001),
with the piecewise cubic Hermite interpolation (Fritsch & Butland 1984) that later replaced his cubic
polynomial, because it neither overshoots nor depends on the number of points.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import trapezoid
from scipy.interpolate import PchipInterpolator

from benchmarks.rate.records import Point

Array = np.ndarray[Any, Any]
Axis = Callable[[Point], float]

_BEYOND = 55.0  # dB: more than is ever asked for
_ASKED = ("snr", "psnr")  # modes that are asked for an SNR
_WIDEST = 10.0  # dB between points that are asked for: every second one lies 8 apart


def snr_axis(point: Point) -> float:
    """dB over all voxels."""
    return point.snr


def error_axis(point: Point) -> float:
    """Largest error as quality, in dB: minus 20 log10 of it in standard deviations."""
    return -20 * math.log10(point.max_error) if point.max_error > 0 else math.inf


def fsc_axis(point: Point) -> float:
    """Least shell correlation as quality: minus log10 of one minus it."""
    loss = 1 - point.fsc_min
    return -math.log10(loss) if loss > 0 else math.inf


@dataclass(frozen=True, eq=False)
class ModeCurve:
    """Bits per voxel over quality of one mode, both strictly increasing: the front of its points."""

    quality: tuple[float, ...]
    bits: tuple[float, ...]

    def log_bits(self, quality: Array) -> Array:
        """Natural logarithm of the bits that give at least a quality, by interpolation.

        Below the first point those of the first point, above the last infinite.
        """
        inside = np.clip(quality, self.quality[0], self.quality[-1])
        if len(self.quality) < 2:
            values = np.full(np.shape(quality), math.log(self.bits[0]))
        else:
            values = PchipInterpolator(self.quality, np.log(self.bits))(inside)
        return np.where(quality <= self.quality[-1], values, np.inf)


@dataclass(frozen=True, eq=False)
class Curve:
    """The lower envelope of a codec's modes: at each quality the mode with the fewest bits."""

    modes: tuple[ModeCurve, ...]

    @property
    def low(self) -> float:
        return min(m.quality[0] for m in self.modes)

    @property
    def high(self) -> float:
        return max(m.quality[-1] for m in self.modes)

    def log_bits(self, quality: Array) -> Array:
        """Natural logarithm of the bits that give at least a quality; infinite outside the curve."""
        least = np.min([mode.log_bits(quality) for mode in self.modes], axis=0)
        return np.where(quality >= self.low, least, np.inf)

    def bits_at(self, quality: float) -> float | None:
        """Bits per voxel by interpolation; None outside the curve."""
        value = float(self.log_bits(np.array([quality]))[0])
        return math.exp(value) if math.isfinite(value) else None

    def points(self) -> list[tuple[float, float]]:
        """The measured points that lie on the envelope, by quality: pairs of quality and bits."""
        every = [p for mode in self.modes for p in zip(mode.quality, mode.bits, strict=True)]
        return sorted(p for p in every if math.log(p[1]) <= self.log_bits(np.array([p[0]]))[0] + 1e-9)


def front(points: Iterable[Point], axis: Axis = snr_axis) -> Curve | None:
    """The curve of a codec: of each mode the points that no other of it beats in both quality and bits.

    Points without loss or without bits are left out; None where nothing is left. Where an SNR is asked for,
    a point without loss ends the curve.
    """
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for p in points:
        asked = axis is snr_axis and p.mode in _ASKED
        if p.ok and p.bits > 0 and (math.isfinite(axis(p)) or asked):
            found[p.mode].append((axis(p), p.bits))
    modes = []
    for mode, pairs in found.items():
        finite = [quality for quality, _ in pairs if math.isfinite(quality)]
        if not finite:
            continue
        end = max(_BEYOND, *finite) + _WIDEST  # of points without loss
        pairs = [(min(quality, end), bits) for quality, bits in pairs]
        kept: list[tuple[float, float]] = []
        for quality, bits in sorted(pairs, key=lambda f: (-f[0], f[1])):
            if not kept or (bits < kept[-1][1] and quality < kept[-1][0]):
                kept.append((quality, bits))
        kept.reverse()
        kept = _stepped(kept) if axis is snr_axis and mode in _ASKED else kept
        modes.append(ModeCurve(tuple(q for q, _ in kept), tuple(b for _, b in kept)))
    return Curve(tuple(modes)) if modes else None


def _stepped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points with a step where errors vanish at once.

    Who asks for a little more than the lower point has gets the upper one, which nobody asked for. Nothing
    lies between them to be had, and interpolation would make it up.
    """
    out: list[tuple[float, float]] = []
    for quality, bits in points:
        if out and quality > max(_BEYOND, out[-1][0] + _WIDEST):
            out.append((out[-1][0] + _WIDEST, bits * (1 - 1e-9)))
        out.append((quality, bits))
    return out


@dataclass(frozen=True)
class Delta:
    """Bjontegaard-delta rate: share of bits that one codec needs more (less where negative) than another.

    The mean is over the qualities from ``low`` to ``high``, the part that both curves cover.
    """

    rate: float
    low: float
    high: float


def bd_rate(
    ours: Curve | None, peer: Curve | None, low: float = 10.0, high: float = 45.0, least: float = 5.0
) -> Delta | None:
    """Mean difference of log-rate between two curves at equal quality, as a share of the peer's rate.

    Args:
        ours, peer: curves over the same axis.
        low, high: qualities between which the mean is taken, as far as both curves go.
        least: the overlap that is needed; None is returned for less.
    """
    if ours is None or peer is None:
        return None
    start, end = max(low, ours.low, peer.low), min(high, ours.high, peer.high)
    if end - start < least:
        return None
    quality = np.linspace(start, end, 2001)
    difference = trapezoid(ours.log_bits(quality) - peer.log_bits(quality), quality) / (end - start)
    return Delta(math.expm1(float(difference)), start, end)
