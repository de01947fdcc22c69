"""The report of a run: CSV tables, a Markdown summary, pictures."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.rate import ours, plots, tables
from benchmarks.rate.codecs import CODECS
from benchmarks.rate.records import Point


def publish(points: Iterable[Point], effort: int, out: Path, readme: Path | None = None) -> None:
    """Write the tables as CSV, ``rate.md`` with all of them, and the pictures; print the summary.

    The summary and its picture also go into ``readme``.
    """
    points = list(points)
    groups = tables.group(points, effort)
    made: Made = {name: make(groups) for name, make in TABLES.items()}
    short = summary(made)
    names = sorted({p.map for p in points if p.codec == ours.SYMMETRIC and p.ok})
    if names:
        symmetric = tables.group(points, effort, symmetry=True)
        with_symmetry = {name: TABLES[name](symmetric) for name in WITH_SYMMETRY}
        made |= {f"{name}_symmetry": rows for name, rows in with_symmetry.items()}
        again = summary(with_symmetry)
        short += (
            f'\n\nThe same with `symmetry="auto"` where a map has a symmetry and is one chunk '
            f"({', '.join(names)}):\n\n{again}"
        )
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
                f"## {_title(name)}\n\n{report.markdown(report.same_columns(_laid_out(name, rows)))}\n"
            )
    parts.append(", ".join(f"{key} {value}" for key, value in report.machine().items()) + "\n")
    (out / "rate.md").write_text("\n".join(parts), encoding="utf-8")
    print(short, *notes, sep="\n", flush=True)
    plots.draw(groups, out)
    if readme is not None:
        into_readme(readme, "\n\n".join([short, *notes]), out / "summary.png")


Made = dict[str, list[report.Row]]
"""The tables by name."""

TABLES: dict[str, Callable[[tables.Groups], list[report.Row]]] = {
    "bd": tables.bd_rows,
    "ratios": tables.ratio_rows,
    "best": tables.best_rows,
    "max_error": tables.bound_rows,
    "fsc": tables.fsc_rows,
    "lossless": tables.lossless_rows,
    "speed": tables.speed_rows,
}

WITH_SYMMETRY = ("bd", "ratios", "max_error", "fsc")
"""Tables that are made a second time with the symmetry of maps."""

MARKS = ("<!-- rate: written by python -m benchmarks.rate --readme -->", "<!-- /rate -->")

TITLES = {
    "bd": "Bjontegaard-delta rate of ours, percent of the peer's bits, 10-45 dB as far as both curves go",
    "ratios": "Bits of ours over the better of SPERR and SZ3, by interpolation",
    "best": "Bits of ours over the best of all peers, lossless included",
    "max_error": "Largest error asked for, in standard deviations",
    "fsc": "Least Fourier shell correlation up to the resolution",
    "lossless": "Lossless, bits per voxel",
    "speed": "Seconds and memory, medians over the points of 20-40 dB",
}


def summary(made: Made) -> str:
    """The Markdown table of medians over maps: a row per comparison, two columns per chunk length."""
    chunks = sorted({row["chunk"] for table in made.values() for row in table})
    rows: list[report.Row] = []
    for peer in CODECS:
        _line(rows, chunks, f"BD rate against {peer}, %", made["bd"], "bd_rate_percent", peer=peer)
    for snr in tables.SNRS:
        _line(rows, chunks, f"bits / better of SPERR and SZ3, {snr:g} dB", made["ratios"], f"{snr:g} dB")
    for bound in sorted({r["bound"] for r in made["max_error"]}):
        what = f"bits / best peer, largest error {bound:g} std"
        _line(rows, chunks, what, made["max_error"], "ratio", bound=bound)
    asked = [r for r in made["fsc"] if r["least"] is not None]  # points at an SNR say little of a shell
    for target in sorted({r["target"] for r in asked}):
        what = f"bits / best peer, FSC of every shell >= {target:g}"
        _line(rows, chunks, what, asked, "ratio", target=target)
    violations = [r["violations"] for r in made["max_error"] if r["violations"] is not None]
    count = f"\n\nVoxels of ours beyond a bound: {sum(violations)} ({len(violations)} points)."
    return (report.markdown(rows) or "No point of ours to compare yet.") + (count if violations else "")


def into_readme(readme: Path, text: str, picture: Path) -> None:
    """Put a summary between the marks of a README, and the picture beside its ``docs``.

    Raises:
        ValueError: the marks are not there.
    """
    before, start, rest = readme.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (start and end):
        raise ValueError(f"{readme} has no {MARKS[0]} ... {MARKS[1]}")
    shown = ""
    if picture.exists():
        copy = readme.parent / "docs" / "rate.png"
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, copy)
        shown = "\n\n![Bjontegaard-delta rate against each peer](docs/rate.png)"
    readme.write_text(f"{before}{start}\n{text}{shown}\n{end}{after}", encoding="utf-8")


def _line(
    rows: list[report.Row],
    chunks: Sequence[int],
    what: str,
    table: Sequence[report.Row],
    column: str,
    **where: object,
) -> None:
    """One comparison: the median over maps and the worst map, for every chunk length."""
    row: report.Row = {"ours": what}
    for chunk in chunks:
        found = [
            (r[column], r["map"])
            for r in table
            if r["chunk"] == chunk
            and r.get(column) is not None
            and all(r[key] == value for key, value in where.items())
        ]
        median = statistics.median(f for f, _ in found) if found else None
        worst = "{:.4g} {}".format(*max(found)) if found else None
        row |= {f"{chunk}^3: median": median, f"{chunk}^3: worst map": worst, f"{chunk}^3: maps": len(found)}
    if any(row[f"{chunk}^3: median"] is not None for chunk in chunks):
        rows.append(row)


def _title(name: str) -> str:
    plain = name.removesuffix("_symmetry")
    return TITLES[plain] + (", with symmetry" if plain != name else "")


def _laid_out(name: str, rows: Sequence[report.Row]) -> Sequence[report.Row]:
    """The long table of deltas with one column per peer; the others as they are."""
    if name.removesuffix("_symmetry") != "bd":
        return rows
    wide: dict[tuple[str, int], report.Row] = {}
    for row in rows:
        line = wide.setdefault((row["map"], row["chunk"]), {"map": row["map"], "chunk": row["chunk"]})
        line[row["peer"]] = f"{row['bd_rate_percent']:+.1f} ({row['low_db']:.0f}-{row['high_db']:.0f} dB)"
    return list(wide.values())
