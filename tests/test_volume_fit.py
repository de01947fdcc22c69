"""Volume scope: networks trained once, one step for all chunks, targets met over the whole volume."""

from __future__ import annotations

import json

import numpy as np
import pytest
from volume_cases import boxes, density, snr, through

from inrcodec.core import Settings, Target, VolumeModel, encode_many, fit, inspect
from inrcodec.core.field_section import volume_digest
from inrcodec.core.fields.basis import block_length
from inrcodec.core.payload import Payload, Section
from inrcodec.core.traits import measure_traits
from inrcodec.synthetic import generate


@pytest.mark.parametrize(
    ("mask", "target", "chunk"),
    [
        ("none", 20, 16),
        ("none", 30, 24),
        ("soft", 30, 16),
        ("soft", 20, 24),
        ("hard", 20, 16),
        ("hard", 30, 24),
    ],
)
def test_the_snr_is_that_of_the_whole_volume(mask, target: float, chunk: int) -> None:
    volume = density(mask=mask)
    settings = Settings(Target("snr", target), effort=0)
    model = fit(volume, settings, (chunk,) * 3)
    decoded, _ = through(volume, settings, (chunk,) * 3, model)
    kept = None if mask == "none" else volume != 0
    assert target <= snr(volume, decoded, kept) <= target + 0.3


@pytest.mark.needs_torch
def test_with_training() -> None:
    volume = density(1)[:32, :32, :32]
    settings = Settings(Target("snr", 25), effort=1)
    model = fit(volume, settings, (16,) * 3, device="cpu")
    decoded, payloads = through(volume, settings, (16,) * 3, model)
    assert 25 <= snr(volume, decoded) <= 25.3
    untrained = fit(volume, Settings(Target("snr", 25), effort=0), (16,) * 3)
    _, others = through(volume, settings, (16,) * 3, untrained)
    assert sum(map(len, payloads)) < 1.01 * sum(map(len, others))
    again = fit(volume, settings, (16,) * 3, device="cpu")
    assert again == model  # seeds are reproducible


def test_one_step_and_one_block_for_all_chunks() -> None:
    volume = density(2)
    volume[:24, :24, :24] *= 1e-3  # what little is there is not coded at the fidelity of the rest
    settings = Settings(Target("snr", 25), effort=0)
    model = fit(volume, settings, (24,) * 3)
    _, payloads = through(volume, settings, (24,) * 3, model)
    for payload in payloads:
        assert inspect(payload).scope == "volume"
        parsed = Payload.from_bytes(payload)
        assert volume_digest(parsed.section(Section.FIELD)) == model.digest
        assert Section.WEIGHTS not in parsed.sections
    assert len(payloads[0]) < 0.1 * max(map(len, payloads))


@pytest.mark.parametrize("ratio", [10, 40])
def test_a_ratio_counts_all_chunks_together(ratio: float) -> None:
    volume = density(3)
    settings = Settings(Target("ratio", ratio), effort=0)
    model = fit(volume, settings, (24,) * 3)
    _, payloads = through(volume, settings, (24,) * 3, model)
    assert 0.85 <= volume.nbytes / sum(map(len, payloads)) / ratio <= 1.3


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_max_error_holds_for_every_voxel(dtype: str) -> None:
    volume = (density(4) * 300).astype(dtype)
    bound = 0.1 * float(volume.astype(float).std())
    settings = Settings(Target("max_error", bound), effort=0)
    model = fit(volume, settings, (24,) * 3)
    decoded, payloads = through(volume, settings, (24,) * 3, model)
    assert np.abs(volume.astype(float) - decoded.astype(float)).max() <= bound
    alone = sum(len(encode_many([volume[b]], settings)[0]) for b in boxes(volume.shape, (24,) * 3))
    assert sum(map(len, payloads)) < 1.05 * alone


def test_a_threshold() -> None:
    volume = density(5)
    settings = Settings(Target("snr", 20), threshold=0.5, effort=0)
    model = fit(volume, settings, (16,) * 3)
    decoded, _ = through(volume, settings, (16,) * 3, model)
    kept = volume > 0.5
    assert not decoded[~kept].any()
    assert 20 <= snr(np.where(kept, volume, 0), decoded, kept) <= 20.3


def test_special_values_and_chunks_that_differ_in_kind() -> None:
    volume = density(6)
    volume[:16, :16, :16] = 0
    volume[20, 20, 20], volume[40, 1, 2] = np.nan, -np.inf
    volume[32:, 32:, 32:] = np.nan
    settings = Settings(Target("snr", 25), effort=0)
    model = fit(volume, settings, (16,) * 3)
    decoded, _ = through(volume, settings, (16,) * 3, model)
    finite = np.isfinite(volume)
    assert decoded[~finite].tobytes() == volume[~finite].tobytes()
    assert not decoded[:16, :16, :16].any()
    clean, kept = np.where(finite, volume, 0), finite & (volume != 0)
    assert 24.9 <= snr(clean, np.where(finite, decoded, 0), kept) <= 25.4


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e4, 1e30])
def test_the_unit_of_density_does_not_matter(scale: float) -> None:
    volume = density(7)[:32, :32, :32]
    settings = Settings(Target("snr", 25), effort=0)
    scaled = volume.astype(np.float64) * scale + 2 * scale
    plain = fit(volume, settings, (16,) * 3)
    model = fit(scaled, settings, (16,) * 3)
    assert model.step == pytest.approx(plain.step * scale, rel=0.01)
    decoded, _ = through(scaled, settings, (16,) * 3, model)
    assert 25 <= snr(scaled / scale, decoded / scale) <= 25.3


