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
from inrcodec.core.shells import AXES, MAX_NODES, NODES, ShellTable, _fractions, end_nodes, scale_exact


@st.composite
def tables(draw: st.DrawFn) -> ShellTable:
    nodes = draw(st.binary(min_size=2, max_size=MAX_NODES))
    size = AXES * end_nodes(len(nodes)) * draw(st.booleans())
    return ShellTable(nodes, draw(st.binary(min_size=size, max_size=size)))


def test_no_fraction_is_near_a_tie() -> None:
    with localcontext(prec=60):
        exact = [Decimal(2) ** (Decimal(i) / 128) * 2**16 for i in range(128)]
    assert _fractions().tolist() == [round(x) for x in exact]
    assert min(abs(x % 1 - Decimal("0.5")) for x in exact) > Decimal("1e-4")


@settings(deadline=None, derandomize=True, max_examples=30)
@given(tables(), st.integers(4, 20))
def test_multipliers_are_interpolated_powers_of_two(table: ShellTable, block: int) -> None:
    layout = get_layout((20, 11, 7), block)
    multipliers = table.multipliers(layout)
    nodes = np.frombuffer(table.exponents, np.uint8)
    inside = layout.radius < table.cutoff
    assert multipliers.shape == (layout.bands, AXES + 1)
    np.testing.assert_array_equal(multipliers > 0, np.repeat(inside[:, None], AXES + 1, axis=1))
    np.testing.assert_array_equal(table.coded(layout), inside)
    position = layout.radius[inside] * NODES
    expected = np.repeat(np.interp(position, np.arange(len(nodes)), nodes)[:, None], AXES + 1, axis=1)
    slack = np.abs(np.diff(nodes.astype(int))).max() / 8
    if table.ends:
        limits = np.frombuffer(table.ends, np.uint8).reshape(AXES, -1)
        at = 8 * np.arange(limits.shape[1])
        most = np.transpose([np.interp(position, at, row) for row in limits])
        expected[:, 1:] = np.minimum(expected[:, 1:], most)
        slack = max(slack, np.abs(np.diff(limits.astype(int))).max() / 64 + 1 / 8)
    # radii are rounded down to an eighth of the distance between nodes
    found = 16 * (np.log2(multipliers[inside]) - 16)
    assert np.all(np.abs(found - expected) <= slack + 2e-3)
    gains = np.broadcast_to(table.gains(layout), (layout.bands, layout.blocks))
    np.testing.assert_array_equal(gains * 2**16, multipliers[:, layout.ends])


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
        ShellTable.from_config({"shells": base64.b64encode(bytes(count)).decode()})


@pytest.mark.parametrize(("nodes", "limits"), [(2, 5), (2, 7), (9, 7), (10, 6), (113, 44), (4, 255)])
def test_numbers_of_limits_that_make_no_sense(nodes: int, limits: int) -> None:
    with pytest.raises(ValueError, match=f"a table of {nodes} nodes has 0 or .* limits, got {limits}"):
        ShellTable(bytes(nodes), bytes(limits))


@pytest.mark.parametrize("text", ["%%%%", "A", 5, [1, 2]])
@pytest.mark.parametrize("key", ["shells", "shell_ends"])
def test_what_is_no_base64(text: object, key: str) -> None:
    with pytest.raises(ValueError, match=r"base64|padding|Only"):
        ShellTable.from_config({"shells": "AAA=", "shell_ends": "AAAAAAAA"} | {key: text})


def test_limits_without_a_table() -> None:
    assert ShellTable.from_config({"step": 1.0}) is None
    with pytest.raises(ValueError, match="2 to 113 nodes, got 0"):
        ShellTable.from_config({"shell_ends": "AAAAAAAA"})


@settings(deadline=None, derandomize=True, max_examples=20)
@given(tables())
def test_there_and_back(table: ShellTable) -> None:
    assert ShellTable.from_config(table.to_config()) == table


def test_of_steps() -> None:
    assert ShellTable.of_steps(np.array([2.0, 1.0, 1e30, 4.0])).exponents == bytes([16, 0, 255, 32])
    limits = np.array([[1.0, 2.0], [0.5, 1.0], [0.25, 1e30]])
    table = ShellTable.of_steps(np.array([2.0, 1.0]), limits)
    assert table == ShellTable(bytes([48, 32]), bytes([32, 48, 16, 32, 0, 255]))
