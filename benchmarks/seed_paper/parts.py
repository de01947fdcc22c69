"""The parts of the benchmark: each measures what is not in the records yet.

``table``: the paper's own table. ``experiments``: its experiments and checks. ``traits``, ``low``, ``many``:
its three open questions; see also ``packing.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.seed_paper import errors
from benchmarks.seed_paper.bench import Bench, Map
from benchmarks.seed_paper.others import Case, Stored
from benchmarks.seed_paper.records import Row
from inrcodec import INRCodec

BEST_RATIO = 20.0  # asked of the local-Fourier field at no more error
LOW_ERROR = 0.1  # mean relative error that the paper aims at in low densities
LOW_THRESHOLDS = (0.0, 0.05)  # shares of the largest density, part ``low``
SNR = 30.0  # dB, part ``many``
ENCODINGS = {"2^0-2^9": 10, "2^0-2^5": 6}  # of part ``table``: the paper's, and one for small maps


def no_worse(found: errors.Errors, reference: Row) -> bool:
    """Whether densities came back at no more error: share within 20 %, mean relative errors."""
    return (
        found.within_high >= reference.within_high
        and found.mean_all <= reference.mean_all
        and not found.mean_low > reference.mean_low  # NaN where there is no low density
    )


def table(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """The paper's network at 4:1, and beside it gzip, JPEG 2000 and the local-Fourier field."""
    for volume in maps:
        for name, frequencies in ENCODINGS.items():
            settings = bench.plan.network(bench.plan.table_steps, frequencies=frequencies)
            bench.train("table", volume, name, settings)
            yield
        for codec, setting, case, measure in _beside(bench, volume):
            key = ("table", volume.name, codec, setting)
            if key not in bench.records:
                bench.note(f"{volume.name} {codec} {setting}")
                bench.stored("table", volume, key, case, measure())
        yield


Measured = tuple[str, str, Case, Callable[[], Stored | None]]


def _beside(bench: Bench, volume: Map) -> list[Measured]:
    """Codec and setting of what stands beside the networks of a map, and what measures it."""
    case, whole = Case(volume.data, 0.0, bench.plan.effort), Case(volume.data, None, bench.plan.effort)
    networks = {name: bench.records.rows["table", volume.name, "mlp", name] for name in ENCODINGS}
    ratio = next(iter(networks.values())).ratio

    def same_error(codec: str, network: Row, case: Case = case) -> Stored | None:
        return case.best(codec, lambda stored: no_worse(stored.errors, network))

    wanted: list[Measured] = [
        ("gzip", "lossless", case, case.gzip),
        ("jpeg2000", "same ratio", case, partial(case.at_ratio, "jpeg2000", ratio)),
        ("local-fourier", "same ratio", case, partial(case.at_ratio, "local-fourier", ratio)),
        ("local-fourier", "20:1", case, partial(case.at_ratio, "local-fourier", BEST_RATIO)),
    ]
    for name, network in networks.items():
        setting, ours = f"error of mlp {name}", "local-fourier"
        wanted += [
            ("jpeg2000", setting, case, partial(same_error, "jpeg2000", network)),
            (ours, setting, case, partial(same_error, ours, network)),
            (ours, f"{setting}, whole map", whole, partial(same_error, ours, network, whole)),
        ]
    return wanted


def experiments(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """What each part of the paper's system does: one thing changed at a time, the same widths."""
    part, steps = "experiments", bench.plan.experiment_steps
    variants: list[tuple[str, dict[str, Any], float]] = [
        ("paper", {}, 0.0),
        ("unweighted", {"loss": "plain"}, 0.0),
        ("no encoding", {"frequencies": 0}, 0.0),
        ("unweighted, no encoding", {"loss": "plain", "frequencies": 0}, 0.0),
        ("frequencies 2^0-2^5", {"frequencies": 6}, 0.0),
        ("frequencies 2^0-2^12", {"frequencies": 13}, 0.0),
        ("threshold 0.05", {}, 0.05),
        ("threshold 0.1", {}, 0.1),
        ("residual none", {"residual": "none"}, 0.0),
        ("residual full", {"residual": "full"}, 0.0),
    ]
    for volume in maps:
        cut = Map(volume.name, errors.densest_crop(volume.data, bench.plan.experiment_side))
        for setting, changed, threshold in variants:
            if setting != "paper":
                base = bench.records.rows[part, volume.name, "mlp", "paper"]
                changed = {**changed, "widths": tuple(map(int, base.note.split()[1:]))}
            bench.train(part, cut, setting, bench.plan.network(steps, **changed), threshold)
            yield


def traits(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """What the codec chooses for each map from its own traits."""
    for volume in maps:
        key = ("traits", volume.name, "local-fourier", "choices")
        if key not in bench.records:
            bench.note(f"{volume.name} choices")
            codec = INRCodec.fit(volume.data, SNR, effort=bench.plan.fit_effort, device=bench.plan.device)
            assert codec.choices is not None
            words = " / ".join(" ".join(line.split()) for line in codec.choices.lines)
            bench.records.add(Row(*key, volume.shape, knob=SNR, original=volume.data.nbytes, note=words))
        yield


def low(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """The ratio at which densities at or below 0.1 come back with a mean relative error below 10 %."""
    for volume in maps:
        for threshold in LOW_THRESHOLDS:
            key = ("low", volume.name, "local-fourier", f"threshold {threshold:g}")
            if key in bench.records:
                continue
            bench.note(f"{volume.name} low densities above {threshold:g}")
            case = Case(volume.data, threshold, bench.plan.effort)
            found = case.best("local-fourier", lambda stored: stored.errors.mean_low < LOW_ERROR)
            bench.stored("low", volume, key, case, found)
        yield


def many(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """Every map by itself: gzip, JPEG 2000 and the local-Fourier field at one signal-to-noise ratio."""
    for volume in maps:
        case = Case(volume.data, None, bench.plan.effort)
        ours = ("many", volume.name, "local-fourier", f"{SNR:g} dB")
        if ours not in bench.records:
            bench.note(f"{volume.name} {SNR:g} dB")
            found = case.best("local-fourier", lambda stored: stored.snr >= SNR)
            bench.stored("many", volume, ours, case, found)
        peer = ("many", volume.name, "jpeg2000", f"{SNR:g} dB")
        if peer not in bench.records:
            found = case.best("jpeg2000", lambda stored: stored.snr >= SNR)
            bench.stored("many", volume, peer, case, found)
        key = ("many", volume.name, "gzip", "lossless")
        if key not in bench.records:
            bench.stored("many", volume, key, case, case.gzip())
        yield
