"""The sample's part of a Fourier-shell fit: errors by node, and the choice of block and table."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core import Settings, Target
from inrcodec.core.backend import NUMPY
from inrcodec.core.fields.basis import block_length
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.fields.local_fourier import analyse
from inrcodec.core.latents import Latents
from inrcodec.core.leakage import nodes
from inrcodec.core.shell_fit import fit_shells, moved, node_error
from inrcodec.core.shells import MAX_NODES, ShellTable
from inrcodec.fourier_shell import FourierShells, ShellReference
from inrcodec.synthetic import generate


def reference(volume: np.ndarray, limit: int) -> ShellReference:
    return ShellReference(volume, FourierShells(volume.shape), limit)


def test_weights_move_with_errors() -> None:
    weight = moved(np.ones(3), np.array([1.0, 2.0, 100.0]))
    np.testing.assert_allclose(weight, [1, 2, 2.5])


@pytest.mark.parametrize("exponents", [bytes(MAX_NODES), bytes(range(0, 226, 2)), bytes([9] * 30)])
def test_errors_by_node(exponents: bytes) -> None:
    layout = get_layout((16, 16, 16), 8)
    volume = np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype("f4")
    latents = Latents(NUMPY, layout, analyse(NUMPY, volume, layout), ShellTable(exponents))
    step = np.array([0.5])
    q = latents.plain(step)
    offsets = latents.offsets(q, step)
    # bands that a table leaves out have no latents to err in: what they lose is in the total alone
    coded = latents.shells.coded(layout) if latents.shells is not None else None
    lost = np.delete(analyse(NUMPY, volume, layout), coded, axis=0)
    total = float(latents.squared_error(q, step, offsets)[0])
    by_node = node_error(latents, q, step)
    assert by_node.sum() + float((lost**2).sum()) == pytest.approx(total, rel=1e-4)
    assert np.all(by_node[np.setdiff1d(np.arange(MAX_NODES), nodes(layout))] == 0)


def test_a_fit_on_a_sample() -> None:
    volume = generate((48, 48, 48), resolution=4.0)
    (found,) = fit_shells(
        volume,
        Settings(Target("fsc", 0.99), effort=0),
        (24, 24, 24),
        reference(volume, 12),
        device="numpy",
        report=lambda _: None,
    )
    assert found.model.shells is not None
    exponents = np.frombuffer(found.model.shells.exponents, np.uint8).astype(int)
    assert exponents.min() == 0
    # strong low frequencies have larger steps than the weak ones at the resolution
    assert exponents[2] > exponents[24:36].min() + 8
    assert 0.5 < found.model.shells.cutoff < 0.9
    choices = found.model.choices
    assert choices is not None
    assert choices.traits.shape == (48, 48, 48)
    assert choices["block"].value == block_length(found.model.block)
    assert choices["block"].figures[str(block_length(found.model.block))] == min(
        choices["block"].figures.values()
    )
    assert choices["cell"].value is None is found.model.cell
    assert choices["steps"].value == 0
    finer = found.with_weight(4 * found.weight, found.cutoff)
    assert finer.model.step == pytest.approx(found.model.step / 2, rel=1e-3)
    assert finer.model.shells == found.model.shells


def test_nothing_to_fit() -> None:
    volume = np.zeros((16, 16, 16))
    settings = Settings(Target("fsc", 0.99), effort=0)
    found = fit_shells(
        volume, settings, (8, 8, 8), reference(volume, 4), device="numpy", report=lambda _: None
    )
    assert found == []


def test_a_mask_is_tried_against_none() -> None:
    volume = generate((48, 48, 48), resolution=4.0)
    radius = np.sqrt(sum((i - 23.5) ** 2 for i in np.indices(volume.shape)))
    volume = np.where(radius < 16, volume + 1, 0).astype("f4")
    for effort, cells in ((1, [False]), (2, [False, True])):
        found = fit_shells(
            volume, Settings(Target("fsc", 0.99), effort=effort), (48, 48, 48), reference(volume, 12),
            device="numpy", report=lambda _: None,
        )  # fmt: skip
        assert [fit.model.cell is None for fit in found] == cells
        for fit in found:
            assert fit.model.choices is not None
            assert fit.model.choices["cell"].value == fit.model.cell
