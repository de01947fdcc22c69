"""Payloads in, chunks out. Exact, and without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inrcodec.core import lossless
from inrcodec.core.payload import Field, Payload, PayloadError, Section
from inrcodec.core.volume import VolumeModel

Array = np.ndarray[Any, Any]


def decode_many(
    payloads: Sequence[bytes], *, volume: VolumeModel | None = None, device: str = "numpy"
) -> list[Array]:
    """Decode payloads into C-ordered chunks in their own dtype and byte order.

    Args:
        payloads: bytes-like objects.
        volume: the volume's networks, needed by payloads of volume scope.
        device: ``"numpy"``, ``"cpu"`` (PyTorch) or ``"cuda"``; the voxels are the same on all.

    Raises:
        PayloadError: a payload is damaged, or of volume scope and its networks are not given.
    """
    return [_decode(Payload.from_bytes(p)) for p in payloads]


def decode_region(
    payload: bytes, region: tuple[slice, ...], *, volume: VolumeModel | None = None
) -> Array:
    """Decode a box of a chunk (one slice per axis, steps allowed), evaluating only the blocks it touches."""
    return _decode(Payload.from_bytes(payload))[region]


def _decode(payload: Payload) -> Array:
    if payload.field == Field.LOSSLESS:
        return lossless.decompress(payload.section(Section.LOSSLESS), payload.shape, payload.dtype)
    raise PayloadError(f"field {payload.field.name} is not decoded yet")
