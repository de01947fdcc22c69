"""The paper's network at a stated compression ratio, trained on one map, with its convergence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.seed_paper import errors
from inrcodec.core.backend import get_backend
from inrcodec.core.mlp import chunks, occupancy
from inrcodec.core.mlp.fixed import FixedNetwork
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.points import PointArray, slab_pairs
from inrcodec.core.mlp.section import Shape
from inrcodec.core.mlp.writing import resolve_network
from inrcodec.core.payload import Payload

_OVERHEAD = 400  # bytes of a payload's frame, field section and identifier
_SAMPLE = 8192  # points that a convergence curve is measured on
_MOST_WIDTH = 2048

Array = np.ndarray[Any, Any]
Volume = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """A training at one step: what the points of a fixed sample came back as.

    Attributes:
        step: Adam steps done.
        rms: root of the mean squared error, in shares of the largest density.
        within_high: share of the points above 0.1 within 20 % relative error.
    """

    step: int
    rms: float
    within_high: float


@dataclass(frozen=True, eq=False)
class Run:
    """A trained network as it was stored and read back.

    Attributes:
        decoded: the map.
        nbytes: of the payload.
        widths: of the hidden layers.
        parameters: weights and biases.
        steps: of Adam.
        encode_s, decode_s: wall-clock seconds.
        cpu_s: CPU seconds of training, all threads.
        looks: convergence.
    """

    decoded: Array
    nbytes: int
    widths: tuple[int, ...]
    parameters: int
    steps: int
    encode_s: float
    decode_s: float
    cpu_s: float
    looks: tuple[Look, ...]


def widths_for(settings: NetworkSettings, weight_bits: int, nbytes: int) -> tuple[int, int, int, int]:
    """Hidden widths in the paper's proportions, 8 : 4 : 2 : 1, whose weights section fits into ``nbytes``.

    The section is that of the untrained network; trained weights compress about as little.

    Raises:
        ValueError: not even widths of 8, 4, 2, 1 fit.
    """

    def fits(first: int) -> bool:
        sized = replace(settings, widths=_proportioned(first))
        return len(_untrained(sized, weight_bits).data) <= nbytes

    low, high = 8, _MOST_WIDTH + 1
    if not fits(low):
        raise ValueError(f"no network fits into {nbytes} bytes")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return _proportioned(low)


def run(
    volume: Array,
    threshold: float,
    settings: NetworkSettings,
    *,
    ratio: float = 4.0,
    weight_bits: int = 16,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Run:
    """Train on all voxels above ``threshold`` (shares of the largest density), write, read back.

    Args:
        volume: (d, h, w) float32.
        settings: without widths the network is as wide as ``ratio`` allows: the map's bytes over the
            payload's, occupancy included.
    """
    from inrcodec.core.mlp.training import train

    scale = errors.peak(volume)
    occupied = chunks.is_occupied(volume, threshold * scale)
    wanted, name = resolve_network(
        settings if settings.widths else replace(settings, widths=_proportioned(8)), device
    )
    if settings.widths is None:
        room = int(volume.nbytes / ratio) - len(occupancy.compress(occupied)) - _OVERHEAD
        wanted = replace(wanted, widths=widths_for(wanted, weight_bits, room))
    pairs = slab_pairs(volume.astype(np.float64) / scale, occupied, volume.shape, 0)
    np.random.default_rng(wanted.seed).shuffle(pairs)
    watch = _Watch(pairs[-_SAMPLE:], wanted, name)
    start, cpu = time.perf_counter(), time.process_time()
    trained = train(PointArray(pairs), wanted, weight_bits, device=name, keep=watch.look, progress=progress)
    cpu_s = time.process_time() - cpu
    payload = chunks.make_payload(
        volume, threshold * scale, trained.network, trained.identifiers[0], scale, "chunk"
    ).to_bytes()
    encode_s = time.perf_counter() - start
    start = time.perf_counter()
    decoded = chunks.decode(Payload.from_bytes(payload), get_backend("numpy" if name == "cpu" else name))
    return Run(
        decoded=decoded.reshape(volume.shape),
        nbytes=len(payload),
        widths=wanted.widths or (),
        parameters=trained.network.shape.parameters,
        steps=trained.steps,
        encode_s=encode_s,
        decode_s=time.perf_counter() - start,
        cpu_s=cpu_s,
        looks=tuple(watch.looks),
    )


def _proportioned(first: int) -> tuple[int, int, int, int]:
    return (first, first // 2, first // 4, first // 8)


def _untrained(settings: NetworkSettings, weight_bits: int) -> FixedNetwork:
    from inrcodec.core.mlp.training import initial_parameters

    start = initial_parameters(settings, 1)
    return FixedNetwork.from_float(Shape.of(settings, weight_bits), start[0:-1:2], start[1:-1:2])


class _Watch:
    """Looks at a training: a fixed sample of its points through the float network."""

    def __init__(self, pairs: Array, settings: NetworkSettings, device: str) -> None:
        self._pairs, self._settings, self._device = pairs, settings, device
        self.looks: list[Look] = []

    def look(self, state: Any) -> None:
        import torch

        from inrcodec.core.mlp.training import forward

        with torch.no_grad():
            parameters = [torch.as_tensor(p).to(self._device) for p in state.parameters]
            where = torch.as_tensor(self._pairs[:, :3]).to(self._device)
            files = torch.zeros(len(where), dtype=torch.int64, device=self._device)
            back = forward(parameters, self._settings, where, files).cpu().numpy().astype(np.float64)
        density = self._pairs[:, 3].astype(np.float64)
        high = density > errors.HIGH
        relative = np.abs(back - density)[high] / density[high]
        within = float((relative <= errors.WITHIN).mean()) if high.any() else float("nan")
        self.looks.append(Look(state.step, float(np.sqrt(np.mean((back - density) ** 2))), within))
