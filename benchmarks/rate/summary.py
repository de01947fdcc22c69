"""The report of a run: CSV tables, a Markdown summary, pictures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.rate import ours, plots, tables
from benchmarks.rate.codecs import CODECS
from benchmarks.rate.records import Point


def publish(points: Iterable[Point], effort: int, out: Path, pictures: bool = True) -> None:
    """Write the tables as CSV, ``rate.md`` with all of them, and the pictures; print the summary."""
    points = list(points)
    groups = tables.group(points, effort)
    made = {
        "bd": tables.bd_rows(groups),
        "ratios": tables.ratio_rows(groups),
        "max_error": tables.bound_rows(groups),
        "fsc": tables.fsc_rows(groups),
        "lossless": tables.lossless_rows(groups),
        "speed": tables.speed_rows(groups),
    }
    short = summary(made)
    versions = sorted({p.version for case in groups.values() for p in case.get(ours.NAME, [])})
    failed = [p for p in points if not p.ok]
    notes = [
        f"Ours: effort {effort}, volume scope, source {', '.join(versions) or 'not measured'}; its bits "
        "count every payload and the array's configuration.",
        "Chunks are cut to fit at the far ends, the same for all codecs; the peers' parameters and indices "
        "are not counted.",
        f"{sum(len(c) for g in groups.values() for c in g.values())} points; "
        f"{len(failed)} settings gave none" + (", see `status` in points.csv." if failed else "."),
    ]
    for name, rows in made.items():
        if rows:
            report.write_csv(out / f"{name}.csv", report.same_columns(rows))
    parts = [f"# Rate against quality\n\n{short}\n"] + [f"{note}\n" for note in notes]
    for name, rows in made.items():
        if rows:
            parts.append(
                f"## {TITLES[name]}\n\n{report.markdown(report.same_columns(_laid_out(name, rows)))}\n"
            )
    parts.append(", ".join(f"{key} {value}" for key, value in report.machine().items()) + "\n")
    (out / "rate.md").write_text("\n".join(parts), encoding="utf-8")
    print(short, *notes, sep="\n", flush=True)
    if pictures:
        plots.draw(groups, out)


TITLES = {
    "bd": "Bjontegaard-delta rate of ours, percent of the peer's bits, 10-45 dB as far as both curves go",
    "ratios": "Bits of ours over the better of SPERR and SZ3, by interpolation",
    "max_error": "Largest error asked for, in standard deviations",
    "fsc": "Least Fourier shell correlation up to the resolution",
    "lossless": "Lossless, bits per voxel",
    "speed": "Seconds and memory, medians over the points of 20-40 dB",
}


def summary(made: dict[str, list[report.Row]]) -> str:
    """The Markdown table of medians over maps, one row per chunk length and comparison."""
    rows: list[report.Row] = []
    chunks = sorted({row["chunk"] for table in made.values() for row in table})
    for chunk in chunks:
        here = {name: [r for r in table if r["chunk"] == chunk] for name, table in made.items()}
        for peer in CODECS:
            _line(rows, chunk, f"BD rate against {peer}, %", here["bd"], "bd_rate_percent", peer=peer)
        for snr in tables.SNRS:
            _line(rows, chunk, f"bits / better of SPERR and SZ3, {snr:g} dB", here["ratios"], f"{snr:g} dB")
        for bound in sorted({r["bound"] for r in here["max_error"]}):
            what = f"bits / best peer, largest error {bound:g} std"
            _line(rows, chunk, what, here["max_error"], "ratio", bound=bound)
        for target in sorted({r["target"] for r in here["fsc"]}):
            what = f"bits / best peer, every shell's FSC >= {target:g}"
            _line(rows, chunk, what, here["fsc"], "ratio", target=target)
    violations = [r["violations"] for r in made["max_error"] if r["violations"] is not None]
    tail = (
        f"\n\nVoxels of ours beyond a bound: {sum(violations)} ({len(violations)} points)."
        if violations
        else ""
    )
    return (report.markdown(rows) or "No point of ours to compare yet.") + tail


def _line(
    rows: list[report.Row], chunk: int, what: str, table: Sequence[report.Row], column: str, **where: object
) -> None:
    found = [
        (r[column], r["map"])
        for r in table
        if r.get(column) is not None and all(r[key] == value for key, value in where.items())
    ]
    if found:
        worst, name = max(found)
        figures = {"median": statistics.median(f for f, _ in found), "worst": worst, "on": name}
        rows.append({"chunk": chunk, "ours": what} | figures | {"maps": len(found)})


def _laid_out(name: str, rows: Sequence[report.Row]) -> Sequence[report.Row]:
    """The long table of deltas with one column per peer; the others as they are."""
    if name != "bd":
        return rows
    wide: dict[tuple[str, int], report.Row] = {}
    for row in rows:
        line = wide.setdefault((row["map"], row["chunk"]), {"map": row["map"], "chunk": row["chunk"]})
        line[row["peer"]] = f"{row['bd_rate_percent']:+.1f} ({row['low_db']:.0f}-{row['high_db']:.0f} dB)"
    return list(wide.values())
