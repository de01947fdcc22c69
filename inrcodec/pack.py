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
from dataclasses import dataclass
from functools import partial as bind
from pathlib import Path
from typing import Any

import numpy as np

from inrcodec.config import parse_settings
from inrcodec.container import Container, PackedMap, check_names
from inrcodec.core import Settings
from inrcodec.core.mlp import chunks as mlp_chunks
from inrcodec.core.mlp.writing import resolve_network
from inrcodec.core.payload import Field
from inrcodec.mrc import MRCVolume, open_volume
from inrcodec.pack_fourier import pack_maps
from inrcodec.quality import Quality, measure
from inrcodec.replacing import replacing
from inrcodec.unpack import decode_map, shared_words

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Packed:
    """What :func:`pack` made of one map.

    Attributes:
        name: of its file.
        original: bytes of its densities.
        stored: bytes of its payloads, without the shared network.
        quality: of the decoded densities; with a threshold, over those above it.
        met: whether the target holds; always, where there is none.
        alone: bytes of its payloads without prediction; ``stored`` where it is not predicted.
        references: names of the maps it is predicted from.
    """

    name: str
    original: int
    stored: int
    quality: Quality
    met: bool
    alone: int
    references: tuple[str, ...]


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
    predict: bool = True,
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
        predict: predict a map from those before it where that saves bytes: the second half-map from the
            first, and the map made of both from them; for ``local-fourier`` only.
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
        container, encoded = pack_maps(names, volumes, settings, device, chunks, predict, progress)
        maps = [
            _packed(entry, volume, one.quality, settings, one.alone, one.references)
            for entry, volume, one in zip(container.maps, volumes, encoded, strict=True)
        ]
        made = container, maps, shared_words(container), 0
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
        entries.append(PackedMap.of(map_name, volume, volume.data.shape, [payload.to_bytes()]))
    container = Container(Field.MLP, shared, tuple(entries))
    packed = []
    for i, (entry, volume) in enumerate(zip(container.maps, volumes, strict=True)):
        quality = measure(volume.data, decode_map(container, i, name), settings.threshold)
        packed.append(_packed(entry, volume, quality, settings))
        progress("measuring", (i + 1) / len(volumes))
    return container, packed, str(trained.network.shape), resumed


def _packed(
    entry: PackedMap,
    volume: MRCVolume,
    quality: Quality,
    settings: Settings,
    alone: int | None = None,
    references: tuple[str, ...] = (),
) -> Packed:
    stored = sum(map(len, entry.payloads))
    met = quality.meets(settings.target, volume.data.nbytes / stored)
    alone = stored if alone is None else alone
    return Packed(entry.name, int(volume.data.nbytes), stored, quality, met, alone, references)


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
