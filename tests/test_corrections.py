"""Corrections: multiples of a step at a few voxels, or at all."""

from __future__ import annotations

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core import corrections
from inrcodec.core.corrections import STEP, decode, encode, estimate_bits, estimate_dense_bits
from inrcodec.core.payload import PayloadError

SHAPE = (30, 20, 50)
ALL = np.ones(SHAPE, bool)
DENSE = 0  # in place of a bit code


def misses(count: int, seed: int = 0) -> np.ndarray:
    """Errors in units of the bound, beyond it at ``count`` voxels."""
    rng = np.random.default_rng(seed)
    out = rng.uniform(-1, 1, ALL.size)
    at = rng.choice(ALL.size, count, replace=False)
    out[at] = rng.choice([-1, 1], count) * (1 + rng.exponential(0.3, count))
    return out.reshape(SHAPE)


def noise(scale: float, seed: int = 0) -> np.ndarray:
    """Errors in units of the bound, four times larger in one half than in the other."""
    error = np.random.default_rng(seed).normal(0, scale, SHAPE)
    error[:15] /= 4
    return error


def left(error: np.ndarray, occupied: np.ndarray, bound: float = 1.0) -> np.ndarray:
    """Errors of the occupied voxels after correction."""
    data = encode(error, occupied, bound)
    return error[occupied] - (0 if data is None else decode(data, occupied))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    scale=st.sampled_from([0.2, 0.7, 1.5, 40.0, 1e5]),
    bound=st.sampled_from([1e-30, 0.1, 3e20]),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 9),
)
def test_every_occupied_voxel_is_brought_within_the_bound(
    shape: tuple[int, int, int], scale: float, bound: float, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    error = rng.standard_t(3, shape).clip(-9, 9) * scale * bound
    occupied = rng.random(shape) < share
    assert np.abs(left(error, occupied, bound)).max(initial=0) <= bound * (1 + 1e-12)


def test_nothing_missed() -> None:
    assert encode(noise(0.1), ALL, 1.0) is None
    assert encode(noise(9.0), np.zeros(SHAPE, bool), 1.0) is None


def test_few_misses_are_coded_sparsely_and_many_densely() -> None:
    sparse, dense = encode(misses(30), ALL, 1.0), encode(noise(3.0), ALL, 1.0)
    assert sparse is not None
    assert dense is not None
    assert sparse[8] != DENSE
    assert dense[8] == DENSE


@pytest.mark.parametrize("missed", [1, 30, 300])
def test_the_estimate_of_sparse_ones_is_near_the_size(missed: int) -> None:
    data = encode(misses(missed), ALL, 1.0)
    assert data is not None
    # a header of 9 bytes, a last word, and 0.2 bit a miss for multiples and a frequency in eighths of log2
    assert abs(8 * len(data) - estimate_bits(missed, ALL.size)) <= 8 * 17 + 0.25 * missed


@pytest.mark.parametrize("scale", [1.0, 3.0, 20.0])
def test_the_estimate_of_dense_ones_is_near_the_size(scale: float) -> None:
    data = encode(noise(scale), ALL, 1.0)
    assert data is not None
    assert 8 * len(data) == pytest.approx(estimate_dense_bits(noise(scale), ALL, 1.0), rel=0.05)


def test_dense_ones_come_near_the_entropy_of_their_noise() -> None:
    error = noise(20.0)
    data = encode(error, ALL, 1.0)
    assert data is not None
    halves = [np.log2(np.sqrt(2 * np.pi * np.e) * part.std() / 1.998) for part in (error[:15], error[15:])]
    assert (
        8 * len(data) / ALL.size < np.mean(halves) + 0.2
    )  # 0.1 of it for Laplace tables where noise is normal


def test_one_step_mends_what_misses_the_bound_by_little() -> None:
    error = np.linspace(1.0001, 1.4999 * STEP, 500)
    error = np.concatenate([error, -error])
    mask = np.arange(ALL.size).reshape(SHAPE) % 30 == 0
    spread = np.zeros(SHAPE)
    spread[mask] = error
    error = spread
    data = encode(error, ALL, 1.0)
    assert data is not None
    assert data[8] != DENSE
    assert set(np.round(decode(data, ALL) / STEP, 9)) == {-1, 0, 1}
    assert np.abs(left(error, ALL)).max() <= 1


def test_errors_beyond_reason() -> None:
    with pytest.raises(OverflowError, match="million"):
        encode(np.full((2, 2, 2), 2e6), np.ones((2, 2, 2), bool), 1.0)


@pytest.mark.parametrize("length", range(9))
def test_cut_short(length: int) -> None:
    data = encode(misses(5), ALL, 1.0)
    assert data is not None
    with pytest.raises(PayloadError, match="cut short"):
        decode(data[:length], ALL)


@pytest.mark.parametrize("code", [184, 255])
def test_unknown_frequency(code: int) -> None:
    data = encode(misses(5), ALL, 1.0)
    assert data is not None
    with pytest.raises(PayloadError, match="frequency"):
        decode(data[:8] + bytes([code]) + data[9:], ALL)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), 1e300])
def test_steps_that_make_no_sense(step: float) -> None:
    data = encode(misses(5), ALL, 1.0)
    assert data is not None
    with pytest.raises(PayloadError, match="makes no sense"):
        decode(struct.pack("<d", step) + data[8:], ALL)


@pytest.mark.parametrize(
    ("at", "new", "message"),
    [(9, 7, "cells of"), (11, 160, "scale index 160"), (10, 255, "scales"), (10, 0, "scales")],
)
def test_dense_ones_that_make_no_sense(at: int, new: int, message: str) -> None:
    data = encode(noise(3.0), ALL, 1.0)
    assert data is not None
    with pytest.raises(PayloadError, match=message):
        decode(data[:at] + bytes([new]) + data[at + 1 :], ALL)
    with pytest.raises(PayloadError, match="cut short"):
        decode(data[:11], ALL)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(8, 400), st.integers(0, 255), st.integers(0, 500))
def test_damage_is_an_error_or_other_numbers(at: int, new: int, cut: int) -> None:
    occupied = np.ones((9, 8, 7), bool)
    data = encode(np.random.default_rng(0).normal(0, 5, occupied.shape), occupied, 1.0)
    assert data is not None
    damaged = (data[:at] + bytes([new]) + data[at + 1 :])[: len(data) - cut if cut < 300 else None]
    with suppress(PayloadError):
        assert decode(damaged, occupied).shape == (occupied.sum(),)


def test_broken_words() -> None:
    data = encode(misses(50), ALL, 1.0)
    assert data is not None
    with pytest.raises(PayloadError, match="byte of 0"):
        decode(data + bytes(4), ALL)
    with pytest.raises(PayloadError, match="left over"):
        decode(data[:9] + struct.pack("<I", 12345) * 40 + data[9:], ALL)


def test_cells_are_cut_at_the_far_faces() -> None:
    present, mean = corrections._cell_means(np.arange(30).reshape(2, 3, 5), np.ones((2, 3, 5), bool), 2)
    assert present.shape == (1, 1, 2)
    values = np.arange(30).reshape(2, 3, 5)
    np.testing.assert_allclose(mean.ravel(), [values[..., :4].mean(), values[..., 4:].mean()])
