"""Prediction from other volumes: the section, the arithmetic, and what a decoder refuses."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import reference_decoder
from conftest import blobs, snr_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reference_decoder import PRIORS

from inrcodec.core import PayloadError, Settings, VolumeModel, decode_many, decode_region, encode_many
from inrcodec.core.backend import NUMPY, get_backend
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.fields.local_fourier import analyse_exact
from inrcodec.core.payload import Field, Payload, Section, pack_varint
from inrcodec.core.prediction import (
    LARGEST_WEIGHT,
    MAX_DISTANCE,
    NODES,
    PredictionSection,
    added,
    band_weights,
    hats,
    predict,
    read_distances,
    whole_voxels,
)
from inrcodec.core.prepare import Related
from inrcodec.core.prior import prior

LAYOUT = get_layout((13, 17, 9), 6)
WHOLE = (slice(0, 13), slice(0, 17), slice(0, 9))
MODEL = VolumeModel(0.1, 8, prior().to_bytes(prior()))


def some_section(count: int = 2, blocks: int = LAYOUT.blocks) -> PredictionSection:
    rng = np.random.default_rng(0)
    return PredictionSection(
        tuple(range(1, count + 1)),
        (0.5,) * count,
        (640.0,) * count,
        rng.integers(-1024, 1025, (count, NODES)),
        rng.random(blocks) < 0.2,
        12345,
    )


def assert_equal(one: PredictionSection, other: PredictionSection) -> None:
    assert (one.distances, one.offsets, one.scales, one.alone) == (
        other.distances,
        other.offsets,
        other.scales,
        other.alone,
    )
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.skipped, other.skipped)


class TestSection:
    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_round_trip(self, count: int) -> None:
        section = some_section(count)
        assert_equal(PredictionSection.from_bytes(section.to_bytes(), LAYOUT.blocks), section)
        assert read_distances(section.to_bytes()) == (section.distances, 12345)

    def test_where_all_blocks_are_predicted(self) -> None:
        section = some_section()
        section.skipped[:] = False
        data = section.to_bytes()
        assert len(data) < len(some_section().to_bytes())
        assert_equal(PredictionSection.from_bytes(data, LAYOUT.blocks), section)

    @pytest.mark.parametrize(
        ("head", "words"),
        [
            (b"\0", "from 0 volumes"),
            (b"\5", "from 5 volumes"),
            (b"\1\0" + bytes(8), r"\(0,\) back"),
            (b"\1" + bytes([MAX_DISTANCE + 1]) + bytes(8), "1 to 8"),
            (b"\2\1" + bytes(8) + b"\1" + bytes(8), "all different"),
            (b"\1\1" + struct.pack("<d", np.nan)[4:] + bytes(4), "offsets"),
            (b"\1\1" + bytes(4) + struct.pack("<d", np.inf)[4:], "scales"),
            (b"\1\1" + bytes(8) + b"\0\xff\0", "scale index 255"),
            (b"\1\1" + bytes(8) + b"\0\x08\xff", "bit frequency code 255"),
            (b"\1\1" + bytes(8) + b"\xff" * 10, "more than 63 bits"),
        ],
    )
    def test_what_makes_no_sense(self, head: bytes, words: str) -> None:
        with pytest.raises(PayloadError, match=words):
            PredictionSection.from_bytes(head, LAYOUT.blocks)

    def test_weights_out_of_range(self) -> None:
        section = some_section()
        section.weights[1, 5] = LARGEST_WEIGHT + 1
        with pytest.raises(PayloadError, match="at most 32768"):
            PredictionSection.from_bytes(section.to_bytes(), LAYOUT.blocks)

    def test_truncations(self) -> None:
        """Of the head; symbols that are cut short may decode, to others, which the checksum finds."""
        data = some_section().to_bytes()
        head = 1 + 2 * 9 + len(pack_varint(12345)) + 2
        for length in range(head):
            with pytest.raises(PayloadError):
                PredictionSection.from_bytes(data[:length], LAYOUT.blocks)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(at=st.integers(0, 10**6), bits=st.integers(1, 255))
    def test_a_changed_byte(self, at: int, bits: int) -> None:
        damaged = bytearray(some_section().to_bytes())
        damaged[at % len(damaged)] ^= bits
        try:
            section = PredictionSection.from_bytes(bytes(damaged), LAYOUT.blocks)
        except PayloadError:
            return
        assert section.weights.shape == (len(section.distances), NODES)
        assert np.abs(section.weights).max() <= LARGEST_WEIGHT


class TestArithmetic:
    def test_a_weight_of_one_is_the_reference(self) -> None:
        """Scaled to 1/64 step: prediction and reconstruction alone give the reference back."""
        density = blobs(LAYOUT.shape)
        section = some_section(1)
        section.weights[:], section.skipped[:] = 1024, False
        predicted = predict(NUMPY, section, LAYOUT, WHOLE, {1: density})
        whole = whole_voxels(density, 0.5, 640.0)
        np.testing.assert_array_equal(whole, np.rint((density - 0.5) * 640))
        np.testing.assert_array_equal(predicted, analyse_exact(NUMPY, whole, LAYOUT))
        energy = (predicted**2).sum()
        assert energy == pytest.approx((whole**2).sum(), rel=1e-3)

    def test_two_references_and_blocks_left_out(self) -> None:
        section, references = some_section(2), {d: blobs(LAYOUT.shape, seed=d) for d in (1, 2)}
        predicted = predict(NUMPY, section, LAYOUT, WHOLE, references)
        weights = [
            np.interp(16 * np.floor(512 * LAYOUT.radius) / 512, range(NODES), w) for w in section.weights
        ]
        found = [analyse_exact(NUMPY, whole_voxels(references[d], 0.5, 640.0), LAYOUT) for d in (1, 2)]
        expected = sum(w[:, None] / 1024 * a for w, a in zip(weights, found, strict=True))
        assert np.abs(predicted - expected)[:, ~section.skipped].max() <= 0.5 + 1e-6
        assert section.skipped.any()
        assert not predicted[:, section.skipped].any()

    @pytest.mark.needs_torch
    def test_devices_agree(self) -> None:
        references = {d: 100 * blobs(LAYOUT.shape, seed=d) for d in (1, 2)}
        one, other = (
            predict(backend, some_section(2), LAYOUT, WHOLE, references)
            for backend in (NUMPY, get_backend("cpu"))
        )
        np.testing.assert_array_equal(one, other)

    def test_a_box(self) -> None:
        density = blobs((20, 20, 20))
        box = (slice(3, 16), slice(2, 19), slice(8, 17))
        section = some_section(1)
        np.testing.assert_array_equal(
            predict(NUMPY, section, LAYOUT, box, {1: density}),
            predict(NUMPY, section, LAYOUT, WHOLE, {1: density[box]}),
        )

    def test_hats_share_out_every_band(self) -> None:
        np.testing.assert_allclose(hats(LAYOUT).sum(axis=1), 1)
        weights = np.random.default_rng(0).integers(-1024, 1025, (1, NODES))
        np.testing.assert_allclose(band_weights(LAYOUT, weights)[0], 32 * hats(LAYOUT) @ weights[0])

    def test_sums_stay_exact_at_the_largest(self) -> None:
        """Four references, the largest weights and latents: below 2**53."""
        assert 4 * (LARGEST_WEIGHT * 32) * 2**29 <= 2**53

    def test_what_is_not_finite_counts_as_nothing(self) -> None:
        density = blobs(LAYOUT.shape).astype(np.float32)
        density[2, 3, 4:7] = np.nan, np.inf, -np.inf
        values = whole_voxels(density, 0.25, 10.0)
        assert not values[2, 3, 4:7].any()
        assert np.isfinite(values).all()

    @pytest.mark.parametrize("dtype", ["i1", "u2", ">f8", "f2"])
    def test_dtypes_of_references(self, dtype: str) -> None:
        density = (20 * blobs(LAYOUT.shape)).astype(dtype)
        np.testing.assert_array_equal(
            whole_voxels(density, 1.0, 3.0), np.rint((density.astype(np.float64) - 1) * 3)
        )

    def test_added(self) -> None:
        predicted = np.zeros((5, 2))
        predicted[3] = 7, 0
        values, bands = added(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 3]), predicted)
        np.testing.assert_array_equal(bands, [0, 3])
        np.testing.assert_array_equal(values, [[1, 2], [10, 4]])

    @pytest.mark.parametrize("level", [1e9, 1e300, 1e308])
    def test_densities_out_of_range(self, level: float) -> None:
        density = blobs(LAYOUT.shape)
        density[1, 1, 1] = level
        with pytest.raises(PayloadError, match="out of the range"):
            predict(NUMPY, some_section(1), LAYOUT, WHOLE, {1: density})


def related_pair(shape: tuple[int, ...] = (20, 18, 22)) -> tuple[np.ndarray, np.ndarray]:
    """A chunk, and one that is it, scaled and shifted, but for a little noise."""
    one = blobs(shape, 0.0).astype(np.float32)
    return one, (3 * one + 1 + np.random.default_rng(1).normal(0, 0.02, shape)).astype(np.float32)


def predicted_payload() -> tuple[bytes, dict[int, np.ndarray], np.ndarray]:
    reference, chunk = related_pair()
    (payload,) = encode_many(
        [chunk], Settings(effort=0, volume=MODEL), related=[Related({2: reference}, 9999)]
    )
    return payload, {2: reference}, chunk


class TestPayloads:
    def test_fewer_bytes_and_no_more_error(self) -> None:
        payload, references, chunk = predicted_payload()
        (alone,) = encode_many([chunk], Settings(effort=0, volume=MODEL))
        assert len(payload) < 0.6 * len(alone)
        (decoded,) = decode_many([payload], volume=MODEL, references=[references])
        (plain,) = decode_many([alone], volume=MODEL)
        assert snr_of(chunk, decoded) > snr_of(chunk, plain) - 1
        section = Payload.from_bytes(payload).section(Section.PREDICTION)
        assert read_distances(section) == ((2,), 9999)

    def test_the_other_decoder_agrees(self) -> None:
        payload, references, _ = predicted_payload()
        (decoded,) = decode_many([payload], volume=MODEL, references=[references])
        other = reference_decoder.decode(payload, PRIORS, MODEL.to_config(), references)
        np.testing.assert_array_equal(decoded, other)

    @pytest.mark.needs_torch
    def test_devices_agree(self) -> None:
        payload, references, _ = predicted_payload()
        one, other = (
            decode_many([payload], volume=MODEL, references=[references], device=device)[0]
            for device in ("numpy", "cpu")
        )
        np.testing.assert_array_equal(one, other)

    def test_without_references(self) -> None:
        payload, references, _ = predicted_payload()
        with pytest.raises(PayloadError, match="unpack the container"):
            decode_many([payload], volume=MODEL)
        with pytest.raises(PayloadError, match="unpack the container"):
            decode_region(payload, (slice(2, 5),) * 3, volume=MODEL)
        with pytest.raises(PayloadError, match="the volume 2 back, which is not given"):
            decode_many([payload], volume=MODEL, references=[{1: references[2]}])
        with pytest.raises(PayloadError, match=r"shape \(20, 18, 21\)"):
            decode_many([payload], volume=MODEL, references=[{2: references[2][..., :-1]}])

    def test_as_many_entries_as_payloads(self) -> None:
        payload, references, chunk = predicted_payload()
        with pytest.raises(ValueError, match="references for 1 of 2 payloads"):
            decode_many([payload, payload], volume=MODEL, references=[references])
        with pytest.raises(ValueError, match="0 entries of what 1 chunks"):
            encode_many([chunk], Settings(effort=0, volume=MODEL), related=[])

    def test_a_damaged_section(self) -> None:
        payload, references, _ = predicted_payload()
        parsed = Payload.from_bytes(payload)
        assert parsed.field == Field.LOCAL_FOURIER
        for damage in (b"", b"\1", parsed.section(Section.PREDICTION)[:-5]):
            parsed.sections[Section.PREDICTION] = damage
            with pytest.raises(PayloadError):
                decode_many([parsed.to_bytes()], volume=MODEL, references=[references])


@pytest.mark.parametrize(
    ("shape", "block"), [((13, 17, 9), 6), ((24, 20, 16), 8), ((95, 2, 3), 64), ((1, 1, 40), 10)], ids=str
)
def test_exact_analysis_is_as_described(shape: tuple[int, int, int], block: int) -> None:
    layout = get_layout(shape, block)
    voxels = np.random.default_rng(0).integers(-(2**20), 2**20, shape).astype(float)
    exact = analyse_exact(NUMPY, voxels, layout)
    other = reference_decoder.analyse(voxels, block).reshape(layout.bands, -1)[:, layout.order]
    np.testing.assert_array_equal(exact, other)
    with pytest.raises(PayloadError, match="out of the range"):
        analyse_exact(NUMPY, voxels * 2**10, layout)
