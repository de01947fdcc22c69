"""Arguments that several commands share: what a map is compressed with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inrcodec.options import MapOptions


def add_map_options(parser: argparse.ArgumentParser) -> None:
    """Quality target, chunks, symmetry, effort, threshold, device, permissive reading."""
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--snr", type=float, metavar="DB", help="signal-to-noise ratio in dB (default: 30)")
    target.add_argument(
        "--max-error", type=float, metavar="E", help="largest error of any voxel, density units"
    )
    target.add_argument("--ratio", type=float, metavar="R", help="original bytes over payload bytes")
    target.add_argument(
        "--fsc", type=float, metavar="C", help="Fourier shell correlation in every shell up to the resolution"
    )
    parser.add_argument(
        "--resolution", type=float, metavar="A", help="angstrom, for --fsc (default: from the map's spectrum)"
    )
    parser.add_argument(
        "--chunks",
        type=int,
        metavar="N",
        help="longest chunk edge (default: 64); a volume with symmetry is one chunk",
    )
    parser.add_argument(
        "--symmetry",
        metavar="GROUP",
        help="store the asymmetric unit once where that saves bytes: auto looks for a point group; C7, D2, "
        "T, O, I ... or helical:RISE,TWIST[,Cn] (angstrom, degrees) names it (default: not looked for)",
    )
    parser.add_argument(
        "--effort", type=int, default=3, metavar="0-9", help="0 needs no PyTorch, 9 is the best (default: 3)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="densities at or below it are stored as 0"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--permissive", action="store_true", help="read maps that break the MRC standard")


def map_options(options: argparse.Namespace) -> MapOptions:
    """The options of :func:`add_map_options`, as one value."""
    from inrcodec.core import parse_target
    from inrcodec.options import MapOptions

    return MapOptions(
        parse_target(options.snr, options.max_error, options.ratio, options.fsc),
        options.resolution,
        options.chunks,
        options.effort,
        options.threshold,
        options.device,
        options.permissive,
        options.symmetry,
    )
