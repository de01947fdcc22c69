"""The command ``inrcodec convert``."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command's parser to those of the program."""
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
