"""The context network: whole numbers, the same everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import reference_decoder
from context_features import largest_features

from inrcodec.core import context, entropy
from inrcodec.core.backend import NUMPY, get_backend
from inrcodec.core.context import FEATURES, PARAMETERS, SHAPES, ContextNetwork
from inrcodec.core.payload import PayloadError
from inrcodec.core.prior import prior

LOGS_SHA256 = "6d5b7827425480b35b7ceb3214376fe856c1eb858f97aa72217f1b7d1de99f01"


def random_network(seed: int = 0, top: int = 127, bias: int = 32767) -> ContextNetwork:
    rng = np.random.default_rng(seed)
    limits = [top if len(shape) == 2 else bias for shape in SHAPES]
    parts = [rng.integers(-n, n + 1, shape).ravel() for n, shape in zip(limits, SHAPES, strict=True)]
    return ContextNetwork.from_flat(np.concatenate(parts))


def test_log_magnitudes() -> None:
    table = context.log_magnitudes()
    assert table.dtype == np.int16
    assert (table[0], table[1], table[255]) == (0, 28, 91)
    assert (np.diff(table) >= 0).all()
    np.testing.assert_array_equal(table, reference_decoder.LOG_MAGNITUDE)
    exact = 8 * np.log2((0.1 + np.arange(256)) / 0.1)
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    digest = hashlib.sha256(table.astype("<i2").tobytes()).hexdigest()
    assert digest == LOGS_SHA256, "stored payloads depend on this table"


def test_partial_sums_are_exact_in_float32() -> None:
    """Worst-case weights: every partial sum stays below 2**24, in any order."""
    assert 127 * largest_features().sum() + 32767 < 2**24
    assert 127 * 255 * context.WIDTH + 32767 < 2**24


@pytest.mark.parametrize("network", [prior(), random_network(), random_network(1, 20, 5000)])
def test_the_network_is_whole_number_arithmetic(network: ContextNetwork) -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(0, largest_features()[:, None] + 1, (FEATURES, 3000))
    expected = reference_decoder.scale_index([a.astype(np.int64) for a in network.arrays], features)
    index = context.scale_indices(NUMPY, [network], features.astype(np.float32))
    assert index.dtype == np.float32
    assert index.tolist() == expected


@pytest.mark.parametrize("sign", [-1, 1])
def test_worst_case_weights(sign: int) -> None:
    limits = [127 if len(shape) == 2 else 32767 for shape in SHAPES]
    flat = np.concatenate([np.full(shape, sign * n).ravel() for n, shape in zip(limits, SHAPES, strict=True)])
    index = context.scale_indices(
        NUMPY, [ContextNetwork.from_flat(flat)], largest_features()[:, None].astype(np.float32)
    )
    assert index.tolist() == [entropy.SCALES - 1 if sign > 0 else 0]


def test_ties_round_to_even() -> None:
    """Biases alone: (1, 3, 5) halves of the last layer's unit."""
    for bias, expected in ((64, 0), (192, 2), (320, 2), (65, 1), (-64, 0)):
        flat = np.zeros(PARAMETERS, np.int64)
        flat[-1] = bias
        index = context.scale_indices(
            NUMPY, [ContextNetwork.from_flat(flat)], np.zeros((FEATURES, 1), np.float32)
        )
        assert index.tolist() == [expected]


def test_one_network_a_chunk_and_tiles() -> None:
    networks = [random_network(seed, 20, 5000) for seed in range(3)]
    rng = np.random.default_rng(0)
    count = NUMPY.tile + 100
    features = rng.integers(0, 90, (3, FEATURES, count)).astype(np.float32)
    together = context.scale_indices(NUMPY, networks, features)
    assert together.shape == (3, count)
    for network, part, index in zip(networks, features, together, strict=True):
        np.testing.assert_array_equal(context.scale_indices(NUMPY, [network], part), index)
        np.testing.assert_array_equal(context.scale_indices(NUMPY, [network], part[:, -7:]), index[-7:])


@pytest.mark.needs_torch
def test_pytorch_gives_the_same_indices() -> None:
    import torch

    cpu = get_backend("cpu")
    rng = np.random.default_rng(0)
    features = rng.integers(0, largest_features()[:, None] + 1, (FEATURES, 5000)).astype(np.float32)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for network in (prior(), random_network(), random_network(1, 20, 5000)):
                index = cpu.to_numpy(context.scale_indices(cpu, [network], cpu.asarray(features)))
                np.testing.assert_array_equal(index, context.scale_indices(NUMPY, [network], features))
    finally:
        torch.set_num_threads(before)


def test_network_round_trip() -> None:
    network = random_network(2)
    np.testing.assert_array_equal(ContextNetwork.from_flat(network.flat).flat, network.flat)
    data = network.to_bytes(prior())
    np.testing.assert_array_equal(ContextNetwork.from_bytes(data, prior()).flat, network.flat)
    assert len(prior().to_bytes(prior())) <= 16


@pytest.mark.parametrize(("at", "value"), [(0, 128), (5, -128), (370, 32768), (-1, -32768)])
def test_weights_out_of_range(at: int, value: int) -> None:
    flat = np.zeros(PARAMETERS, np.int64)
    flat[at] = value
    with pytest.raises(PayloadError, match="out of range"):
        ContextNetwork.from_flat(flat)


def test_spectral_envelope() -> None:
    means = np.array([[0.0, 1e-12, 0.004, 0.012, 3.0, 1e20]])
    codes = context.spectral_envelope(means)
    assert codes.tolist() == [[0, 1, 9, 17, 77, 255]]
