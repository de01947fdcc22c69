"""Filters, taps and weights: exact whole numbers, and as accurate between voxels as the module says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inrcodec.core import PayloadError
from inrcodec.core.symmetry.sampling import Sampler
from inrcodec.core.symmetry.splines import (
    BEYOND,
    HALFWAY,
    POSITION_BITS,
    REACH,
    WEIGHT_BITS,
    check_range,
    coefficients,
    filter_taps,
    rounded,
    shortest,
    weights,
)

Array = np.ndarray[Any, Any]
ONE = 2**POSITION_BITS
LARGEST = 2**31  # values of this magnitude are refused
LINES = hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-LARGEST + 1, LARGEST - 1))


def exact_coefficients(line: list[int]) -> list[int]:
    """Coefficients of a line of values in Python's whole numbers."""

    def at(values: list[int], i: int) -> int:
        return values[min(max(i, 0), len(values) - 1)]

    half = []
    for i, value in enumerate(line):
        pairs = [at(line, i - j) + at(line, i + 1 + j) for j in range(len(HALFWAY))]
        between = round(Fraction(sum(a * b for a, b in zip(HALFWAY, pairs, strict=True)), 2**WEIGHT_BITS))
        half += [value, between]
    half.pop()
    first, *side = filter_taps()
    out = []
    for i, value in enumerate(half):
        total = first * value + sum(t * (at(half, i - j) + at(half, i + j)) for j, t in enumerate(side, 1))
        out.append(round(Fraction(total, 2**WEIGHT_BITS)))
    return out


def inner(found: Array, axes: tuple[int, ...]) -> Array:
    """Without the coefficients beyond the ends, which are those at the ends."""
    for axis in axes:
        last = found.shape[axis] - BEYOND - 1
        ends = [BEYOND] * BEYOND + [last] * BEYOND
        beyond = [*range(BEYOND), *range(last + 1, found.shape[axis])]
        np.testing.assert_array_equal(found.take(beyond, axis), found.take(ends, axis))
        found = found.take(range(BEYOND, last + 1), axis)
    return found


def test_taps_are_those_of_the_document() -> None:
    assert filter_taps() == (23168, -3975, 682, -117, 20, -3, 1)
    assert filter_taps()[0] + 2 * sum(filter_taps()[1:]) == 2**WEIGHT_BITS
    assert 2 * sum(HALFWAY) == 2**WEIGHT_BITS


