"""Volumes, and what they become chunk by chunk."""

from __future__ import annotations

from itertools import product

import numpy as np

from inrcodec.core import Settings, VolumeModel, decode_many, encode_many
from inrcodec.synthetic import generate

SIZE = 48


def boxes(shape: tuple[int, ...], chunk: tuple[int, ...]) -> list[tuple[slice, ...]]:
    starts = product(*(range(0, n, c) for n, c in zip(shape, chunk, strict=True)))
    return [tuple(slice(a, min(a + c, n)) for a, c, n in zip(s, chunk, shape, strict=True)) for s in starts]


def through(
    volume: np.ndarray, settings: Settings, chunk: tuple[int, ...], model: VolumeModel
) -> tuple[np.ndarray, list[bytes]]:
    """The volume coded chunk by chunk and put together again, and its payloads."""
    parts = boxes(volume.shape, chunk)
    settings = Settings(settings.target, settings.threshold, settings.effort, volume=model)
    payloads = encode_many([np.ascontiguousarray(volume[box]) for box in parts], settings, device="numpy")
    out = np.empty_like(volume)
    for box, decoded in zip(parts, decode_many(payloads, volume=model), strict=True):
        out[box] = decoded
    return out, payloads


def snr(volume: np.ndarray, decoded: np.ndarray, kept: np.ndarray | None = None) -> float:
    """dB relative to the variance of the represented voxels; the error is summed over all."""
    kept = np.ones(volume.shape, bool) if kept is None else kept
    error = ((volume.astype(float) - decoded.astype(float)) ** 2).sum()
    return float(10 * np.log10(volume[kept].astype(float).var() * kept.sum() / error))


def density(seed: int = 0, **options) -> np.ndarray:
    return generate((SIZE,) * 3, noise=0.1, seed=seed, **options)
