"""Many MRC maps into one file, with one model for all of them.

``mlp``: maps -> occupancy and (x, y, z, density) pairs in HDF5 -> one network with an identifier for each
map -> container; and back: identifier and occupied voxels -> densities -> map. ``local-fourier`` shares its
context network in the same container. Needs the ``pack`` extra, and to train ``train``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as bind
from pathlib import Path
from typing import Any

import numpy as np

from inrcodec.config import parse_settings
from inrcodec.container import Container, PackedMap, check_names
from inrcodec.core import Settings, encode_many
from inrcodec.core.mlp import chunks as mlp_chunks
from inrcodec.core.mlp.writing import resolve_network
from inrcodec.core.payload import Field, pack_varint
from inrcodec.core.shared_fit import fit_shared
from inrcodec.core.volume import short_step
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.mrc import MRCVolume, open_volume
from inrcodec.quality import Quality, measure, rescaled_step
from inrcodec.replacing import replacing
from inrcodec.store import even_chunks
from inrcodec.unpack import decode_map, shared_words

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]
Progress = Callable[[str, float], None]

_CORRECTIONS = 3  # times a map is written again because its step misses the target
_BATCH = 2**23  # voxels of chunks encoded together


@dataclass(frozen=True)
class Packed:
    """What :func:`pack` made of one map.

    Attributes:
        name: of its file.
        original: bytes of its densities.
        stored: bytes of its payloads, without the shared network.
        quality: of the decoded densities; with a threshold, over those above it.
        met: whether the target holds; always, where there is none.
    """

    name: str
    original: int
    stored: int
    quality: Quality
    met: bool


@dataclass(frozen=True)
class Result:
    """What :func:`pack` made.

    Attributes:
        maps: one entry for each.
        shared: bytes of the network.
        total: bytes of the file.
        network: the network in words.
        resumed: Adam steps that an earlier, interrupted run had done.
    """

    maps: tuple[Packed, ...]
    shared: int
    total: int
    network: str
    resumed: int = 0

    @property
    def ratio(self) -> float:
        """Bytes of all densities over bytes of the file."""
        return sum(packed.original for packed in self.maps) / self.total


def _silent(stage: str, fraction: float) -> None:
    pass


def pack(
    sources: Sequence[PathLike],
    output: PathLike,
    *,
    field: str = "mlp",
    threshold: float | None = None,
    network: Mapping[str, Any] | None = None,
    weight_bits: int | None = None,
    snr: float | None = None,
    max_error: float | None = None,
    effort: int = 3,
    chunks: int = 64,
    device: str = "auto",
    overwrite: bool = False,
    restart: bool = False,
    permissive: bool = False,
    progress: Progress = _silent,
) -> Result:
    """Pack MRC maps into one file that shares a model.

    The file appears under its name when it is complete. With ``mlp``, training points and checkpoints are
    kept in a hidden directory beside it until then; after an interruption the same call goes on from the
    last checkpoint.

    Args:
        sources: MRC files, see :func:`inrcodec.mrc.open_volume`, also for ``permissive``.
        output: the file to make.
        field: ``"mlp"`` or ``"local-fourier"``.
        threshold, network, weight_bits, device: as for :class:`inrcodec.INRCodec`.
        snr, max_error, effort: as there, of each map; for ``local-fourier`` only.
        chunks: longest chunk edge in voxels; for ``local-fourier`` only.
        overwrite: replace ``output`` once the new file is complete.
        restart: discard what an interrupted run has left.
        progress: called with the name of what is being done and the fraction of it that is done.

    Raises:
        OSError: a map cannot be read, or ``output`` exists.
        ValueError, TypeError: a map or a setting makes no sense, two maps have one name, or an interrupted
            run with other maps or settings is in the way.
    """
    settings = parse_settings(
        snr, max_error, None, threshold, effort, field=field, network=network, weight_bits=weight_bits
    )
    output = Path(output)
    if not sources:
        raise ValueError("there are no maps to pack")
    check_names([Path(source).name for source in sources])
    if chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists; --overwrite (overwrite=True) replaces it")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent} is not a directory")
    volumes = [open_volume(source, permissive=permissive) for source in sources]
    names = [Path(source).name for source in sources]
    work = work_directory(output)
    if restart:
        shutil.rmtree(work, ignore_errors=True)
    if settings.field == "mlp":
        made = _pack_mlp(sources, names, volumes, settings, device, work, progress)
    else:
        made = _pack_local_fourier(names, volumes, settings, device, chunks, progress)
    container, maps, words, resumed = made
    data = container.to_bytes()
    with replacing(output) as partial:
        partial.write_bytes(data)
    shutil.rmtree(work, ignore_errors=True)
    return Result(tuple(maps), len(container.shared), len(data), words, resumed)


def work_directory(output: PathLike) -> Path:
    """Where the training of a container is kept until it is done."""
    output = Path(output)
    return output.with_name(f".{output.name}.training")


def _pack_mlp(
    sources: Sequence[PathLike],
    names: list[str],
    volumes: list[MRCVolume],
    settings: Settings,
    device: str,
    work: Path,
    progress: Progress,
) -> tuple[Container, list[Packed], str, int]:
    """Train one network on the occupied voxels of all maps."""
    from inrcodec import checkpoints
    from inrcodec.core.mlp.training import train
    from inrcodec.training_set import TrainingSet, write_training_set

    assert settings.threshold is not None  # Settings sees to it
    network, name = resolve_network(settings.network, device)
    files = [(source_name, _sha256(source)) for source_name, source in zip(names, sources, strict=True)]
    mark = checkpoints.fingerprint(network, settings.weight_bits, files=files, threshold=settings.threshold)
    _claim(work, mark)
    points_path, state_path = work / "points.h5", work / "checkpoint.npz"
    if not points_path.exists():
        data = [volume.data for volume in volumes]
        with replacing(points_path) as partial:
            write_training_set(
                partial, data, settings.threshold, seed=network.seed, progress=bind(progress, "points")
            )
    state = None
    if state_path.exists():
        state = checkpoints.load_state(state_path, network, len(volumes), mark)
    resumed = 0 if state is None else state.step
    with TrainingSet(points_path) as points:
        if points.files != len(volumes):
            raise ValueError(f"{points_path} is of {points.files} maps, not of {len(volumes)}: use --restart")
        scales = points.scales
        trained = train(
            points,
            network,
            settings.weight_bits,
            device=name,
            state=state,
            keep=lambda state: checkpoints.save_state(state_path, state, mark),
            progress=bind(progress, "training"),
        )
    shared = trained.network.shape.to_bytes() + trained.network.data
    entries = []
    for i, (map_name, volume) in enumerate(zip(names, volumes, strict=True)):
        payload = mlp_chunks.make_payload(
            volume.data, settings.threshold, trained.network, trained.identifiers[i], scales[i], "volume"
        )
        entries.append(_entry(map_name, volume, volume.data.shape, [payload.to_bytes()]))
    container = Container(Field.MLP, shared, tuple(entries))
    packed = []
    for i, (entry, volume) in enumerate(zip(container.maps, volumes, strict=True)):
        quality = measure(volume.data, decode_map(container, entry, name), settings.threshold)
        packed.append(_packed(entry, volume, quality, settings))
        progress("measuring", (i + 1) / len(volumes))
    return container, packed, str(trained.network.shape), resumed


def _pack_local_fourier(
    names: list[str],
    volumes: list[MRCVolume],
    settings: Settings,
    device: str,
    chunks: int,
    progress: Progress,
) -> tuple[Container, list[Packed], str, int]:
    """Train one context network on samples of all maps; each keeps a step of its own."""
    shapes = [even_chunks(volume.data.shape, len(volume.voxel_size), chunks) for volume in volumes]
    data = [volume.data for volume in volumes]
    models = fit_shared(data, settings, shapes, device=device, progress=bind(progress, "training"))
    shared = pack_varint(models[0].prior) + (models[0].weights if models[0].changed else b"")
    entries, packed = [], []
    for name, volume, model, shape in zip(names, volumes, models, shapes, strict=True):
        entry, quality = _encode(name, volume, replace(settings, volume=model), shape, shared, device)
        entries.append(entry)
        packed.append(_packed(entry, volume, quality, settings))
        progress("encoding", len(entries) / len(volumes))
    container = Container(Field.LOCAL_FOURIER, shared, tuple(entries))
    return container, packed, shared_words(container), 0


def _encode(
    name: str,
    volume: MRCVolume,
    settings: Settings,
    chunk_shape: tuple[int, ...],
    shared: bytes,
    device: str,
) -> tuple[PackedMap, Quality]:
    """One map, its step corrected where the decoded densities miss the target."""
    tried: list[tuple[float, float]] = []
    boxes = list(chunk_boxes(volume.data.shape, chunk_shape))
    batch = max(1, _BATCH // int(np.prod(chunk_shape)))
    while True:
        payloads: list[bytes] = []
        for start in range(0, len(boxes), batch):
            some = [np.ascontiguousarray(volume.data[box]) for box in boxes[start : start + batch]]
            payloads += encode_many(some, settings, device=device)
        assert settings.volume is not None
        model = settings.volume
        entry = _entry(name, volume, chunk_shape, payloads, model.step, model.block)
        decoded = decode_map(Container(Field.LOCAL_FOURIER, shared, (entry,)), entry)
        quality = measure(volume.data, decoded, settings.threshold)
        if settings.target.kind != "snr" or len(tried) == _CORRECTIONS:
            return entry, quality
        if quality.meets(settings.target, 0.0) or not np.isfinite(quality.snr):
            return entry, quality
        tried.append((model.step, quality.snr))
        step = short_step(rescaled_step(settings.target, tried))
        settings = replace(settings, volume=replace(model, step=step))


def _entry(
    name: str,
    volume: MRCVolume,
    chunk_shape: tuple[int, ...],
    payloads: Sequence[bytes],
    step: float = 0.0,
    block: int = 0,
) -> PackedMap:
    data = volume.data
    return PackedMap(
        name,
        volume.header,
        volume.extended_header,
        tuple(data.shape),
        data.dtype,
        chunk_shape,
        tuple(payloads),
        step,
        block,
    )


def _packed(entry: PackedMap, volume: MRCVolume, quality: Quality, settings: Settings) -> Packed:
    stored = sum(map(len, entry.payloads))
    met = quality.meets(settings.target, volume.data.nbytes / stored)
    return Packed(entry.name, int(volume.data.nbytes), stored, quality, met)


def _claim(work: Path, mark: str) -> None:
    """Make the directory of a training, or see that the one there is of the same.

    Raises:
        ValueError: it is of another.
    """
    path = work / "training.json"
    if not path.exists():
        work.mkdir(exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(mark, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != mark:
        raise ValueError(
            f"{work} is of an interrupted training with other maps or settings: "
            "--restart (restart=True) discards it"
        )


def _sha256(path: PathLike) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
