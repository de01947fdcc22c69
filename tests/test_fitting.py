"""Fitting: the step that spends a budget, block lengths, voxels that do not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core.backend import NUMPY, get_backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.basis import block_length, block_sizes, edge_kind
from inrcodec.core.fitting import Voxels, choose_block, fit_latents, plain_step
from inrcodec.core.presets import BLOCK_LENGTHS, EFFORTS
from inrcodec.core.prior import prior

SHAPE = (20, 18, 22)


def density(*seeds: int, noise: float = 0.02) -> np.ndarray:
    volumes = [blobs(SHAPE, noise, seed) for seed in seeds]
    return np.stack([(v - v.mean()) / v.std() for v in volumes]).astype(np.float32)


def budget_at(values: np.ndarray, *snr: float) -> np.ndarray:
    """Squared error that an SNR allows each chunk of a batch."""
    return values[0].size / 10 ** (np.array(snr) / 10)


def ball(shape: tuple[int, ...]) -> np.ndarray:
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return sum(axis**2 for axis in grid) < 0.7


class TestPlainStep:
    @pytest.mark.parametrize("noise", [0.0, 0.02, 0.5])
    @pytest.mark.parametrize("snr", [10, 25, 45])
    def test_the_budget_is_spent(self, noise: float, snr: float) -> None:
        values = density(0, noise=noise)
        voxels = Voxels(NUMPY, values)
        latents = voxels.analyse(10)
        budget = budget_at(values, snr)
        step = plain_step(voxels, latents, budget)
        error = latents.squared_error(latents.plain(step), step, np.zeros((1, 3), np.int64))
        assert error == pytest.approx(budget, rel=0.02 if noise else 0.05)

    def test_each_chunk_of_a_batch_has_its_own(self) -> None:
        values = density(0, 1, 2)
        voxels = Voxels(NUMPY, values)
        latents = voxels.analyse(10)
        budget = budget_at(values, 15, 25, 35)
        step = plain_step(voxels, latents, budget)
        error = latents.squared_error(latents.plain(step), step, np.zeros((3, 3), np.int64))
        np.testing.assert_allclose(error, budget, rtol=0.02)
        assert step[0] > step[1] > step[2]

    def test_where_some_voxels_do_not_matter(self) -> None:
        values, care = density(0), ball(SHAPE)[None]
        voxels = Voxels(NUMPY, values, care)
        latents = voxels.analyse(10)
        budget = budget_at(values, 25)
        step = plain_step(voxels, latents, budget)
        assert voxels.squared_error(latents, latents.plain(step), step) == pytest.approx(budget, rel=0.02)

    def test_no_density(self) -> None:
        voxels = Voxels(NUMPY, np.zeros((1, *SHAPE), np.float32))
        assert np.isfinite(plain_step(voxels, voxels.analyse(10), np.array([1.0]))).all()


def test_only_voxels_that_matter_count() -> None:
    values, care = density(0, 1), np.stack([ball(SHAPE), np.ones(SHAPE, bool)])
    steps = np.array([0.3, 0.3])
    some, every = Voxels(NUMPY, values, care), Voxels(NUMPY, values)
    latents = every.analyse(10)
    q = latents.plain(steps)
    part = some.squared_error(latents, q, steps)
    total = every.squared_error(latents, q, steps)
    assert part[0] < 0.6 * total[0]
    assert part[1] == pytest.approx(total[1], rel=1e-4)
    assert some.select([0]).squared_error(latents.chunk(0), q.chunk(0), steps[:1]) == pytest.approx(part[0])


def estimate(voxels: Voxels, block: int, step: np.ndarray) -> np.ndarray:
    latents = voxels.analyse(block)
    return latents.cost(latents.plain(step), [prior()]).bits


class TestChooseBlock:
    @pytest.mark.parametrize("finalists", [1, 2, 3])
    def test_finalists_come_best_first(self, finalists: int) -> None:
        values = density(0, 1)
        voxels = Voxels(NUMPY, values)
        preset = replace(EFFORTS[0], blocks=5, finalists=finalists)
        blocks, steps = choose_block(voxels, budget_at(values, 25, 30), preset)
        assert blocks.shape == steps.shape == (finalists, 2)
        assert {block_length(block) for block in blocks.ravel()} <= set(BLOCK_LENGTHS)
        for at in range(2):
            splits = {(*(block_sizes(n, b) for n in SHAPE), edge_kind(b)) for b in blocks[:, at].tolist()}
            assert len(splits) == finalists  # none is fitted twice
            one = voxels.select([at])
            bits = [estimate(one, int(b), s[None]) for b, s in zip(blocks[:, at], steps[:, at], strict=True)]
            assert bits == sorted(bits)

    def test_more_tries_are_not_worse(self) -> None:
        values = density(0)
        voxels, budget = Voxels(NUMPY, values), budget_at(values, 25)
        few, many = (
            choose_block(voxels, budget, replace(EFFORTS[0], blocks=n)) for n in (3, len(BLOCK_LENGTHS))
        )
        bits_few, bits_many = (estimate(voxels, int(blocks[0, 0]), steps[0]) for blocks, steps in (few, many))
        assert bits_many <= bits_few

    def test_a_box_with_one_split_has_edges_to_choose(self) -> None:
        values = density(0)[:, :3, :2, :4]
        blocks, steps = choose_block(Voxels(NUMPY, values), np.array([0.1]), EFFORTS[-1])
        assert len({block_length(block) for block in blocks[:, 0]}) == 1
        assert blocks.shape == steps.shape

    def test_smooth_density_takes_longer_blocks_than_detail_at_places(self) -> None:
        grid = np.indices(SHAPE) / 7.0
        wave = np.cos(grid.sum(axis=0))[None].astype(np.float32)
        spikes = np.zeros((1, *SHAPE), np.float32)
        spikes.reshape(-1)[np.random.default_rng(0).choice(spikes.size, 40, replace=False)] = 14
        long, short = (
            choose_block(Voxels(NUMPY, v), budget_at(v, 20), replace(EFFORTS[0], blocks=9))[0][0]
            for v in (wave, spikes)
        )
        assert block_length(int(long[0])) > block_length(int(short[0]))


class TestFitLatents:
    def test_the_budget_is_spent(self) -> None:
        values = density(0, 1)
        voxels, budget = Voxels(NUMPY, values), budget_at(values, 20, 30)
        latents = voxels.analyse(10)
        fit = fit_latents(voxels, latents, plain_step(voxels, latents, budget), EFFORTS[1], budget=budget)
        error = voxels.squared_error(fit.latents, fit.quantised, fit.step)
        np.testing.assert_allclose(error, budget, rtol=0.1)  # the writer does the rest
        assert not fit.own_weights.any()
        assert (fit.bits > 0).all()
        assert fit.chunk(1).step == fit.step[1]

    def test_fixed_networks_keep_step_and_networks(self) -> None:
        values = density(0)
        voxels = Voxels(NUMPY, values)
        network = ContextNetwork.from_flat(prior().flat + 1 * (prior().flat < 0))
        step = np.array([0.37])
        fit = fit_latents(voxels, voxels.analyse(10), step, EFFORTS[6], budget=None, networks=[network])
        assert fit.step == step
        assert fit.networks == [network]
        assert not fit.own_weights.any()

    @pytest.mark.needs_torch
    def test_own_weights_are_kept_only_where_they_save(self) -> None:
        values = density(0, 1)
        voxels, budget = Voxels(get_backend("cpu"), values), budget_at(values, 30, 30)
        latents = voxels.analyse(10)
        step = plain_step(voxels, latents, budget)
        fit = fit_latents(voxels, latents, step, EFFORTS[3], budget=budget)
        shared = fit.latents.cost(fit.quantised, [prior()]).bits
        assert (fit.bits <= shared).all()
        for own, network in zip(fit.own_weights, fit.networks, strict=True):
            assert own == (network is not prior())


def test_filling_what_does_not_matter_saves_bits() -> None:
    mask = ball(SHAPE)
    values = np.where(mask, density(0)[0] + 1, 0)[None].astype(np.float32)  # a hard edge
    voxels = Voxels(NUMPY, values, mask[None])
    budget = np.array([values[0][mask].var() * mask.sum() / 10**2])
    latents = voxels.analyse(10)
    step = plain_step(voxels, latents, budget)
    filled, kept = voxels.fill(latents, step, 20)
    assert kept is step
    assert filled.layout is latents.layout
    larger = plain_step(voxels, filled, budget)  # at equal error
    before = latents.cost(latents.plain(step), [prior()]).bits
    assert filled.cost(filled.plain(larger), [prior()]).bits < 0.9 * before


def test_where_all_voxels_matter_there_is_nothing_to_fill() -> None:
    voxels = Voxels(NUMPY, density(0))
    latents = voxels.analyse(10)
    assert voxels.fill(latents, np.array([0.3]), 10)[0] is latents
