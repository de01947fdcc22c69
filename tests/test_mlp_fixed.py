"""The network in whole numbers: rounding, bytes, and the same densities everywhere."""

from __future__ import annotations

import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlp_cases import random_network

from inrcodec.core.backend import get_backend
from inrcodec.core.mlp.encoding import axis_table
from inrcodec.core.mlp.fixed import ACTIVATION_MAX, OUTPUT_MAX, FixedNetwork, inflated
from inrcodec.core.mlp.network import has_skip
from inrcodec.core.payload import PayloadError

GRID = (5, 6, 7)
VOXELS = tuple(axis.ravel() for axis in np.indices(GRID))
IDENTIFIER = np.array([3000, -9000, 2**20], np.int32)


def by_hand(network: FixedNetwork, voxel: tuple[int, ...]) -> int:
    """One voxel in Python's own whole numbers and fractions, without a float in a sum."""
    tables = [axis_table(n, network.shape.frequencies) for n in GRID]
    value = [int(t) for axis in (2, 1, 0) for t in tables[axis][voxel[axis]]] + [int(i) for i in IDENTIFIER]
    layers = list(zip(network.weights, network.scales, network.biases, strict=True))
    for i, (weights, scales, biases) in enumerate(layers):
        out = []
        for j in range(len(biases)):
            total = float(sum(int(w) * v for w, v in zip(weights[j], value, strict=True)))
            rounded = round(Fraction(total * float(scales[j]))) + int(biases[j])
            if has_skip(network.shape.residual, i, len(layers)) and j < len(value):
                rounded += value[j]
            last = i == len(layers) - 1
            low, high = (-int(OUTPUT_MAX), int(OUTPUT_MAX)) if last else (0, int(ACTIVATION_MAX))
            out.append(min(max(rounded, low), high))
        value = out
    return value[0]


@pytest.mark.parametrize("weight_bits", [8, 16, 32])
@pytest.mark.parametrize("residual", ["none", "alternate", "full"])
def test_evaluation_is_exact(residual: str, weight_bits: int) -> None:
    network = random_network((7, 9, 9, 4, 1), residual=residual, weight_bits=weight_bits, seed=0)
    out = network.evaluate(get_backend("numpy"), GRID, VOXELS, IDENTIFIER)
    assert len(np.unique(out)) > 100
    for n in range(0, len(out), 13):
        assert out[n] == by_hand(network, tuple(axis[n] for axis in VOXELS))


@pytest.mark.needs_torch
@pytest.mark.parametrize("weight_bits", [8, 16, 32])
def test_all_devices_agree(weight_bits: int) -> None:
    network = random_network((300, 200, 1), residual="full", weight_bits=weight_bits)
    one, other = (network.evaluate(get_backend(d), GRID, VOXELS, IDENTIFIER) for d in ("numpy", "cpu"))
    np.testing.assert_array_equal(one, other)


def test_order_and_number_of_voxels_do_not_matter() -> None:
    network = random_network((4096, 1), weight_bits=32)  # few voxels fit a tile
    backend = get_backend("numpy")
    whole = network.evaluate(backend, (9, 9, 9), tuple(a.ravel() for a in np.indices((9, 9, 9))), IDENTIFIER)
    some = np.random.default_rng(0).permutation(729)[:17]
    z, y, x = (axis.ravel()[some] for axis in np.indices((9, 9, 9)))
    np.testing.assert_array_equal(network.evaluate(backend, (9, 9, 9), (z, y, x), IDENTIFIER), whole[some])


def test_largest_sums_stay_exact() -> None:
    """All weights, inputs and activations at their limits: one unit more or less must be seen."""
    network = random_network((4096, 4096, 1), weight_bits=32)
    top = 2**31 - 1
    weights = tuple(np.full_like(w, top) for w in network.weights)
    weights[1][0, 0] -= 1
    scales = (np.full(4096, 2.0**10, np.float32), np.full(4096, 2.0**-60, np.float32), np.ones(1, np.float32))
    pushed = FixedNetwork(network.shape, weights, network.biases, scales)
    halves, _, _ = pushed._layers(get_backend("numpy"))[1]
    value = np.full((1, 4096), ACTIVATION_MAX)
    high, low = ((value @ half)[0] for half in halves)
    assert max(high.max(), low.max()) < 2**53
    expected = 4096 * top * 2**24
    assert int(high[1]) * 65536 + int(low[1]) == expected
    assert int(high[0]) * 65536 + int(low[0]) == expected - 2**24
    assert np.isfinite(pushed.evaluate(get_backend("numpy"), (2, 2, 2), ([1], [1], [1]), IDENTIFIER)).all()


