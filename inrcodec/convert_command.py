"""The commands ``inrcodec convert`` and ``inrcodec references``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the commands' parsers to those of the program."""
    text = "Copy a zarr store or an HDF5 file into another format, chunk bytes as they are."
    sub = commands.add_parser("convert", help=text, description=text)
    sub.set_defaults(run=run)
    sub.add_argument("source", metavar="SRC", help="zarr group or array (format 2 or 3), or HDF5 file")
    sub.add_argument(
        "target", metavar="DEST", help="HDF5 file if it ends in .h5, .hdf5 or .hdf, else zarr group"
    )
    sub.add_argument("--zarr-format", type=int, choices=(2, 3), help="default: 3")
    sub.add_argument(
        "--shard", type=int, metavar="N", help="N chunks along each axis into one file (zarr format 3)"
    )
    sub.add_argument("--overwrite", action="store_true", help="replace DEST once the new one is complete")

    text = "Write a reference file, through which zarr reads an HDF5 file as it is."
    sub = commands.add_parser("references", help=text, description=text)
    sub.set_defaults(run=run_references)
    sub.add_argument("source", metavar="HDF5")
    sub.add_argument("target", metavar="JSON", help="file to make, for fsspec's reference file system")
    sub.add_argument("--url", help="where readers find HDF5, in fsspec's notation (default: its path)")
    sub.add_argument("--zarr-format", type=int, choices=(2, 3), default=3, help="default: 3")
    sub.add_argument("--overwrite", action="store_true", help="replace JSON")


def run(options: argparse.Namespace) -> int:
    """Convert, say how many chunks were copied, and return the exit code."""
    from inrcodec.convert import convert
    from inrcodec.report import Bars

    with Bars() as bars:
        count = convert(
            options.source,
            options.target,
            zarr_format=options.zarr_format,
            shard=options.shard,
            overwrite=options.overwrite,
            progress=lambda fraction: bars("copying", fraction),
        )
    print(f"{count} chunks copied from {options.source} to {options.target}")
    return 0


def run_references(options: argparse.Namespace) -> int:
    """Write the reference file and return the exit code.

    Raises:
        FileExistsError: the file exists and is not to be replaced.
    """
    from inrcodec.references import hdf5_references
    from inrcodec.replacing import replacing

    target = Path(options.target)
    if target.exists() and not options.overwrite:
        raise FileExistsError(f"{target} exists; --overwrite replaces it")
    references = hdf5_references(options.source, url=options.url, zarr_format=options.zarr_format)
    with replacing(target) as partial:
        partial.write_text(json.dumps(references))
    chunks = sum(isinstance(reference, list) for reference in references["refs"].values())
    print(f"{chunks} chunks of {options.source} in {target}")
    return 0
