"""The report: ``seed-paper.md`` with all tables, a CSV file of each, and the pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import report
from benchmarks.seed_paper import claims, plots, tables
from benchmarks.seed_paper.records import Records

_TABLES: tuple[tuple[str, str, Callable[[Records], list[report.Row]]], ...] = (
    (
        "acceptance",
        "local-fourier at no more error than the paper's network at 4:1: the share of densities above 0.1 "
        "within 20 %, the mean relative error, and that of low densities are all no worse.",
        tables.acceptance_rows,
    ),
    (
        "claims",
        "What the paper says, and what was measured.",
        claims.rows,
    ),
    (
        "table",
        "Ratio: bytes of the map over bytes stored. Errors are of the densities above 0, relative, in "
        "percent; densities and ranges in shares of the map's largest. Every codec gets the map with "
        "densities at or below 0 set to 0, except `whole map`. `same ratio`: that of mlp 2^0-2^9. gzip is "
        "lossless.",
        tables.table_rows,
    ),
    (
        "networks",
        "The networks of the table above. The last column says whether the training had settled.",
        tables.network_rows,
    ),
    (
        "experiments",
        "One change to the paper's system each; the same hidden widths. Mean relative error in percent by "
        "density region, in shares of the largest density.",
        tables.experiment_rows,
    ),
    (
        "low",
        f"local-fourier at the highest ratio with a {tables.low_target()}, for two thresholds.",
        tables.low_rows,
    ),
    (
        "many",
        "Every map by itself; the whole map, negative densities too. Maps named after a shape and a "
        "resolution are generated from atomic models that are made up, without noise.",
        tables.many_rows,
    ),
    (
        "packed",
        "The generated maps of 10 to 20 angstrom in one file with one network (`inrcodec pack`).",
        tables.packed_rows,
    ),
    (
        "traits",
        "Hyperparameters that the codec chose for each map by itself (`INRCodec.fit(...).choices`).",
        tables.trait_rows,
    ),
)


def publish(records: Records, out: Path) -> str:
    """Write and print the tables of what is recorded."""
    machine = report.machine()
    lines = [
        "# The seed paper's claims, measured",
        "",
        f"{machine['cores']} CPU cores, GPU: {machine['gpu']}, {machine['date']}. "
        "`python -m benchmarks.seed_paper`; `docs/seed-paper.md` says what it means.",
    ]
    for name, words, make in _TABLES:
        rows = make(records)
        if rows:
            lines += ["", f"## {name}", "", words, "", report.markdown(rows)]
            report.write_csv(out / f"{name}.csv", rows)
    for path in plots.draw(records, out):
        lines += ["", f"![{path.stem}]({path.name})"]
    text = "\n".join(lines) + "\n"
    (out / "seed-paper.md").write_text(text, encoding="utf-8")
    print(text, flush=True)
    return text
