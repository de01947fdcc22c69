"""The parts of the benchmark: each measures what is not in the records yet.

``table``: the paper's own table. ``experiments``: its experiments and checks. ``traits``, ``low``, ``many``:
its three open questions.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.seed_paper import errors, training
from benchmarks.seed_paper.others import Case, Stored
from benchmarks.seed_paper.records import Key, Records, Row, Step, error_columns
from inrcodec import INRCodec, metrics
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.mrc import open_volume

RATIO = 4.0  # of the paper's network
BEST_RATIO = 20.0  # asked of the local-Fourier field at no more error
LOW_ERROR = 0.1  # mean relative error that the paper aims at in low densities
LOW_THRESHOLDS = (0.0, 0.05)  # shares of the largest density, part ``low``
SNR = 30.0  # dB, part ``many``
ENCODINGS = {"2^0-2^9": 10, "2^0-2^5": 6}  # of part ``table``: the paper's, and one for maps of 64 voxels

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Map:
    """A map, cut to the benchmark's size where it is larger."""

    name: str
    data: Array
    generated: bool = False

    @property
    def shape(self) -> str:
        return "x".join(map(str, self.data.shape))


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        table_steps, experiment_steps, pack_steps: Adam steps of each network.
        batch, learning_rate: of Adam.
        weight_bits: of every stored network.
        effort: of the local-Fourier field; ``fit_effort`` of part ``traits``.
        experiment_side: voxels a side of the crop in part ``experiments``.
        device: where networks are trained.
        widths: of the hidden layers; None is what :data:`RATIO` allows.
    """

    table_steps: int = 3000
    experiment_steps: int = 2000
    pack_steps: int = 2000
    batch: int = 1024
    learning_rate: float = 2e-3
    weight_bits: int = 16
    effort: int = 0
    fit_effort: int = 1
    experiment_side: int = 48
    device: str = "auto"
    widths: tuple[int, ...] | None = None

    def network(self, steps: int, **changed: Any) -> NetworkSettings:
        """The paper's network; 25 looks at its convergence, and never stopped before the last."""
        basic = {"steps": steps, "batch": self.batch, "learning_rate": self.learning_rate}
        looks = {"interval": max(1, steps // 25), "patience": 25, "widths": self.widths}
        return NetworkSettings(**{**basic, **looks, **changed})


Note = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """Where figures go, and who is told."""

    plan: Plan
    records: Records
    note: Note

    def stored(self, part: str, volume: Map, key: Key, case: Case, found: Stored | None) -> None:
        """Append what a codec made of a map; ``None`` is a bound that it does not reach."""
        row = Row(part, volume.name, key[2], key[3], volume.shape, original=volume.data.nbytes)
        row = replace(row, threshold=math.nan if case.threshold is None else case.threshold)
        if found is None:
            self.records.add(replace(row, note="not reached"))
            return
        self.records.add(
            replace(
                row,
                **error_columns(found.errors),
                knob=found.knob,
                nbytes=found.nbytes,
                ratio=found.ratio,
                snr=found.snr,
                encode_s=found.encode_s,
                decode_s=found.decode_s,
            )
        )

    def train(
        self, part: str, volume: Map, setting: str, settings: NetworkSettings, threshold: float = 0.0
    ) -> training.Run | None:
        """Train, store and record a network; None where it is recorded already."""
        key = (part, volume.name, "mlp", setting)
        if key in self.records:
            return None
        run = training.run(
            volume.data,
            threshold,
            settings,
            ratio=RATIO,
            weight_bits=self.plan.weight_bits,
            device=self.plan.device,
            progress=lambda fraction: self.note(f"{volume.name} mlp {setting} {fraction:.0%}"),
        )
        found = errors.measure(volume.data, run.decoded, threshold)
        row = Row(
            *key,
            volume.shape,
            threshold=threshold,
            original=volume.data.nbytes,
            nbytes=run.nbytes,
            ratio=volume.data.nbytes / run.nbytes,
            **error_columns(found),
            steps=run.steps,
            parameters=run.parameters,
            cpu_s=run.cpu_s,
            encode_s=run.encode_s,
            decode_s=run.decode_s,
            note="widths " + " ".join(map(str, run.widths)),
        )
        self.records.add(row, [Step(*key, look.step, look.rms, look.within_high) for look in run.looks])
        return run


def no_worse(found: errors.Errors, reference: Row) -> bool:
    """Whether densities came back at no more error: share within 20 %, mean relative errors."""
    return (
        found.within_high >= reference.within_high
        and found.mean_all <= reference.mean_all
        and not found.mean_low > reference.mean_low  # NaN where there is no low density
    )


def table(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """The paper's network at 4:1, and beside it gzip, JPEG 2000 and the local-Fourier field."""
    part = "table"
    for volume in maps:
        for name, frequencies in ENCODINGS.items():
            settings = bench.plan.network(bench.plan.table_steps, frequencies=frequencies)
            bench.train(part, volume, name, settings)
            yield
        networks = {name: bench.records.rows[part, volume.name, "mlp", name] for name in ENCODINGS}
        ratio = networks["2^0-2^9"].ratio
        case = Case(volume.data, 0.0, bench.plan.effort)
        whole = Case(volume.data, None, bench.plan.effort)

        def same_error(case: Case, codec: str, name: str, networks: dict[str, Row] = networks) -> Stored | None:
            return case.best(codec, lambda stored: no_worse(stored.errors, networks[name]))

        wanted: list[tuple[str, str, Case, Callable[[], Stored | None]]] = [
            ("gzip", "lossless", case, case.gzip),
            ("jpeg2000", "same ratio", case, lambda c=case: c.at_ratio("jpeg2000", ratio)),
            ("local-fourier", "same ratio", case, lambda c=case: c.at_ratio("local-fourier", ratio)),
            ("local-fourier", "20:1", case, lambda c=case: c.at_ratio("local-fourier", BEST_RATIO)),
        ]
        for name in ENCODINGS:
            setting = f"error of mlp {name}"
            wanted += [
                ("jpeg2000", setting, case, lambda n=name: same_error(case, "jpeg2000", n)),
                ("local-fourier", setting, case, lambda n=name: same_error(case, "local-fourier", n)),
                (
                    "local-fourier",
                    f"{setting}, whole map",
                    whole,
                    lambda n=name: same_error(whole, "local-fourier", n),
                ),
            ]
        for codec, setting, where, measure in wanted:
            key = (part, volume.name, codec, setting)
            if key not in bench.records:
                bench.note(f"{volume.name} {codec} {setting}")
                bench.stored(part, volume, key, where, measure())
        yield


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


def packed(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """All generated maps of 10 to 20 A in one container each of the paper's network and of local-Fourier."""
    from inrcodec.pack import pack
    from inrcodec.unpack import unpack

    if not maps:
        yield
        return
    original = sum(volume.data.nbytes for volume in maps)
    network = bench.plan.network(bench.plan.pack_steps)
    room = int(original / RATIO) - sum(_mask_bytes(volume) for volume in maps)
    if network.widths is None:
        network = replace(network, widths=training.widths_for(network, bench.plan.weight_bits, room))
    fields: dict[str, dict[str, Any]] = {
        "mlp": {"threshold": 0.0, "network": network.to_config(), "weight_bits": bench.plan.weight_bits},
        "local-fourier": {"snr": SNR, "effort": max(1, bench.plan.effort), "chunks": 128},
    }
    for field, settings in fields.items():
        if all(("packed", volume.name, field, "shared") in bench.records for volume in maps):
            yield
            continue
        with tempfile.TemporaryDirectory() as folder:
            sources = [Path(folder) / f"{volume.name}.mrc" for volume in maps]
            for path, volume in zip(sources, maps, strict=True):
                _write(path, volume.data)
            target = Path(folder) / "set.inr"
            result = pack(
                sources,
                target,
                field=field,
                device=bench.plan.device,
                progress=lambda stage, fraction, f=field: bench.note(f"pack {f} {stage} {fraction:.0%}"),
                **settings,
            )
            unpack(target, Path(folder) / "back")
            for path, volume in zip(sources, maps, strict=True):
                back = np.asarray(open_volume(Path(folder) / "back" / path.name).data)
                bench.records.add(
                    Row(
                        "packed",
                        volume.name,
                        field,
                        "shared",
                        volume.shape,
                        original=original,
                        nbytes=result.total,
                        ratio=original / result.total,
                        snr=metrics.snr(volume.data, back),
                        **error_columns(errors.measure(volume.data, back, 0.0)),
                        note=result.network,
                    )
                )
        yield


def _mask_bytes(volume: Map) -> int:
    from inrcodec.core.mlp import chunks, occupancy

    return len(occupancy.compress(chunks.is_occupied(volume.data, 0.0))) + 1500


def _write(path: Path, data: Array) -> None:
    import mrcfile

    with mrcfile.new(path, data) as file:
        file.voxel_size = 1.0
