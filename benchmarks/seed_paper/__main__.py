"""The claims of the seed paper (arXiv:2512.12975): ``python -m benchmarks.seed_paper MAPS... --out DIR``.

Its own table beside gzip, JPEG 2000 and the local-Fourier field, its experiments, its open questions. Every
figure is appended to DIR/points.csv at once: a run that is stopped goes on where it stopped when it is
started again. Tables and pictures are made from that file at the end, or from what it holds by
``--report-only``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.seed_paper import errors, models, packing, parts, summary
from benchmarks.seed_paper.bench import Bench, Map, Plan
from benchmarks.seed_paper.records import Records

PARTS = ("table", "experiments", "traits", "low", "many", "packed")
TRAINED = ("hsp60_sta", "emd_1997", "betagal", "ribosome_crop", "emd_11007")
EXPERIMENTS = "emd_5625"
RESOLUTIONS = (5, 10, 15, 20)  # angstrom, of generated maps
QUICK = Plan(table_steps=300, experiment_steps=250, pack_steps=200, experiment_side=32)
QUICK_SIDE = 32


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed_paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("maps", nargs="*", type=Path, help="MRC files, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder for figures, tables and pictures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument(
        "--train-on",
        nargs="+",
        metavar="MAP",
        help=f"maps of the paper's table; default: those of {', '.join(TRAINED)} that there are, or one",
    )
    parser.add_argument(
        "--experiments-on", nargs="+", metavar="MAP", help=f"default: {EXPERIMENTS}, else the first map"
    )
    parser.add_argument(
        "--crop", type=int, help="longest side of a map, the densest box is kept; 0 is all, default 48"
    )
    parser.add_argument("--steps", type=int, help="of Adam, for every network")
    parser.add_argument("--batch", type=int, help="points of a step")
    parser.add_argument("--learning-rate", type=float, help="of Adam")
    parser.add_argument("--widths", type=int, nargs="+", help="hidden widths; default: those of a ratio of 4")
    parser.add_argument("--effort", type=int, default=0, help="of the local-Fourier field, default 0")
    parser.add_argument("--device", default="auto", help="where networks are trained")
    parser.add_argument("--quick", action="store_true", help="two maps, crops of 32, few steps")
    parser.add_argument("--no-models", action="store_true", help="no maps generated with gemmi")
    parser.add_argument("--report-only", action="store_true", help="tables and pictures of what is there")
    options = parser.parse_args(arguments)
    if not options.maps and not options.report_only:
        parser.error("give maps, or --report-only")
    if options.crop is None:
        options.crop = QUICK_SIDE if options.quick else 48
    return options


def make_plan(options: argparse.Namespace) -> Plan:
    """The plan of the command line."""
    plan = replace(QUICK if options.quick else Plan(), device=options.device, effort=options.effort)
    if options.steps:
        plan = replace(
            plan, table_steps=options.steps, experiment_steps=options.steps, pack_steps=options.steps
        )
    if options.batch:
        plan = replace(plan, batch=options.batch)
    if options.learning_rate:
        plan = replace(plan, learning_rate=options.learning_rate)
    if options.widths:
        plan = replace(plan, widths=tuple(options.widths))
    return plan


def load(paths: Sequence[Path], crop: int) -> list[Map]:
    """Maps, each cut to its densest box of ``crop`` voxels a side; 0 keeps all."""
    found = []
    for path in paths:
        data = report.read_map(path)
        if data.dtype.name not in ("float32", "int8", "uint8", "int16", "uint16"):
            data = data.astype(np.float32)
        found.append(Map(report.map_name(path), errors.densest_crop(data, crop) if crop else data))
    return found


def generate(crop: int, resolutions: Sequence[int] = RESOLUTIONS) -> list[Map]:
    """Maps of the made-up models at every resolution."""
    found = []
    for shape in models.SHAPES:
        model = models.structure(shape)
        for resolution in resolutions:
            data, _ = models.density(model, float(resolution))
            data = errors.densest_crop(data, crop) if crop else data
            found.append(Map(f"{shape}_{resolution}A", data, generated=True))
    return found


def pick(maps: Sequence[Map], asked: Sequence[str] | None, usual: Sequence[str]) -> list[Map]:
    """The maps asked for by name, or those of the usual ones that are there, or the first.

    Raises:
        ValueError: a map that was asked for is not there.
    """
    known = {volume.name: volume for volume in maps}
    if asked:
        if missing := [name for name in asked if name not in known]:
            raise ValueError(f"no such map: {', '.join(missing)}; there are {', '.join(known)}")
        return [known[name] for name in asked]
    return [known[name] for name in usual if name in known] or list(maps[:1])


def measure_all(options: argparse.Namespace, records: Records) -> None:
    """All parts that are asked for."""
    real = load(report.find_maps(options.maps), options.crop)
    made = [] if options.no_models else generate(options.crop)
    if options.quick:
        real, made = pick(real, options.train_on, TRAINED)[:2], made[1::4]
    plan = make_plan(options)
    trained = pick(real, options.train_on, TRAINED)
    studied = pick(real, options.experiments_on, (EXPERIMENTS,))
    work = {
        "table": (parts.table, trained, 3),
        "experiments": (parts.experiments, studied, 10),
        "traits": (parts.traits, real, 1),
        "low": (parts.low, real, 1),
        "many": (parts.many, [*real, *made], 1),
        "packed": (packing.packed, [m for m in made if not m.name.endswith("_5A")], 0),
    }
    total = sum(len(work[name][1]) * work[name][2] + 2 * (name == "packed") for name in options.parts)
    with tqdm(total=total, disable=not sys.stderr.isatty()) as bar:
        bench = Bench(plan, records, bar.set_description)
        for name in options.parts:
            run, maps, _ = work[name]
            for _ in run(bench, maps):
                bar.update()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    records = Records(options.out)
    try:
        if not options.report_only:
            measure_all(options, records)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    summary.publish(records, options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
