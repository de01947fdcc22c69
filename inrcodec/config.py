"""Settings from arguments, and settings as the plain JSON that array metadata holds.

The numcodecs codec and the zarr v3 codec store the same keys::

    {"snr": 30.0, "effort": 3, "threshold": 0.02, "block": 16, "volume": {...}}

One of ``snr``, ``max_error``, ``ratio`` and ``fsc`` is always there, and ``effort``; the others only when
set. ``fsc`` never comes without ``volume``. The ``mlp`` field has no target and no effort::

    {"field": "mlp", "threshold": 0.0, "weight_bits": 32, "network": {...}}

``network`` holds what differs from the defaults of :class:`inrcodec.core.mlp.network.NetworkSettings`.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from inrcodec.core import Settings, Target, VolumeModel, parse_target
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.payload import MAX_NDIM, MAX_VOXELS, dtype_code
from inrcodec.core.settings import FIELDS, TARGET_NAMES

_KEYS = frozenset(
    {"snr", "max_error", "ratio", "fsc", "threshold", "effort", "block", "volume"}
    | {"field", "network", "weight_bits"}
)
_EFFORT = 3
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def parse_settings(
    snr: float | None = None,
    max_error: float | None = None,
    ratio: float | None = None,
    threshold: float | None = None,
    effort: int = _EFFORT,
    block: int | None = None,
    volume: VolumeModel | Mapping[str, Any] | None = None,
    fsc: float | None = None,
    field: str = "local-fourier",
    network: Mapping[str, Any] | None = None,
    weight_bits: int | None = None,
    *,
    fitted: bool = True,
) -> Settings:
    """Settings from the arguments of a codec; NumPy scalars become Python numbers.

    ``fitted`` says that an ``fsc`` target has to come with the volume it was fitted to.

    Raises:
        TypeError: an argument is not a number, or ``volume`` no :class:`VolumeModel`.
        ValueError: two quality targets, a value out of its range, ``fsc`` for chunks by themselves, or an
            argument that does not belong to ``field``.
    """
    if field == "mlp":
        given = {
            "snr": snr,
            "max_error": max_error,
            "ratio": ratio,
            "fsc": fsc,
            "block": block,
            "volume": volume,
        }
        _refuse_for_mlp(given, effort)
        return Settings(
            target=Target("none", 0.0),
            threshold=_real("threshold", threshold),
            field="mlp",
            network=NetworkSettings.from_config(network),
            weight_bits=32 if weight_bits is None else _integer("weight_bits", weight_bits),
        )
    if field != "local-fourier":
        raise ValueError(f"field must be one of {', '.join(FIELDS)}, got {field!r}")
    for name, value in (("network", network), ("weight_bits", weight_bits)):
        if value is not None:
            raise ValueError(f"{name}={value!r} belongs to field='mlp'")
    if isinstance(volume, Mapping):
        volume = VolumeModel.from_config(dict(volume))
    elif volume is not None and not isinstance(volume, VolumeModel):
        raise TypeError(f"volume must come from INRCodec.fit, got {type(volume).__name__}")
    target = parse_target(
        snr=_real("snr", snr),
        max_error=_real("max_error", max_error),
        ratio=_real("ratio", ratio),
        fsc=_real("fsc", fsc),
    )
    if fitted and target.kind == "fsc" and volume is None:
        raise ValueError(
            f"fsc={target.value:g} is a target of a whole volume, not of a chunk: make the codec with "
            "INRCodec.fit(volume, fsc=..., resolution=..., voxel_size=...)"
        )
    return Settings(
        target=target,
        threshold=_real("threshold", threshold),
        effort=_integer("effort", effort),
        block=None if block is None else _integer("block", block),
        volume=volume,
    )


def _refuse_for_mlp(given: Mapping[str, Any], effort: int) -> None:
    """Refuse what means nothing to the ``mlp`` field."""
    for name, value in given.items():
        if value is not None:
            why = (
                "has no quality target: its size follows from network and weight_bits, its error is what "
                "training leaves"
                if name in TARGET_NAMES
                else "trains one network for each chunk"
            )
            raise ValueError(f"field='mlp' {why}; {name} was given")
    if _integer("effort", effort) != _EFFORT:
        raise ValueError(
            f"effort={effort} does not apply to field='mlp': network={{'steps': ...}} says how long it trains"
        )


def settings_to_config(settings: Settings) -> dict[str, Any]:
    """The JSON configuration of settings; :func:`settings_from_config` is its inverse."""
    if settings.field == "mlp":
        network = settings.network.to_config() if settings.network is not None else {}
        return {
            "field": "mlp",
            "threshold": settings.threshold,
            "weight_bits": settings.weight_bits,
            **({"network": network} if network else {}),
        }
    config: dict[str, Any] = {settings.target.kind: settings.target.value, "effort": settings.effort}
    if settings.threshold is not None:
        config["threshold"] = settings.threshold
    if settings.block is not None:
        config["block"] = settings.block
    if settings.volume is not None:
        config["volume"] = settings.volume.to_config()
    return config


def settings_from_config(config: Mapping[str, Any]) -> Settings:
    """Settings from a stored JSON configuration.

    Raises:
        ValueError: a key is unknown, so the array was written by a newer release or by hand. Runtime
            settings such as ``device`` are never stored, so they are unknown here as well.
    """
    unknown = set(config) - _KEYS
    if unknown:
        raise ValueError(
            f"unknown codec settings: {', '.join(sorted(unknown))}; known are {', '.join(sorted(_KEYS))}"
        )
    return parse_settings(**config)


def settings_repr(settings: Settings) -> str:
    """Settings as the arguments of a codec."""
    arguments = {**settings_to_config(settings), "volume": settings.volume}
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items() if value is not None)


def parse_device(name: str, device: str, extra: str) -> str:
    """A device name: ``extra`` (``"auto"`` or ``"numpy"``), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``."""
    if device != extra and not (isinstance(device, str) and _DEVICE.fullmatch(device)):
        raise ValueError(f'{name} must be "{extra}", "cpu", "cuda" or "cuda:N", got {device!r}')
    return device


def check_chunk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a chunk that the format cannot hold, before anything is computed or written.

    Raises:
        TypeError: the dtype is not a supported one.
        ValueError: no dimension or too many, no voxels or too many.
    """
    dtype_code(dtype)
    if not 1 <= len(shape) <= MAX_NDIM:
        raise ValueError(f"chunks have 1 to {MAX_NDIM} dimensions, got shape {shape}")
    if not 0 < math.prod(shape) <= MAX_VOXELS:
        raise ValueError(f"chunks have 1 to {MAX_VOXELS} voxels, got shape {shape}")


def _real(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
