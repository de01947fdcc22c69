"""The paper's claims, each judged by the recorded figures: reproduced or not."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import report
from benchmarks.seed_paper.records import Records, Row
from benchmarks.seed_paper.tables import maps_of, span

HIGH_SHARE = 0.8825  # of the densities above 0.1 within 20 %, in the paper
LOW_ERROR = 10.0  # mean relative error of low densities, in the paper more than
GZIP = (1.5, 2.5)  # taken as the paper's "2:1"
NARROW = 0.75  # an output range of less than this of the input range is taken as narrow

HIGH = "share of > 0.1 within 20 %"


def rows(records: Records) -> list[report.Row]:
    """One line for every claim and map."""
    return [
        {"claim": claim, "map": name, "measured": measured, "reproduced": "yes" if holds else "no"}
        for claim, name, measured, holds in [*_table(records), *_gzip(records), *_experiments(records)]
    ]


Judged = tuple[str, str, str, bool]


def _table(records: Records) -> Iterator[Judged]:
    for row in records.of("table"):
        if (row.codec, row.setting) == ("mlp", "2^0-2^9"):
            yield (
                f"at about 4:1, {HIGH_SHARE:.2%} of the densities above 0.1 within 20 %",
                row.map,
                f"{row.within_high:.1%} at {row.ratio:.2f}:1",
                row.within_high >= HIGH_SHARE,
            )
            yield (
                "low densities have a mean relative error above 1000 %",
                row.map,
                f"{row.mean_low:.0%}, median {row.median_low:.0%}",
                row.mean_low > LOW_ERROR,
            )


def _gzip(records: Records) -> Iterator[Judged]:
    trained = maps_of(records.of("table"))
    for row in records.of("many"):
        if row.codec == "gzip" and row.map in trained:
            yield (
                "gzip compresses a map about 2:1",
                row.map,
                f"{row.ratio:.2f}:1",
                GZIP[0] <= row.ratio <= GZIP[1],
            )


def _experiments(records: Records) -> Iterator[Judged]:
    for name in maps_of(records.of("experiments")):
        found = {row.setting: row for row in records.of("experiments") if row.map == name}
        base = found.get("paper")
        if base is None:
            continue
        yield from _checks(name, base, found)
        if {"residual none", "residual full"} <= set(found):
            yield from _residual(records, name, base, found)


def _checks(name: str, base: Row, found: dict[str, Row]) -> Iterator[Judged]:
    failing = found.get("unweighted, no encoding")
    if failing is not None:
        yield (
            "unweighted and without encoding: high error",
            name,
            _shares(base, failing),
            failing.within_high < HIGH_SHARE and failing.within_high < base.within_high,
        )
        yield (
            f"unweighted and without encoding: output range below {NARROW:g} of the input's",
            name,
            f"{span(failing):.2f}; paper's system {span(base):.2f}",
            span(failing) < NARROW,
        )
    better = {
        "no encoding": "the encoding raises the " + HIGH,
        "unweighted": "the weights raise the " + HIGH,
        "frequencies 2^0-2^5": f"2^0-2^9 has a higher {HIGH} than 2^0-2^5",
        "frequencies 2^0-2^12": f"2^0-2^9 has a higher {HIGH} than 2^0-2^12",
    }
    for setting, claim in better.items():
        if setting in found:
            yield claim, name, _shares(base, found[setting]), base.within_high > found[setting].within_high
    for setting in ("threshold 0.05", "threshold 0.1"):
        if setting in found:
            other = found[setting]
            yield (
                f"{setting}: a higher ratio with the same network",
                name,
                f"{base.ratio:.2f} to {other.ratio:.2f}:1",
                other.ratio > base.ratio,
            )
            yield (
                f"{setting}: a higher {HIGH}",
                name,
                _shares(base, other),
                other.within_high > base.within_high,
            )


def _residual(records: Records, name: str, base: Row, found: dict[str, Row]) -> Iterator[Judged]:
    none = found["residual none"]
    early = {row.setting: _early(records, row) for row in (none, base, found["residual full"])}
    for setting, words in (("paper", "alternate"), ("residual full", "full")):
        yield (
            f"residual {words} converges faster than none (rms after a fifth of the steps)",
            name,
            f"{early[setting]:.4f}, none {early['residual none']:.4f}",
            early[setting] < early["residual none"],
        )


def _early(records: Records, row: Row) -> float:
    """The rms error after a fifth of the steps."""
    looks = records.looks(row.key)
    return next((look.rms for look in looks if look.step >= row.steps / 5), row.rms)


def _shares(base: Row, other: Row) -> str:
    return f"{base.within_high:.1%} in the paper's system, {other.within_high:.1%} in the other"
