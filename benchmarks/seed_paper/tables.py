"""Tables from the recorded figures."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from itertools import pairwise

from benchmarks import report
from benchmarks.seed_paper.errors import EDGES
from benchmarks.seed_paper.parts import BEST_RATIO, ENCODINGS, LOW_ERROR, SNR
from benchmarks.seed_paper.records import Records, Row

_CHOSEN = re.compile(r"chosen (\w+) ([^:]+):")
REGIONS = [f"{low:g}-{high:g}" for low, high in pairwise(EDGES)]


def maps_of(rows: Sequence[Row]) -> list[str]:
    """Names of maps in the order they were first measured."""
    return list(dict.fromkeys(row.map for row in rows))


def span(row: Row) -> float:
    """Width of the output range over that of the input range."""
    return (row.largest - row.least) / (1 - row.given_least)


def table_rows(records: Records) -> list[report.Row]:
    """The paper's table: one line per map and codec."""
    return [
        {
            "map": row.map,
            "codec": row.codec,
            "setting": row.setting,
            "ratio": finite(row.ratio),
            "> 0.1 within 20 %": percent(row.within_high),
            "mean error > 0.1": percent(row.mean_high),
            "mean error <= 0.1": percent(row.mean_low),
            "median <= 0.1": percent(row.median_low),
            "output range": output(row),
            "input range": f"{row.given_least:.2g} to 1" if row.nbytes else None,
            "encode s": finite(row.encode_s),
            "decode s": finite(row.decode_s),
        }
        for row in _by_map(records.of("table"))
    ]


def network_rows(records: Records) -> list[report.Row]:
    """How the networks of the paper's table were trained."""
    return [
        {
            "map": row.map,
            "voxels": row.shape,
            "occupied": sum(map(int, row.counts.split())),
            "encoding": row.setting,
            "hidden widths": row.note.removeprefix("widths "),
            "parameters": row.parameters,
            "steps": row.steps,
            "CPU s": row.cpu_s,
            "rms, last tenth of steps": _late(records, row),
        }
        for row in _by_map(records.of("table"))
        if row.codec == "mlp"
    ]


def acceptance_rows(records: Records) -> list[report.Row]:
    """The local-Fourier field at no more error than the paper's network at 4:1, per map and encoding."""
    found = []
    for name in maps_of(records.of("table")):
        for encoding in ENCODINGS:
            network = records.rows.get(("table", name, "mlp", encoding))
            ours = records.rows.get(("table", name, "local-fourier", f"error of mlp {encoding}"))
            peer = records.rows.get(("table", name, "jpeg2000", f"error of mlp {encoding}"))
            whole = records.rows.get(("table", name, "local-fourier", f"error of mlp {encoding}, whole map"))
            if network is None or ours is None:
                continue
            reached = 0.0 if math.isnan(ours.ratio) else ours.ratio
            found.append(
                {
                    "map": name,
                    "encoding of mlp": encoding,
                    "mlp ratio": network.ratio,
                    "mlp > 0.1 within 20 %": percent(network.within_high),
                    "mlp mean error": percent(network.mean_all),
                    "mlp mean error <= 0.1": percent(network.mean_low),
                    "local-fourier ratio": finite(ours.ratio),
                    "> 0.1 within 20 %": percent(ours.within_high),
                    "mean error": percent(ours.mean_all),
                    "mean error <= 0.1": percent(ours.mean_low),
                    "jpeg2000 ratio": None if peer is None else finite(peer.ratio),
                    "ratio, whole map kept": None if whole is None else finite(whole.ratio),
                    f"at least {BEST_RATIO:g}:1": "yes" if reached >= BEST_RATIO else "no",
                }
            )
    return found


