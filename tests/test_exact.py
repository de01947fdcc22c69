"""Numbers that must be the same on every machine."""

from __future__ import annotations

import decimal
from decimal import Decimal

import numpy as np
import pytest

from inrcodec.core.exact import (
    cos_quadrant,
    cos_rational,
    halved_laplace_frequencies,
    laplace_frequencies,
    power_of_two,
)


def test_cosine_of_a_quadrant() -> None:
    x = np.linspace(0, np.pi / 2, 10_001)
    np.testing.assert_allclose(cos_quadrant(x), np.cos(x), rtol=0, atol=1e-15)


def test_cosine_does_not_change_its_argument() -> None:
    x = np.array([0.0, 1.0])
    assert cos_quadrant(x)[0] == 1
    np.testing.assert_array_equal(x, [0, 1])


@pytest.mark.parametrize("denominator", [1, 2, 3, 7, 64, 252, 380])
def test_cosine_of_rational_multiples_of_pi(denominator: int) -> None:
    numerator = np.arange(-5 * denominator, 5 * denominator + 1)
    # reduced in whole numbers first, as pi times a large one is not
    reduced = numerator % (2 * denominator)
    expected = np.cos(np.pi * reduced / denominator)
    np.testing.assert_allclose(cos_rational(numerator, denominator), expected, rtol=0, atol=2e-15)


@pytest.mark.parametrize("denominator", [2, 6, 64, 100])
def test_symmetries_hold_to_the_last_bit(denominator: int) -> None:
    n = np.arange(2 * denominator)
    cosine = cos_rational(n, denominator)
    np.testing.assert_array_equal(cosine, cos_rational(-n, denominator))
    np.testing.assert_array_equal(cosine, cos_rational(n + 2 * denominator, denominator))
    np.testing.assert_array_equal(cosine, -cos_rational(denominator - n, denominator))
    assert cosine[0] == 1
    assert cosine[denominator] == -1
    assert abs(cosine[denominator // 2]) < 1e-15


@pytest.mark.parametrize("eighths", [-36, -8, -1, 0, 1, 24, 192])
def test_powers_of_two(eighths: int) -> None:
    assert float(power_of_two(eighths)) == pytest.approx(2.0 ** (eighths / 8), rel=1e-15)
    with decimal.localcontext(prec=50):
        assert abs(power_of_two(eighths) ** 8 / Decimal(2) ** eighths - 1) < Decimal("1e-37")


@pytest.mark.parametrize("scale", ["0.05", "0.3", "1", "4.5", "15"])
def test_laplace_frequencies_are_probabilities(scale: str) -> None:
    limit = int(12 * float(scale)) + 3
    table = np.array(laplace_frequencies(Decimal(scale), Decimal("0.6"), limit, 24))
    assert table.sum() == 2**24
    assert table.min() >= 1
    np.testing.assert_array_equal(table[:-1], table[-2::-1])
    edges = np.concatenate([[0], 0.6 + np.arange(limit + 1)])
    tails = np.exp(-edges / float(scale)) / 2
    sides = tails[1:-1] - tails[2:]
    np.testing.assert_allclose(table[limit + 1 : -1], sides * 2**24, atol=1.01)
    assert table[limit] == pytest.approx((1 - 2 * tails[1]) * 2**24, abs=2 * limit + 3)


@pytest.mark.parametrize("scale", ["8", "10.4", "14.7"])
def test_halved_frequencies_are_probabilities(scale: str) -> None:
    table = np.array(halved_laplace_frequencies(Decimal(scale), 192, 24))
    assert table.sum() == 2**24
    assert table.min() >= 1
    np.testing.assert_array_equal(table[:-1], table[-2::-1])
    tails = np.exp(-np.arange(193) / float(scale)) / 2
    np.testing.assert_allclose(table[192:-1], (tails[:-1] - tails[1:]) * 2**24, atol=200)


def test_no_room_for_zero() -> None:
    with pytest.raises(ValueError, match="no room"):
        laplace_frequencies(Decimal(1000), Decimal("0.001"), 2000, 10)


@pytest.mark.parametrize("prec", [4, 28, 90])
def test_tables_do_not_depend_on_the_callers_decimal_context(prec: int) -> None:
    expected = [
        laplace_frequencies(power_of_two(-13), Decimal("0.6"), 7, 24),
        halved_laplace_frequencies(power_of_two(27), 192, 24),
    ]
    with decimal.localcontext(prec=prec):
        assert laplace_frequencies(power_of_two(-13), Decimal("0.6"), 7, 24) == expected[0]
        assert halved_laplace_frequencies(power_of_two(27), 192, 24) == expected[1]
