"""``python -m inrcodec.native build --out DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from inrcodec.native.build import BuildError, build


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m inrcodec.native", description="The HDF5 plugin in C.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="compile the plugin with the system's C compiler")
    command.add_argument("--out", required=True, metavar="DIR", help="folder for HDF5_PLUGIN_PATH")
    command.add_argument("--compiler", help="the C compiler's command (default: CC, or cc)")
    command.add_argument(
        "--no-blosc", action="store_true", help="leave out Blosc: lossless chunks are refused"
    )
    chosen = parser.parse_args(arguments)
    try:
        path = build(chosen.out, compiler=chosen.compiler, blosc=not chosen.no_blosc)
    except (BuildError, OSError) as error:
        print(f"inrcodec.native: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
