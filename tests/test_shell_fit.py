"""The sample's part of a Fourier-shell fit: errors by node, and the choice of block and table."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core import Settings, Target
from inrcodec.core.fields.basis import block_length
from inrcodec.core.shell_fit import fit_shells
from inrcodec.fourier_shell import FourierShells, ShellReference
from inrcodec.synthetic import generate


def reference(volume: np.ndarray, limit: int) -> ShellReference:
    return ShellReference(volume, FourierShells(volume.shape), limit)


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
    assert min(exponents.min(), *found.model.shells.ends) == 0
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
