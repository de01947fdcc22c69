"""The effort ladder: bytes and seconds of every effort relative to effort 5, in volume scope."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.rate import ours
from benchmarks.rate.curves import front
from benchmarks.rate.measuring import Bench
from benchmarks.rate.records import Point, current

BASE = 5


def measure(bench: Bench, efforts: Sequence[int], targets: Sequence[float]) -> None:
    """Every effort, and effort 5, at every target SNR (dB)."""
    for effort in sorted({*efforts, BASE}):
        for target in targets:
            bench.ours("snr", target, effort)


def table(points: Iterable[Point], targets: Sequence[float]) -> list[report.Row]:
    """One row per effort and chunk length.

    ``bytes`` is the median over the maps of the bits at one SNR relative to effort 5's there: the middle of
    the targets, or the nearest to it that every effort of the map reaches, by the logarithm of the bits
    interpolated between the measured points. Seconds are medians over maps and targets.
    """
    asked = {float(t) for t in targets}
    mine: dict[tuple[str, int, int], dict[int, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for p in current(points):
        if p.codec == ours.NAME and p.mode == "snr" and p.knob in asked:
            mine[p.map, p.crop, p.chunk][p.effort].append(p)
    ratios: dict[tuple[int, int], list[float]] = defaultdict(list)
    seconds: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for (_, _, chunk), by_effort in mine.items():
        bits = _at_one_snr(by_effort)
        for effort, group in by_effort.items():
            if BASE in bits and effort in bits:
                ratios[chunk, effort].append(bits[effort] / bits[BASE])
            seconds[chunk, effort] += [(p.encode_s, p.decode_s) for p in group]
    return [
        {
            "chunk": chunk,
            "effort": effort,
            "maps": len(ratios[chunk, effort]),
            f"bytes / effort {BASE}": statistics.median(ratios[chunk, effort])
            if ratios[chunk, effort]
            else None,
            "encode s": statistics.median(e for e, _ in times),
            "decode s": statistics.median(d for _, d in times),
        }
        for (chunk, effort), times in sorted(seconds.items())
    ]


def publish(points: Iterable[Point], targets: Sequence[float], out: Path) -> None:
    """Print the ladder and write ``efforts.csv`` and ``efforts.md``."""
    asked = ", ".join(f"{t:g}" for t in targets)
    note = f"Volume scope, everything counted; targets {asked} dB, bytes compared at equal SNR between them."
    report.publish("efforts", table(points, targets), [note], out)


def _at_one_snr(by_effort: dict[int, list[Point]]) -> dict[int, float]:
    """Bits of each effort at one SNR; empty where they have none in common."""
    found = {effort: front(group) for effort, group in by_effort.items()}
    curves = {effort: curve for effort, curve in found.items() if curve is not None}
    if not curves:
        return {}
    low, high = max(c.low for c in curves.values()), min(c.high for c in curves.values())
    middle = statistics.mean((c.low + c.high) / 2 for c in curves.values())
    if low > high:
        return {}
    bits = {effort: curve.bits_at(min(max(middle, low), high)) for effort, curve in curves.items()}
    return {effort: value for effort, value in bits.items() if value is not None}
