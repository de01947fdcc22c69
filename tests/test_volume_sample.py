"""The sample of a volume: boxes, preparation, and steps that spend a budget."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core.backend import NUMPY
from inrcodec.core.settings import Target
from inrcodec.core.traits import Traits
from inrcodec.core.volume_sample import (
    WHOLE,
    allowed_error,
    chunk_boxes,
    draw_sample,
    make_parts,
    plain,
    plain_error,
    prepared,
    sample_choice,
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


def test_a_sample_stands_for_the_empty_chunks_beside_it(volume: np.ndarray) -> None:
    padded = np.concatenate([volume, np.zeros_like(volume)])
    boxes = list(chunk_boxes(padded.shape, (12, 20, 28)))
    everything, share = draw_sample(padded, boxes, None, padded.size)
    assert (len(everything), share) == (2, 1.0)
    some, share = draw_sample(padded, boxes, None, 12 * 20 * 28)
    assert len(some) == 1
    assert share in (0.25, 0.5, 0.75)


def test_small_chunks_at_the_far_ends_do_not_make_the_sample_small(volume: np.ndarray) -> None:
    """As many voxels as are asked for, and all chunks for all voxels, however chunks are cut."""
    boxes = list(chunk_boxes(volume.shape, (16, 16, 16)))
    everything, share = draw_sample(volume, boxes, None, volume.size)
    assert (len(everything), share) == (len(boxes), 1.0)
    half, share = draw_sample(volume, boxes, None, volume.size // 2)
    assert abs(sum(p.chunk.size for p in half) - volume.size / 2) <= 16**3 / 2 + 1
    assert share == sum(p.chunk.size for p in half) / volume.size


def test_the_sample_grows_as_fewer_latents_are_coded() -> None:
    def voxels(**changes: float) -> int:
        traits = {"represented": 1.0, "band_limit": 1.0, "noise_floor": 40.0, **changes}
        measured = Traits((400, 400, 400), background=0.0, faces=0.0, **traits)
        return int(sample_choice(measured, Target("snr", 30), 2**20).value or 0)

    assert voxels(noise_floor=10.0) < voxels() < voxels(represented=0.5) <= voxels(band_limit=0.3) == 2**22


def test_the_sample_of_the_smallest_and_the_largest() -> None:
    small = sample_choice(Traits((50, 50, 50), 1.0, None, 1.0, 40.0, 0.0), Target("snr", 30), 2**20)
    assert small.reason == "125,000: all voxels"
    large = sample_choice(Traits((WHOLE, 2, 1), 1.0, None, 1.0, 1.0, 0.0), Target("snr", 30), 2**20)
    assert large.value == 2**22
