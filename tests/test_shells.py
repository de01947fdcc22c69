"""Tables of steps by radial shell: exact multipliers, the bounds of exactness, untrusted tables."""

from __future__ import annotations

import base64
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core import PayloadError
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.shells import MAX_NODES, NODES, ShellTable, _fractions, scale_exact

tables = st.binary(min_size=2, max_size=MAX_NODES).map(ShellTable)


def test_no_fraction_is_near_a_tie() -> None:
    with localcontext(prec=60):
        exact = [Decimal(2) ** (Decimal(i) / 128) * 2**16 for i in range(128)]
    assert _fractions().tolist() == [round(x) for x in exact]
    assert min(abs(x % 1 - Decimal("0.5")) for x in exact) > Decimal("1e-4")


@settings(deadline=None, derandomize=True, max_examples=30)
@given(tables, st.integers(4, 20))
def test_multipliers_are_interpolated_powers_of_two(table: ShellTable, block: int) -> None:
    layout = get_layout((20, 11, 7), block)
    multipliers = table.multipliers(layout)
    nodes = np.frombuffer(table.exponents, np.uint8)
    inside = layout.radius < table.cutoff
    np.testing.assert_array_equal(multipliers > 0, inside)
    np.testing.assert_array_equal(table.coded(layout), np.flatnonzero(inside))
    expected = np.interp(layout.radius[inside] * NODES, np.arange(len(nodes)), nodes) / 16
    # radii are rounded down to an eighth of the distance between nodes
    slack = np.abs(np.diff(nodes.astype(int))).max() / 8 / 16 + 1e-4
    assert np.all(np.abs(np.log2(table.gains(layout)[inside]) - expected) <= slack)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(-(2**31), 2**31), st.integers(1, 2**33))
def test_scaling_is_exact_or_refused(latent: int, multiplier: int) -> None:
    values, by = np.array([[float(latent)]]), np.array([float(multiplier)])
    if abs(latent * multiplier) >= 2**45:
        with pytest.raises(PayloadError, match="out of the range"):
            scale_exact(values, by)
    else:
        assert scale_exact(values, by)[0, 0] == round(Fraction(latent * multiplier, 2**16))


@pytest.mark.parametrize("count", [0, 1, MAX_NODES + 1])
def test_numbers_of_nodes_that_make_no_sense(count: int) -> None:
    with pytest.raises(ValueError, match=f"a table of shells has 2 to 113 nodes, got {count}"):
        ShellTable.from_config(base64.b64encode(bytes(count)).decode())


@pytest.mark.parametrize("text", ["%%%%", "A", None, 5, [1, 2]])
def test_what_is_no_base64(text: object) -> None:
    with pytest.raises(ValueError, match=r"base64|padding|Only"):
        ShellTable.from_config(text)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(tables)
def test_there_and_back(table: ShellTable) -> None:
    assert ShellTable.from_config(table.to_config()) == table


def test_of_steps() -> None:
    assert ShellTable.of_steps(np.array([2.0, 1.0, 1e30, 4.0])).exponents == bytes([16, 0, 255, 32])
