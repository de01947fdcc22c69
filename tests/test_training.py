"""Training finds the scales of data whose scales are known, and what it trains is what decodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from inrcodec.core import context, entropy
from inrcodec.core.backend import NUMPY
from inrcodec.core.context import FEATURES, ContextNetwork, scale_indices
from inrcodec.core.prior import prior
from inrcodec.core.training import _forward, _initial, laplace_bits, train

COUNT = 12_000


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def known(seed: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (FEATURES, n), magnitudes (n,) and the scale indices (n,) that magnitudes were drawn with."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 60, (FEATURES, count)).astype(np.float32)
    index = np.rint(8 + 0.5 * features[0] + 0.4 * np.maximum(features[1], features[2])).astype(np.int64)
    scale = 2.0 ** ((index + entropy.SCALE_MIN) / 8)
    size = rng.exponential(scale)
    magnitude = np.maximum(0, np.floor(size - float(entropy.DEAD_ZONE)) + 1)
    return features, magnitude.astype(np.float32), index


def tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(torch.as_tensor(a)[None] for a in arrays)


def bits_of(network: ContextNetwork, features: np.ndarray, magnitude: np.ndarray) -> float:
    """Mean bits with the decoder's own network and tables."""
    index = scale_indices(NUMPY, [network], features).astype(int)
    return float(entropy.cost_table()[index, np.minimum(magnitude, 255).astype(int)].mean())


@pytest.fixture(scope="module")
def trained() -> ContextNetwork:
    features, magnitude, _ = known(0)
    (network,) = train(*tensors(features, magnitude), None, steps=400, sample=2048, learning_rate=1e-2)
    return network


def test_trained_and_rounded_it_is_near_the_entropy(trained: ContextNetwork) -> None:
    features, magnitude, index = known(1)  # not those it was trained on
    best = float(entropy.cost_table()[index, np.minimum(magnitude, 255).astype(int)].mean())
    assert best < bits_of(trained, features, magnitude) < 1.03 * best


def test_the_loss_falls(trained: ContextNetwork) -> None:
    features, magnitude, _ = known(1)
    assert bits_of(trained, features, magnitude) < 0.8 * bits_of(prior(), features, magnitude)
    (little,) = train(*tensors(features, magnitude), [prior()], steps=30, sample=2048, learning_rate=3e-3)
    assert bits_of(little, features, magnitude) < bits_of(prior(), features, magnitude)


def test_weights_are_in_range(trained: ContextNetwork) -> None:
    wild = tensors(known(0)[0] * 4, np.full(COUNT, 255, np.float32))
    (extreme,) = train(*wild, None, steps=60, sample=512, learning_rate=1.0)
    for network in (trained, extreme):
        assert [a.shape for a in network.arrays] == list(context.SHAPES)
        for array in network.arrays:
            assert array.dtype == np.int32
            assert np.abs(array).max() <= (127 if array.ndim == 2 else 32767)
        np.testing.assert_array_equal(ContextNetwork.from_flat(network.flat).flat, network.flat)
        again = ContextNetwork.from_bytes(network.to_bytes(prior()), prior())
        np.testing.assert_array_equal(again.flat, network.flat)


def test_seeds_are_reproducible() -> None:
    data = tensors(*known(0)[:2])
    first, again, other = (
        train(*data, None, steps=10, sample=256, learning_rate=1e-2, seed=seed)[0].flat for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_last_steps_are_the_decoders_arithmetic(trained: ContextNetwork) -> None:
    features, _, _ = known(2, 4000)
    parameters = _initial(1, [trained], torch.device("cpu"), torch.Generator())
    index = _forward(parameters, torch.as_tensor(features)[None], rounding=True)
    np.testing.assert_array_equal(index[0].detach().numpy(), scale_indices(NUMPY, [trained], features))


def test_every_chunk_of_a_batch_has_its_own_network() -> None:
    features, magnitude, _ = known(0, 3000)
    data = torch.as_tensor(np.stack([features] * 2)), torch.as_tensor(np.stack([magnitude, 0 * magnitude]))
    some, none = train(*data, None, steps=80, sample=1024, learning_rate=1e-2)
    assert bits_of(some, features, magnitude) < bits_of(none, features, magnitude)
    assert bits_of(none, features, 0 * magnitude) < 0.2


def test_latents_of_weight_zero_do_not_count() -> None:
    features, magnitude, _ = known(0, 3000)
    weight = (np.arange(3000) % 2).astype(np.float32)
    garbage = np.where(weight > 0, magnitude, 200).astype(np.float32)
    one, other = (
        train(
            *tensors(features, m),
            [prior()],
            steps=8,
            sample=512,
            learning_rate=3e-3,
            weight=tensors(weight)[0],
        )[0].flat
        for m in (magnitude, garbage)
    )
    np.testing.assert_array_equal(one, other)


def test_few_latents_are_enough_and_progress_is_told() -> None:
    features, magnitude, _ = known(0, 5)
    seen: list[float] = []
    data = tensors(features, magnitude)
    train(*data, [prior()], steps=4, sample=4096, learning_rate=3e-3, progress=seen.append)
    assert seen == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("magnitude", [0, 1, 2, 7])
@pytest.mark.parametrize("index", [0, 36, 60])
def test_the_loss_is_the_price_of_the_tables(index: int, magnitude: int) -> None:
    bits = float(laplace_bits(torch.tensor(float(index)), torch.tensor(float(magnitude))))
    price = float(entropy.cost_table()[index, magnitude])
    if price < 12:  # beyond, tables round tiny probabilities up
        assert bits == pytest.approx(price, rel=0.02, abs=0.02)
    assert np.isfinite(bits)
