"""Pictures: rate over three qualities for each map, and one summary over all maps. Needs matplotlib."""

from __future__ import annotations

import math
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.rate import ours, tables
from benchmarks.rate.curves import Axis, bd_rate, error_axis, front, fsc_axis, snr_axis
from benchmarks.rate.records import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's palette, told apart with any colour vision; markers differ as well.
STYLES: dict[str, tuple[str, str]] = {
    ours.NAME: ("#D55E00", "o"),
    "sperr": ("#0072B2", "s"),
    "sz3": ("#009E73", "^"),
    "zfp": ("#CC79A7", "v"),
    "jpeg2000": ("#E69F00", "D"),
    "eman2": ("#000000", "x"),
    "blosc": ("#56B4E9", "+"),
    "pcodec": ("#999999", "1"),
    "float16": ("#7F6000", "*"),
    "bitshuffle": ("#6A3D9A", "2"),
    "gzip": ("#444444", "3"),
    "fourier-network": ("#8C564B", "P"),
}
PANELS: tuple[tuple[str, Axis, tuple[float, float]], ...] = (
    ("SNR over all voxels, dB", snr_axis, (5.0, 50.0)),
    ("largest error, std", error_axis, (-6.0, 45.0)),
    ("least FSC of a shell to the resolution", fsc_axis, (0.0, 4.5)),
)


def draw(groups: tables.Groups, out: Path) -> list[Path]:
    """One picture per case and ``summary.png``; nothing, said on stderr, without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
    except ImportError:
        print("no pictures: matplotlib is not installed", file=sys.stderr)
        return []
    made = [_draw_case(case, codecs, out) for case, codecs in groups.items()]
    return made + ([_draw_summary(groups, out)] if groups else [])


def _draw_case(case: tables.Case, codecs: Mapping[str, Sequence[Point]], out: Path) -> Path:
    from matplotlib.figure import Figure

    name, crop, chunk = case
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    for axes, (label, axis, limits) in zip(figure.subplots(1, 3), PANELS, strict=True):
        for codec in sorted(codecs, key=lambda c: (c == ours.NAME, c)):
            _curve(axes, codec, codecs[codec], axis)
        axes.set(xlabel=label, ylabel="bits per voxel", yscale="log", xlim=limits)
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
    _name_ticks(figure.axes)
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(
        f"{name}{f', centre {crop}' if crop else ''}: chunks of {chunk}, better is right and down"
    )
    path = out / f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', name)}-{chunk}.png"
    figure.savefig(path, dpi=110)
    return path


def _curve(axes: Axes, codec: str, points: Sequence[Point], axis: Axis) -> None:
    curve = front(points, axis)
    if curve is None:
        return
    colour, marker = STYLES.get(codec, ("#888888", "."))
    mine = codec == ours.NAME
    order = 3 if mine else 2
    label = "inrcodec" if mine else codec
    if curve.high > curve.low:
        quality = np.linspace(curve.low, curve.high, 400)
        bits = np.exp(curve.log_bits(quality))
        axes.plot(quality, bits, color=colour, linewidth=2.6 if mine else 1.1, zorder=order)
    x, y = zip(*curve.points(), strict=True)
    axes.plot(x, y, marker, color=colour, markersize=5 if mine else 4, label=label, zorder=order)


def _name_ticks(panels: Sequence[Any]) -> None:
    bounds = (1.0, 0.3, 0.1, 0.03, 0.01)
    panels[1].set_xticks([error_position(b) for b in bounds], [f"{b:g}" for b in bounds])
    losses = (0.1, 0.01, 0.001, 0.0001)
    panels[2].set_xticks([1.0, 2.0, 3.0, 4.0], [f"{1 - loss:g}" for loss in losses])


def error_position(bound: float) -> float:
    """Where a largest error, in standard deviations, lies on its panel's axis."""
    return -20 * math.log10(bound)


def _draw_summary(groups: tables.Groups, out: Path) -> Path:
    """Our Bjontegaard-delta rate against each peer, a mark per map and the median.

    Without a point of ours, SPERR's against the other peers.
    """
    from matplotlib.figure import Figure

    against = ours.NAME if any(ours.NAME in codecs for codecs in groups.values()) else "sperr"
    chunks = sorted({case[2] for case in groups})
    names = [name for name in STYLES if name != against]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots()
    seen: list[str] = []
    for name in names:
        found = [
            (chunks.index(case[2]), 100 * delta.rate)
            for case, codecs in groups.items()
            if (delta := bd_rate(front(codecs.get(against, [])), front(codecs.get(name, []))))
        ]
        if not found:
            continue
        colour, marker = STYLES[name]
        for place in sorted({c for c, _ in found}):
            x = len(seen) + (place - (len(chunks) - 1) / 2) * 0.3
            rates = [rate for c, rate in found if c == place]
            axes.plot([x] * len(rates), rates, marker, color=colour, alpha=0.55, markersize=5)
            axes.plot([x - 0.12, x + 0.12], [statistics.median(rates)] * 2, color=colour, linewidth=3)
            axes.annotate(
                f"{chunks[place]}", (x, 1.0), xycoords=("data", "axes fraction"), ha="center", fontsize=7
            )
        seen.append(name)
    axes.axhline(0, color="black", linewidth=0.8)
    label = "inrcodec" if against == ours.NAME else against
    axes.set_xticks(range(len(seen)), seen)
    axes.set_ylabel(f"bits of {label} relative to the peer's at equal SNR, %")
    axes.grid(axis="y", alpha=0.25)
    figure.suptitle(
        "Bjontegaard-delta rate, 10-45 dB: a mark per map, a bar at the median; below 0 is fewer bits"
    )
    path = out / "summary.png"
    figure.savefig(path, dpi=110)
    return path
