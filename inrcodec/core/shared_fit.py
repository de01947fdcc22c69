"""Volume scope for several volumes: one context network for all, and a step for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inrcodec.core.backend import get_backend
from inrcodec.core.presets import EFFORTS
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings
from inrcodec.core.settling import settle
from inrcodec.core.volume import VolumeModel
from inrcodec.core.volume_fit import fit
from inrcodec.core.volume_sample import (
    WHOLE,
    Part,
    allowed_error,
    chunk_boxes,
    draw_sample,
    make_parts,
)
from inrcodec.core.volume_training import (
    ROUNDS,
    Progress,
    cheaper_network,
    train_once,
    training_steps,
)

_SAMPLE = 2**22  # voxels of all volumes together that the network is trained on
_LEAST_SAMPLE = 2**17  # of each

Array = np.ndarray[Any, Any]


def fit_shared(
    volumes: Sequence[Any],
    settings: Settings,
    chunk_shapes: Sequence[tuple[int, ...]],
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[VolumeModel]:
    """Models of volumes that share their weights; step, block and cell are each volume's own.

    Every volume is fitted by itself first. Then one network is trained on samples of all, each in units of
    its own step: so a latent means the same everywhere, whatever the densities.

    Args:
        volumes: arrays.
        settings: with an ``snr`` or ``max_error`` target, which holds for each volume.
        chunk_shapes: voxels per axis of each volume's chunks.
        device: as for :func:`inrcodec.core.encode_many`.
        progress: called with the fraction done.

    Raises:
        TypeError, ValueError: as for :func:`inrcodec.core.fit`; another target.
    """
    if settings.target.kind not in ("snr", "max_error"):
        raise ValueError(f"volumes that share networks take snr or max_error, not {settings.target.kind}")
    report = progress or (lambda _: None)
    preset = EFFORTS[settings.effort]
    backend = get_backend("numpy" if settings.effort == 0 and device == "auto" else device)
    models, parts, sampled, total = [], [], 0.0, 0.0
    wanted = max(_LEAST_SAMPLE, _SAMPLE // len(volumes))
    for i, (volume, chunk_shape) in enumerate(zip(volumes, chunk_shapes, strict=True)):
        model = fit(volume, settings, chunk_shape, device=device)
        boxes = list(chunk_boxes(tuple(volume.shape), chunk_shape))
        sample, share = draw_sample(volume, boxes, settings.threshold, wanted)
        models.append(model)
        if sample:
            parts += make_parts(backend, sample, model.step, model.block, model.cell)
            sampled += share * float(np.prod(volume.shape))
            total += float(np.prod(volume.shape))
        report(0.7 * (i + 1) / len(volumes))
    weights = prior().to_bytes(prior())
    if parts and preset.fit_steps:
        weights = _train(parts, preset, sampled / total, lambda f: report(0.7 + 0.2 * f))
    out = []
    for model, volume, chunk_shape in zip(models, volumes, chunk_shapes, strict=True):
        shared = replace(model, weights=weights)
        if settings.target.kind == "snr" and np.prod(volume.shape) <= WHOLE and weights != model.weights:
            boxes = list(chunk_boxes(tuple(volume.shape), chunk_shape))
            allowed = allowed_error(volume, boxes, settings.threshold, settings.target) / model.step**2
            shared = settle(backend, volume, boxes, model.step, settings, shared, allowed)
        out.append(shared)
    report(1.0)
    return out


def _train(parts: list[Part], preset: Any, share: float, report: Progress) -> bytes:
    """Weights of one network for parts that are all in units of their step."""
    one = np.array([1.0])
    network = prior()
    fitted = [
        part.latents if part.voxels.care is None else part.voxels.fill(part.latents, one, preset.fills)[0]
        for part in parts
    ]
    chosen = [latents.plain(one) for latents in fitted]
    for turn in range(ROUNDS + 1):
        chosen = [
            latents.rate_distortion(q, one, [network]) for latents, q in zip(fitted, chosen, strict=True)
        ]
        if not turn:
            steps = int(training_steps(fitted, chosen, share, preset).value or 0)
        if turn < ROUNDS and steps:
            network = train_once(fitted, chosen, network, steps, turn, share, report)
    network, _ = cheaper_network(fitted, chosen, network, share)
    return network.to_bytes(prior())