def test_weights_are_those_of_a_quadratic_spline() -> None:
    table = weights()
    assert table.shape == (3, ONE)
    assert not table.flags.writeable
    np.testing.assert_array_equal(table.sum(axis=0), 2**WEIGHT_BITS)
    assert table.min() >= 0
    t = np.arange(ONE) / ONE
    spline = np.stack([(1 - t) ** 2 / 2, 0.75 - (t - 0.5) ** 2, t**2 / 2])
    furthest = np.abs(table - 2**WEIGHT_BITS * spline).max(axis=1)
    assert (furthest <= [0.501, 1.001, 0.501]).all()
    np.testing.assert_array_equal(table[:, [0, ONE // 2]], [[8192, 2048], [8192, 12288], [0, 2048]])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(line=LINES)
def test_coefficients_are_exact(line: Array) -> None:
    """No sum of products is ever rounded by the machine, however large the values."""
    expected = exact_coefficients(line.tolist())
    found = inner(coefficients(line.astype(np.float64)[None, :, None], (1,)), (1,))
    assert found.shape == (1, 2 * len(line) - 1, 1)
    assert found.ravel().tolist() == expected


def test_the_largest_sums_are_exact() -> None:
    """Signs that make every product of both filters add up."""
    signs = np.where(np.arange(60) % 2, -1, 1)
    signs[30:] *= -1  # so that the taps beside a point halfway meet values of their own signs
    line = (signs * (LARGEST - 1)).tolist()
    assert inner(coefficients(np.array(line, np.float64), (0,)), (0,)).tolist() == exact_coefficients(line)
    block = np.multiply.outer(np.multiply.outer(signs, signs), signs) * float(LARGEST - 1)
    found = coefficients(block, (0, 1, 2))
    assert np.abs(found).max() * 2**WEIGHT_BITS < 2**53
    np.testing.assert_array_equal(found, np.rint(found))


@given(value=st.integers(-LARGEST + 1, LARGEST - 1), size=st.integers(1, 20))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_constants_stay(value: int, size: int) -> None:
    np.testing.assert_array_equal(coefficients(np.full((size, 2, 3), float(value)), (0, 1, 2)), value)


@pytest.mark.parametrize(("peak", "dtype"), [(2**25 - 1, np.int32), (2**25, np.float64)])
def test_the_shortest_type_holds_the_coefficients(peak: int, dtype: type) -> None:
    """At their largest: signs that make the products of both filters add up, along all axes."""
    signs = np.where(np.arange(60) % 2, -1, 1)
    signs[30:] *= -1
    values = np.multiply.outer(np.multiply.outer(signs, signs), signs) * float(peak)
    assert shortest(values) == dtype
    found = coefficients(values, (0, 1, 2), dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, coefficients(values, (0, 1, 2)))


def test_axes_that_are_not_asked_for_stay() -> None:
    values = np.rint(np.random.default_rng(0).normal(0, 1000, (5, 6, 7)))
    np.testing.assert_array_equal(coefficients(values, ()), values)
    assert inner(coefficients(values, (1, 2)), (1, 2)).shape == (5, 11, 13)
    plane = coefficients(values[2:3], (1, 2))
    np.testing.assert_array_equal(coefficients(values, (1, 2))[2:3], plane)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(line=hnp.arrays(np.int64, 60, elements=st.integers(-(10**6), 10**6)), data=st.data())
def test_a_part_gives_the_same_coefficients(line: Array, data: Any) -> None:
    """Beyond the reach of both filters the rest of the line does not count."""
    start = data.draw(st.integers(0, 20))
    stop = data.draw(st.integers(start + 2 * REACH + 2, 60))
    whole = inner(coefficients(line.astype(np.float64), (0,)), (0,))[2 * start : 2 * stop - 1]
    part = inner(coefficients(line[start:stop].astype(np.float64), (0,)), (0,))
    low = 0 if start == 0 else 2 * REACH
    high = len(part) - (0 if stop == 60 else 2 * REACH)
    np.testing.assert_array_equal(part[low:high], whole[low:high])


@pytest.mark.parametrize(("period", "decibel"), [(32, -61), (8, -61), (4, -48), (3, -40), (2.5, -25)])
def test_accuracy_between_voxels(period: float, decibel: float) -> None:
    amplitude, size = 2.0**24, 400
    rng = np.random.default_rng(0)
    p = rng.integers(20 * ONE, (size - 20) * ONE, 5000)
    worst = -np.inf
    for phase in (0.0, 0.7, 1.9):
        line = np.rint(amplitude * np.cos(2 * np.pi * np.arange(size) / period + phase))
        field = ((0, 1), (0, size), (0, 1))
        sampler = Sampler(line[None, :, None], (0, 0, 0), field, (1,))
        zero = np.zeros(1, np.int64)
        found = sampler.columns(zero, p, np.zeros_like(p))[0]
        error = found - amplitude * np.cos(2 * np.pi * p / ONE / period + phase)
        worst = max(worst, float(10 * np.log10(np.mean(error**2) / (amplitude**2 / 2))))
    assert worst < decibel


def test_rounding_goes_to_even() -> None:
    half = 2.0 ** (WEIGHT_BITS - 1)
    np.testing.assert_array_equal(rounded(np.array([half, 3 * half, -half, -3 * half])), [0, 2, 0, -2])


def test_values_out_of_range() -> None:
    check_range(np.array([LARGEST - 1.0, 1.0 - LARGEST]))
    check_range(np.zeros((0, 3, 3)))
    for value in (LARGEST, -LARGEST, 1e300):
        with pytest.raises(PayloadError, match="out of the range"):
            check_range(np.array([0.0, value]))
