"""One context network for several volumes."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs, snr_of

from inrcodec.core import Settings, Target, decode_many, encode_many
from inrcodec.core.shared_fit import fit_shared


def stripes(shape: tuple[int, int, int], scale: float) -> np.ndarray:
    """Density of one direction and one frequency, which a network of its own learns."""
    rng = np.random.default_rng(int(scale))
    z, y, x = np.indices(shape)
    noise = rng.normal(size=shape)
    return (scale * (np.cos(2.1 * x + 0.1 * z) * (1 + 0.3 * noise) * np.cos(0.2 * y))).astype(np.float32)


@pytest.mark.needs_torch
def test_weights_are_shared_and_the_rest_is_not() -> None:
    volumes = [stripes((24, 24, 24), 1.0), stripes((20, 24, 28), 1000.0)]
    settings = Settings(Target("snr", 15), effort=2)
    shapes = [(24, 24, 24), (20, 24, 14)]
    models = fit_shared(volumes, settings, shapes, device="cpu")
    assert models[0].weights == models[1].weights
    assert models[0].changed
    assert models[1].step > 100 * models[0].step
    for volume, model in zip(volumes, models, strict=True):
        (payload,) = encode_many([volume], Settings(Target("snr", 15), effort=2, volume=model), device="cpu")
        (decoded,) = decode_many([payload], volume=model)
        assert snr_of(volume, decoded) == pytest.approx(15, abs=0.3)


def test_without_training_weights_are_the_priors() -> None:
    volumes = [blobs((12, 13, 14)).astype("f4"), np.zeros((8, 8, 8), "f4")]
    reported: list[float] = []
    models = fit_shared(volumes, Settings(effort=0), [(12, 13, 14), (8, 8, 8)], progress=reported.append)
    assert not any(model.changed for model in models)
    assert reported[-1] == 1.0
    assert reported == sorted(reported)


def test_other_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="not ratio"):
        fit_shared([blobs((8, 8, 8))], Settings(Target("ratio", 5)), [(8, 8, 8)])
