"""Measuring the points of one volume: each in its own process, each written to the records at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rate import ours
from benchmarks.rate.codecs import CODECS, ONCE, Codec
from benchmarks.rate.isolate import Failed, Result, isolated, peak_mib
from benchmarks.rate.ladder import climb, search_fsc
from benchmarks.rate.quality import Reference
from benchmarks.rate.records import Point, Records, key
from benchmarks.rate.volumes import Volume
from benchmarks.rate.written import Written
from inrcodec.core.prior import replaced
from inrcodec.core.symmetry.detection import detect

BOUNDS = (0.03, 0.1, 0.3)
"""Largest errors asked for directly, in standard deviations of the volume."""

FSC_TARGETS = (0.99, 0.999)
"""Least shell correlations asked for directly."""

TARGETS = ("snr", "max_error", "fsc")


@dataclass(frozen=True)
class Plan:
    """What a run measures.

    Attributes:
        codecs: names; ``inr`` is ours, ``inr-symmetry`` ours with symmetry.
        effort, device: of ours.
        limit_s: seconds that one point may take.
        stride: every how many values of a knob's scale.
        targets: of ours, what is asked for: ``snr``, ``max_error``, ``fsc``.
        bounds, fsc_targets: asked for directly.
        retry: measure again what failed in an earlier run.
        priors: folder of networks that have not seen some of the maps, and are taken for those.
    """

    codecs: Sequence[str]
    effort: int = field(default_factory=ours.default_effort)
    device: str = "auto"
    limit_s: float = 900.0
    stride: int = 1
    targets: Sequence[str] = TARGETS
    bounds: Sequence[float] = BOUNDS
    fsc_targets: Sequence[float] = FSC_TARGETS
    retry: bool = False
    priors: Path | None = None


class Bench:
    """One volume at one chunk length, measured into records.

    ``noted`` is told of every point that was measured now, not of those that were there.
    """

    def __init__(
        self,
        volume: Volume,
        reference: Reference,
        chunk: int,
        plan: Plan,
        records: Records,
        noted: Callable[[Point], None] = lambda _: None,
    ) -> None:
        self.volume, self.reference, self.chunk = volume, reference, chunk
        self.plan, self.records, self.noted = plan, records, noted

    def run(self, name: str) -> None:
        """Every point of a codec: its curve, the bounds on the error, the shell correlations."""
        if name == ours.NAME:
            self._run_ours(name)
        elif name == ours.SYMMETRIC:
            if self._symmetric():
                self._run_ours(name)
        else:
            self._run_peer(name, CODECS[name])

    def _symmetric(self) -> bool:
        """Whether the volume is one chunk, which symmetry needs, and has a symmetry."""
        volume = self.volume.data
        return max(volume.shape) <= self.chunk and detect(volume) is not None

    def _run_ours(self, name: str) -> None:
        effort = self.plan.effort
        if "snr" in self.plan.targets:
            climb(ours.SNR, lambda knob: self.ours("snr", knob, effort, name), self.plan.stride)
        for target, values in (("max_error", self.plan.bounds), ("fsc", self.plan.fsc_targets)):
            for value in values if target in self.plan.targets else ():
                self.ours(target, value, effort, name)

    def _run_peer(self, name: str, codec: Codec) -> None:
        for mode, (scale, _) in codec.modes.items():
            stride = 1 if scale is ONCE else self.plan.stride
            climb(scale, lambda knob, mode=mode: self.peer(name, mode, knob), stride)  # type: ignore[misc]
        if "max_error" in codec.modes:
            for bound in self.plan.bounds:
                self.peer(name, "max_error", bound)
        if codec.search is not None:
            self._search_fsc(name, codec.search)

    def _search_fsc(self, name: str, mode: str) -> None:
        for target in self.plan.fsc_targets:
            search_fsc(target, self._points(name, mode), lambda knob: self.peer(name, mode, knob))

    def ours(self, mode: str, knob: float, effort: int, name: str = ours.NAME) -> Point:
        """One point of our codec; ``name`` says whether with symmetry."""
        volume, device = self.volume, self.plan.device

        priors = self.plan.priors
        network = None if priors is None else ours.unseen_prior(priors, volume.name)

        def write(folder: Path) -> Written:
            with nullcontext() if network is None else replaced(network):
                return ours.write(
                    self.reference,
                    self.chunk,
                    mode,
                    knob,
                    folder,
                    effort=effort,
                    device=device,
                    voxel_size=volume.voxel_size,
                    resolution=volume.resolution,
                    symmetry="auto" if name == ours.SYMMETRIC else None,
                )

        version = ours.fingerprint() + ("" if network is None else "-unseen")
        return self._point(name, mode, knob, effort, version, write, lambda: ours.warm_up(device, effort))

    def peer(self, name: str, mode: str, knob: float) -> Point:
        """One point of a peer."""
        codec = CODECS[name]
        write = codec.modes[mode][1]
        return self._point(
            name,
            mode,
            knob,
            -1,
            codec.version,
            lambda folder: write(self.reference, self.chunk, knob, folder),
            lambda: None,
        )

    def _points(self, name: str, mode: str) -> list[Point]:
        where = (self.volume.name, self.volume.crop, self.chunk, name, mode)
        return [
            p.judged_to(self.volume.resolution)
            for p in self.records.points.values()
            if (p.map, p.crop, p.chunk, p.codec, p.mode) == where
        ]

    def _point(
        self,
        name: str,
        mode: str,
        knob: float,
        effort: int,
        version: str,
        write: Callable[[Path], Written],
        warm_up: Callable[[], None],
    ) -> Point:
        volume = self.volume
        known = self.records.points.get(
            key(volume.name, volume.crop, self.chunk, name, mode, knob, effort, version)
        )
        if known is not None and (known.ok or not self.plan.retry):
            return known.judged_to(volume.resolution)
        bound = knob * self.reference.unit if mode == "max_error" else None
        try:
            status = "ok"
            figures = isolated(lambda: measure(self.reference, write, warm_up, bound), self.plan.limit_s)
        except Failed as failure:
            status, figures = " ".join(str(failure).split())[:200], {}
        point = Point(
            map=volume.name,
            crop=volume.crop,
            chunk=self.chunk,
            codec=name,
            mode=mode,
            knob=knob,
            effort=effort,
            version=version,
            shape="x".join(map(str, volume.data.shape)),
            voxel_size=volume.voxel_size,
            resolution=volume.resolution,
            status=status,
            **figures,
        )
        self.records.add(point)
        self.noted(point)
        return point


def measure(
    reference: Reference,
    write: Callable[[Path], Written],
    warm_up: Callable[[], None],
    bound: float | None,
) -> Result:
    """The figures of one write and read of a volume; meant for a process of its own."""
    warm_up()
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder))
    peak = peak_mib() - before
    quality = reference.judge(written.back, bound)
    total = written.nbytes + written.config_bytes
    return {
        "nbytes": written.nbytes,
        "config_bytes": written.config_bytes,
        "bits": _digits(8 * total / reference.data.size, 7),
        "snr": _digits(quality.snr, 7),
        "max_error": _digits(quality.max_error, 7),
        "fsc_min": _digits(quality.fsc_min, 9),
        "fsc_mean": _digits(quality.fsc_mean, 9),
        "correlation": _digits(quality.correlation, 9),
        "violations": quality.violations,
        "encode_s": _digits(written.encode_s, 4),
        "decode_s": _digits(written.decode_s, 4),
        "peak_mib": round(peak, 1),
        "fallbacks": written.fallbacks,
        "fsc_loss": " ".join(f"{loss:.3e}" for loss in quality.fsc_loss),
    }


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
