"""Settings from arguments, and settings as the plain JSON that array metadata holds.

The numcodecs codec and the zarr v3 codec store the same keys::

    {"snr": 30.0, "effort": 3, "threshold": 0.02, "block": 16, "volume": {...}}

One of ``snr``, ``max_error``, ``ratio`` and ``fsc`` is always there, and ``effort``; the others only when
set. ``fsc`` never comes without ``volume``.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from inrcodec.core import Settings, VolumeModel, parse_target
from inrcodec.core.payload import MAX_NDIM, MAX_VOXELS, dtype_code

_KEYS = frozenset({"snr", "max_error", "ratio", "fsc", "threshold", "effort", "block", "volume"})
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def parse_settings(
    snr: float | None = None,
    max_error: float | None = None,
    ratio: float | None = None,
    threshold: float | None = None,
    effort: int = 3,
    block: int | None = None,
    volume: VolumeModel | Mapping[str, Any] | None = None,
    fsc: float | None = None,
    *,
    fitted: bool = True,
) -> Settings:
    """Settings from the arguments of a codec; NumPy scalars become Python numbers.

    ``fitted`` says that an ``fsc`` target has to come with the volume it was fitted to.

    Raises:
        TypeError: an argument is not a number, or ``volume`` no :class:`VolumeModel`.
        ValueError: two quality targets, a value out of its range, or ``fsc`` for chunks by themselves.
    """
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


def settings_to_config(settings: Settings) -> dict[str, Any]:
    """The JSON configuration of settings; :func:`settings_from_config` is its inverse."""
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
