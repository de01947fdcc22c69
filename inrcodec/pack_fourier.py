"""Packing with the ``local-fourier`` field: one context network for all maps, and prediction between them.

A half-map shares its signal with the other half, and the map made of both shares nearly all with them: what
has been packed already predicts it (:mod:`inrcodec.core.prediction`), where that saves bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as bind
from typing import Any

import numpy as np

from inrcodec.container import Container, PackedMap
from inrcodec.core import Settings, encode_many
from inrcodec.core.payload import Field, pack_varint
from inrcodec.core.prediction import MAX_CHAIN, MAX_DISTANCE
from inrcodec.core.prepare import Related
from inrcodec.core.shared_fit import fit_shared
from inrcodec.core.volume import VolumeModel, short_step
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.mrc import MRCVolume
from inrcodec.quality import Quality, measure, rescaled_step
from inrcodec.store import even_chunks
from inrcodec.unpack import decode_map, reference_distances, same_chunks

Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]

_CORRECTIONS = 3  # times a map is written again because its step misses the target
_SEARCHES = 6  # times a predicted map is written to find its step
_SPARE = 0.03  # dB above an SNR target: not worth writing it again
_WORTH = 0.99  # of those bytes at most: a predicted map needs others to be decoded
_FIRST_MOVE = 0.03  # of the step, in natural logarithms, at least
_NOTHING = 0.02  # of the bytes without prediction: nor is what is left of so few
_BATCH = 2**23  # voxels of chunks encoded together


@dataclass(frozen=True)
class Encoded:
    """What became of one map.

    Attributes:
        quality: of the decoded densities.
        alone: bytes of its payloads without prediction.
        references: names of the maps it is predicted from.
    """

    quality: Quality
    alone: int
    references: tuple[str, ...]


@dataclass(eq=False)
class _Map:
    """A map at one step: its entry, and its densities as they decode."""

    entry: PackedMap
    decoded: Array
    quality: Quality

    @property
    def stored(self) -> int:
        return sum(map(len, self.entry.payloads))


def pack_maps(
    names: list[str],
    volumes: list[MRCVolume],
    settings: Settings,
    device: str,
    chunks: int,
    predict: bool,
    progress: Progress,
) -> tuple[Container, list[Encoded]]:
    """Train one context network on samples of all maps, and encode them; each keeps a step of its own.

    Args:
        names, volumes: the maps, in the order of the container.
        settings: with an ``snr`` or ``max_error`` target, which holds for each map.
        device: as for :func:`inrcodec.core.encode_many`.
        chunks: longest chunk edge in voxels.
        predict: predict maps from those before them where that saves bytes.
        progress: called with the name of what is being done and the fraction of it that is done.

    Raises:
        TypeError, ValueError: a map is of a dtype that the format does not hold, or the target is another.
    """
    shapes = [even_chunks(volume.data.shape, len(volume.voxel_size), chunks) for volume in volumes]
    data = [volume.data for volume in volumes]
    models = fit_shared(data, settings, shapes, device=device, progress=bind(progress, "training"))
    shared = pack_varint(models[0].prior) + (models[0].weights if models[0].changed else b"")
    container, out = Container(Field.LOCAL_FOURIER, shared, ()), list[Encoded]()
    known: dict[int, _Known] = {}
    for i, (name, volume, model, shape) in enumerate(zip(names, volumes, models, shapes, strict=True)):
        writer = _Writer(name, volume, replace(settings, volume=model), shape, container, known, device)
        made = alone = writer.write()
        if predict:
            made = writer.write_predicted(alone)
        container = replace(container, maps=(*container.maps, made.entry))
        back = sorted({d for distances in reference_distances(made.entry) for d in distances}, reverse=True)
        references = tuple(names[i - distance] for distance in back)
        known[i] = _Known(made.decoded, max((known[i - distance].chain + 1 for distance in back), default=0))
        known.pop(i - MAX_DISTANCE, None)
        out.append(Encoded(made.quality, alone.stored, references))
        progress("encoding", (i + 1) / len(volumes))
    return container, out


@dataclass(eq=False)
class _Known:
    """A map already packed: its densities as they decode, and how many predictions these are built upon."""

    decoded: Array
    chain: int


def searched(tried: Sequence[tuple[float, float]]) -> float:
    """The quantiser step to try next for a predicted map.

    What a prediction misses is small, and much of it is not coded at all: the error answers the step
    in jumps, flat in between. So moves grow until one step meets the target and another misses it, and then
    lie between the two.

    Args:
        tried: steps, oldest first, and the dB by which each exceeds the target.
    """
    meets = max((point for point in tried if point[1] >= 0), default=None)
    misses = min((point for point in tried if point[1] < 0), default=None)
    if meets is None or misses is None:
        step, spare = tried[-1]
        usual = spare * math.log(10) / 20
        least = _FIRST_MOVE * 2 ** (len(tried) - 1)
        return step * math.exp(math.copysign(min(max(abs(usual), least), math.log(4)), spare))
    share = meets[1] / (meets[1] - misses[1])
    return float(meets[0] * (misses[0] / meets[0]) ** min(max(share, 0.2), 0.8))


class _Writer:
    """Writes one map, given those before it.

    Attributes:
        settings: with the map's model; its step follows the target.
        container: the maps before.
        known: the last of them, by their place.
    """

    def __init__(
        self,
        name: str,
        volume: MRCVolume,
        settings: Settings,
        chunk_shape: tuple[int, ...],
        container: Container,
        known: Mapping[int, _Known],
        device: str,
    ) -> None:
        self.name, self.volume, self.settings, self.chunk_shape = name, volume, settings, chunk_shape
        self.container, self.known, self.device = container, known, device
        self.boxes = list(chunk_boxes(volume.data.shape, chunk_shape))

    def write(self) -> _Map:
        """The map by itself, its step corrected where the decoded densities miss the target."""
        tried: list[tuple[float, float]] = []
        while True:
            made = self._encode(None)
            if self.settings.target.kind != "snr" or len(tried) == _CORRECTIONS:
                return made
            if made.quality.meets(self.settings.target, 0.0) or not np.isfinite(made.quality.snr):
                return made
            self._move(tried, made)

    def write_predicted(self, alone: _Map) -> _Map:
        """The map predicted from those before it, or as it is where that saves nothing."""
        related = self._related(alone)
        if not any(one.chunks for one in related):
            return alone
        target, best = self.settings.target, alone
        tried: list[tuple[float, float]] = []
        for _ in range(_SEARCHES):
            made = self._encode(related)
            if not any(reference_distances(made.entry)):
                return best
            met = made.quality.meets(target, 0.0)
            if met and made.stored < min(best.stored, _WORTH * alone.stored):
                best = made
            if target.kind != "snr" or not np.isfinite(made.quality.snr):
                return best
            model = self._model
            tried.append((model.step, made.quality.snr - target.value))
            if met and (tried[-1][1] < _SPARE or made.stored < _NOTHING * alone.stored):
                return best
            self.settings = replace(self.settings, volume=replace(model, step=short_step(searched(tried))))
        return best

    @property
    def _model(self) -> VolumeModel:
        assert self.settings.volume is not None
        return self.settings.volume

    def _move(self, tried: list[tuple[float, float]], made: _Map) -> None:
        """Set the step that promises to meet an SNR target."""
        model = self._model
        tried.append((model.step, made.quality.snr))
        step = short_step(rescaled_step(self.settings.target, tried))
        self.settings = replace(self.settings, volume=replace(model, step=step))

    def _encode(self, related: list[Related] | None) -> _Map:
        data, payloads = self.volume.data, list[bytes]()
        batch = max(1, _BATCH // int(np.prod(self.chunk_shape)))
        for start in range(0, len(self.boxes), batch):
            some = [np.ascontiguousarray(data[box]) for box in self.boxes[start : start + batch]]
            known = None if related is None else related[start : start + batch]
            payloads += encode_many(some, self.settings, device=self.device, related=known)
        model = self._model
        entry = PackedMap.of(self.name, self.volume, self.chunk_shape, payloads, model.step, model.block)
        container = replace(self.container, maps=(*self.container.maps, entry))
        decoded = decode_map(
            container, len(self.container.maps), known={i: k.decoded for i, k in self.known.items()}
        )
        return _Map(entry, decoded, measure(data, decoded, self.settings.threshold))

    def _related(self, alone: _Map) -> list[Related]:
        """For each chunk, those of earlier maps of the same shape and chunks."""
        place, entry = len(self.container.maps), alone.entry
        found = [
            (place - i, known.decoded)
            for i, known in self.known.items()
            if known.chain < MAX_CHAIN and same_chunks(self.container.maps[i], entry)
        ]
        return [
            Related({distance: decoded[box] for distance, decoded in found}, len(payload))
            for box, payload in zip(self.boxes, entry.payloads, strict=True)
        ]
