"""Throughput of archives by workers: ``python -m benchmarks.archive MAPS... --workers 1 2``.

Maps of the given files and folders, and generated ones up to ``--count``, are archived with each number of
workers into a fresh directory, by the command itself. The workers of a run share the machine's cores evenly
(``--threads`` gives each so many). Prints seconds, throughput and its ratio to the first number of workers,
whether the manifests are complete and equal, and the bytes that a scheduler would pass on for each map
(``--scheduler local`` archives through one).
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import mrcfile
import numpy as np

from benchmarks import report
from inrcodec import synthetic
from inrcodec.archive_task import Task


def collect(paths: Sequence[Path], folder: Path, count: int, size: int) -> int:
    """Fill a folder with real maps, cut to ``size`` voxels a side, and generated ones; how many are real."""
    real = report.find_maps(paths)[:count]
    rng = np.random.default_rng(0)
    for number in range(count):
        if number < len(real):
            data, name = report.read_map(real[number], size), real[number].name.split(".")[0]
        else:
            data, name = synthetic.random_map(rng, size), "generated"
        with mrcfile.new(folder / f"{number:02d}_{name}.mrc", np.ascontiguousarray(data)) as file:
            file.voxel_size = 1.0
    return len(real)


def measure(
    maps: Path, destination: Path, workers: int, threads: int | None, options: Sequence[str]
) -> float:
    """Seconds that the command takes.

    Raises:
        RuntimeError: it failed.
    """
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["OMP_NUM_THREADS"] = str(threads or max(1, (os.cpu_count() or 1) // workers))
    start_it = "import sys; from inrcodec.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start_it, "archive", maps, destination, "--workers", str(workers)]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, *options], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{workers} workers: exit code {done.returncode}: {done.stdout}")
    return seconds


def records(destination: Path) -> dict[str, str]:
    """SHA-256 of the source by target, of the maps that the manifest lists as finished."""
    listed = json.loads(Path(f"{destination}.manifest.json").read_text())["maps"]
    return {r["target"]: r["sha256"] for r in listed if r["status"] != "failed"}


def traffic(destination: Path) -> tuple[float, float, float]:
    """Mean bytes of each map: its task and its record as a scheduler passes them on, and in the manifest."""
    manifest = Path(f"{destination}.manifest.json")
    listed = json.loads(manifest.read_text())["maps"]
    tasks = [len(pickle.dumps(Task(r["source"], str(destination), r["target"]))) for r in listed]
    results = [len(pickle.dumps(r)) for r in listed]
    return float(np.mean(tasks)), float(np.mean(results)), manifest.stat().st_size / len(listed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("maps", nargs="*", type=Path, metavar="MAPS", help="files or folders of MRC maps")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2], help="default: 1 2")
    parser.add_argument("--count", type=int, default=30, help="maps in all (default: 30)")
    parser.add_argument("--size", type=int, default=64, help="voxels a side, at most (default: 64)")
    parser.add_argument("--threads", type=int, help="threads of each worker (default: cores over workers)")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, or 'local' (default: no Dask)")
    parser.add_argument("--effort", type=int, default=3, help="default: 3")
    parser.add_argument("--snr", type=float, default=30.0, help="default: 30")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "maps").mkdir()
        real = collect(options.maps, folder / "maps", options.count, options.size)
        total = sum(path.stat().st_size for path in (folder / "maps").iterdir())
        print(f"{real} real and {options.count - real} generated maps, {total / 1e6:.1f} MB")
        settings = ["--effort", str(options.effort), "--snr", str(options.snr)]
        if options.scheduler:
            settings += ["--scheduler", options.scheduler]
        first, found = None, []
        for workers in options.workers:
            destination = folder / f"archive-{workers}.zarr"
            load = os.getloadavg()[0]
            seconds = measure(folder / "maps", destination, workers, options.threads, settings)
            first = first or seconds
            found.append(records(destination))
            print(
                f"{workers} workers: {seconds:.1f} s, {total / seconds / 1e6:.2f} MB/s, "
                f"{first / seconds:.2f} times the first; {len(found[-1])} of {options.count} maps in the "
                f"manifest; load before {load:.1f}",
                flush=True,
            )
        task, record, listed = traffic(destination)
        print(f"bytes a map: task {task:.0f}, record {record:.0f}, in the manifest {listed:.0f}")
    same = all(listed == found[0] for listed in found)
    print("the manifests list the same maps by checksum" if same else "the manifests DIFFER")
    return 0 if same and all(len(listed) == options.count for listed in found) else 1


if __name__ == "__main__":
    sys.exit(main())
