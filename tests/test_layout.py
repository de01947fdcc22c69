"""The order of latents."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.fields.layout import BINS, PAD, Layout, get_layout

SHAPES = [(13, 17, 9), (24, 24, 24), (1, 1, 40), (8, 1, 30), (20, 33, 7)]
LAYOUTS = st.builds(
    Layout, st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)), st.integers(4, 20)
)

sampled = settings(derandomize=True, deadline=None, max_examples=60)


@sampled
@given(layout=LAYOUTS)
def test_sizes(layout: Layout) -> None:
    assert layout.bands == math.prod(layout.latents)
    assert layout.blocks == math.prod(layout.grid)
    for axis, length, blocks, latents in zip(
        layout.axes, layout.shape, layout.grid, layout.latents, strict=True
    ):
        assert axis.length == length
        assert length <= blocks * latents < length + blocks


@sampled
@given(layout=LAYOUTS)
def test_every_band_is_in_one_shell_and_one_bin(layout: Layout) -> None:
    assert layout.frequency.shape == (3, layout.bands)
    assert len(np.unique(layout.frequency, axis=1).T) == layout.bands
    np.testing.assert_array_equal(layout.shell, layout.frequency.sum(axis=0))
    assert layout.shell.min() == 0
    assert layout.shell.max() == sum(layout.latents) - 3
    assert layout.bin.min() == 0
    assert layout.bin.max() < BINS
    assert layout.radius.min() >= 0
    assert layout.radius.max() < math.sqrt(3)


@sampled
@given(layout=LAYOUTS)
def test_lower_frequencies_are_in_earlier_shells(layout: Layout) -> None:
    """What the context network looks at is decoded before."""
    shell = np.full(layout.padded_bands, -1)
    shell[layout.padded] = layout.shell
    z, y, x = layout.padded_strides
    for step in (z, y, x, 2 * z, 2 * y, 2 * x, z + y, z + x, y + x):
        assert (shell[layout.padded - step] < layout.shell).all()


@sampled
@given(layout=LAYOUTS)
def test_padded_index(layout: Layout) -> None:
    assert len(np.unique(layout.padded)) == layout.bands
    assert layout.padded.max() < layout.padded_bands
    inside = np.zeros([n + PAD for n in layout.latents], bool)
    inside[PAD:, PAD:, PAD:] = True
    np.testing.assert_array_equal(np.flatnonzero(inside), layout.padded)
    lowest = layout.padded[0]
    assert lowest == sum(PAD * stride for stride in layout.padded_strides)


@sampled
@given(layout=LAYOUTS)
def test_checkerboard(layout: Layout) -> None:
    colour = np.indices(layout.grid).sum(axis=0) % 2
    in_order = colour.ravel()[layout.order]
    assert (in_order[: layout.even] == 0).all()
    assert (in_order[layout.even :] == 1).all()
    for axis in range(3):
        np.testing.assert_array_equal(np.diff(colour, axis=axis) != 0, True)


@sampled
@given(layout=LAYOUTS)
def test_order_and_its_inverse(layout: Layout) -> None:
    every = np.arange(layout.blocks)
    np.testing.assert_array_equal(layout.order[layout.inverse_order], every)
    np.testing.assert_array_equal(layout.inverse_order[layout.order], every)
    assert (np.diff(layout.order[: layout.even]) > 0).all()
    assert (np.diff(layout.order[layout.even :]) > 0).all()


@sampled
@given(layout=LAYOUTS)
def test_neighbour_weights(layout: Layout) -> None:
    blocks = np.argwhere(np.ones(layout.grid, bool))
    distance = np.abs(blocks[:, None] - blocks[None]).sum(axis=2)
    counts = (distance == 1).sum(axis=1)[layout.order]
    expected = [256 // c if c else 0 for c in counts]
    np.testing.assert_array_equal(layout.neighbour_weight, expected)


def test_size_feature_is_far_from_a_tie() -> None:
    """rounded(8 log2(bands)), for every number of bands a format block can have."""
    eighths = 8 * np.log2(np.arange(1, 95**3 + 1, dtype=float))
    assert np.abs(eighths - np.floor(eighths) - 0.5).min() > 1e-7


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bins_reach_from_coarse_to_fine(shape: tuple[int, int, int]) -> None:
    layout = get_layout(shape, 8)
    order = np.argsort(layout.radius, kind="stable")
    assert (np.diff(layout.bin[order]) >= 0).all()
    assert layout.bin[0] == 0


def test_layouts_are_shared() -> None:
    assert get_layout((8, 9, 10), 8) is get_layout((8, 9, 10), 8)
