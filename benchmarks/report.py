"""Tables, machine description and map files for the benchmarks."""

from __future__ import annotations

import csv
import datetime
import os
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from tqdm import tqdm

SUFFIXES = (".mrc", ".map", ".ccp4", ".rec")
Row = dict[str, Any]


def find_maps(paths: Iterable[Path]) -> list[Path]:
    """Map files among files and folders, by name within a folder.

    Raises:
        FileNotFoundError: a path does not exist, or a folder holds no map.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _is_map(p))
            if not inside:
                raise FileNotFoundError(f"no map in {path}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"no such map: {path}")
    return found


def read_map(path: Path, crop: int | None = None) -> np.ndarray[Any, Any]:
    """The voxels of a map in the machine's byte order; ``crop`` keeps at most so many a side, centred."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of headers that bend the standard, as deposits do
        with mrcfile.open(path, permissive=True) as mrc:
            data = np.asarray(mrc.data)
    if crop is not None:
        data = data[tuple(slice((n - min(n, crop)) // 2, (n + min(n, crop)) // 2) for n in data.shape)]
    return np.ascontiguousarray(data, data.dtype.newbyteorder("="))


def map_name(path: Path) -> str:
    """The file's name without suffixes that say how it is stored."""
    name = path.name
    for suffix in (".gz", ".bz2", *SUFFIXES):
        name = name.removesuffix(suffix)
    return name


def progress(items: Sequence[Any], what: str) -> Iterator[Any]:
    """Iterate with a progress bar when stderr is a terminal."""
    return iter(tqdm(items, desc=what, disable=not sys.stderr.isatty()))


def machine(gpu: str | None = None) -> Row:
    """Processor, GPU, versions and date, for the head of a result."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": gpu or "none",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; the columns are those of the first row."""
    if not rows:
        return ""
    heads = list(rows[0])
    body = [[_cell(row.get(head)) for head in heads] for row in rows]
    widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
    lines = [heads, ["-" * w for w in widths], *body]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def publish(name: str, rows: Sequence[Row], notes: Sequence[str], out: Path | None) -> None:
    """Print a table and its notes; with a folder, also write ``name.csv`` and ``name.md`` there."""
    text = "\n".join([f"## {name}", "", markdown(rows), "", *notes, ""])
    print(text, flush=True)
    if out is None or not rows:
        return
    out.mkdir(parents=True, exist_ok=True)
    head = ", ".join(f"{key} {value}" for key, value in machine().items())
    (out / f"{name}.md").write_text(f"{text}\n{head}\n", encoding="utf-8")
    write_csv(out / f"{name}.csv", rows)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the columns of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def same_columns(rows: Sequence[Row]) -> list[Row]:
    """The rows with every column that any of them has, None where a row has none."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    return [{head: row.get(head) for head in heads} for row in rows]


def _is_map(path: Path) -> bool:
    name = path.name.removesuffix(".gz").removesuffix(".bz2")
    return path.is_file() and name.endswith(SUFFIXES)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
