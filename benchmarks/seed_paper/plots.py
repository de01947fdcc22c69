"""Convergence plots of the experiments and of the networks in the paper's table. Needs matplotlib."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.seed_paper.records import Records, Row
from benchmarks.seed_paper.tables import maps_of

# Okabe & Ito's palette, told apart with any colour vision; line styles differ as well.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_SHADES = 48
LINES = ("-", "--", "-.", ":")
GROUPS: dict[str, tuple[str, ...]] = {
    "checks": ("paper", "unweighted", "no encoding", "unweighted, no encoding"),
    "frequencies": ("frequencies 2^0-2^5", "paper", "frequencies 2^0-2^12"),
    "thresholds": ("paper", "threshold 0.05", "threshold 0.1"),
    "residuals": ("residual none", "paper", "residual full"),
}


def draw(records: Records, out: Path) -> list[Path]:
    """A picture for each experiment and map, and one of the table's networks.

    Nothing, said on stderr, without matplotlib.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
    except ImportError:
        print("no pictures: matplotlib is not installed", file=sys.stderr)
        return []
    made = []
    for name in maps_of(records.of("experiments")):
        for group, settings in GROUPS.items():
            rows = [r for s in settings for r in records.of("experiments") if (r.map, r.setting) == (name, s)]
            path = out / f"convergence-{group}-{re.sub(r'[^A-Za-z0-9_.+-]', '_', name)}.png"
            made += _draw(records, rows, [row.setting for row in rows], f"{name}: {group}", path)
    rows = [row for row in records.of("table") if row.codec == "mlp"]
    labels = [f"{row.map}, {row.setting}" for row in rows]
    return made + _draw(records, rows, labels, "the networks at 4:1", out / "convergence-table.png")


def _draw(records: Records, rows: Sequence[Row], labels: Sequence[str], title: str, path: Path) -> list[Path]:
    from matplotlib.figure import Figure
    from PIL import Image  # matplotlib brings it

    if not rows:
        return []
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        looks = records.looks(row.key)
        steps = [look.step for look in looks]
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)], "linewidth": 1.4}
        left.plot(steps, [look.rms for look in looks], label=label, **style)
        right.plot(steps, [100 * look.within_high for look in looks], **style)
    left.set(xlabel="Adam steps", ylabel="rms error, share of the largest density", yscale="log")
    right.set(xlabel="Adam steps", ylabel="densities above 0.1 within 20 %, %")
    for axes in (left, right):
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=75)
    with Image.open(path) as picture:
        picture.quantize(_SHADES).save(path, optimize=True)  # a quarter of the bytes
    return [path]
