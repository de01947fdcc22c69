"""The spread of latents' errors over Fourier shells, against errors that are really there."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core.backend import NUMPY
from inrcodec.core.fields.layout import Layout, get_layout
from inrcodec.core.fields.local_fourier import synthesise
from inrcodec.core.leakage import Leakage, nodes, table
from inrcodec.core.shells import MAX_NODES, ShellTable
from inrcodec.fourier_shell import FourierShells

SHAPE = (24, 30, 36)


def spread(layout: Layout, energy: np.ndarray) -> np.ndarray:
    """As much energy in every block, by the ends they lie at."""
    return np.bincount(layout.ends, minlength=4)[:, None] * energy


@pytest.mark.parametrize("block", [8, 15, 40])
@pytest.mark.parametrize("sizes", [(1.0, 1.0, 1.0), (1.5, 1.0, 0.8)])
def test_predicted_power_is_that_of_random_latents(block: int, sizes: tuple[float, ...]) -> None:
    layout = get_layout(SHAPE, block)
    rng = np.random.default_rng(0)
    node = nodes(layout)
    energy = spread(layout, np.bincount(node, (node > 20) & (node < 40), MAX_NODES))
    # padded twice: the spread is that of a chunk among others, not of a periodic one
    padded = tuple(2 * n for n in SHAPE)
    shells = FourierShells(padded, sizes)
    leakage = Leakage(layout, np.array(sizes), shells.pixel, shells.count + 1)
    measured = np.zeros(shells.count)
    for _ in range(20):
        latents = rng.normal(size=(layout.bands, 1, layout.blocks)).astype(np.float32)
        latents *= ((node > 20) & (node < 40))[:, None, None]
        box = np.zeros(padded)
        box[: SHAPE[0], : SHAPE[1], : SHAPE[2]] = synthesise(NUMPY, latents, layout)[0]
        measured += shells.power(box) / box.size / 20
    predicted = leakage.error(energy)[1:]
    strong = measured > 0.01 * measured.max()
    # shorter blocks leave a frequency unused, and cells of the two grids differ a little
    np.testing.assert_allclose(predicted[strong], measured[strong], rtol=0.4)


def test_weights_are_the_adjoint_of_errors() -> None:
    layout = get_layout(SHAPE, 12)
    leakage = Leakage(layout, np.ones(3), 1 / 60, 25)
    rng = np.random.default_rng(1)
    held = np.bincount(nodes(layout), minlength=MAX_NODES) > 0
    blocks = np.bincount(layout.ends, minlength=4)
    assert blocks[0] == 0  # two blocks along the first axis, and both are ends
    energy, weight = rng.random((4, MAX_NODES)) * held * (blocks > 0)[:, None], rng.random(25)
    total = weight @ leakage.error(energy)
    assert (leakage.weights(weight) * energy)[:, held].sum() == pytest.approx(total, rel=1e-6)
    alike = Leakage(layout, np.ones(3), 1 / 60, 25, ends=False).weights(weight)
    mean = blocks @ leakage.weights(weight) / layout.blocks
    np.testing.assert_allclose(mean[held], alike[0, held], rtol=1e-6)


def test_ends_of_axes_spill_farther() -> None:
    layout = get_layout((60, 60, 60), 10)
    leakage = Leakage(layout, np.ones(3), 1 / 120, 60)
    low = np.zeros(MAX_NODES)
    low[:8] = 1.0
    far = [leakage.error(low * np.eye(4)[n][:, None])[30:].sum() for n in range(4)]
    assert far[1] > 30 * far[0]
    assert far[0] < far[1] < far[2] < far[3]


def test_a_table_of_weights() -> None:
    weight = np.full((1, MAX_NODES), 12.0)
    weight[:, 10:] = 3.0
    step, shells = table(weight, 20)
    assert step == pytest.approx(1.0)
    assert shells == ShellTable(bytes(10) + bytes([16] * 10))


def test_a_table_of_weights_at_ends() -> None:
    weight = np.array([3.0, 12.0, 48.0, 48.0])[:, None] * np.ones(MAX_NODES)
    step, shells = table(weight, 20)
    assert step == pytest.approx(0.5)
    assert shells == ShellTable(bytes([32] * 20), bytes([16] * 4 + [0] * 8))
