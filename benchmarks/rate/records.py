"""The points measured so far: a CSV file that only grows, one line per point, written at once."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

Key = tuple[str, int, int, str, str, float, int, str]


@dataclass(frozen=True)
class Point:
    """One codec at one value of its knob on one volume.

    Attributes:
        map: the volume's name; ``crop`` voxels a side of its centre crop (0: whole), ``shape`` as ``dxhxw``.
        chunk: voxels a side of the chunks; those at the far ends are cut to fit.
        codec, mode, knob: the setting; see ``codecs.py`` for the knobs' units.
        effort: of our codec, -1 for peers.
        version: fingerprint of our codec's source, or the peers' package version.
        status: ``ok``, or why there is no figure.
        nbytes: bytes of all chunks; ``config_bytes`` of the array's codec configuration (ours).
        bits: both together, per voxel.
        snr, max_error, correlation, violations: see :class:`benchmarks.rate.quality.Quality`.
        fsc_min, fsc_mean: over the shells to ``resolution`` (angstrom, as ``voxel_size``).
        fsc_loss: one minus the correlation of each shell to the Nyquist limit, separated by blanks.
        encode_s, decode_s: seconds; ``peak_mib``: memory above what the process held before.
        fallbacks: chunks that the codec refused and that count losslessly compressed.
    """

    map: str
    crop: int
    chunk: int
    codec: str
    mode: str
    knob: float
    effort: int
    version: str
    shape: str
    voxel_size: float
    resolution: float
    status: str
    nbytes: int = 0
    config_bytes: int = 0
    bits: float = math.nan
    snr: float = math.nan
    max_error: float = math.nan
    fsc_min: float = math.nan
    fsc_mean: float = math.nan
    correlation: float = math.nan
    violations: int = 0
    encode_s: float = math.nan
    decode_s: float = math.nan
    peak_mib: float = math.nan
    fallbacks: int = 0
    fsc_loss: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def key(self) -> Key:
        return key(
            self.map, self.crop, self.chunk, self.codec, self.mode, self.knob, self.effort, self.version
        )

    def judged_to(self, resolution: float) -> Point:
        """The point with its shell correlations up to another resolution (angstrom)."""
        if resolution == self.resolution or not self.ok:
            return self
        shape = tuple(map(int, self.shape.split("x")))
        shells = math.floor(self.voxel_size / resolution * min(shape) + 1e-4)
        losses = [float(loss) for loss in self.fsc_loss.split()][: max(1, shells)]
        least, mean = 1 - max(losses), 1 - sum(losses) / len(losses)
        return replace(self, resolution=resolution, fsc_min=least, fsc_mean=mean)


def key(
    name: str, crop: int, chunk: int, codec: str, mode: str, knob: float, effort: int, version: str
) -> Key:
    """What makes a point unique; a peer's (effort -1) stays when its package's version changes."""
    return (name, crop, chunk, codec, mode, float(f"{knob:.6g}"), effort, "" if effort < 0 else version)


class Records:
    """Points in a CSV file.

    A line that a killed run left unfinished is dropped, on reading and before the next one is appended.

    Raises:
        ValueError: the file has other columns, so it was written by another version of the benchmark.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.points: dict[Key, Point] = {}
        if path.exists():
            for point in read_points(path):
                self.points[point.key] = point

    def add(self, point: Point) -> None:
        """Append a point and see it on disk."""
        self.points[point.key] = point
        text = io.StringIO()
        writer = csv.DictWriter(text, NAMES, lineterminator="\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        if not fresh:
            _drop_unfinished(self.path)
        if fresh:
            writer.writeheader()
        writer.writerow(asdict(point))
        with self.path.open("ab") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())


_TYPES = {"str": str, "int": int, "float": float}
NAMES = [field.name for field in fields(Point)]


def read_points(path: Path) -> list[Point]:
    """All whole lines of a file of points.

    Raises:
        ValueError: other columns than :class:`Point` has.
    """
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    if whole and rows.fieldnames != NAMES:
        raise ValueError(f"{path} has the columns of another version; choose another folder")
    return [_parse(row) for row in rows if None not in row and None not in row.values()]


def _parse(row: dict[str, str]) -> Point:
    return Point(**{field.name: _TYPES[str(field.type)](row[field.name]) for field in fields(Point)})


def _drop_unfinished(path: Path) -> None:
    with path.open("rb+") as file:
        data = file.read()
        if not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)


def current(points: Iterable[Point]) -> list[Point]:
    """Good points; of ours, those of the version last written for one map, crop, chunk, codec and effort."""
    good = [p for p in points if p.ok]
    latest = {(p.map, p.crop, p.chunk, p.codec, p.effort): p.version for p in good if p.effort >= 0}
    return [p for p in good if p.effort < 0 or latest[p.map, p.crop, p.chunk, p.codec, p.effort] == p.version]