@pytest.mark.parametrize(("weight_bits", "bound"), [(8, 0.05), (16, 5e-4), (32, 5e-4)])
def test_rounding_stays_near_the_float_network(weight_bits: int, bound: float) -> None:
    network = random_network((32, 32, 1), weight_bits=weight_bits, seed=3)
    rng = np.random.default_rng(3)
    shape = network.shape
    weights = [rng.normal(0, (2 / m) ** 0.5, (n, m)) for n, m in shape.layers]
    biases = [rng.normal(0, 0.1, n) for n, _ in shape.layers]
    tables = [axis_table(n, shape.frequencies) / 2**14 for n in GRID]
    z, y, x = VOXELS
    shared = np.broadcast_to(IDENTIFIER / 2**14, (len(z), 3))
    value = np.concatenate([tables[2][x], tables[1][y], tables[0][z], shared], axis=1)
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        value = value @ w.T + b
        value = value if i == 2 else np.maximum(value, 0)
    out = network.evaluate(get_backend("numpy"), GRID, VOXELS, IDENTIFIER) / 2**24
    assert np.abs(out - value[:, 0]).max() < bound * np.abs(value).max()


@settings(deadline=None)
@given(st.sampled_from([8, 16, 32]), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 99))
def test_bytes_come_back(weight_bits: int, widths: list[int], seed: int) -> None:
    network = random_network((*widths, 1), weight_bits=weight_bits, seed=seed)
    back = FixedNetwork.from_bytes(network.data, network.shape)
    for name in ("weights", "biases", "scales"):
        for one, other in zip(getattr(network, name), getattr(back, name), strict=True):
            np.testing.assert_array_equal(one, other)
    assert back.digest == network.digest == zlib.crc32(network.data)


def test_a_network_that_diverged_is_refused() -> None:
    shape = random_network((3, 1)).shape
    weights = [np.ones((n, m)) for n, m in shape.layers]
    weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="diverged"):
        FixedNetwork.from_float(shape, weights, [np.zeros(n) for n, _ in shape.layers])


def test_zero_weights() -> None:
    shape = random_network((3, 1)).shape
    zero = FixedNetwork.from_float(
        shape, [np.zeros((n, m)) for n, m in shape.layers], [np.full(n, 0.25) for n, _ in shape.layers]
    )
    assert set(zero.evaluate(get_backend("numpy"), GRID, VOXELS, IDENTIFIER)) == {2.0**22}


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_scales_that_make_no_sense(scale: float) -> None:
    network = random_network()
    raw = bytearray(zlib.decompress(network.data))
    raw[:4] = np.float32(scale).tobytes()
    with pytest.raises(PayloadError, match="scales"):
        FixedNetwork.from_bytes(zlib.compress(raw), network.shape)


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(PayloadError, match="expected"):
        FixedNetwork.from_bytes(random_network((8, 5, 1)).data, random_network((7, 5, 1)).shape)


def test_claims_are_checked_before_memory_is_taken() -> None:
    with pytest.raises(PayloadError, match="claimed"):
        inflated(b"x" * 100, 2**40, "weights")
    with pytest.raises(PayloadError, match="decompress"):
        inflated(b"x" * 100, 50, "weights")
    with pytest.raises(PayloadError, match="take 51 bytes, 50 expected"):
        inflated(zlib.compress(bytes(10**6)), 50, "weights")
    with pytest.raises(PayloadError, match="take 50 bytes, 51 expected"):
        inflated(zlib.compress(bytes(50)), 51, "weights")
