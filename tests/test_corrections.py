"""Corrections: multiples of a step at a few voxels."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.corrections import STEP, decode, encode, estimate_bits
from inrcodec.core.payload import PayloadError


def sparse(count: int, missed: int, seed: int = 0) -> np.ndarray:
    """Multiples that are nearly always one, as a field's misses are."""
    rng = np.random.default_rng(seed)
    out = np.zeros(count, np.int64)
    at = rng.choice(count, missed, replace=False)
    out[at] = rng.choice([-1, 1], missed) * np.maximum(1, rng.geometric(0.97, missed))
    return out


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.lists(st.integers(-(2**20), 2**20) | st.just(0), min_size=1, max_size=200),
    st.sampled_from([1e-30, 0.1, 1.9, 3e20]),
)
def test_round_trip(multiples: list[int], step: float) -> None:
    data = encode(np.array(multiples, np.int64), step)
    np.testing.assert_array_equal(decode(data, len(multiples)), np.array(multiples) * step)


def test_nothing_missed() -> None:
    data = encode(np.zeros(1000, np.int64), 0.5)
    assert len(data) <= 21
    assert not decode(data, 1000).any()


@pytest.mark.parametrize("missed", [1, 30, 300, 3000, 12_000])
def test_the_estimate_is_near_the_size(missed: int) -> None:
    data = encode(sparse(30_000, missed), 0.5)
    expected = estimate_bits(missed, 30_000)
    # a header of 9 bytes, whole words, and 0.2 bit a miss for multiples and a frequency in eighths of log2
    assert abs(8 * len(data) - expected) <= 8 * 17 + 0.25 * missed


def test_one_step_mends_what_misses_the_bound_by_little() -> None:
    error = np.linspace(1.0001, 1.4999 * STEP, 999)
    error = np.concatenate([error, -error])
    multiples = np.rint(error / STEP)
    assert set(multiples) == {-1, 1}
    assert np.abs(error - decode(encode(multiples.astype(np.int64), STEP), error.size)).max() <= 1


@pytest.mark.parametrize("length", range(9))
def test_cut_short(length: int) -> None:
    with pytest.raises(PayloadError, match="cut short"):
        decode(encode(sparse(100, 5), 0.5)[:length], 100)


@pytest.mark.parametrize("code", [0, 255])
def test_unknown_frequency(code: int) -> None:
    data = encode(sparse(100, 5), 0.5)
    with pytest.raises(PayloadError, match="frequency"):
        decode(data[:8] + bytes([code]) + data[9:], 100)


def test_broken_words() -> None:
    data = encode(sparse(100, 50), 0.5)
    with pytest.raises(PayloadError, match="32-bit words"):
        decode(data[:-1], 100)
    with pytest.raises(PayloadError, match="empty word"):
        decode(data + bytes(4), 100)
    with pytest.raises(PayloadError, match="left over"):
        decode(data[:9] + struct.pack("<I", 12345) * 40 + data[9:], 100)
