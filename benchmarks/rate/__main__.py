"""Rate against quality of every codec on every map: ``python -m benchmarks.rate MAPS... --out DIR``.

Every point is written to disk, read back, judged, and appended to DIR/points.csv at once: a run that is
stopped goes on where it stopped when it is started again. Tables and pictures are made from that file at the
end, or from what it holds by ``--report-only``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks import report
from benchmarks.rate import efforts, ours, summary, volumes
from benchmarks.rate.codecs import CODECS
from benchmarks.rate.measuring import TARGETS, Bench, Plan
from benchmarks.rate.quality import Reference
from benchmarks.rate.records import Point, Records

OURS = (ours.NAME, ours.SYMMETRIC)
QUICK = (ours.NAME, "sperr", "sz3", "zfp", "eman2", "blosc")

RESOLUTIONS = "resolutions.csv"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [*OURS, *CODECS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("maps", nargs="*", type=Path, help="MRC files, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder for points, tables and pictures")
    parser.add_argument("--chunk", type=int, nargs="+", default=None, help="voxels a side, default 64 128")
    parser.add_argument(
        "--codecs", nargs="+", choices=names, help="default: all that are installed and not slow"
    )
    parser.add_argument("--effort", type=int, default=ours.default_effort(), help="of ours")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS, help="of ours, default all")
    parser.add_argument("--efforts", type=int, nargs="+", help="measure the ladder of these efforts instead")
    parser.add_argument(
        "--effort-snr", type=float, nargs="+", default=[27.0, 33.0], help="dB asked for by --efforts"
    )
    parser.add_argument("--device", default="auto", help="where ours encodes")
    parser.add_argument("--crop", type=int, help="maps of more than N^3 voxels: only their centre, N a side")
    parser.add_argument(
        "--noise",
        action="append",
        default=[],
        type=parse_noise,
        metavar="[MAP=]DB",
        help="also with white noise at this SNR, every map or the one named; repeatable",
    )
    parser.add_argument("--resolutions", type=Path, help="lines of MAP,ANGSTROM; others are estimated")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds one point may take")
    parser.add_argument("--quick", action="store_true", help="crops of 64, every second value, fewer codecs")
    parser.add_argument("--stride", type=int, help="every how many values of a knob, default 1 (quick: 2)")
    parser.add_argument(
        "--priors", type=Path, help="folder of train_prior --folds: measure maps with networks new to them"
    )
    parser.add_argument("--retry", action="store_true", help="measure again what failed before")
    parser.add_argument("--report-only", action="store_true", help="tables and pictures of what is there")
    parser.add_argument("--readme", type=Path, help="also put summary and picture into this file")
    options = parser.parse_args(arguments)
    if not options.maps and not options.report_only:
        parser.error("give maps, or --report-only")
    if options.chunk is None:
        options.chunk = [64] if options.quick else [64, 128]
    if options.quick:
        options.crop = min(options.crop or 64, 64)
    return options


def parse_noise(text: str) -> tuple[str | None, float]:
    """``0`` or ``emd_11007=0``."""
    name, _, level = text.rpartition("=")
    return name or None, float(level)


def choose(asked: Sequence[str] | None, quick: bool) -> list[str]:
    """The codecs that take part; says which cannot."""
    names = list(asked or [*OURS, *(n for n in CODECS if not CODECS[n].optional)])
    if quick and not asked:
        names = [n for n in names if n in QUICK]
    missing = [n for n in names if n not in OURS and not CODECS[n].installed]
    for name in missing:
        print(f"{name}: left out, {CODECS[name].package} is not installed", file=sys.stderr)
    return [n for n in names if n not in missing]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    tqdm.monitor_interval = 0  # no thread beside the one that forks
    options.out.mkdir(parents=True, exist_ok=True)
    records = Records(options.out / "points.csv")
    if options.efforts is None:
        chosen = [] if options.report_only else choose(options.codecs, options.quick)
    else:
        chosen = [ours.NAME]
    plan = Plan(
        codecs=chosen,
        effort=options.effort,
        device=options.device,
        limit_s=options.limit,
        targets=options.targets,
        stride=options.stride or (2 if options.quick else 1),
        priors=options.priors,
        retry=options.retry,
    )
    try:
        if not options.report_only:
            measure_all(options, plan, records)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    if options.efforts is not None:
        efforts.publish(records.points.values(), options.effort_snr, options.out)
    else:
        known = resolutions(options)
        points = [p.judged_to(known.get(p.map, p.resolution)) for p in records.points.values()]
        summary.publish(points, options.effort, options.out, options.readme)
    return 0


def resolutions(options: argparse.Namespace) -> dict[str, float]:
    """Angstrom by volume: estimated in earlier runs (kept, so that every codec is judged alike), or given."""
    found: dict[str, float] = {}
    for path in (options.out / RESOLUTIONS, options.resolutions):
        if path is not None and (path.exists() or path == options.resolutions):
            found |= volumes.read_resolutions(path)
    return found


def measure_all(options: argparse.Namespace, plan: Plan, records: Records) -> None:
    """Every volume, chunk length and codec in turn."""
    known = resolutions(options)
    cases = volumes.cases(report.find_maps(options.maps), options.noise)
    total = len(cases) * len(options.chunk) * len(plan.codecs)
    with tqdm(total=total, disable=not sys.stderr.isatty()) as bar:

        def note(point: Point) -> None:
            what = f"{point.map} {point.chunk} {point.codec} {point.mode} {point.knob:g}"
            bar.set_description(what)
            if not point.ok:
                bar.write(f"{what}: {point.status}", file=sys.stderr)

        for path, noise_db in cases:
            volume = volumes.load(path, options.crop, noise_db, known)
            if volume.name not in known:
                known[volume.name] = volume.resolution
                with (options.out / RESOLUTIONS).open("a", encoding="utf-8") as file:
                    file.write(f"{volume.name},{volume.resolution}\n")
            reference = Reference(volume.data, volume.voxel_size, volume.resolution)
            for chunk in options.chunk:
                bench = Bench(volume, reference, chunk, plan, records, note)
                for name in plan.codecs:
                    if options.efforts is not None:
                        efforts.measure(bench, options.efforts, options.effort_snr)
                    else:
                        bench.run(name)
                    bar.update()


if __name__ == "__main__":
    raise SystemExit(main())
