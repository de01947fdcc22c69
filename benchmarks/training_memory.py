"""Train the seed paper's network on a set of points larger than the memory allowed.

    python -m benchmarks.training_memory --points 80000000 --limit 1024

writes 80 million points (1.34 GiB) into HDF5, sets the kernel's limit on the process' own memory
(RLIMIT_DATA: heap and private mappings, so an excess is an error, not a figure), trains one pass over all
of them at reduced width, and prints the peak of resident memory. Linux only.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.training import Trained, train
from inrcodec.training_set import CHUNK_POINTS, ShuffledWriter, TrainingSet

_MIB = 2**20
_BATCH = 65_536  # points of a step
_WRITTEN = 2**19  # points at once


def write_points(path: Path, count: int, chunk_points: int = CHUNK_POINTS) -> int:
    """A training set of random positions in a smooth density; returns its bytes."""
    rng = np.random.default_rng(0)
    with ShuffledWriter(path, count, [1.0], chunk_points) as writer:
        for start in range(0, count, _WRITTEN):
            n = min(_WRITTEN, count - start)
            pairs = np.empty((n, 4), np.float32)
            pairs[:, :3] = rng.uniform(-1, 1, (n, 3))
            pairs[:, 3] = np.exp(-3 * np.square(pairs[:, :3]).sum(axis=1))
            writer.put(pairs, 0)
    return path.stat().st_size


def one_pass(path: Path, batch: int = _BATCH) -> Trained:
    """Train a narrow network on every point of a set once."""
    with TrainingSet(path) as points:
        settings = NetworkSettings(
            widths=(16, 8), layers=5, identifier=4, frequencies=2, batch=batch, patience=10**9
        )
        steps = max(1, points.count // batch)
        network = NetworkSettings.from_config({**settings.to_config(), "steps": steps, "interval": steps})
        return train(points, network, 32, device="cpu")


def peak() -> int:
    """Largest resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=80_000_000)
    parser.add_argument("--limit", type=int, default=1024, metavar="MIB", help="memory allowed")
    parser.add_argument("--folder", type=Path, help="for the training set (default: the system's)")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (options.limit * _MIB, options.limit * _MIB))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "points.h5"
        size = write_points(path, options.points)
        print(
            f"training set    {size / _MIB:.0f} MiB, {options.points:,} points; peak {peak()} MiB", flush=True
        )
        trained = one_pass(path)
    print(f"trained         {trained.steps} steps, loss {trained.loss:.3g}")
    print(f"peak memory     {peak()} MiB of {options.limit} allowed")
    return 0 if peak() < options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
