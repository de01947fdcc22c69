"""The maps of a file that :mod:`inrcodec.pack` has made. Needs the ``mrc`` extra; evaluation is on NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial as bind
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.utils import data_shape_from_header

from inrcodec.container import Container, PackedMap
from inrcodec.core import decode_many
from inrcodec.core.backend import get_backend
from inrcodec.core.mlp import chunks as mlp_chunks
from inrcodec.core.payload import Field, Payload, PayloadError, Section
from inrcodec.core.prediction import MAX_CHAIN, MAX_DISTANCE, read_distances
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.mrc import parse_header, write_mrc

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]
Progress = Callable[[str, float], None]
Box = tuple[slice, ...]

_KEPT = 2**27  # voxels of decoded maps kept for those predicted from them; others are decoded again


def _silent(stage: str, fraction: float) -> None:
    pass


def unpack(
    source: PathLike,
    directory: PathLike,
    *,
    overwrite: bool = False,
    device: str = "numpy",
    progress: Progress = _silent,
) -> list[Path]:
    """Write the maps of a container, with the headers they came with.

    Args:
        source: file that :func:`pack` made.
        directory: made where it is missing.
        overwrite: replace maps that are there.
        device: where networks are evaluated: ``"numpy"``, ``"cpu"`` or ``"cuda"``; the voxels are the same.

    Returns:
        The files written.

    Raises:
        OSError: the file cannot be read, or a map is there already.
        PayloadError: the file is damaged.
    """
    container = Container.from_bytes(Path(source).read_bytes())
    directory = Path(directory)
    paths = [directory / packed.name for packed in container.maps]
    taken = [path for path in paths if path.exists()]
    if taken and not overwrite:
        raise FileExistsError(f"{taken[0]} exists; --overwrite (overwrite=True) replaces it")
    directory.mkdir(parents=True, exist_ok=True)
    kept: dict[int, Array] = {}
    for i, (path, packed) in enumerate(zip(paths, container.maps, strict=True)):
        data = decode_map(container, i, device, bind(progress, packed.name), known=kept)
        kept.pop(i - MAX_DISTANCE, None)
        if sum(one.size for one in kept.values()) + data.size <= _KEPT and _needed(container, i):
            kept[i] = data
        write_mrc(path, data, packed.header, packed.extended_header)
    return paths


def decode_map(
    container: Container,
    place: int,
    device: str = "numpy",
    progress: Callable[[float], None] = lambda _: None,
    *,
    known: Mapping[int, Array] | None = None,
) -> Array:
    """The densities of one map of a container, in its shape, dtype and byte order.

    A predicted map is decoded chunk by chunk, each after the chunks of other maps that it needs.

    Args:
        container: all maps.
        place: of the map among them.
        device: as for :func:`unpack`.
        progress: called with the fraction done.
        known: decoded densities of earlier maps, by their place: these are not decoded again.

    Raises:
        PayloadError: a payload is damaged or does not fit its map, or is predicted from what cannot be.
    """
    packed = container.maps[place]
    described = tuple(data_shape_from_header(parse_header(packed.header)))
    if described != packed.shape:
        raise PayloadError(f"{packed.name}: shape {packed.shape}, its MRC header says {described}")
    boxes = list(chunk_boxes(packed.shape, packed.chunk_shape))
    for data, box in zip(packed.payloads, boxes, strict=True):
        _check_payload(packed, Payload.from_bytes(data), box)
    out = np.empty(packed.shape, packed.dtype)
    decoder = _Decoder(container, device, known or {})
    for number, box in enumerate(boxes):
        out[box] = decoder.chunk(place, number, box, {}, 0)
        progress((number + 1) / len(boxes))
    return out


class _Decoder:
    """Decodes chunks of a container, and first those that they are predicted from."""

    def __init__(self, container: Container, device: str, known: Mapping[int, Array]) -> None:
        self.container, self.device, self.known = container, device, known
        self.network = container.network if container.field == Field.MLP else None

    def chunk(self, place: int, number: int, box: Box, done: dict[int, Array], depth: int) -> Array:
        """One chunk of a map.

        Args:
            place: of the map.
            number, box: of the chunk, and its voxels.
            done: chunks of this number by the place of their map; grows.
            depth: predictions that lead here.
        """
        if place in self.known:
            return self.known[place][box]
        if place in done:
            return done[place]
        if depth > MAX_CHAIN:
            raise PayloadError(f"a chain of more than {MAX_CHAIN} predictions")
        packed = self.container.maps[place]
        payload = Payload.from_bytes(packed.payloads[number])
        _check_payload(packed, payload, box)
        if payload.field == Field.MLP:
            backend = get_backend(self.device)
            return mlp_chunks.decode(payload, backend, None, self.network).reshape(payload.shape)
        references = {
            distance: self.chunk(self._reference(place, distance), number, box, done, depth + 1)
            for distance in _distances(payload)
        }
        (out,) = decode_many(
            [packed.payloads[number]],
            volume=self.container.model(packed),
            device=self.device,
            references=[references],
        )
        done[place] = out
        return out

    def _reference(self, place: int, distance: int) -> int:
        """The place of a reference, which lies before and has the same chunks."""
        packed, maps = self.container.maps[place], self.container.maps
        if distance > place:
            raise PayloadError(f"{packed.name} is predicted from {distance} maps back, {place} are before it")
        other = maps[place - distance]
        if not same_chunks(other, packed):
            raise PayloadError(
                f"{packed.name} is predicted from {other.name}, of other shape: {packed.shape} in "
                f"{packed.chunk_shape}, and {other.shape} in {other.chunk_shape}"
            )
        return place - distance


def same_chunks(one: PackedMap, other: PackedMap) -> bool:
    """Whether the chunks of two maps lie at the same places."""
    return (one.shape, one.chunk_shape) == (other.shape, other.chunk_shape)


def _check_payload(packed: PackedMap, payload: Payload, box: Box) -> None:
    expected = tuple(s.stop - s.start for s in box)
    if payload.shape != expected or payload.dtype != packed.dtype:
        raise PayloadError(
            f"{packed.name}: a payload of {payload.shape} {payload.dtype} for a chunk of {expected} "
            f"{packed.dtype}"
        )


def _distances(payload: Payload) -> tuple[int, ...]:
    if payload.field != Field.LOCAL_FOURIER or Section.PREDICTION not in payload.sections:
        return ()
    return read_distances(payload.section(Section.PREDICTION))[0]


def reference_distances(packed: PackedMap) -> list[tuple[int, ...]]:
    """For each chunk of a map, how many maps back those are that it is predicted from.

    Raises:
        PayloadError: a payload is damaged.
    """
    return [_distances(Payload.from_bytes(data)) for data in packed.payloads]


def saved_bytes(packed: PackedMap) -> int:
    """Bytes that the predicted chunks of a map would take more without prediction, as their encoder says."""
    saved = 0
    for data in packed.payloads:
        payload = Payload.from_bytes(data)
        if _distances(payload):
            saved += read_distances(payload.section(Section.PREDICTION))[1] - len(data)
    return saved


def _needed(container: Container, place: int) -> bool:
    """Whether a later map is predicted from one."""
    later = container.maps[place + 1 : place + 1 + MAX_DISTANCE]
    return any(
        back in distances for back, packed in enumerate(later, 1) for distances in reference_distances(packed)
    )


def shared_words(container: Container) -> str:
    """The shared network in words."""
    if container.field == Field.MLP:
        return str(container.network.shape)
    model = container.model(container.maps[0])
    return f"{len(model.weights)} bytes" if model.changed else f"that of prior {model.prior}"
