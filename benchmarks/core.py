"""The codec's figures on real maps beside SPERR's and SZ3's: ``python -m benchmarks.core MAPS...``.

Without a flag: bytes at equal squared error, whole volume as one chunk. ``--max-error``, ``--store`` and
``--latency`` measure those instead; ``--all`` everything. See README.md in this folder.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import latency, peers, report, stores
from inrcodec import core, synthetic
from inrcodec.core.volume_sample import chunk_boxes

Array = np.ndarray[Any, Any]


def equal_quality(
    name: str, volume: Array, snr: float, effort: int, device: str, codecs: Sequence[str]
) -> report.Row:
    """One volume as one chunk at a target SNR; every peer brought to our squared error over all voxels.

    The codec's target counts represented voxels only, so ``snr`` (all voxels) may differ from ``target``.
    """
    settings = core.Settings(target=core.Target("snr", snr), effort=effort)
    (payload,), encode_s = latency.timed(lambda: core.encode_many([volume], settings, device=device))
    (back,), decode_s = latency.timed(lambda: core.decode_many([payload]))
    squared_error = latency.squared_error(volume, back)
    row = {
        "map": name,
        "target": snr,
        "snr": peers.snr_db(volume.astype(np.float64), squared_error),
        "bits": len(payload) * 8 / volume.size,
        "bytes": len(payload),
    }
    for codec in codecs:
        # A peer takes part at the quality we kept, or at the target where we kept everything.
        aim = squared_error or float(np.var(volume, dtype=np.float64)) * volume.size / 10 ** (snr / 10)
        try:
            peer = peers.at_snr(codec, volume, squared_error=aim)
        except ValueError as error:
            print(f"{name}: {error}")
            row |= {codec: None, f"{codec}/ours": None}
            continue
        row |= {codec: peer.nbytes, f"{codec}/ours": peer.nbytes / len(payload)}
        if codec == codecs[0]:
            row |= {f"{codec} enc s": peer.encode_s, f"{codec} dec s": peer.decode_s}
    row |= {"enc s": encode_s, "dec s": decode_s, "Mvox/s": volume.size / decode_s / 1e6}
    return row | {"choice": describe(payload)}


def describe(payload: bytes) -> str:
    """Field, what it chose, and bytes per section, in one cell."""
    info = core.inspect(payload)
    chosen = [f"{key}={_short(value)}" for key, value in info.details.items()]
    sections = [f"{name}:{size}" for name, size in info.sections.items()]
    return " ".join([info.field, *chosen, *sections])


def max_error(name: str, volume: Array, chunk: int, effort: int, device: str) -> report.Row:
    """A bound of 0.1 standard deviation on every voxel, in separate chunks, for us and the peers alike."""
    bound = 0.1 * float(np.std(volume, dtype=np.float64))
    settings = core.Settings(target=core.Target("max_error", bound), effort=effort)
    chunks = split(volume, chunk)
    payloads, encode_s = latency.timed(lambda: core.encode_many(chunks, settings, device=device))
    backs, decode_s = latency.timed(lambda: core.decode_many(payloads))
    errors = [np.abs(b.astype(np.float64) - c.astype(np.float64)) for b, c in zip(backs, chunks, strict=True)]
    total = sum(map(len, payloads))
    row = {
        "map": name,
        "bound": bound,
        "chunks": len(chunks),
        "violations": sum(int((e > bound).sum()) for e in errors),
        "max/bound": max(float(e.max()) for e in errors) / bound if bound else 0.0,
        "bits": total * 8 / volume.size,
        "bytes": total,
    }
    for codec in ("sperr", "sz3"):
        try:
            found = [peers.at_max_error(codec, c, bound) for c in chunks]
        except ValueError as error:
            print(f"{name}: {error}")
            row |= {codec: None, f"{codec}/ours": None, f"{codec} max/bound": None}
            continue
        size = sum(m.nbytes for m in found)
        row |= {codec: size, f"{codec}/ours": size / total}
        row |= {f"{codec} max/bound": max(m.max_error for m in found) / bound}
    fields = [core.inspect(p).field for p in payloads]
    counts = " ".join(f"{f}:{fields.count(f)}" for f in sorted(set(fields)))
    return row | {"enc s": encode_s, "dec s": decode_s, "fields": counts}


def split(volume: Array, chunk: int) -> list[Array]:
    """Chunks of a volume, those at its end cut to fit."""
    boxes = chunk_boxes(volume.shape, (chunk,) * volume.ndim)
    return [np.ascontiguousarray(volume[box]) for box in boxes]


def summary(rows: Sequence[report.Row], codec: str) -> list[str]:
    """Median and least ratio of a peer's bytes to ours, and who needed more."""
    ratios = [(float(row[f"{codec}/ours"]), row["map"]) for row in rows if row.get(f"{codec}/ours")]
    if not ratios:
        return []
    losses = [f"{name} ({ratio:.3f})" for ratio, name in ratios if ratio < 1]
    median, (least, where) = statistics.median(r for r, _ in ratios), min(ratios)
    text = f"{codec}/ours: median {median:.3f}, least {least:.3f} ({where}), {len(ratios)} points"
    return [text + (f"; larger than {codec} on {', '.join(losses)}" if losses else f"; never above {codec}")]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__)
    parser.add_argument("maps", nargs="*", type=Path, help="MRC files, or folders of them")
    parser.add_argument("--snr", type=float, nargs="+", default=[20.0, 30.0], help="dB, default 20 30")
    parser.add_argument("--peers", nargs="+", default=["sperr", "sz3"], choices=list(peers.CODECS))
    parser.add_argument("--max-error", action="store_true", help="0.1 standard deviation on every voxel")
    parser.add_argument(
        "--store", action="store_true", help="the command line: zarr store, verify, decompress"
    )
    parser.add_argument("--latency", action="store_true", help="one generated chunk, and import time")
    parser.add_argument("--all", action="store_true", help="all of these")
    parser.add_argument("--chunk", type=int, default=64, help="of --max-error, default 64")
    parser.add_argument("--chunks", type=int, nargs="+", default=[120, 60], help="of --store, default 120 60")
    parser.add_argument("--store-snr", type=float, default=27.0, help="of --store, default 27")
    parser.add_argument("--effort", type=int, default=3)
    parser.add_argument("--device", default="auto", help="of encoding")
    parser.add_argument("--out", type=Path, help="folder for CSV and Markdown")
    parser.add_argument("--quick", action="store_true", help="centre crops of 64 voxels a side, one SNR")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    maps = report.find_maps(options.maps)
    crop = 64 if options.quick else None
    snrs = options.snr[:1] if options.quick else options.snr
    others = options.max_error or options.store or options.latency
    effort, device = options.effort, options.device
    warm = core.Settings(effort=effort)
    core.encode_many([synthetic.generate((32, 32, 32))], warm, device=device)
    if maps and (options.all or not others):
        rows = [
            equal_quality(
                report.map_name(path), report.read_map(path, crop), snr, effort, device, options.peers
            )
            for path, snr in report.progress([(p, s) for p in maps for s in snrs], "snr")
        ]
        notes = [note for codec in options.peers for note in summary(rows, codec)]
        report.publish("snr", rows, notes, options.out)
    if maps and (options.all or options.max_error):
        rows = [
            max_error(report.map_name(path), report.read_map(path, crop), options.chunk, effort, device)
            for path in report.progress(maps, "max error")
        ]
        notes = summary(rows, "sperr") + summary(rows, "sz3")
        report.publish("max_error", rows, notes, options.out)
    if maps and (options.all or options.store):
        rows = [
            stores.through_command_line(path, options.store_snr, chunk, effort)
            for path, chunk in report.progress([(p, c) for p in maps for c in options.chunks], "store")
        ]
        report.publish("store", rows, [], options.out)
    if options.all or options.latency:
        report.publish("latency", latency.rows(repeats=3 if options.quick else 7), [], options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
