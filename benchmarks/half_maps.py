"""What prediction between the volumes of a container saves: ``python -m benchmarks.half_maps``.

Generated half-maps and a map made of both, packed as ``inrcodec pack --field local-fourier`` does, with and
without prediction. Bytes are those of the payloads, at an SNR that every map meets.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import mrcfile

from benchmarks import report
from inrcodec.pack import Packed, pack
from inrcodec.synthetic_half_maps import HalfMapSet, half_maps

FULL = ("mean", "wiener", "sharpened", "masked")
KINDS = {"unfiltered": False, "regularised": True}


def rows(size: int, snrs: list[float], effort: int) -> list[report.Row]:
    """A row for each kind of halves, SNR and map made of them."""
    table: list[report.Row] = []
    for kind, regularised in KINDS.items():
        maps = half_maps(size, regularised=regularised)
        for snr in snrs:
            for full in FULL:
                head = {"halves": kind, "of both": full, "dB": snr}
                table.append({**head, **measured(maps, full, snr, effort)})
    return table


def measured(maps: HalfMapSet, full: str, snr: float, effort: int) -> report.Row:
    """Bytes of three maps, each alone and predicted from those before it.

    Raises:
        RuntimeError: a map misses the target.
    """
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for name in ("half1", "half2", full):
            paths.append(Path(directory) / f"{name}.mrc")
            mrcfile.write(paths[-1], getattr(maps, name))
        output = Path(directory) / "maps.inr"
        device = "cpu" if effort else "numpy"
        packed = pack(paths, output, field="local-fourier", snr=snr, effort=effort, device=device).maps
    missed = [one.name for one in packed if not one.met]
    if missed:
        raise RuntimeError(f"{missed} miss {snr} dB")
    row: report.Row = {}
    for name, one in zip(("half1", "half2", "full"), packed, strict=True):
        row[name] = one.alone
        if name != "half1":
            row[f"{name} predicted"] = one.stored
    spare = packed[0].quality.snr - snr  # dB, that maps alone exceed the target by: predicted ones hardly do
    return {**row, "full, %": _change(packed[2:]), "three, %": _change(packed), "spare dB": spare}


def _change(packed: tuple[Packed, ...]) -> float:
    return 100 * (sum(one.stored for one in packed) / sum(one.alone for one in packed) - 1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_maps", description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="voxels a side (default: 64)")
    parser.add_argument("--snr", type=float, nargs="+", default=[20.0, 30.0], metavar="DB")
    parser.add_argument("--effort", type=int, default=0, metavar="0-9", help="default: 0")
    options = parser.parse_args(arguments)
    print(report.markdown(rows(options.size, options.snr, options.effort)))


if __name__ == "__main__":
    main()
