"""From prepared chunks to fits: budgets for each target, occupancy where it pays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core import Settings, Target, VolumeModel
from inrcodec.core.backend import NUMPY
from inrcodec.core.choosing import budget_for_bits, fit_chunks
from inrcodec.core.fields.basis import block_length
from inrcodec.core.fitting import Voxels
from inrcodec.core.occupancy import decompress
from inrcodec.core.prepare import Prepared, prepare
from inrcodec.core.prior import prior

EFFORT_0 = Settings(effort=0)


def ball(size: int) -> np.ndarray:
    grid = np.indices((size,) * 3) - (size - 1) / 2
    return (grid**2).sum(axis=0) < (0.45 * size) ** 2


def ready(chunk: np.ndarray, threshold: float | None = None) -> Prepared:
    prepared = prepare(chunk, threshold)
    assert prepared is not None
    return prepared


def hard_mask(size: int = 32, level: float = 3.0) -> np.ndarray:
    """Density on a level far from 0 inside a ball, exactly 0 outside."""
    return np.where(ball(size), blobs((size,) * 3, 0.05) + level, 0).astype(np.float32)


@pytest.mark.parametrize("bits", [2e3, 1e4, 5e4])
def test_budget_for_bits(bits: float) -> None:
    values = blobs((20, 20, 20), 0.05)[None]
    voxels = Voxels(NUMPY, (values - values.mean()) / values.std())
    budget = budget_for_bits(voxels, np.array([bits]))
    less = budget_for_bits(voxels, np.array([bits / 2]))
    assert 0 < budget[0] < less[0] <= voxels.analyse(16).energy[0] * 1.001
    assert math.isfinite(budget[0])


def test_a_size_no_field_has() -> None:
    voxels = Voxels(NUMPY, blobs((12, 12, 12))[None])
    budget = budget_for_bits(voxels, np.array([-500.0]))
    assert budget == pytest.approx(voxels.analyse(16).energy, rel=0.05)


class TestOccupancy:
    def test_a_hard_mask_is_stored(self) -> None:
        chunk = ready(hard_mask())
        (fit,) = fit_chunks(NUMPY, [chunk], EFFORT_0)
        assert fit.cell is not None
        assert fit.occupied is not None
        assert fit.occupied[chunk.represented].all()
        np.testing.assert_array_equal(decompress(fit.mask, chunk.shape), fit.occupied)
        assert fit.bits == pytest.approx(float(fit.fit.bits[0]) + 8 * len(fit.mask))

    def test_where_none_pays_none_is_stored(self) -> None:
        chunk = hard_mask()
        box = np.zeros_like(chunk)
        box[4:28, 4:28, 4:28] = (blobs((24, 24, 24)) + 3).astype(np.float32)  # its bounding box says it all
        for density in (box, (chunk > -1) * blobs((32, 32, 32)).astype(np.float32)):
            (fit,) = fit_chunks(NUMPY, [ready(density)], EFFORT_0)
            assert (fit.cell, fit.mask, fit.occupied) == (None, b"", None)

    @pytest.mark.parametrize("effort", [0, 1])
    def test_a_threshold_stores_every_voxel(self, effort: int) -> None:
        density = blobs((20, 20, 20)).astype(np.float32)
        chunk = ready(density, 0.2)
        (fit,) = fit_chunks(NUMPY, [chunk], Settings(effort=effort, threshold=0.2))
        assert fit.cell == 1
        assert fit.occupied is not None
        np.testing.assert_array_equal(fit.occupied, chunk.represented)


def test_fits_come_in_the_order_of_their_chunks() -> None:
    plain = [blobs((32, 32, 32), 0.02, seed).astype(np.float32) for seed in range(3)]
    holed = plain[0].copy()
    holed[5, 6, 7] = np.nan
    masked = hard_mask()
    masked[:, :, [0, -1]] = masked[:, [0, -1]] = masked[[0, -1]] = 1e-3  # its box is the whole chunk
    chunks = [ready(c) for c in (plain[1], masked, plain[2], holed, plain[0])]
    assert len({c.shape for c in chunks}) == 1
    fits = fit_chunks(NUMPY, chunks, EFFORT_0)
    assert [fit.scale for fit in fits] == [pytest.approx(c.scale) for c in chunks]
    for chunk, fit in zip(chunks, fits, strict=True):
        error = fit.squared_error(fit.fit.quantised, float(fit.fit.step[0])) * fit.scale**2
        assert error == pytest.approx(chunk.squared_error_budget(Target()), rel=0.15)


@pytest.mark.parametrize(
    "target", [Target("snr", 20), Target("max_error", 0.2), Target("ratio", 40)], ids=str
)
def test_batches_give_each_chunk_what_it_gets_alone(target: Target) -> None:
    chunks = [ready(blobs((16, 16, 16), 0.02, seed) * (1 + seed)) for seed in range(3)]
    settings = Settings(target, effort=0)
    together = fit_chunks(NUMPY, chunks, settings)
    for chunk, fit in zip(chunks, together, strict=True):
        (alone,) = fit_chunks(NUMPY, [chunk], settings)
        # which blocks are tried follows from the mean over the batch
        assert fit.bits == pytest.approx(alone.bits, rel=0.1)


def test_a_block_that_is_given_is_kept() -> None:
    (fit,) = fit_chunks(NUMPY, [ready(blobs((20, 20, 20)))], Settings(effort=0, block=7))
    assert block_length(fit.fit.latents.layout.block) == 7


class TestVolumeScope:
    @pytest.mark.parametrize("cell", [None, 2, 4])
    def test_step_block_and_cell_are_the_volumes(self, cell: int | None) -> None:
        volume = VolumeModel(0.05, 9, prior().to_bytes(prior()), cell=cell)
        chunks = [ready(hard_mask()), ready(hard_mask(level=30.0))]
        for fit in fit_chunks(NUMPY, chunks, Settings(effort=1, volume=volume)):
            assert float(fit.fit.step[0]) * fit.scale == pytest.approx(0.05)
            assert fit.fit.latents.layout.block == 9
            assert fit.cell == cell
            assert (fit.occupied is None) == (cell is None)

    def test_a_threshold_stores_every_voxel(self) -> None:
        volume = VolumeModel(0.05, 9, prior().to_bytes(prior()))
        chunk = ready(hard_mask(), 0.5)
        (fit,) = fit_chunks(NUMPY, [chunk], Settings(effort=1, volume=volume, threshold=0.5))
        assert fit.cell == 1
        np.testing.assert_array_equal(fit.occupied, chunk.represented)
