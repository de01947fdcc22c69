"""What the context network looks at: the same for the encoder, the decoder and the specification."""

from __future__ import annotations

import numpy as np
import pytest
import reference_decoder
from context_features import largest_features

from inrcodec.core import context, context_state
from inrcodec.core.backend import NUMPY, Backend, get_backend
from inrcodec.core.context import FEATURES
from inrcodec.core.context_state import ContextState
from inrcodec.core.fields.layout import BINS, Layout, get_layout
from inrcodec.core.prior import prior

CASES = [((13, 17, 9), 6), ((16, 12, 10), 4), ((12, 12, 12), 12), ((1, 9, 30), 7)]


def random_latents(layout: Layout, bands: np.ndarray, batch: int, seed: int = 0) -> np.ndarray:
    """(bands, batch, blocks): small ones mostly, a few beyond any table."""
    rng = np.random.default_rng(seed)
    values = np.rint(rng.laplace(0, 1.5, (len(bands), batch, layout.blocks)))
    values[rng.random(values.shape) < 0.01] *= 1e5
    return values


def random_envelope(batch: int) -> np.ndarray:
    envelope = np.random.default_rng(3).integers(1, 256, (batch, BINS))
    envelope[:, 14:] = 0
    envelope[:, 6] = 0
    return envelope


def active_bands(layout: Layout, envelope: np.ndarray) -> np.ndarray:
    return np.flatnonzero(envelope[0, layout.bin] > 0)


