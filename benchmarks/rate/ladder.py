"""Which values of a knob are measured: climbing until a curve spans 10-45 dB, searching for a correlation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from benchmarks.rate.codecs import Scale
from benchmarks.rate.records import Point

LOW_DB, HIGH_DB = 10.0, 45.0

Measure = Callable[[float], Point]
"""The point at a value of the knob, measured or remembered; its status may say that there is none."""


def climb(
    scale: Scale, measure: Measure, stride: int = 1, low: float = LOW_DB, high: float = HIGH_DB
) -> None:
    """Measure a scale's values upwards from its first until ``high`` dB, then downwards until ``low`` dB.

    Stops in a direction where a value fails or where another value changes nothing.
    """
    start = measure(scale.knob(scale.first))
    for sign in (1, -1):
        last, i = start, scale.first
        while last.ok and (last.snr < high if sign > 0 else last.snr > low):
            i += sign * stride
            if not scale.least <= i <= scale.most:
                break
            point = measure(scale.knob(i))
            if point.ok and (point.snr, point.nbytes) == (last.snr, last.nbytes):
                break
            last = point


def search_fsc(
    target: float, points: Iterable[Point], measure: Measure, rounds: int = 8, slack: float = 0.02
) -> None:
    """Narrow a knob until the least shell correlation is above the target by ``slack`` of ``1 - target``.

    False position on ``log(1 - correlation)`` over the knob (its logarithm where it is a bound), between the
    nearest points on both sides; nothing happens where the points do not enclose the target.

    Args:
        target: least correlation of any shell.
        points: of one mode of one codec on one volume.
        measure: measures another knob.
    """
    known = [p for p in points if p.ok and p.fsc_min < 1]
    for _ in range(rounds):
        above = min((p for p in known if p.fsc_min >= target), key=lambda p: p.bits, default=None)
        if above is None:
            return
        if 1 - above.fsc_min >= (1 - slack) * (1 - target):
            return
        below = max(
            (p for p in known if p.fsc_min < target and p.bits < above.bits),
            key=lambda p: p.bits,
            default=None,
        )
        if below is None:
            return
        at = between(_loss(below), _loss(above), math.log((1 - target) * (1 - slack / 2)))
        knob = _mix(below, above, min(max(at, 0.05), 0.95))
        if knob in (below.knob, above.knob):
            return
        point = measure(knob)
        if not point.ok:
            return
        known.append(point)


def between(low: float, high: float, value: float) -> float:
    """Where a value lies between two, 0 to 1; one half where they are equal."""
    return (value - low) / (high - low) if high != low else 0.5


def _loss(point: Point) -> float:
    return math.log(max(1 - point.fsc_min, 1e-12))


def _mix(a: Point, b: Point, share: float) -> float:
    if a.mode == "max_error":
        return float(f"{math.exp(math.log(a.knob) * (1 - share) + math.log(b.knob) * share):.5g}")
    return float(f"{a.knob * (1 - share) + b.knob * share:.5g}")
