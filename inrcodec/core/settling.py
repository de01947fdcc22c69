"""The step of a volume, by the error of what will be stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.choosing import fit_chunks
from inrcodec.core.settings import Settings
from inrcodec.core.volume import VolumeModel, short_step
from inrcodec.core.volume_sample import prepared

MARGIN = 1.003  # of the squared error, kept in hand where the step is set by an estimate
_SETTLINGS = 8  # times the step is corrected by the error of the whole volume
_STEEPEST = 8.0  # exponent of error over step: rounding to whole numbers soon hides errors below a half
_SPENT = 0.98  # of the error allowed: enough


def settle(
    backend: Backend,
    volume: Any,
    boxes: list[Any],
    unit: float,
    settings: Settings,
    model: VolumeModel,
    allowed: float,
) -> VolumeModel:
    """Correct the step by the error of the whole volume, which a sample only estimates."""
    best, most = None, 0.0
    slope = 1.2
    before: tuple[float, float] | None = None
    met, missed = 0.0, np.inf  # the largest step that keeps to the error, the smallest that does not
    chunks = prepared(volume, boxes, settings.threshold, len(boxes))
    for _ in range(_SETTLINGS):
        fitted = replace(settings, volume=model)
        error = 0.0
        for chunk in chunks:
            (made,) = fit_chunks(backend, [chunk], fitted)
            error += made.stored_error(chunk, np.dtype(volume.dtype)) * (made.scale / unit) ** 2
        spent = error / allowed
        # float32 sums differ a little with their units: what is met by a hair may be missed by one
        if most <= spent <= 1 / MARGIN:
            best, most = model, spent
        if _SPENT < spent <= 1 / MARGIN or error == 0:
            break
        if before is not None and abs(np.log(model.step / before[0])) > 1e-4:
            measured = np.log(spent / before[1]) / np.log(model.step / before[0])
            slope = float(np.clip(measured, 0.5, _STEEPEST))
        idle = not met and before is not None and spent == before[1]  # nothing is coded at such steps
        before = (model.step, spent)
        if spent <= 1 / MARGIN:
            met = max(met, model.step)
        else:
            missed = min(missed, model.step)
        margin = MARGIN**2 if spent < 1 else MARGIN**3
        factor = 0.5 if idle else float(np.clip((margin * spent) ** (-1 / slope), 0.5, 2))
        step = model.step * factor
        if met and missed < np.inf:  # a tenth of the way from either at least
            step = float(np.clip(step, met**0.9 * missed**0.1, met**0.1 * missed**0.9))
        model = replace(model, step=short_step(step))
    return best or model
