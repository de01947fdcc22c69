"""Chunks in, ``mlp`` payloads out: one network trained for each chunk."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from inrcodec.core.backend import get_backend, has_torch
from inrcodec.core.mlp.chunks import is_occupied, make_payload
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.points import PointArray, slab_pairs
from inrcodec.core.payload import MAX_DENSITY, MAX_SIDE
from inrcodec.core.prepare import as_volume_shape
from inrcodec.core.settings import Settings

log = logging.getLogger("inrcodec")

_LEAST_SCALE = 1e-280  # densities below are stored losslessly
_said: set[NetworkSettings] = set()

Array = np.ndarray[Any, Any]


def resolve_network(settings: NetworkSettings | None, device: str) -> tuple[NetworkSettings, str]:
    """Settings with widths, steps and batch known, and PyTorch's name of the device to train on.

    Where a CPU is the reason for other widths than the paper's, that is logged as a warning, once.

    Raises:
        ImportError: PyTorch is not installed.
    """
    if not has_torch():
        raise ImportError(
            "the mlp field trains a network, which needs PyTorch: pip install 'inrcodec[train]'"
        )
    name = get_backend(device).device
    name = "cpu" if name == "numpy" else name
    wanted = settings or NetworkSettings()
    resolved = wanted.resolved(name)
    if wanted.widths is None and resolved.reduced and wanted not in _said:
        _said.add(wanted)
        log.warning(
            "mlp: no GPU, so hidden widths of %s instead of the paper's 2048, 1024, 512, 256; "
            "network={'widths': [2048, 1024, 512, 256]} asks for those",
            ", ".join(map(str, resolved.widths or ())),
        )
    return resolved, name


def largest_density(densities: Array, occupied: Array) -> float:
    """The largest magnitude of the occupied voxels, a network's 1; 0 where none is occupied."""
    values = densities[occupied].astype(np.float64)
    return float(np.abs(values).max(initial=0.0))


def check_scale(scale: float) -> None:
    """Refuse a largest density that the format cannot hold.

    Raises:
        ValueError: it is too small or too large.
    """
    if not _LEAST_SCALE < scale <= MAX_DENSITY:
        raise ValueError(
            f"a largest density of {scale:g} is not between {_LEAST_SCALE:g} and {MAX_DENSITY:g}"
        )


def encode_chunk(chunk: Array, settings: Settings, device: str) -> bytes | None:
    """The payload of a chunk; None where there is nothing for a network to represent.

    That is the case without a density above the threshold, beyond 4096 voxels a side, and where the densities
    are too large or too small for the format.

    Raises:
        ImportError: PyTorch is not installed.
    """
    assert settings.threshold is not None  # Settings sees to it
    threshold = settings.threshold
    volume = np.ascontiguousarray(chunk).reshape(as_volume_shape(chunk.shape))
    occupied = is_occupied(volume, threshold)
    scale = largest_density(volume, occupied)
    if max(volume.shape) > MAX_SIDE or not _LEAST_SCALE < scale <= MAX_DENSITY:
        return None
    network, name = resolve_network(settings.network, device)
    from inrcodec.core.mlp.training import train

    with np.errstate(invalid="ignore"):
        pairs = slab_pairs(volume.astype(np.float64) / scale, occupied, volume.shape, 0)
    np.random.default_rng(network.seed).shuffle(pairs)
    trained = train(PointArray(pairs), network, settings.weight_bits, device=name)
    payload = make_payload(
        np.ascontiguousarray(chunk), threshold, trained.network, trained.identifiers[0], scale, "chunk"
    )
    payload.fortran = chunk.flags.f_contiguous and not chunk.flags.c_contiguous
    return payload.to_bytes()
