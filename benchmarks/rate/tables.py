"""Tables of the comparison: Bjontegaard deltas, ratios at fixed SNR, error bounds, shell correlations."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks import report
from benchmarks.rate import ours
from benchmarks.rate.codecs import CODECS
from benchmarks.rate.curves import Curve, bd_rate, front, fsc_axis
from benchmarks.rate.measuring import BOUNDS, FSC_TARGETS
from benchmarks.rate.records import Point, current

Case = tuple[str, int, int]
"""Map, crop, chunk."""
Groups = Mapping[Case, Mapping[str, Sequence[Point]]]

SNRS = (20.0, 25.0, 30.0, 35.0)
BEST_OF = ("sperr", "sz3")


def group(points: Iterable[Point], effort: int, *, symmetry: bool = False) -> Groups:
    """Points by case and codec: the peers', and ours of one effort.

    With ``symmetry`` ours are those with symmetry in every case that has any.
    """
    found: dict[Case, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for p in current(points):
        if p.effort in (-1, effort):
            found[p.map, p.crop, p.chunk][p.codec].append(p)
    for codecs in found.values():
        symmetric = codecs.pop(ours.SYMMETRIC, [])
        if symmetry and symmetric:
            codecs[ours.NAME] = symmetric
    return found


def bd_rows(groups: Groups) -> list[report.Row]:
    """Our Bjontegaard-delta rate against each peer on each map and chunk length, in percent."""
    rows = []
    for case, codecs in groups.items():
        mine = front(codecs.get(ours.NAME, []))
        for name in CODECS:
            delta = bd_rate(mine, front(codecs.get(name, [])))
            if delta is not None:
                figures = {"bd_rate_percent": 100 * delta.rate, "low_db": delta.low, "high_db": delta.high}
                rows.append(_where(case) | {"peer": name} | figures)
    return rows


def ratio_rows(groups: Groups) -> list[report.Row]:
    """Our bits over the better of SPERR and SZ3 at fixed SNRs, by interpolation on both curves."""
    rows = []
    for case, codecs in groups.items():
        mine = front(codecs.get(ours.NAME, []))
        others = {name: front(codecs.get(name, [])) for name in BEST_OF}
        if mine is None or not any(others.values()):
            continue
        row = _where(case)
        for snr in SNRS:
            name, bits = _best({n: c.bits_at(snr) for n, c in others.items() if c is not None})
            own = mine.bits_at(snr)
            row |= {f"{snr:g} dB": own and bits and own / bits, f"best at {snr:g} dB": name}
        rows.append(row)
    return rows


def best_rows(groups: Groups) -> list[report.Row]:
    """Our bits over those of the best of all peers at SNRs from 10 to 45 dB, lossless ones included."""
    rows = []
    for case, codecs in groups.items():
        if ours.NAME not in codecs:
            continue
        row = _where(case)
        for snr in range(10, 50, 5):
            own = _bits_at(codecs[ours.NAME], snr)
            name, bits = _best({n: _bits_at(p, snr) for n, p in codecs.items() if n != ours.NAME})
            row |= {f"{snr} dB": own and bits and own / bits, f"best at {snr} dB": name}
        rows.append(row)
    return rows


def bound_rows(groups: Groups) -> list[report.Row]:
    """The points asked for a largest error, ours beside the peer with the fewest bytes.

    A peer counts with the point asked for the bound, also where it violates it (how many voxels do is in the
    table), or with any other point of fewer bytes that keeps it, lossless ones included.
    """
    rows = []
    for case, codecs in groups.items():
        for bound in BOUNDS:
            mine = next((p for p in codecs.get(ours.NAME, []) if _asked_for(p, bound)), None)
            others = [p for name, points in codecs.items() if name != ours.NAME for p in points]
            kept = [p for p in others if p.max_error <= bound or _asked_for(p, bound)]
            peer = min(kept, key=lambda p: p.bits, default=None)
            if mine is None and peer is None:
                continue
            rows.append(
                _where(case)
                | {
                    "bound": bound,
                    "bits": mine and mine.bits,
                    "violations": mine and mine.violations,
                    "best peer": peer and peer.codec,
                    "peer bits": peer and peer.bits,
                    "peer violations": peer and (peer.violations if _asked_for(peer, bound) else 0),
                    "ratio": mine and peer and mine.bits / peer.bits,
                }
            )
    return rows


def fsc_rows(groups: Groups) -> list[report.Row]:
    """Bits for a least correlation in every shell to the resolution, ours beside the best peer's.

    A codec counts with the written point of fewest bits that reaches the target, or, where that is less, with
    the bits interpolated over ``-log10(1 - FSC)`` on its curve (``how``). Ours counts only with points that
    were asked for the target, once there are any. ``overshoot`` is the part of the way from the target to 1
    that our mean over shells lies at.
    """
    rows = []
    for case, codecs in groups.items():
        for target in FSC_TARGETS:
            asked = [p for p in codecs.get(ours.NAME, []) if p.mode == "fsc" and math.isclose(p.knob, target)]
            own = _own_fsc(asked, codecs.get(ours.NAME, []), target)
            found = {n: _fsc_bits(p, target) for n, p in codecs.items() if n != ours.NAME}
            name, bits = _best({n: f[0] for n, f in found.items()})
            rows.append(
                _where(case)
                | {
                    "target": target,
                    "bits": own[0],
                    "how": own[1],
                    "least": asked[0].fsc_min if asked else None,
                    "overshoot": (asked[0].fsc_mean - target) / (1 - target) if asked else None,
                    "best peer": name,
                    "peer bits": bits,
                    "peer how": found[name][1] if name else None,
                    "ratio": own[0] and bits and own[0] / bits,
                }
            )
    return rows


def lossless_rows(groups: Groups) -> list[report.Row]:
    """Bits per voxel of the lossless points."""
    rows = []
    for case, codecs in groups.items():
        points = [p for group in codecs.values() for p in group if p.mode == "lossless"]
        if points:
            rows.append(_where(case) | {p.codec: p.bits for p in sorted(points, key=lambda p: p.codec)})
    return rows


def speed_rows(groups: Groups) -> list[report.Row]:
    """Median seconds per million voxels and MiB above the start, over maps, at the points of 20-40 dB."""
    times: dict[tuple[int, str], list[tuple[float, float, float]]] = defaultdict(list)
    for (_, _, chunk), codecs in groups.items():
        for name, points in codecs.items():
            for p in points:
                if 20 <= p.snr <= 40 or (p.mode == "lossless" and len(CODECS[name].modes) == 1):
                    million = math.prod(map(int, p.shape.split("x"))) / 1e6
                    times[chunk, name].append((p.encode_s / million, p.decode_s / million, p.peak_mib))
    heads = ("encode s/Mvoxel", "decode s/Mvoxel", "peak MiB")
    return [
        {"chunk": chunk, "codec": name}
        | {head: statistics.median(column) for head, column in zip(heads, zip(*t, strict=True), strict=True)}
        for (chunk, name), t in sorted(times.items())
    ]


def _where(case: Case) -> report.Row:
    return {"map": case[0] + (f" (centre {case[1]})" if case[1] else ""), "chunk": case[2]}


def _asked_for(point: Point, bound: float) -> bool:
    return point.mode == "max_error" and math.isclose(point.knob, bound)


def _bits_at(points: Sequence[Point], snr: float) -> float | None:
    """Bits by a codec's curve, or without loss where that is less or the curve does not go as far."""
    curve = front(points)
    found = [p.bits for p in points if math.isinf(p.snr)]
    between = curve.bits_at(snr) if curve is not None else None
    return min(found + ([between] if between is not None else []), default=None)


def _own_fsc(
    asked: Sequence[Point], points: Sequence[Point], target: float
) -> tuple[float | None, str | None]:
    if asked:
        return (asked[0].bits, "written") if asked[0].fsc_min >= target else (None, "missed")
    return _fsc_bits(points, target)


def _fsc_bits(points: Sequence[Point], target: float) -> tuple[float | None, str | None]:
    written = min((p.bits for p in points if p.fsc_min >= target), default=None)
    curve: Curve | None = front(points, fsc_axis)
    between = curve.bits_at(-math.log10(1 - target)) if curve is not None else None
    if between is not None and (written is None or between < 0.99 * written):
        return between, "interpolated"
    return (written, "written") if written is not None else (None, None)


def _best(bits: Mapping[str, float | None]) -> tuple[str | None, float | None]:
    known = {name: value for name, value in bits.items() if value is not None}
    name = min(known, key=lambda n: known[n], default=None)
    return name, None if name is None else known[name]
