"""The same bytes on every device, and how fast: ``python -m benchmarks.device [--device cuda]``.

Golden payloads (``tests/golden/*.inr``) must decode to their recorded SHA-256 with NumPy, with PyTorch on one
and two threads of the CPU and, with ``--device cuda``, on the GPU. Then generated 64^3 and 128^3 chunks are
encoded and decoded one by one and in batches. Needs no data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import latency, report
from inrcodec import core, synthetic

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"


def sha256(chunk: np.ndarray[Any, Any]) -> str:
    """Of the voxels in C order, in the dtype and byte order they decode to."""
    return hashlib.sha256(np.ascontiguousarray(chunk).tobytes()).hexdigest()


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """PyTorch on ``count`` CPU threads, or as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def places(device: str) -> list[tuple[str, str, int | None]]:
    """Name, device and CPU threads of every place that must give the same voxels."""
    found: list[tuple[str, str, int | None]] = [
        ("numpy", "numpy", None),
        ("torch cpu 1 thread", "cpu", 1),
        ("torch cpu 2 threads", "cpu", 2),
    ]
    return found + ([(device, device, None)] if device != "cpu" else [])


def exactness(golden: Path, device: str, generated: Sequence[bytes]) -> list[report.Row]:
    """SHA-256 of golden payloads and of generated ones, everywhere; a row for each payload."""
    rows: list[report.Row] = []
    cases: list[tuple[str, bytes, core.VolumeModel | None, str | None]] = []
    for path in sorted(golden.glob("*.inr")):
        beside = path.with_suffix(".sha256")
        recorded = beside.read_text(encoding="ascii").split()[0] if beside.exists() else None
        networks = path.with_suffix(".json")
        volume = core.VolumeModel.from_config(json.loads(networks.read_text())) if networks.exists() else None
        cases.append((path.name, path.read_bytes(), volume, recorded))
    cases += [(f"generated {i}", payload, None, None) for i, payload in enumerate(generated)]
    for name, payload, volume, recorded in cases:
        row: report.Row = {"payload": name, "sha256": recorded}
        for place, where, count in places(device):
            with threads(count):
                (chunk,) = core.decode_many([payload], volume=volume, device=where)
            digest = sha256(chunk)
            # A generated payload has no record: NumPy's voxels are the measure.
            row["sha256"] = row["sha256"] or digest
            row[place] = "same" if digest == row["sha256"] else f"DIFFERS {digest[:12]}"
        rows.append(row | {"sha256": str(row["sha256"])[:12]})
    return rows


def throughput(
    device: str, sizes: Sequence[int], batch: int, efforts: Sequence[int], repeats: int
) -> tuple[list[report.Row], list[bytes]]:
    """Mvoxel/s one by one and batched, medians after a warm-up of the same shape; and some payloads."""
    rows: list[report.Row] = []
    kept: list[bytes] = []
    jobs = [(size, effort, many) for size in sizes for effort in efforts for many in (1, batch)]
    decoders = ("numpy", "cpu") if device == "cpu" else ("numpy", "cpu", device)
    for size, effort, many in report.progress(jobs, "throughput"):
        chunks = [synthetic.generate((size,) * 3, noise=0.05, seed=seed) for seed in range(many)]
        settings = core.Settings(effort=effort)
        payloads = core.encode_many(chunks, settings, device=device)
        kept += payloads[:1]
        mvoxel = many * size**3 / 1e6

        def rate(call: Any, mvoxel: float = mvoxel) -> float:
            return mvoxel / statistics.median(latency.timed(call)[1] for _ in range(repeats))

        row: report.Row = {
            "chunk": f"{size}^3",
            "batch": many,
            "effort": effort,
            "encode Mvoxel/s": rate(lambda c=chunks, s=settings: core.encode_many(c, s, device=device)),
        }
        for where in decoders:
            core.decode_many(payloads, device=where)
            row[f"decode Mvoxel/s {where}"] = rate(lambda p=payloads, w=where: core.decode_many(p, device=w))
        row["bits"] = sum(map(len, payloads)) * 8 / (many * size**3)
        if device == "cuda":
            row["peak GPU MiB"] = torch.cuda.max_memory_allocated() / 2**20
            torch.cuda.reset_peak_memory_stats()
        rows.append(row)
    return rows, kept


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--golden", type=Path, default=GOLDEN)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--efforts", type=int, nargs="+", default=[3, 0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    head = report.machine(gpu) | {"torch": torch.__version__, "device": options.device}
    rates, payloads = throughput(
        options.device, options.sizes, options.batch, options.efforts, options.repeats
    )
    exact = exactness(options.golden, options.device, payloads)
    differ = [row for row in exact if any(str(value).startswith("DIFFERS") for value in row.values())]
    verdict = f"{len(exact)} payloads, {len(differ)} differ between devices or from their record"
    text = "\n\n".join(
        [
            f"# {gpu or head['processor']}, {head['date']}",
            "\n".join(f"* {key}: {value}" for key, value in head.items()),
            "## Throughput, medians",
            report.markdown(rates),
            "## Exactness",
            report.markdown(exact),
            verdict,
        ]
    )
    print(text)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{gpu or head['processor']} {head['date']}").strip("-").lower()
        result = {"machine": head, "throughput": rates, "exactness": exact}
        (options.out / f"device-{name}.json").write_text(
            json.dumps(result, indent=2) + "\n", encoding="utf-8"
        )
        (options.out / f"device-{name}.md").write_text(text + "\n", encoding="utf-8")
    return 1 if differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
