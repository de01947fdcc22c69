"""How much is measured, on which maps, and where the figures go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.seed_paper import errors, training
from benchmarks.seed_paper.others import Case, Stored
from benchmarks.seed_paper.records import Key, Records, Row, Step, error_columns
from inrcodec.core.mlp.network import NetworkSettings

RATIO = 4.0  # of the paper's network

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
    pack_steps: int = 1200
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
