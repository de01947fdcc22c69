"""The command ``inrcodec archive``."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from inrcodec.cli_options import add_map_options, map_options

if TYPE_CHECKING:
    from inrcodec.executors import Executor

OK, NOT_MET, INTERRUPTED = 0, 1, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "sources", metavar="SRC", nargs="+", help="map, folder, glob pattern, or fsspec URL of one of them"
    )
    parser.add_argument("destination", metavar="DEST", help="directory or fsspec URL of the archive")
    add_map_options(parser)
    parser.add_argument("--zarr-format", type=int, choices=(2, 3), default=3, help="default: 3")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask cluster whose workers do it, or 'local': a cluster of --workers processes here "
        "(default there: one for each core)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every map back from DEST and compare; only then is its source safe to remove",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace maps in DEST whose source or options are others now",
    )


def run(options: argparse.Namespace) -> int:
    """Archive, print what failed and a summary; the exit code is not 0 where any map failed."""
    from tqdm import tqdm

    from inrcodec import archive

    # disable=None: only where the standard error is a terminal
    with (
        _executor(options.scheduler, options.workers) as executor,
        tqdm(total=0, desc="archiving", unit="B", unit_scale=True, disable=None) as bar,
    ):

        def progress(maps: int, of: int, nbytes: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(f"{maps} of {of} maps", refresh=False)
            bar.update(nbytes - bar.n)

        try:
            records = archive.run(
                options.sources,
                options.destination,
                options=map_options(options),
                zarr_format=options.zarr_format,
                verify=options.verify,
                overwrite=options.overwrite,
                executor=executor,
                progress=progress,
            )
        except KeyboardInterrupt:
            print("inrcodec: interrupted; the same command goes on from here", file=sys.stderr)
            return INTERRUPTED
    failed = [record for record in records if record["status"] == "failed"]
    for record in failed:
        print(f"inrcodec: {record['source']}: {record['reason']}", file=sys.stderr)
    print("\n".join(summary(records)))
    return NOT_MET if failed else OK


def _executor(scheduler: str | None, workers: int | None) -> AbstractContextManager[Executor]:
    from inrcodec import executors

    if scheduler is not None:
        from inrcodec import cluster

        return cluster.connected(scheduler, workers)
    return nullcontext(executors.here if workers in (None, 1) else executors.processes(workers))


def summary(records: list[dict[str, object]]) -> list[str]:
    """What was archived, in words."""
    counts = {word: sum(r["status"] == word for r in records) for word in ("archived", "verified", "failed")}
    out = ["maps            " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)]
    sizes = [r["bytes"] for r in records if r["status"] != "failed"]
    densities = sum(size["densities"] for size in sizes)  # type: ignore[index]
    stored = sum(size["stored"] for size in sizes)  # type: ignore[index]
    if stored:
        out.append(f"bytes           {stored:,} in all, densities {densities:,}")
        out.append(f"ratio           {densities / stored:.2f}")
    return out
