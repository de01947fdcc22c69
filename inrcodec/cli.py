"""The command line: ``inrcodec compress``, ``decompress``, ``info``, ``verify``, ``archive``, ``convert``,
``references``, ``pack``, ``unpack`` and ``demo``.

Exit codes: 0 done, 1 the quality target is not met or the store was changed, 2 bad usage or input (one line
on the standard error), 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from inrcodec import archive_cli, convert_command, pack_cli
from inrcodec.cli_options import add_map_options, map_options

OK, NOT_MET, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_EXTRA = "the command line needs more packages: pip install 'inrcodec[mrc]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``arguments`` are the process' own when not given."""
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        # What mrcfile says of a map in permissive mode is for the user: one line each, without its source.
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = _show_warning
        try:
            return int(options.run(options))
        except ModuleNotFoundError as error:
            if error.name == "h5py":
                return _fail("HDF5 files and packing need h5py: pip install 'inrcodec[pack]'")
            if error.name in {"zarr", "mrcfile", "tqdm"}:
                return _fail(f"{_EXTRA} ({error.name} is missing)")
            if error.name == "matplotlib":
                return _fail("a plot needs matplotlib: pip install matplotlib")
            if error.name == "torch":
                return _fail("training needs PyTorch: install torch, or use --effort 0")
            raise
        except (OSError, ValueError, TypeError, ImportError) as error:
            return _fail(str(error))
        except KeyboardInterrupt:
            print("inrcodec: interrupted, nothing is written", file=sys.stderr)
            return INTERRUPTED


def _fail(message: str) -> int:
    print(f"inrcodec: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"inrcodec: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inrcodec",
        description="Cryo-EM density as implicit neural representations, stored in zarr chunks.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("compress", _compress, "Compress an MRC map into a zarr store (OME-Zarr).")
    sub.add_argument(
        "map", metavar="MAP", help=".mrc, .map, .ccp4, .rec or .st, also .gz and .bz2 of them; or a URL"
    )
    sub.add_argument("store", metavar="STORE", help="directory or fsspec URL to make")
    add_map_options(sub)
    sub.add_argument("--zarr-format", type=int, choices=(2, 3), default=3, help="default: 3")
    sub.add_argument(
        "--pyramid",
        type=int,
        nargs="?",
        const=None,
        default=1,
        metavar="LEVELS",
        help="resolution levels in all, each half as fine as the one before "
        "(without LEVELS: until one is a single chunk)",
    )
    sub.add_argument("--overwrite", action="store_true", help="replace STORE once the new one is complete")

    sub = command("decompress", _decompress, "Write the map of a store, with the headers it came with.")
    sub.add_argument("store", metavar="STORE")
    sub.add_argument("map", metavar="MAP", help="file to make; .gz and .bz2 are compressed")
    sub.add_argument("--overwrite", action="store_true", help="replace MAP")

    sub = command("info", _info, "Say what a store or a packed file holds, without decoding it.")
    sub.add_argument("store", metavar="STORE")

    sub = command("verify", _verify, "Compare a store with its map; exit code 1 when the target is not met.")
    sub.add_argument("map", metavar="MAP")
    sub.add_argument("store", metavar="STORE")
    sub.add_argument("--plot", metavar="PNG", help="save the Fourier shell correlation as a picture")
    sub.add_argument(
        "--half-maps",
        nargs=2,
        metavar=("A", "B"),
        help="compress two half-maps as STORE was, and say what that changes at their FSC of 0.143",
    )
    sub.add_argument("--permissive", action="store_true", help="read maps that break the MRC standard")

    convert_command.add(commands)  # and references
    pack_cli.add_commands(command)
    archive_cli.add_arguments(
        command("archive", archive_cli.run, "Compress many maps into one zarr group, with a manifest.")
    )

    sub = command("demo", _demo, "Compress a generated map, read it back, and compare with other codecs.")
    sub.add_argument("--size", type=int, default=96, metavar="N", help="voxels per axis (default: 96)")
    sub.add_argument("--snr", type=float, default=30.0, metavar="DB", help="default: 30")
    sub.add_argument("--effort", type=int, default=3, metavar="0-9", help="default: 3")
    sub.add_argument("--picture", metavar="PNG", help="save slices and Fourier shell correlation")
    return parser


def _compress(options: argparse.Namespace) -> int:
    from inrcodec import maps, report

    with report.Bars() as bars:
        result = maps.compress(
            options.map,
            options.store,
            **map_options(options).arguments(),
            zarr_format=options.zarr_format,
            overwrite=options.overwrite,
            pyramid=options.pyramid,
            progress=bars,
        )
    print("\n".join(report.lines(result)))
    return OK if result.met else NOT_MET


def _decompress(options: argparse.Namespace) -> int:
    from inrcodec import maps, report

    with report.Bars() as bars:
        unchanged = maps.decompress(options.store, options.map, overwrite=options.overwrite, progress=bars)
    if not unchanged:
        print(f"inrcodec: {options.store} was changed after it was made", file=sys.stderr)
        return NOT_MET
    return OK


def _info(options: argparse.Namespace) -> int:
    from inrcodec import report, store

    if Path(options.store).is_file():
        print("\n".join(pack_cli.description(options.store)))
        return OK
    print("\n".join(report.description(store.describe(options.store))))
    return OK


def _verify(options: argparse.Namespace) -> int:
    from inrcodec import half_maps, maps, report

    with report.Bars() as bars:
        result = maps.verify(options.map, options.store, permissive=options.permissive, progress=bars)
        halves = None
        if options.half_maps:
            first, second = options.half_maps
            halves = half_maps.compare(
                first, second, options.store, permissive=options.permissive, progress=bars
            )
    print("\n".join(report.lines(result) + (half_maps.lines(halves) if halves is not None else [])))
    if options.plot:
        report.plot_fsc(result, options.plot)
    return OK if result.met else NOT_MET


def _demo(options: argparse.Namespace) -> int:
    from inrcodec import demo

    met = demo.run(size=options.size, snr=options.snr, effort=options.effort, picture=options.picture)
    return OK if met else NOT_MET
