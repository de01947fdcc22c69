"""The sample of a volume: boxes, preparation, and steps that spend a budget."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core.backend import NUMPY
from inrcodec.core.settings import Target
from inrcodec.core.volume_sample import (
    allowed_error,
    chunk_boxes,
    make_parts,
    plain,
    plain_error,
    prepared,
    secant_step,
    shared_step,
)
from inrcodec.synthetic import generate


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return generate((24, 20, 28), resolution=4.0, noise=0.1, seed=3)


def test_boxes_cover_every_voxel_once() -> None:
    seen = np.zeros((7, 5, 9), int)
    for box in chunk_boxes(seen.shape, (4, 5, 2)):
        seen[box] += 1
    assert (seen == 1).all()


def test_constant_chunks_are_not_sampled(volume: np.ndarray) -> None:
    padded = volume.copy()
    padded[:12] = 1.0
    boxes = list(chunk_boxes(volume.shape, (12, 20, 28)))
    (only,) = prepared(padded, boxes, None, len(boxes))
    np.testing.assert_array_equal(only.chunk, volume[12:])


def test_the_budget_is_that_of_the_whole_volume(volume: np.ndarray) -> None:
    boxes = list(chunk_boxes(volume.shape, (12, 10, 14)))
    allowed = allowed_error(volume + 1000, boxes, None, Target("snr", 20))
    assert allowed == pytest.approx(volume.astype(float).var() * volume.size / 100, rel=1e-4)


@pytest.mark.parametrize("snr", [10, 20, 30])
def test_steps_spend_the_budget(volume: np.ndarray, snr: float) -> None:
    boxes = list(chunk_boxes(volume.shape, (12, 20, 28)))
    parts = make_parts(NUMPY, prepared(volume, boxes, None, 2), float(volume.std()), 8, None)
    budget = volume.size / 10 ** (snr / 10)
    assert plain_error(parts, secant_step(parts, 1.0, budget)) == pytest.approx(budget, rel=0.02)


def test_a_shared_step_hits_a_size(volume: np.ndarray) -> None:
    boxes = list(chunk_boxes(volume.shape, (12, 20, 28)))
    parts = make_parts(NUMPY, prepared(volume, boxes, None, 2), float(volume.std()), 8, None)
    wanted = 0.5 * volume.size
    step = shared_step(parts, 1.0, lambda s: wanted - plain(parts, s)[1])
    assert plain(parts, step)[1] == pytest.approx(wanted, rel=0.02)