def walked_features(
    backend: Backend, layout: Layout, envelope: np.ndarray, latents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features of all latents (FEATURES, active bands, batch, blocks), and the step each was seen in."""
    active = active_bands(layout, envelope)
    full = np.zeros((layout.bands, *latents.shape[1:]), np.int64)
    full[active] = latents
    out = np.full((FEATURES, layout.bands, *latents.shape[1:]), np.nan)
    steps = np.full((layout.bands, layout.blocks), -1)
    state = ContextState(backend, layout, envelope)
    for number, step in enumerate(context_state.walk(state, active)):
        at = backend.to_numpy(step.bands)
        assert (steps[at, step.part] == -1).all()
        steps[at, step.part] = number
        features = backend.to_numpy(step.features)
        if step.blocks is not None:
            assert step.quiet is not None
            some, features = features, np.repeat(step.quiet[:, :, None, None], layout.blocks, axis=3)
            features = features[..., step.part].copy()
            features[..., step.blocks] = some
        out[:, at, :, step.part] = features
        state.put(step.bands, backend.asarray(full[at][:, :, step.part]), step.part)
    return out[:, active], steps[active]


@pytest.mark.parametrize(("shape", "block"), CASES, ids=str)
def test_the_encoder_sees_what_the_decoder_sees(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    envelope = random_envelope(2)
    active = active_bands(layout, envelope)
    latents = random_latents(layout, active, 2)
    walked, steps = walked_features(NUMPY, layout, envelope, latents)
    assert (steps >= 0).all()
    state = ContextState(NUMPY, layout, envelope)
    even, odd = context_state.known_features(state, active, latents.astype(np.float32))
    assert even.dtype == np.float32
    known = even if odd is None else np.concatenate([even, odd], axis=3)
    np.testing.assert_array_equal(known, walked)


@pytest.mark.parametrize(("shape", "block"), CASES, ids=str)
def test_features_are_as_described(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    envelope = random_envelope(1)
    latents = random_latents(layout, active_bands(layout, envelope), 1)
    walked, _ = walked_features(NUMPY, layout, envelope, latents)
    described = reference_decoder.Latents(shape, block, envelope[0].tolist())
    coded = described.even + described.odd
    grid = np.array(coded)
    np.testing.assert_array_equal(np.ravel_multi_index(grid.T, layout.grid), layout.order)
    for b, band in enumerate(active_bands(layout, envelope)):
        k = tuple(int(f) for f in layout.frequency[:, band])
        for i, at in enumerate(coded):
            size = min(abs(int(latents[b, 0, i])), 255)
            described.logs[(k[0] + 2, k[1] + 2, k[2] + 2, *at)] = reference_decoder.LOG_MAGNITUDE[size]
        for at in coded:
            mean = described.neighbour_mean(k, at)
            described.near[(k[0] + 2, k[1] + 2, k[2] + 2, *at)] = mean
    rng = np.random.default_rng(0)
    for _ in range(200):
        b, i = rng.integers(0, walked.shape[1]), rng.integers(0, len(coded))
        k = tuple(int(f) for f in layout.frequency[:, active_bands(layout, envelope)[b]])
        expected = described.features(k, coded[i], i >= layout.even)
        assert walked[:, b, 0, i].tolist() == expected


def test_order_of_steps() -> None:
    layout = get_layout((13, 17, 9), 6)
    envelope = random_envelope(1)
    active = active_bands(layout, envelope)
    _, steps = walked_features(NUMPY, layout, envelope, random_latents(layout, active, 1))
    shells = np.unique(layout.shell[active], return_inverse=True)[1]
    assert (steps[:, : layout.even] == 2 * shells[:, None]).all()
    assert (steps[:, layout.even :] == 2 * shells[:, None] + 1).all()


def test_nothing_active() -> None:
    layout = get_layout((8, 8, 8), 4)
    state = ContextState(NUMPY, layout, np.zeros((1, BINS), np.int64))
    assert list(context_state.walk(state, np.empty(0, np.int64))) == []


@pytest.mark.needs_torch
def test_pytorch_sees_the_same() -> None:
    layout = get_layout((13, 17, 9), 6)
    envelope = random_envelope(2)
    latents = random_latents(layout, active_bands(layout, envelope), 2)
    expected, _ = walked_features(NUMPY, layout, envelope, latents)
    walked, _ = walked_features(get_backend("cpu"), layout, envelope, latents)
    np.testing.assert_array_equal(walked, expected)


def test_features_stay_within_their_bounds() -> None:
    top = largest_features()
    for shape, block in CASES:
        layout = get_layout(shape, block)
        envelope = np.full((1, BINS), 255)
        latents = np.full((layout.bands, 1, layout.blocks), 1e6)
        walked, _ = walked_features(NUMPY, layout, envelope, latents)
        assert (walked >= 0).all()
        assert (walked.max(axis=(1, 2, 3)) <= top).all()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.9])
def test_a_step_gives_what_the_network_gives(share: float) -> None:
    layout = get_layout((13, 17, 9), 6)
    envelope = random_envelope(1)
    rng = np.random.default_rng(3)
    latents = np.where(rng.random((layout.bands, 1, layout.blocks)) < share, 2, 0)
    state = ContextState(NUMPY, layout, envelope)
    for step in context_state.walk(state, active_bands(layout, envelope)):
        index = context_state.step_indices(NUMPY, prior(), step)
        assert index.dtype == np.uint8
        if step.blocks is None:
            flat = step.features.reshape(context.FEATURES, -1)
            np.testing.assert_array_equal(index, context.scale_indices(NUMPY, [prior()], flat))
        state.put(step.bands, latents[step.bands][:, :, step.part], step.part)


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
@pytest.mark.parametrize(("shape", "block"), CASES)
def test_known_latents_give_what_the_network_gives(
    shape: tuple[int, int, int], block: int, share: float
) -> None:
    layout, envelope = get_layout(shape, block), random_envelope(1)
    active = active_bands(layout, envelope)
    latents = random_latents(layout, active, 1)
    latents[np.random.default_rng(1).random(latents.shape) >= share] = 0
    state = ContextState(NUMPY, layout, envelope)
    even, odd = context_state.known_features(state, active, latents.astype(np.int64))
    features = (even if odd is None else np.concatenate([even, odd], axis=3))[:, :, 0]
    index = context_state.known_indices(NUMPY, prior(), features, layout.even)
    expected = context.scale_indices(NUMPY, [prior()], features.reshape(FEATURES, -1))
    np.testing.assert_array_equal(index, expected.reshape(len(active), layout.blocks))


@pytest.mark.parametrize("held", [0, 1, 3, 400])
def test_blocks_far_from_latents_are_as_all_others(held: int) -> None:
    """Few blocks with latents are read apart; that changes neither features nor indices."""
    layout = get_layout((50, 41, 44), 6)
    envelope = random_envelope(1)
    active = active_bands(layout, envelope)
    rng = np.random.default_rng(5)
    latents = np.zeros((len(active), 1, layout.blocks), np.int64)
    some = rng.permutation(layout.blocks)[:held]
    latents[:, :, some] = rng.integers(-3, 4, (len(active), 1, len(some)))
    walked, _ = walked_features(NUMPY, layout, envelope, latents)
    even, odd = context_state.known_features(
        ContextState(NUMPY, layout, np.repeat(envelope, 2, axis=0)), active, np.repeat(latents, 2, axis=1)
    )
    np.testing.assert_array_equal(walked, np.concatenate([even, odd], axis=3)[:, :, :1])
    state = ContextState(NUMPY, layout, envelope)
    apart = set()
    for step in context_state.walk(state, active):
        rows = np.searchsorted(active, step.bands)
        flat = walked[:, rows, 0, step.part].reshape(FEATURES, -1).astype(np.float32)
        expected = context.scale_indices(NUMPY, [prior()], flat)
        np.testing.assert_array_equal(context_state.step_indices(NUMPY, prior(), step), expected)
        apart.add(step.blocks is not None)
        state.put(step.bands, latents[rows][:, :, step.part], step.part)
    assert True in apart
    assert (False in apart) == (held == 400)
