"""The encoder's choice of a prediction."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core import VolumeModel
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.predicting import Prediction, choose_prediction
from inrcodec.core.prediction import PredictionSection
from inrcodec.core.prepare import Prepared, Related, prepare
from inrcodec.core.prior import prior

MODEL = VolumeModel(0.05, 8, prior().to_bytes(prior()))
SHAPE = (24, 20, 22)


def ready(chunk: np.ndarray, references: dict[int, np.ndarray]) -> Prepared:
    prepared = prepare(chunk, None)
    assert prepared is not None
    prepared.related = Related(references, 4321)
    return prepared


def noisy(seed: int, noise: float = 0.02) -> np.ndarray:
    """One signal under noise that depends on the seed."""
    rng = np.random.default_rng(seed)
    return (blobs(SHAPE, 0.0) + rng.normal(0, noise, SHAPE)).astype(np.float32)


def chosen(
    chunk: np.ndarray, references: dict[int, np.ndarray]
) -> tuple[Prediction, PredictionSection, float]:
    """The prediction, its section, and what is left of the energy of a chunk."""
    prepared = ready(chunk, references)
    prediction = choose_prediction(prepared, MODEL, None)
    assert prediction is not None
    layout = get_layout(prepared.shape, MODEL.block)
    values = prepared.values - prepared.offset
    left = values - prediction.voxels(layout)[0] * (MODEL.step / 64)
    section = PredictionSection.from_bytes(prediction.section, layout.blocks)
    return prediction, section, float((left**2).sum() / (values**2).sum())


def test_the_mean_of_two_is_found() -> None:
    one, two = noisy(1), noisy(2)
    _, section, left = chosen((one + two) / 2, {1: two, 2: one})
    assert section.distances == (1, 2)
    assert section.alone == 4321
    assert left < 1e-3


def test_scale_and_offset_do_not_matter() -> None:
    reference = noisy(1)
    for factor, offset in ((1.0, 0.0), (-40.0, 7.0), (1e-6, 1e-5), (1e6, 1e7)):
        _, _, left = chosen(noisy(2), {3: factor * reference.astype(np.float64) + offset})
        assert left == pytest.approx(chosen(noisy(2), {3: reference})[2], rel=0.05)


def test_a_filter_is_followed() -> None:
    """A Gaussian one in Fourier space, of a volume larger than the chunk, whose faces are no edges then."""
    shape = tuple(n + 16 for n in SHAPE)
    rng = np.random.default_rng(0)
    s = [np.fft.fftfreq(n) for n in shape]
    square = s[0][:, None, None] ** 2 + s[1][:, None] ** 2 + np.fft.rfftfreq(shape[2]) ** 2
    spectrum = np.fft.rfftn(rng.normal(size=shape)) * np.exp(-30 * square)
    inside = (slice(8, -8),) * 3
    reference, filtered = (
        np.fft.irfftn(spectrum * gain, s=shape, axes=(0, 1, 2))[inside] * 10
        for gain in (1, np.exp(-30 * square))
    )
    _, section, left = chosen(filtered, {1: reference})
    one_weight = 1 - np.corrcoef(reference.ravel(), filtered.ravel())[0, 1] ** 2
    assert left < 0.5 * one_weight
    assert np.ptp(section.weights) > 200  # in 1/1024 of the largest


def test_a_reference_that_adds_nothing_is_left_out() -> None:
    other = blobs(SHAPE, 0.05, seed=9)
    _, section, _ = chosen(noisy(2), {1: other, 2: noisy(1)})
    assert section.distances == (2,)
    assert choose_prediction(ready(noisy(2), {1: np.zeros(SHAPE)}), MODEL, None) is None
    assert choose_prediction(ready(noisy(2), {1: np.full(SHAPE, np.nan)}), MODEL, None) is None
    white = np.random.default_rng(5).normal(size=SHAPE)
    assert choose_prediction(ready(noisy(2), {1: white}), MODEL, None) is None


def test_blocks_that_lose_are_left_out() -> None:
    """Half of the chunk is empty, where the reference has noise."""
    chunk, reference = noisy(1, 0.0), noisy(2, 0.005)
    chunk[:, :, 11:] = 1e-3 * np.random.default_rng(0).normal(size=(24, 20, 11))
    prediction, section, _ = chosen(chunk, {1: reference})
    layout = get_layout(SHAPE, MODEL.block)
    column = layout.order % layout.grid[2]  # of each block along x
    assert section.skipped[column == layout.grid[2] - 1].all()
    assert not section.skipped[column == 0].any()
    assert not prediction.latents[:, section.skipped].any()


def test_the_nearest_of_many() -> None:
    references = {distance: noisy(distance) for distance in (7, 2, 5, 1, 8, 3)}
    _, section, _ = chosen(noisy(99), references)
    assert set(section.distances) <= {1, 2, 3, 5}


def test_nothing_to_predict_from() -> None:
    assert choose_prediction(ready(noisy(1), {}), MODEL, None) is None
    prepared = prepare(noisy(1), None)
    assert prepared is not None
    assert choose_prediction(prepared, MODEL, None) is None


@pytest.mark.parametrize("level", [1e30, 1e200, 1e308])
def test_a_reference_of_enormous_densities(level: float) -> None:
    """An outlier of the reference leaves nothing to predict from; no warning, no error."""
    reference = noisy(1).astype(np.float64)
    reference[3, 3, 3] = level
    assert choose_prediction(ready(noisy(2), {1: reference}), MODEL, None) is None


def test_only_what_matters_is_fitted() -> None:
    """Voxels of the reference where the chunk's do not matter leave the weights as they are."""
    chunk, reference = noisy(1), noisy(2)
    care = np.ones((1, *SHAPE), bool)
    care[0, :8] = False
    expected = choose_prediction(ready(chunk, {1: reference}), MODEL, care)
    reference[:8] = 5
    found = choose_prediction(ready(chunk, {1: reference}), MODEL, care)
    assert expected is not None
    assert found is not None
    assert found.section == expected.section
