"""The figures measured so far: a CSV file that only grows, one line per figure, written at once."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.seed_paper.errors import EDGES, Errors

Key = tuple[str, str, str, str]
"""Part, map, codec, setting."""
T = TypeVar("T", "Row", "Step")


@dataclass(frozen=True)
class Row:
    """One codec in one setting on one map.

    Attributes:
        part: of the benchmark, see ``parts.py``.
        map, shape: the map and its voxels as ``dxhxw``, of the crop where it was cut.
        codec, setting: what was measured, unique within part and map.
        threshold: shares of the largest density; NaN where the whole map was kept.
        knob: dB asked for; NaN where there is none.
        original, nbytes, ratio: bytes of the map, bytes stored, one over the other; ``shared`` bytes of
            ``nbytes`` are a network shared with other maps.
        snr: dB over all voxels of the map (part ``many``).
        within_high ... given_least: see :class:`benchmarks.seed_paper.errors.Errors`.
        counts, means, shares: voxels, mean relative error and share within 20 % of each region.
        steps, parameters: of a network; ``cpu_s`` CPU seconds of its training.
        encode_s, decode_s: wall-clock seconds.
        note: in words, what the columns do not say.
    """

    part: str
    map: str
    codec: str
    setting: str
    shape: str
    threshold: float = math.nan
    knob: float = math.nan
    original: int = 0
    nbytes: int = 0
    ratio: float = math.nan
    snr: float = math.nan
    within_high: float = math.nan
    mean_high: float = math.nan
    mean_low: float = math.nan
    mean_all: float = math.nan
    median_low: float = math.nan
    rms: float = math.nan
    least: float = math.nan
    largest: float = math.nan
    given_least: float = math.nan
    counts: str = ""
    means: str = ""
    shares: str = ""
    steps: int = 0
    parameters: int = 0
    cpu_s: float = math.nan
    encode_s: float = math.nan
    decode_s: float = math.nan
    note: str = ""

    @property
    def key(self) -> Key:
        return self.part, self.map, self.codec, self.setting

    @property
    def region_means(self) -> list[float]:
        """Mean relative error of each region of :data:`EDGES`."""
        return _numbers(self.means)

    @property
    def region_shares(self) -> list[float]:
        """Share within 20 % of each region."""
        return _numbers(self.shares)


def error_columns(found: Errors) -> dict[str, Any]:
    """The columns of a row that say how densities came back."""
    columns: dict[str, Any] = {k: v for k, v in asdict(found).items() if k != "regions"}
    columns["counts"] = " ".join(str(region.count) for region in found.regions)
    columns["means"] = " ".join(f"{region.mean:.6g}" for region in found.regions)
    columns["shares"] = " ".join(f"{region.within:.6g}" for region in found.regions)
    return columns


@dataclass(frozen=True)
class Step:
    """A look at a training, for the convergence plots; ``key`` is that of its row."""

    part: str
    map: str
    codec: str
    setting: str
    step: int
    rms: float
    within_high: float

    @property
    def key(self) -> Key:
        return self.part, self.map, self.codec, self.setting


class Records:
    """The rows of ``DIR/points.csv`` and the looks of ``DIR/convergence.csv``.

    A line that a stopped run left unfinished is dropped. Of rows with one key the last counts.

    Raises:
        ValueError: a file has the columns of another version.
    """

    def __init__(self, folder: Path) -> None:
        self._rows, self._steps = folder / "points.csv", folder / "convergence.csv"
        self.rows: dict[Key, Row] = {row.key: row for row in _read(self._rows, Row)}
        self.steps: list[Step] = _read(self._steps, Step)

    def __contains__(self, key: Key) -> bool:
        return key in self.rows

    def of(self, part: str) -> list[Row]:
        """The rows of a part, in the order they were first measured."""
        return [row for row in self.rows.values() if row.part == part]

    def looks(self, key: Key) -> list[Step]:
        """The convergence of a training: of the run that was finished, should one have been stopped."""
        found: list[Step] = []
        for step in self.steps:
            if step.key == key:
                found = [*found, step] if found and step.step > found[-1].step else [step]
        return found

    def add(self, row: Row, steps: list[Step] | None = None) -> None:
        """Append a row, after the looks of its training; kept as written, with six digits."""
        for step in steps or []:
            self.steps.append(_append(self._steps, step))
        self.rows[row.key] = _append(self._rows, row)


def _numbers(text: str) -> list[float]:
    values = [float(value) for value in text.split()]
    return values or [math.nan] * (len(EDGES) - 1)


def _read(path: Path, kind: type[T]) -> list[T]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    rows = csv.DictReader(io.StringIO(whole))
    names = [field.name for field in fields(kind)]
    if whole and rows.fieldnames != names:
        raise ValueError(f"{path} has the columns of another version; choose another folder")
    return [_parse(kind, row) for row in rows]


def _parse(kind: type[T], row: dict[str, str]) -> T:
    kinds = {"str": str, "int": int, "float": float}
    return kind(**{f.name: kinds[str(f.type)](row[f.name]) for f in fields(kind)})


def _append(path: Path, row: T) -> T:
    """Write a line, and return what reading it will give."""
    names = [field.name for field in fields(row)]
    new = not path.exists() or path.stat().st_size == 0
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if new:
        writer.writerow(names)
    values = [getattr(row, name) for name in names]
    words = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
    writer.writerow(words)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
    return _parse(type(row), dict(zip(names, words, strict=True)))
