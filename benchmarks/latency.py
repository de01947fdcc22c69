"""Seconds: one generated chunk through a bare ``INRCodec()``, and the import of the package."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from benchmarks import report
from inrcodec import INRCodec, synthetic

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and the seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def squared_error(volume: np.ndarray[Any, Any], back: np.ndarray[Any, Any]) -> float:
    """Sum over all voxels, in float64; voxels that are not finite must come back as they are and count 0."""
    finite = np.isfinite(volume)
    if not np.array_equal(volume[~finite], back[~finite], equal_nan=True):
        raise RuntimeError("voxels that are not finite did not come back")
    error = (back.astype(np.float64) - volume.astype(np.float64))[finite]
    return float(np.vdot(error, error))


def rows(repeats: int = 7, size: int = 64) -> list[report.Row]:
    """Median seconds to encode and decode after warm-up, at the default effort and 0, and to import."""
    volumes = [synthetic.generate((size,) * 3, noise=0.05, seed=seed) for seed in range(repeats + 1)]
    table: list[report.Row] = []
    for effort in (None, 0):
        codec = INRCodec() if effort is None else INRCodec(effort=effort)
        codec.decode(codec.encode(volumes[-1]))
        busy = time.process_time()
        encoded = [timed(lambda v=v, c=codec: c.encode(v)) for v in volumes[:-1]]  # type: ignore[misc]
        busy = time.process_time() - busy
        decoded = [timed(lambda p=p, c=codec: c.decode(p))[1] for p, _ in encoded]  # type: ignore[misc]
        decode_s = statistics.median(decoded)
        table.append(
            {
                "what": f"INRCodec({'' if effort is None else f'effort={effort}'}), {size}^3 float32",
                "encode s": statistics.median(seconds for _, seconds in encoded),
                # Well above the seconds: several threads; well below: the machine is doing something else.
                "encode CPU s": busy / repeats,
                "decode s": decode_s,
                "decode Mvoxel/s": size**3 / decode_s / 1e6,
                "bits": statistics.median(len(payload) * 8 / size**3 for payload, _ in encoded),
            }
        )
    for what, statement in (("Python itself", "pass"), ("import inrcodec", "import inrcodec")):
        command = [sys.executable, "-c", statement]
        runs = [timed(lambda c=command: subprocess.run(c, check=True))[1] for _ in range(repeats)]  # type: ignore[misc]
        table.append({"what": what, "encode s": statistics.median(runs)})
    return table
