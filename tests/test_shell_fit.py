"""The sample's part of a Fourier-shell fit: errors by node, and the choice of block and table."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core import Settings, Target
from inrcodec.core.fields.basis import block_length, edge_kind, with_edges
from inrcodec.core.shell_balance import ShellFit
from inrcodec.core.shell_fit import SampleFit, fit_shells
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
    assert min([*exponents, *found.model.shells.ends]) == 0
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


def steep(decades: float) -> np.ndarray:
    """Noise of 48^3 voxels whose power falls by so many decades up to the Nyquist frequency."""
    s = np.fft.fftfreq(48)
    radius = np.sqrt(s[:, None, None] ** 2 + s[:, None] ** 2 + np.fft.rfftfreq(48) ** 2)
    spectrum = np.fft.rfftn(np.random.default_rng(0).normal(size=(48, 48, 48)))
    return np.fft.irfftn(spectrum * 10 ** (-decades * radius), s=(48, 48, 48), axes=(0, 1, 2)).astype("f4")


@pytest.mark.parametrize(("decades", "own"), [(0.0, False), (6.0, True)])
def test_blocks_at_faces_have_steps_of_their_own_where_spectra_are_steep(decades: float, own: bool) -> None:
    volume = steep(decades)

    def fit(**options: bool) -> ShellFit:
        (found,) = fit_shells(
            volume,
            Settings(Target("fsc", 0.99), effort=0, block=6),
            (48, 48, 48),
            reference(volume, 22),
            device="numpy",
            report=lambda _: None,
            **options,
        )
        return found

    found = fit()
    assert found.model.shells is not None
    assert found.model.choices is not None
    choice = found.model.choices["steps at faces"]
    assert bool(found.model.shells.ends) is own is (choice.value == "own")
    if own:
        assert choice.figures["as inside"] > 1.015
    alike = fit(ends=False)
    assert alike.model.shells is not None
    assert not alike.model.shells.ends


def test_nothing_to_fit() -> None:
    volume = np.zeros((16, 16, 16))
    settings = Settings(Target("fsc", 0.99), effort=0)
    found = fit_shells(
        volume, settings, (8, 8, 8), reference(volume, 4), device="numpy", report=lambda _: None
    )
    assert found == []


@pytest.mark.parametrize(("figure", "found"), [(1.05, None), (1.015, with_edges(10, 2))])
def test_another_length_that_comes_close_is_tried_too(figure: float, found: int | None) -> None:
    fit = SampleFit.__new__(SampleFit)  # its estimates alone are asked
    fit._least = lambda block: figure if edge_kind(block) == 2 else 1.1
    assert fit._runner_up({8: 1.04, with_edges(8, 1): 1.0, with_edges(8, 3): 1.01, 10: 1.1, 13: 1.2}) == found
    assert fit._runner_up({8: 1.04, with_edges(8, 1): 1.0}) is None


def test_a_mask_is_tried_against_none() -> None:
    volume = generate((48, 48, 48), resolution=4.0)
    radius = np.sqrt(sum((i - 23.5) ** 2 for i in np.indices(volume.shape)))
    volume = np.where(radius < 16, volume + 1, 0).astype("f4")
    for effort, cells in ((1, [False]), (2, [False, True])):
        found = fit_shells(
            volume, Settings(Target("fsc", 0.99), effort=effort), (48, 48, 48), reference(volume, 12),
            device="numpy", report=lambda _: None,
        )  # fmt: skip
        # each block length, the second only if it comes close, with the mask and without
        lengths = list(
            dict.fromkeys(block_length(fit.model.block) for fit in found if fit.model.cell is None)
        )
        assert [fit.model.cell is None for fit in found] == cells * max(1, len(lengths))
        assert len(lengths) <= effort
        for fit in found:
            assert fit.model.choices is not None
            assert fit.model.choices["cell"].value == fit.model.cell