@pytest.mark.parametrize("value", [0.0, -3.5, np.nan])
@pytest.mark.parametrize("target", [Target("snr", 30), Target("max_error", 0.1), Target("ratio", 5)], ids=str)
def test_volumes_with_nothing_to_represent(value: float, target: Target) -> None:
    volume = np.full((32, 32, 32), value, np.float32)
    model = fit(volume, Settings(target, effort=0), (16,) * 3)
    decoded, payloads = through(volume, Settings(target, effort=0), (16,) * 3, model)
    np.testing.assert_array_equal(decoded, volume)
    assert max(map(len, payloads)) <= 40


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((500,), (200,)),
        ((60, 50), (25, 50)),
        ((20, 21, 22), (20, 21, 22)),
        ((2, 20, 20, 20), (1, 20, 20, 10)),
    ],
    ids=str,
)
def test_any_number_of_dimensions_and_edge_chunks(shape: tuple[int, ...], chunk: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(size=shape)
    for axis in range(len(shape)):
        volume = np.cumsum(volume, axis) if shape[axis] > 2 else volume
    volume = (volume / volume.std()).astype(np.float32)
    settings = Settings(Target("snr", 30), effort=0)
    decoded, _ = through(volume, settings, chunk, fit(volume, settings, chunk))
    assert snr(volume, decoded) >= 30


def test_the_configuration_is_small_and_exact() -> None:
    model = fit(density(8), Settings(Target("snr", 20), effort=0), (24,) * 3)
    text = json.dumps(model.to_config())
    assert len(text) <= 4096
    assert VolumeModel.from_config(json.loads(text)) == model


@pytest.mark.needs_torch
def test_trained_weights_fit_the_configuration() -> None:
    volume = generate((14, 14, 14), noise=0.5, seed=9)
    model = fit(volume, Settings(Target("snr", 30), effort=3), (14,) * 3, device="cpu")
    text = json.dumps(model.to_config())
    assert len(text) <= 4096
    again = VolumeModel.from_config(json.loads(text))
    assert again == model
    np.testing.assert_array_equal(again.network.flat, model.network.flat)


def test_a_block_that_is_given_is_kept() -> None:
    assert fit(density()[:24, :24, :24], Settings(effort=0, block=11), (24,) * 3).block == 11


def test_progress_is_told() -> None:
    seen: list[float] = []
    fit(density()[:24, :24, :24], Settings(effort=0), (24,) * 3, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


class TestRefusals:
    def test_dtypes(self) -> None:
        with pytest.raises(TypeError, match="int32"):
            fit(np.zeros((8, 8, 8), np.int32), Settings(effort=0), (8, 8, 8))

    @pytest.mark.parametrize("chunk", [(8, 8), (8, 8, 8, 8), (8, 0, 8), (8, -1, 8)])
    def test_chunks_that_do_not_fit(self, chunk: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="do not fit a volume of shape"):
            fit(np.zeros((8, 8, 8), np.float32), Settings(effort=0), chunk)


@pytest.mark.parametrize(
    ("settings", "mask"),
    [
        (Settings(Target("snr", 30), effort=0), "hard"),
        (Settings(Target("snr", 20), effort=0), "none"),
        (Settings(Target("max_error", 0.2), effort=0, block=9), "soft"),
        (Settings(Target("ratio", 20), effort=0), "none"),
        (Settings(Target("snr", 20), effort=0, threshold=0.5), "none"),
    ],
    ids=str,
)
def test_what_was_chosen_is_recorded(settings: Settings, mask) -> None:
    volume = density(9, mask=mask)
    model = fit(volume, settings, (24,) * 3)
    assert model.choices is not None
    assert model.choices.traits == measure_traits(volume, settings.threshold)
    assert model.choices["sample"].value == volume.size
    for name, value in {"block": block_length(model.block), "cell": model.cell}.items():
        choice = model.choices[name]
        assert choice.value == value
        if choice.figures:
            assert choice.figures[str(value).lower()] == min(choice.figures.values())
    assert model.choices["steps"].value == 0
    assert not model.changed
    assert "choices" not in model.to_config()


def bars(size: int) -> np.ndarray:
    """Density as no map has it: sharp layers, white within each."""
    layers = np.sign(np.sin(np.arange(size) / 1.7))[:, None, None]
    return (layers * np.random.default_rng(0).random((1, size, size))).astype(np.float32)


@pytest.mark.needs_torch
@pytest.mark.parametrize(("size", "kept"), [(12, "prior"), (40, "own")])
def test_own_weights_where_they_pay(size: int, kept: str) -> None:
    model = fit(bars(size), Settings(Target("snr", 30), effort=2), (size,) * 3, device="cpu")
    assert model.choices is not None
    choice = model.choices["network"]
    assert choice.value == kept
    assert model.changed is (kept == "own")
    if model.changed:
        assert f"weights of {len(model.weights)} bytes" in choice.why
    assert int(model.choices["steps"].value or 0) <= 150


def test_the_record_of_a_volume_with_nothing_in_it() -> None:
    model = fit(np.zeros((16, 16, 16)), Settings(effort=0), (16,) * 3)
    assert model.choices is not None
    assert model.choices.traits.represented == 0
