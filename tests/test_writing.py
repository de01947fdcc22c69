"""Writing: payloads checked with the decoder's own arithmetic until they meet their target."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core import PayloadError, Settings, Target, VolumeModel, decode_many, inspect
from inrcodec.core.backend import NUMPY
from inrcodec.core.choosing import fit_chunks
from inrcodec.core.context import ContextNetwork
from inrcodec.core.field_section import FieldSection, volume_digest
from inrcodec.core.latent_coding import decode_latents, encode_latents
from inrcodec.core.payload import Payload, Section
from inrcodec.core.prepare import prepare
from inrcodec.core.prior import prior
from inrcodec.core.writing import FieldWriter


def write(chunk: np.ndarray, settings: Settings) -> Payload | None:
    ready = prepare(chunk, settings.threshold)
    assert ready is not None
    (fit,) = fit_chunks(NUMPY, [ready], settings)
    return FieldWriter(ready, chunk.shape, fit, settings).write()


def written(chunk: np.ndarray, settings: Settings) -> Payload:
    payload = write(chunk, settings)
    assert payload is not None
    return payload


def errors(chunk: np.ndarray, payload: Payload) -> np.ndarray:
    (decoded,) = decode_many([payload.to_bytes()])
    return decoded.astype(float) - chunk.astype(float)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("snr", [10, 20, 30, 45])
def test_the_snr_is_met_with_little_to_spare(noise: float, snr: float) -> None:
    chunk = blobs((20, 19, 18), noise, seed=5)
    payload = written(chunk, Settings(Target("snr", snr), effort=0))
    reached = 10 * np.log10(chunk.var() / np.mean(errors(chunk, payload) ** 2))
    # without noise the payload has 250 bytes, and a single latent is worth 0.1 dB
    assert snr <= reached < snr + (0.15 if noise else 0.25)


@pytest.mark.parametrize("ratio", [10, 40])
def test_the_ratio_is_met_with_little_to_spare(ratio: float) -> None:
    chunk = blobs((20, 19, 18), seed=5)
    size = len(written(chunk, Settings(Target("ratio", ratio), effort=0)).to_bytes())
    assert 0.95 * chunk.nbytes < size * ratio <= chunk.nbytes


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "int16"])
@pytest.mark.parametrize("relative", [0.02, 0.2, 1.0])
def test_corrections_bring_every_voxel_within_the_bound(dtype: str, relative: float) -> None:
    values = blobs((16, 16, 16), 0.05, seed=6)
    chunk = (values * 80 + 100).clip(0, 250).astype(dtype)
    bound = relative * float(chunk.astype(float).std())
    payload = write(chunk, Settings(Target("max_error", bound), effort=0))
    assert payload is not None
    assert np.abs(errors(chunk, payload)).max() <= bound


def test_what_no_correction_brings_within_the_bound_is_kept_verbatim() -> None:
    chunk = (blobs((12, 12, 12), 0.05) + 2000).astype(np.float16)  # steps of 1 or 2 in float16
    chunk[0, 0, 0] = 3001
    payload = write(chunk, Settings(Target("max_error", 0.4), effort=0))
    assert payload is not None
    assert np.abs(errors(chunk, payload)).max() <= 0.4


def test_no_corrections_where_none_are_needed() -> None:
    payload = written(blobs((12, 12, 12)), Settings(Target("max_error", 5.0), effort=0))
    assert not {Section.CORRECTIONS, Section.VERBATIM} & payload.sections.keys()


def test_a_target_no_field_meets() -> None:
    chunk = np.random.default_rng(0).normal(size=(8, 8, 8))
    assert write(chunk, Settings(Target("snr", 200), effort=0)) is None
    assert write(chunk, Settings(Target("ratio", 3000), effort=0)) is None


def read_latents(payload: Payload, section: FieldSection, network: ContextNetwork) -> np.ndarray:
    data = payload.section(Section.LATENTS)
    return decode_latents(NUMPY, data, section.layout, section.envelope, section.active, network)


def test_latents_come_back() -> None:
    payload = written(blobs((16, 17, 18)), Settings(effort=0))
    section = FieldSection.from_bytes(payload.section(Section.FIELD), (16, 17, 18))
    values = read_latents(payload, section, prior())
    assert values.shape == (len(section.active), section.layout.blocks)
    assert values.any()
    assert encode_latents(
        values, section.layout, section.envelope, section.active, prior()
    ) == payload.section(Section.LATENTS)


def test_latents_of_another_network_are_noticed_or_differ() -> None:
    payload = written(blobs((16, 17, 18)), Settings(effort=0))
    section = FieldSection.from_bytes(payload.section(Section.FIELD), (16, 17, 18))
    other = ContextNetwork.from_flat(-prior().flat)
    right = read_latents(payload, section, prior())
    try:
        wrong = read_latents(payload, section, other)
    except PayloadError:
        return
    assert (wrong != right).any()


def test_a_field_of_nothing_takes_no_latents() -> None:
    payload = written(blobs((16, 16, 16)), Settings(Target("snr", -20), effort=0))
    assert len(payload.section(Section.LATENTS)) <= 4
    assert len(payload.to_bytes()) < 80


class TestVolumeScope:
    MODEL = VolumeModel(0.02, 8, prior().to_bytes(prior()))

    @pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
    def test_the_step_is_kept_whatever_the_chunk(self, scale: float) -> None:
        chunk = blobs((16, 15, 14), 0.05) * scale
        payload = written(chunk, Settings(Target("snr", 60), effort=0, volume=self.MODEL))
        section = FieldSection.from_bytes(
            payload.section(Section.FIELD), (16, 15, 14), scope="volume", volume=self.MODEL
        )
        assert section.step == 0.02
        assert volume_digest(payload.section(Section.FIELD)) == self.MODEL.digest
        assert payload.scope == "volume"
        assert Section.WEIGHTS not in payload.sections
        assert inspect(payload.to_bytes()).scope == "volume"

    def test_max_error_holds(self) -> None:
        chunk = blobs((16, 15, 14), 0.05)
        payload = written(chunk, Settings(Target("max_error", 0.008), effort=0, volume=self.MODEL))
        (decoded,) = decode_many([payload.to_bytes()], volume=self.MODEL)
        assert Section.CORRECTIONS in payload.sections
        assert np.abs(decoded - chunk).max() <= 0.008
