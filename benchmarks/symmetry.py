"""What storing the asymmetric unit once saves: ``python -m benchmarks.symmetry [MAPS...] --out DIR``.

Every map is fitted and encoded twice at one SNR, with its symmetry and with ``symmetry=None`` (chunks of 64
voxels a side); bytes are those of all payloads and of the codec's configuration. Without maps, generated
ones are taken: symmetry imposed by interpolation, band-limited, no noise added after. Generated maps are told
their symmetry, real ones find it. Writes DIR/NAME.csv as it goes and DIR/NAME.md.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import report
from inrcodec import INRCodec
from inrcodec.core import Settings, decode_many, encode_many
from inrcodec.core.prepare import prepare
from inrcodec.core.symmetric_fit import placed
from inrcodec.core.symmetry.detection import detect
from inrcodec.core.symmetry.groups import Symmetry, parse_symmetry
from inrcodec.core.volume import VolumeModel, unchanged_weights
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.synthetic_symmetry import symmetric_map

Array = np.ndarray[Any, Any]

_COPIES = 10  # of a helix in the box
_TWIST = 28.0  # degrees
_CHUNK = 64
_STEP, _BLOCK = 0.485, 10  # standard deviations and voxels: what generated maps take at 25 dB
_REPEATS = 3  # of a decoding, of which the fastest counts


def generated(groups: list[str], size: int) -> Iterator[tuple[str, Array, str]]:
    """Names, volumes and symmetries."""
    for group in groups:
        symmetry = f"helical:{size / _COPIES:g},{_TWIST:g}" if group == "helical" else group
        yield f"generated {group}, {size}", symmetric_map(symmetry, size), symmetry


def measure(volume: Array, symmetry: str, snr: float, effort: int, device: str) -> report.Row:
    """Bytes, quality and times of a volume with its symmetry and without.

    Raises:
        RuntimeError: a payload misses the target.
    """
    row: report.Row = {"asked": symmetry, "dB": snr, "effort": effort}
    codecs = {}
    for name, wanted in (("with", symmetry), ("without", None)):
        start = time.perf_counter()
        codecs[name] = INRCodec.fit(volume, snr, symmetry=wanted, effort=effort, device=device)
        row[f"fit {name}, s"] = time.perf_counter() - start
    found = codecs["with"].choices
    assert found is not None
    row["found"] = str(found["symmetry"].value).lower()
    for name, codec in codecs.items():
        row |= _measured(volume, codec.settings, name)
        if row[f"{name}, dB"] < snr - 0.01:
            raise RuntimeError(f"{row[f'{name}, dB']:.2f} dB instead of {snr} {name} symmetry")
        row[f"{name}, bytes"] += len(json.dumps(codec.get_config()))
        row[f"{name}, bit/voxel"] = 8 * row[f"{name}, bytes"] / volume.size
    row["times fewer"] = row["without, bytes"] / row["with, bytes"]
    row["times slower to decode"] = row["decode with, s"] / row["decode without, s"]
    return row


def decoding(volume: Array, symmetry: str) -> report.Row:
    """Decoding with the symmetry and without, at the same step and with the built-in network.

    Without, once in chunks as maps are usually stored and once as one chunk, as symmetry has it.
    """
    ready = prepare(volume, None)
    assert ready is not None
    step = _STEP * ready.scale
    model = VolumeModel(step, _BLOCK, unchanged_weights())
    place = Symmetry.standard(parse_symmetry(symmetry), volume.shape)
    row: report.Row = {"asked": symmetry}
    symmetric = replace(model, symmetry=placed(place, ready, step))
    row |= _measured(volume, Settings(effort=0, volume=symmetric), "with")
    settings = Settings(effort=0, volume=model)
    row |= _measured(volume, settings, "without")
    row |= _measured(volume, settings, "without, one chunk", max(volume.shape))
    row["times slower to decode"] = row["decode with, s"] / row["decode without, s"]
    row["times slower than one chunk"] = row["decode with, s"] / row["decode without, one chunk, s"]
    return row


def detection(volume: Array, symmetry: str) -> report.Row:
    """What is found in a volume alone, and how long it takes."""
    start = time.perf_counter()
    found = detect(volume)
    seconds = time.perf_counter() - start
    return {
        "true": "" if symmetry == "auto" else symmetry,
        "found": "none" if found is None else found.symmetry.group.symbol,
        "predicts itself at, dB": None if found is None else found.decibel,
        "s": seconds,
    }


def _measured(volume: Array, settings: Settings, name: str, chunk: int = _CHUNK) -> report.Row:
    """Quality, bytes of payloads, and time and memory of decoding them."""
    whole = settings.volume is not None and settings.volume.symmetry is not None
    boxes = list(chunk_boxes(volume.shape, volume.shape if whole else (chunk,) * 3))
    chunks = [np.ascontiguousarray(volume[box]) for box in boxes]
    payloads = [payload for chunk in chunks for payload in encode_many([chunk], settings)]
    fastest = np.inf
    for _ in range(_REPEATS):
        start = time.perf_counter()
        parts = decode_many(payloads, volume=settings.volume)
        fastest = min(fastest, time.perf_counter() - start)
    tracemalloc.start()
    parts = decode_many(payloads, volume=settings.volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    decoded = np.empty_like(volume)
    for box, part in zip(boxes, parts, strict=True):
        decoded[box] = part
    error = float(np.mean((volume.astype(np.float64) - decoded) ** 2))
    return {
        f"{name}, dB": 10 * np.log10(_variance(volume) / error),
        f"{name}, bytes": sum(map(len, payloads)),
        f"decode {name}, s": fastest,
        f"decode {name}, MiB": peak / 2**20,
    }


def _variance(volume: Array) -> float:
    """Of the represented voxels, as the target has it."""
    ready = prepare(volume, None)
    assert ready is not None
    return ready.variance_sum / volume.size


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.symmetry", description=__doc__)
    parser.add_argument(
        "maps", nargs="*", type=Path, help="MRC files, or folders of them; default: generated"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for tables")
    parser.add_argument("--name", default="symmetry", help="of the tables (default: symmetry)")
    parser.add_argument("--snr", type=float, default=25.0, metavar="DB", help="default: 25")
    parser.add_argument("--effort", type=int, default=3, metavar="0-9", help="default: 3")
    parser.add_argument(
        "--size", type=int, default=160, help="voxels a side of generated maps (default: 160)"
    )
    parser.add_argument(
        "--groups", nargs="+", default=["D7", "T", "O", "I", "helical"], help="of generated maps"
    )
    parser.add_argument(
        "--decoding", action="store_true", help="time and memory of decoding, nothing is fitted"
    )
    parser.add_argument(
        "--detection", action="store_true", help="what is found and in what time, nothing is fitted"
    )
    parser.add_argument("--device", default="cpu", help="where to encode (default: cpu)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    found = report.find_maps(options.maps)
    volumes: Iterator[tuple[str, Array, str]] = (
        (report.map_name(p), report.read_map(p), "auto") for p in found
    )
    if not found:
        volumes = generated(options.groups, options.size)
    rows: list[report.Row] = []
    for name, volume, symmetry in tqdm(volumes, total=len(found) or len(options.groups), disable=None):
        if options.detection:
            row = detection(volume, symmetry)
        elif options.decoding:
            row = decoding(volume, symmetry)
        else:
            row = measure(volume, symmetry, options.snr, options.effort, options.device)
        rows.append({"map": name, **row})
        report.write_csv(options.out / f"{options.name}.csv", rows)  # a long run keeps what it has
    report.publish(options.name, rows, [], options.out)


if __name__ == "__main__":
    main()
