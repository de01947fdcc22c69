"""Our codec in volume scope: networks and step once per volume, in the array's configuration, all counted."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import inrcodec
from benchmarks.rate.codecs import Scale
from benchmarks.rate.quality import Reference
from benchmarks.rate.written import Written, boxes
from inrcodec import INRCodec, synthetic
from inrcodec.core import decode_many, encode_many
from inrcodec.core.context import ContextNetwork

NAME = "inr"
SYMMETRIC = "inr-symmetry"
"""The same with ``symmetry="auto"``, on maps that have a symmetry and are one chunk."""

SNR = Scale(lambda i: 10.0 + 4.0 * i, 0, -6, 12)
BATCH_VOXELS = 2**23  # as many as ``inrcodec compress`` hands over at once
# Modules that no payload depends on; what is not named here counts, so a new module counts.
WITHOUT_EFFECT = {"cli", "demo", "maps", "metrics", "mrc", "ngff", "protein", "report", "store", "synthetic"}


@functools.cache
def fingerprint() -> str:
    """Ten hex digits of the package's source and data, as they were when first asked.

    Modules that do not change payloads do not count.
    """
    root = Path(inrcodec.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and "__pycache__" not in inside.parts and inside.stem not in WITHOUT_EFFECT:
            digest.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:10]


def unseen_prior(folder: Path, name: str) -> ContextNetwork | None:
    """The network of :mod:`benchmarks.train_prior` that has not seen a map; None where none has.

    Args:
        folder: what ``--folds`` wrote, with ``unseen.json``.
        name: of the volume, as :func:`benchmarks.report.map_name` gives it; noise added to it does not count.
    """
    for file, names in json.loads((folder / "unseen.json").read_text()).items():
        if name.split("+")[0] in names:
            return ContextNetwork.from_flat(np.load(folder / file, allow_pickle=False))
    return None


def default_effort() -> int:
    """The effort of a codec that is asked for none."""
    return int(INRCodec().settings.effort)


def warm_up(device: str, effort: int) -> None:
    """Import what encoding needs and run it once, so that seconds and memory are those of the volume."""
    volume = synthetic.generate((16, 16, 16))
    codec = INRCodec.fit(volume, 20.0, chunks=16, effort=effort, device=device)
    codec.decode(codec.encode(volume))


def write(
    reference: Reference,
    chunk: int,
    mode: str,
    knob: float,
    folder: Path,
    *,
    effort: int,
    device: str,
    voxel_size: float,
    resolution: float,
    symmetry: str | None = None,
) -> Written:
    """Fit the volume, write every chunk and the configuration, read both back and decode.

    Args:
        mode, knob: ``snr`` in dB (of the represented voxels), ``max_error`` in standard deviations of the
            volume, or ``fsc``, the least Fourier shell correlation up to ``resolution`` (angstrom).
        symmetry: ``"auto"`` for volumes that are one chunk.

    Raises:
        TypeError: this version of the codec has no such target.
    """
    volume = reference.data
    target: dict[str, Any] = {mode: knob}
    if mode == "max_error":
        target = {mode: knob * reference.unit}
    elif mode == "fsc":
        target |= {"resolution": resolution, "voxel_size": voxel_size, "padded": False}
    where = boxes(volume.shape, chunk)
    batch = max(1, BATCH_VOXELS // chunk**3)
    start = time.perf_counter()
    codec = INRCodec.fit(volume, chunks=chunk, effort=effort, device=device, symmetry=symmetry, **target)
    config = json.dumps(codec.get_config(), separators=(",", ":")).encode()
    (folder / "config.json").write_bytes(config)
    lengths: list[int] = []
    with (folder / "chunks.bin").open("wb") as file:
        for i in range(0, len(where), batch):
            parts = [np.ascontiguousarray(volume[box]) for box in where[i : i + batch]]
            lengths += [file.write(p) for p in encode_many(parts, codec.settings, device=device)]
    encode_s = time.perf_counter() - start
    start = time.perf_counter()
    reader = INRCodec.from_config(json.loads((folder / "config.json").read_bytes()))
    back = np.empty(volume.shape, volume.dtype)
    with (folder / "chunks.bin").open("rb") as file:
        for i in range(0, len(where), batch):
            payloads = [file.read(length) for length in lengths[i : i + batch]]
            decoded = decode_many(payloads, volume=reader.volume)
            for box, part in zip(where[i : i + batch], decoded, strict=True):
                back[box] = part
    return Written(back, sum(lengths), encode_s, time.perf_counter() - start, config_bytes=len(config))
