"""The positional encoding in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.core.exact import PI, cos_quadrant
from inrcodec.core.mlp.encoding import UNIT_BITS, axis_table, coordinates


@given(n=st.integers(1, 4096), frequencies=st.integers(0, 16))
def test_tables_are_the_rounded_functions(n: int, frequencies: int) -> None:
    table = axis_table(n, frequencies) / 2**UNIT_BITS
    x = coordinates(n)
    assert table.shape == (n, 1 + 2 * frequencies)
    expected = [x] + [f(np.pi * 2.0**k * x) for k in range(frequencies) for f in (np.sin, np.cos)]
    # half a unit, and what the library's arguments of up to 2^15 pi are off by
    assert np.abs(table - np.stack(expected, axis=1)).max() <= 2.0**-15 + 1e-10


def test_faces_are_at_minus_one_and_one() -> None:
    assert axis_table(11, 0)[[0, 5, 10], 0].tolist() == [-(2**14), 0, 2**14]
    assert axis_table(1, 1).tolist() == [[0, 0, 2**14]]


@pytest.mark.parametrize("span", [1, 2, 23, 239, 1024, 3071, 4095])
def test_no_value_is_near_a_tie(span: int) -> None:
    """So that every decoder whose cosines are good to 1e-9 has the same table (docs/format.md)."""
    value = 2.0**UNIT_BITS * cos_quadrant(np.arange(span + 1) * PI / (2 * span))
    away = np.abs(value - np.floor(value) - 0.5)
    assert away.min() > 3e-9