def experiment_rows(records: Records) -> list[report.Row]:
    """Each change of the paper's system, with the mean relative error by density region."""
    return [
        {
            "map": row.map,
            "setting": row.setting,
            "ratio": row.ratio,
            "rms": row.rms,
            "> 0.1 within 20 %": percent(row.within_high),
            "output range": output(row),
            **{
                f"error {region}": percent(mean)
                for region, mean in zip(REGIONS, row.region_means, strict=True)
            },
        }
        for row in _by_map(records.of("experiments"))
    ]


def trait_rows(records: Records) -> list[report.Row]:
    """What the codec chose for each map."""
    rows = []
    for row in records.of("traits"):
        chosen = dict(_CHOSEN.findall(row.note))
        traits = [line.removeprefix("traits ") for line in row.note.split(" / ") if line.startswith("traits")]
        names = ("block", "cell", "steps", "network")
        rows.append({"map": row.map, **{n: chosen.get(n) for n in names}, "traits": "; ".join(traits)})
    return rows


def low_rows(records: Records) -> list[report.Row]:
    """The ratio at which low densities have a mean relative error below 10 %, by threshold."""
    rows: list[report.Row] = []
    for name in maps_of(records.of("low")):
        line: report.Row = {"map": name}
        for row in records.of("low"):
            if row.map == name:
                line[f"ratio, {row.setting}"] = finite(row.ratio)
                line[f"dB, {row.setting}"] = finite(row.knob)
                line[f"more than 4:1, {row.setting}"] = _yes(row.ratio > 4)
        rows.append(line)
    return report.same_columns(rows)


def many_rows(records: Records) -> list[report.Row]:
    """Ratios of gzip, JPEG 2000 and the local-Fourier field on every map; the medians at the end."""
    rows: list[report.Row] = []
    for name in maps_of(records.of("many")):
        by_codec = {row.codec: row for row in records.of("many") if row.map == name}
        ours = by_codec.get("local-fourier")
        if ours is None or len(by_codec) < 3:
            continue
        rows.append(
            {
                "map": name,
                "voxels": ours.shape,
                "gzip": by_codec["gzip"].ratio,
                f"jpeg2000, {SNR:g} dB": finite(by_codec["jpeg2000"].ratio),
                f"local-fourier, {SNR:g} dB": finite(ours.ratio),
                "> 0.1 within 20 %": percent(ours.within_high),
            }
        )
    if rows:
        last: report.Row = {"map": f"median of {len(rows)}", "voxels": None}
        for head in list(rows[0])[2:]:
            values = [row[head] for row in rows if row[head] is not None]
            last[head] = statistics.median(values) if values else None
        rows.append(last)
    return rows


def packed_rows(records: Records) -> list[report.Row]:
    """Many maps in one file with one network."""
    return [
        {
            "map": row.map,
            "field": row.codec,
            "ratio of the file": row.ratio,
            "SNR, dB": row.snr,
            "> 0.1 within 20 %": percent(row.within_high),
            "mean error <= 0.1": percent(row.mean_low),
        }
        for row in records.of("packed")
    ]


def percent(value: float) -> float | None:
    """A share in percent; None for NaN."""
    return None if math.isnan(value) else 100 * value


def finite(value: float) -> float | None:
    """None for NaN and infinities."""
    return value if math.isfinite(value) else None


def output(row: Row) -> str | None:
    """Least and largest decoded density, in shares of the original's largest."""
    return f"{row.least:.2g} to {row.largest:.2g}" if row.nbytes else None


def low_target() -> str:
    """The aim of part ``low`` in words."""
    return f"mean relative error below {LOW_ERROR:.0%} at densities up to 0.1"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _by_map(rows: Sequence[Row]) -> list[Row]:
    return [row for name in maps_of(rows) for row in rows if row.map == name]


def _late(records: Records, row: Row) -> str | None:
    """How the error still moved in the last tenth of the steps."""
    looks = records.looks(row.key)
    if len(looks) < 2:
        return None
    before = [look for look in looks if look.step <= 0.9 * looks[-1].step] or looks[:1]
    return f"{before[-1].rms:.3g} to {looks[-1].rms:.3g}"
