"""Analysis and synthesis of the local-Fourier field."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import reference_decoder
from conftest import blobs

from inrcodec.core.backend import NUMPY, get_backend
from inrcodec.core.fields.basis import TABLE_BITS, axis_basis
from inrcodec.core.fields.layout import Layout, get_layout
from inrcodec.core.fields.local_fourier import LATENT_BITS, analyse, synthesise, synthesise_exact
from inrcodec.core.payload import PayloadError

CASES = [((13, 17, 9), 6), ((24, 20, 16), 8), ((16, 16, 16), 16), ((1, 1, 40), 10), ((3, 30, 1), 7)]
UNIT = 2.0 ** -(TABLE_BITS + LATENT_BITS)
LIMIT = 2.0**29  # of latents, in 1/64 step


def some_latents(layout: Layout, bands: np.ndarray, top: int = 2000) -> np.ndarray:
    """Whole numbers of 1/64 step, most of them zero."""
    rng = np.random.default_rng(0)
    values = rng.integers(-top, top + 1, (len(bands), layout.blocks)).astype(float)
    return values * (rng.random(values.shape) < 0.3)


def some_bands(layout: Layout) -> np.ndarray:
    return np.flatnonzero(layout.radius < 0.9)


@pytest.mark.parametrize(("shape", "block"), CASES, ids=str)
def test_analysis_and_synthesis_are_inverse(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    voxels = np.stack([blobs(shape, seed=s) for s in (0, 1)]).astype(np.float32)
    latents = analyse(NUMPY, voxels, layout)
    assert latents.shape == (layout.bands, 2, layout.blocks)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(synthesise(NUMPY, latents, layout), voxels, atol=1e-5)
    energy = (latents.astype(np.float64) ** 2).sum((0, 2))
    np.testing.assert_allclose(energy, (voxels.astype(np.float64) ** 2).sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize(("shape", "block"), CASES, ids=str)
def test_exact_synthesis_is_near_the_float_one(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    bands = some_bands(layout)
    latents = some_latents(layout, bands)
    full = np.zeros((layout.bands, 1, layout.blocks), np.float32)
    full[bands, 0] = latents / 2**LATENT_BITS
    exact = synthesise_exact(NUMPY, latents, bands, layout)
    np.testing.assert_array_equal(exact, np.rint(exact))
    assert np.abs(exact * UNIT - synthesise(NUMPY, full, layout)[0]).max() < 0.05


@pytest.mark.parametrize(("shape", "block"), CASES[:3], ids=str)
def test_exact_synthesis_is_as_described(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    bands = np.arange(layout.bands)
    latents = some_latents(layout, bands, 2**20)
    by_band = latents[:, layout.inverse_order].reshape(*layout.latents, *layout.grid)
    expected = reference_decoder.synthesise(by_band, shape, block)
    np.testing.assert_array_equal(synthesise_exact(NUMPY, latents, bands, layout), expected)


@pytest.mark.parametrize(("shape", "block"), CASES, ids=str)
def test_a_region_is_a_slice_of_the_whole(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    bands = some_bands(layout)
    latents = some_latents(layout, bands)
    whole = synthesise_exact(NUMPY, latents, bands, layout)
    rng = np.random.default_rng(1)
    for _ in range(25):
        low = [int(rng.integers(0, n)) for n in shape]
        d, h, w = (slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(low, shape, strict=True))
        np.testing.assert_array_equal(
            synthesise_exact(NUMPY, latents, bands, layout, (d, h, w)), whole[d, h, w]
        )


def test_a_region_takes_only_the_blocks_that_reach_it() -> None:
    layout = get_layout((64, 8, 8), 8)
    bands = np.arange(layout.bands)
    latents = some_latents(layout, bands)
    box = (slice(0, 4), slice(0, 8), slice(0, 8))
    before = synthesise_exact(NUMPY, latents, bands, layout, box)
    far = layout.inverse_order[2:]  # the grid is a line: blocks in row-major order
    latents[:, far] = LIMIT * 64  # out of range, and out of reach
    np.testing.assert_array_equal(synthesise_exact(NUMPY, latents, bands, layout, box), before)


def test_no_bands_at_all() -> None:
    layout = get_layout((13, 17, 9), 6)
    none = np.empty((0, layout.blocks))
    voxels = synthesise_exact(NUMPY, none, np.empty(0, np.int64), layout)
    np.testing.assert_array_equal(voxels, np.zeros(layout.shape))


def exact_rows() -> Iterator[np.ndarray]:
    """Integer synthesis matrices, (samples, blocks * latents), of the widest blocks and of typical ones."""
    for length, block in [(64, 64), (95, 64), (190, 64), (189, 64), (300, 64), (96, 32), (61, 10), (23, 6)]:
        axis = axis_basis(length, block)
        out = np.zeros((length, len(axis.sizes), axis.latents))
        for b, at in enumerate(axis.blocks):
            out[at.low : at.high, b] = at.integer_table
        yield out.reshape(length, -1)


def test_partial_sums_stay_exact() -> None:
    """Latents below 2**29 keep every sum below 2**53, whatever their signs and the order of summation."""
    for matrix in exact_rows():
        assert np.abs(matrix).sum(axis=1).max() * LIMIT < 2**53


def test_the_largest_latents_are_exact() -> None:
    layout = get_layout((11, 12, 13), 6)
    by_hand = [[[int(t) for t in row] for row in axis_matrix(layout, axis)] for axis in range(3)]
    latents = np.zeros((1, layout.blocks))
    latents[0, 0] = LIMIT - 1
    voxels = synthesise_exact(NUMPY, latents, np.array([0]), layout)
    for z, y, x in product((0, 5, 7), (0, 6, 8), (0, 3, 9)):
        along_x = round_half_even((int(LIMIT) - 1) * by_hand[2][x][0])
        along_y = round_half_even(along_x * by_hand[1][y][0])
        assert int(voxels[z, y, x]) == along_y * by_hand[0][z][0]


def axis_matrix(layout: Layout, axis: int) -> np.ndarray:
    """(samples, latents) integer table of the first block of an axis, over the whole axis."""
    first = layout.axes[axis].blocks[0]
    out = np.zeros((layout.shape[axis], layout.latents[axis]))
    out[: first.high] = first.integer_table
    return out


def round_half_even(value: int) -> int:
    """value / 2**TABLE_BITS, rounded."""
    quotient, rest = divmod(value, 2**TABLE_BITS)
    half = 2 ** (TABLE_BITS - 1)
    return quotient + (rest > half or (rest == half and quotient % 2 == 1))


@pytest.mark.parametrize("value", [LIMIT, -LIMIT, 2.0**32])
def test_latents_out_of_range(value: float) -> None:
    layout = get_layout((8, 8, 8), 8)
    with pytest.raises(PayloadError, match="out of the range"):
        synthesise_exact(NUMPY, np.full((1, 1), value), np.array([0]), layout)


def test_sums_out_of_range_between_axes() -> None:
    layout = get_layout((8, 8, 8), 8)
    bands = np.arange(layout.bands)
    with pytest.raises(PayloadError, match="out of the range"):
        synthesise_exact(NUMPY, np.full((len(bands), 1), LIMIT - 1), bands, layout)


@pytest.mark.needs_torch
@pytest.mark.parametrize(("shape", "block"), CASES, ids=str)
def test_pytorch_gives_the_same_voxels(shape: tuple[int, int, int], block: int) -> None:
    import torch

    cpu = get_backend("cpu")
    layout = get_layout(shape, block)
    bands = some_bands(layout)
    latents = some_latents(layout, bands, 2**22)
    expected = synthesise_exact(NUMPY, latents, bands, layout)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            voxels = cpu.to_numpy(synthesise_exact(cpu, latents, bands, layout))
            np.testing.assert_array_equal(voxels, expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.needs_torch
def test_pytorch_analyses_alike() -> None:
    cpu = get_backend("cpu")
    layout = get_layout((13, 17, 9), 6)
    voxels = blobs((2, 13, 17, 9)).astype(np.float32)
    latents = cpu.to_numpy(analyse(cpu, cpu.asarray(voxels), layout))
    np.testing.assert_allclose(latents, analyse(NUMPY, voxels, layout), atol=1e-5)
    rebuilt = cpu.to_numpy(synthesise(cpu, cpu.asarray(latents), layout))
    np.testing.assert_allclose(rebuilt, voxels, atol=1e-5)
