"""Latents: orthonormal analysis, quantisation by rate and distortion, reconstruction offsets."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core import entropy
from inrcodec.core.backend import NUMPY, Backend, get_backend
from inrcodec.core.fields.layout import BINS, get_layout
from inrcodec.core.fields.local_fourier import analyse, synthesise
from inrcodec.core.latents import LAMBDA, Latents, Quantised
from inrcodec.core.prior import prior

SHAPE = (18, 17, 21)
STEP = np.array([0.1])
NO_OFFSETS = np.zeros((1, 3), np.int64)
DEVICES = ["numpy", pytest.param("cpu", marks=pytest.mark.needs_torch)]


def voxels(seeds: tuple[int, ...] = (0,)) -> np.ndarray:
    return np.stack([blobs(SHAPE, 0.02, seed) for seed in seeds]).astype(np.float32)


def analysed(values: np.ndarray, block: int = 8, backend: Backend = NUMPY) -> Latents:
    layout = get_layout(SHAPE, block)
    return Latents(backend, layout, analyse(backend, backend.asarray(values), layout))


def whole(latents: Latents, q: Quantised, values: np.ndarray | None = None) -> np.ndarray:
    """(bands, batch, blocks): the quantised latents, or values in their place, with the bands left out."""
    out = np.zeros(latents.latents.shape, np.float32)
    out[q.bands] = q.values if values is None else values
    return out


@pytest.mark.parametrize("block", [4, 8, 16])
@pytest.mark.parametrize("step", [0.02, 0.1, 0.5])
def test_squared_error_in_latents_is_that_in_voxels(block: int, step: float) -> None:
    values = voxels((0, 1))
    latents = analysed(values, block)
    steps = np.array([step, 2 * step])
    q = latents.plain(steps)
    offsets = latents.offsets(q, steps)
    decoded = synthesise(NUMPY, whole(latents, q, latents.dequantise(q, steps, offsets)), latents.layout)
    error = ((decoded - values).astype(float) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(latents.squared_error(q, steps, offsets), error, rtol=1e-4)


def test_energy_is_that_of_the_voxels() -> None:
    values = voxels((0, 1))
    np.testing.assert_allclose(analysed(values).energy, (values.astype(float) ** 2).sum((1, 2, 3)), rtol=1e-4)


class TestPlain:
    def test_dead_zone(self) -> None:
        latents = analysed(voxels())
        scaled = np.abs(latents.latents) / np.float32(STEP[0])
        q = whole(latents, latents.plain(STEP))
        assert not q[scaled < 0.599].any()
        assert q[scaled > 0.601].all()
        assert np.abs(np.abs(q) - scaled).max() <= 0.6001
        assert (np.sign(q) * np.sign(latents.latents) >= 0).all()

    def test_empty_bins_are_left_out(self) -> None:
        latents = analysed(voxels())
        q = latents.plain(np.array([0.5]))
        assert 0 < len(q.bands) < latents.layout.bands
        assert set(latents.layout.bin[q.bands]) == set(np.flatnonzero(q.envelope[0]))
        assert not np.abs(latents.latents[np.setdiff1d(np.arange(latents.layout.bands), q.bands)]).max() > 0.3

    def test_nothing_left(self) -> None:
        latents = analysed(voxels())
        step = np.array([1e9])
        q = latents.plain(step)
        assert len(q.bands) == 0
        assert not q.envelope.any()
        assert latents.cost(q, [prior()]).bits == 0
        assert latents.rate_distortion(q, step, [prior()]) is q
        assert latents.squared_error(q, step, NO_OFFSETS) == pytest.approx(latents.energy)
        assert not latents.offsets(q, step).any()

    @pytest.mark.parametrize("samples", [2**20, 500])
    def test_error_estimate(self, samples: int) -> None:
        latents = analysed(voxels((0, 1)))
        steps = np.array([0.1, 0.3])
        exact = latents.squared_error(latents.plain(steps), steps, np.zeros((2, 3), np.int64))
        tolerance = 1e-4 if samples > 2**16 else 0.3
        np.testing.assert_allclose(latents.plain_error(steps, samples), exact, rtol=tolerance)


def objective(latents: Latents, index: np.ndarray, values: np.ndarray, bands: np.ndarray) -> float:
    """Squared error in steps plus LAMBDA times bits, at fixed rates, over some bands."""
    scaled = latents.latents[bands] / np.float32(STEP[0])
    bits = entropy.cost_table()[index, np.minimum(np.abs(values), 255).astype(int)]
    return float(((scaled - values) ** 2).sum() + LAMBDA * bits.sum())


@pytest.mark.parametrize("block", [6, 16])
def test_rate_distortion_beats_plain_quantisation_at_fixed_rates(block: int) -> None:
    latents = analysed(voxels(), block)
    plain = latents.plain(STEP)
    index = latents.indices(plain, [prior()])
    chosen = whole(latents, latents.rate_distortion(plain, STEP, [prior()]))[plain.bands]
    before = objective(latents, index, plain.values, plain.bands)
    assert objective(latents, index, chosen, plain.bands) < before
    # every latent by itself, too: no choice is worse than the plain one
    scaled = latents.latents[plain.bands] / np.float32(STEP[0])
    table = entropy.cost_table()

    def each(values: np.ndarray) -> np.ndarray:
        bits = table[index, np.minimum(np.abs(values), 255).astype(int)]
        return (scaled - values) ** 2 + np.float32(LAMBDA) * bits

    assert (each(chosen) <= each(plain.values) + 1e-4).mean() > 0.999
    assert (np.abs(chosen) <= np.abs(np.rint(scaled))).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prune", [False, True])
def test_blocks_of_infinite_weight_are_left_empty(device: str, prune: bool) -> None:
    latents = analysed(voxels(), backend=get_backend(device))
    plain = latents.plain(STEP)
    weight = np.full(latents.layout.blocks, LAMBDA)
    weight[::3] = np.inf
    q = latents.rate_distortion(plain, STEP, [prior()], prune=prune, weight=weight)
    values = latents.backend.to_numpy(q.values)[:, 0]
    assert not values[:, ::3].any()
    everywhere = latents.rate_distortion(plain, STEP, [prior()])
    at = np.searchsorted(q.bands, everywhere.bands[np.isin(everywhere.bands, q.bands)])
    same = latents.backend.to_numpy(everywhere.values)[np.isin(everywhere.bands, q.bands), 0]
    for i in (1, 2):  # the others as ever
        np.testing.assert_array_equal(values[at, i::3], same[:, i::3])


def test_sizes_of_blocks() -> None:
    latents = analysed(voxels())
    left, largest = (np.asarray(a)[0] for a in latents.block_sizes(STEP))
    scaled = latents.latents[:, 0] / STEP[0]
    np.testing.assert_allclose(left, (scaled**2).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(largest, np.abs(scaled).max(axis=0), rtol=1e-5)


def test_rate_distortion_saves_bits_at_equal_error() -> None:
    latents = analysed(voxels())
    plain = latents.cost(latents.plain(STEP), [prior()])
    allowed = latents.squared_error(plain, STEP, latents.offsets(plain, STEP))
    step, q = STEP, plain
    for _ in range(6):
        q = latents.rate_distortion(q, step, [prior()])
        step = step * (allowed / latents.squared_error(q, step, latents.offsets(q, step))) ** (1 / 1.5)
    q = latents.cost(latents.rate_distortion(q, step, [prior()]), [prior()])
    assert latents.squared_error(q, step, latents.offsets(q, step)) <= 1.02 * allowed
    assert q.bits < 0.99 * plain.bits


@pytest.mark.parametrize("step", [0.03, 0.1, 0.4])
def test_offsets_lower_the_error(step: float) -> None:
    latents = analysed(voxels((0, 1)))
    steps = np.full(2, step)
    q = latents.rate_distortion(latents.plain(steps), steps, [prior()])
    offsets = latents.offsets(q, steps)
    assert offsets.dtype == np.int64
    assert np.abs(offsets).max() <= 40
    none = np.zeros_like(offsets)
    best = latents.squared_error(q, steps, offsets)
    assert (best < latents.squared_error(q, steps, none)).all()
    for column in range(3):  # each is the best of its kind
        for change in (-1, 1):
            moved = offsets.copy()
            moved[:, column] += change
            assert (latents.squared_error(q, steps, moved) >= best * (1 - 1e-5)).all()


class TestBatch:
    def test_a_chunk_of_a_batch_is_that_chunk(self) -> None:
        both, alone = analysed(voxels((0, 1))), analysed(voxels((1,)))
        steps = np.array([0.3, 0.1])
        q, one = both.plain(steps), alone.plain(steps[1:])
        np.testing.assert_array_equal(whole(both, q)[:, 1:], whole(alone, one))
        np.testing.assert_array_equal(q.envelope[1:], one.envelope)
        cost = both.cost(q, [prior()])
        np.testing.assert_allclose(cost.bits[1:], alone.cost(one, [prior()]).bits, rtol=1e-6)
        np.testing.assert_allclose(both.cost(q, [prior(), prior()]).bits, cost.bits, rtol=1e-6)
        assert both.chunk(1).energy == pytest.approx(alone.energy)
        np.testing.assert_array_equal(cost.chunk(1).values, q.values[:, 1:])
        assert cost.chunk(1).bits == cost.bits[1]

    def test_envelopes_are_codes(self) -> None:
        q = analysed(voxels((0, 1))).plain(np.array([0.3, 0.1]))
        assert q.envelope.shape == (2, BINS)
        assert q.envelope.min() >= 0
        assert q.envelope.max() <= 255


@pytest.mark.parametrize("device", DEVICES)
def test_indices_do_not_depend_on_the_device(device: str) -> None:
    values = voxels((0, 1))
    steps = np.array([0.1, 0.2])
    here = analysed(values)
    q = here.plain(steps)
    backend = get_backend(device)
    there = Latents(backend, here.layout, backend.asarray(here.latents))
    moved = Quantised(q.bands, backend.asarray(q.values), q.envelope, q.bits)
    index = backend.to_numpy(there.indices(moved, [prior()]))
    np.testing.assert_array_equal(index, here.indices(q, [prior()]))
    assert index.min() >= 0
    assert index.max() < entropy.SCALES


def test_tiny_steps_keep_latents_in_range() -> None:
    latents = analysed(voxels())
    q = latents.plain(np.array([1e-12]))
    assert np.abs(q.values).max() == 2**24
    assert np.isfinite(latents.cost(q, [prior()]).bits).all()
