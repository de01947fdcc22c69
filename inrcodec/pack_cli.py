"""The commands ``inrcodec pack`` and ``inrcodec unpack``, and what ``inrcodec info`` says of a container."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]

OK, NOT_MET, INTERRUPTED = 0, 1, 130


def add_commands(command: Command) -> None:
    """Add the parsers; ``command`` makes one of a name, a function and a sentence."""
    sub = command("pack", _pack, "Pack MRC maps into one file that shares a network.")
    sub.add_argument("maps", metavar="MAP", nargs="+", help="as for compress")
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="file to make, usually .inr")
    sub.add_argument(
        "--field", choices=("mlp", "local-fourier"), default="mlp", help="mlp is the seed paper's (default)"
    )
    sub.add_argument(
        "--threshold", type=float, metavar="T", help="densities at or below it are stored as 0 (mlp: 0)"
    )
    sub.add_argument(
        "--network",
        metavar="JSON",
        type=_mapping,
        help='mlp: for example \'{"widths": [64, 32], "steps": 500}\'',
    )
    sub.add_argument("--weight-bits", type=int, choices=(8, 16, 32), help="mlp: of a weight (default: 32)")
    target = sub.add_mutually_exclusive_group()
    target.add_argument("--snr", type=float, metavar="DB", help="local-fourier: dB of each map (default: 30)")
    target.add_argument("--max-error", type=float, metavar="E", help="local-fourier: of any voxel")
    sub.add_argument("--chunks", type=int, default=64, metavar="N", help="local-fourier: edge (default: 64)")
    sub.add_argument(
        "--no-predict", action="store_true", help="local-fourier: predict no map from those before it"
    )
    sub.add_argument("--effort", type=int, default=3, metavar="0-9", help="local-fourier (default: 3)")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    sub.add_argument("--overwrite", action="store_true", help="replace FILE once the new one is complete")
    sub.add_argument("--restart", action="store_true", help="discard an interrupted training")
    sub.add_argument("--permissive", action="store_true", help="read maps that break the MRC standard")

    sub = command("unpack", _unpack, "Write the maps of a packed file, with the headers they came with.")
    sub.add_argument("file", metavar="FILE")
    sub.add_argument("-d", "--directory", default=".", metavar="DIR", help="made if missing (default: .)")
    sub.add_argument("--device", default="numpy", help="numpy, cpu, cuda or cuda:N (default: numpy)")
    sub.add_argument("--overwrite", action="store_true", help="replace maps that are there")


def description(path: str) -> list[str]:
    """What a container says of itself, line by line.

    Raises:
        OSError, ValueError: it cannot be read, is no container, or is damaged.
    """
    from inrcodec.container import FIELDS, MAGIC, Container
    from inrcodec.unpack import reference_distances, saved_bytes, shared_words

    data = Path(path).read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{path} is not a directory and not a packed file")
    container = Container.from_bytes(data)
    name = next(name for name, field in FIELDS.items() if field == container.field)
    original = sum(_voxels(packed.shape) * packed.dtype.itemsize for packed in container.maps)
    out = [
        f"container       {len(container.maps)} maps, field {name}",
        f"network         {shared_words(container)}; {len(container.shared):,} bytes, shared",
        f"bytes           {len(data):,} in all, original {original:,}",
        f"ratio           {original / len(data):.2f}",
    ]
    for i, packed in enumerate(container.maps):
        shape = " x ".join(map(str, packed.shape))
        stored = sum(map(len, packed.payloads))
        line = f"map             {packed.name}: {shape} {packed.dtype}, {stored:,} bytes of its own"
        back = {d for distances in reference_distances(packed) for d in distances if d <= i}
        names = [container.maps[i - distance].name for distance in sorted(back, reverse=True)]
        out.append(line + _predicted_words(names, saved_bytes(packed)))
    return out


def _predicted_words(references: Sequence[str], saved: int) -> str:
    """What a map is predicted from."""
    return f"; predicted from {', '.join(references)}: {saved:,} bytes saved" if references else ""


def _pack(options: argparse.Namespace) -> int:
    from inrcodec import pack, report

    try:
        with report.Bars() as bars:
            result = pack.pack(
                options.maps,
                options.output,
                field=options.field,
                threshold=options.threshold,
                network=options.network,
                weight_bits=options.weight_bits,
                snr=options.snr,
                max_error=options.max_error,
                effort=options.effort,
                chunks=options.chunks,
                predict=not options.no_predict,
                device=options.device,
                overwrite=options.overwrite,
                restart=options.restart,
                permissive=options.permissive,
                progress=bars,
            )
    except KeyboardInterrupt:
        kept = (pack.work_directory(options.output) / "checkpoint.npz").exists()
        then = "the same command goes on from the last checkpoint" if kept else "nothing is written"
        print(f"inrcodec: interrupted, {then}", file=sys.stderr)
        return INTERRUPTED
    if result.resumed:
        print(f"resumed         at step {result.resumed:,}")
    print(f"network         {result.network}; {result.shared:,} bytes, shared")
    for packed in result.maps:
        met = "" if packed.met else "; target NOT MET"
        saved = _predicted_words(packed.references, packed.alone - packed.stored)
        print(
            f"map             {packed.name}: {packed.stored:,} bytes of {packed.original:,}, "
            f"SNR {packed.quality.snr:.2f} dB, largest error {packed.quality.max_error:.6g}{saved}{met}"
        )
    print(f"bytes           {result.total:,} in all, ratio {result.ratio:.2f}")
    return OK if all(packed.met for packed in result.maps) else NOT_MET


def _unpack(options: argparse.Namespace) -> int:
    from inrcodec import report, unpack

    with report.Bars() as bars:
        unpack.unpack(
            options.file,
            options.directory,
            overwrite=options.overwrite,
            device=options.device,
            progress=bars,
        )
    return OK


def _mapping(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def _voxels(shape: tuple[int, ...]) -> int:
    out = 1
    for n in shape:
        out *= n
    return out
