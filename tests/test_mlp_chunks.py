"""Payloads of the mlp field: what a decoder gives back, and what damage does to it."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import reference_mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from mlp_cases import random_network

import inrcodec
from inrcodec import PayloadError
from inrcodec.core import decode_many, decode_region
from inrcodec.core.backend import get_backend
from inrcodec.core.mlp import chunks, occupancy
from inrcodec.core.mlp.section import MLPSection
from inrcodec.core.payload import Field, Payload, Section

IDENTIFIER = np.array([100, -20_000, 2**14], np.int32)


def density(shape: tuple[int, ...] = (5, 6, 7), dtype: str = "<f4") -> np.ndarray:
    values = np.random.default_rng(0).normal(0.5, 1, shape)
    return (values if dtype[1] == "f" else 40 * values).astype(dtype)


def payload_of(
    chunk: np.ndarray, *, scope: str = "chunk", widths: tuple[int, ...] = (7, 5, 1), **shape: object
) -> Payload:
    network = random_network(widths, **shape)
    return chunks.make_payload(
        chunk, 0.0, network, IDENTIFIER, 3.5 if chunk.dtype.kind == "f" else 60.0, scope
    )


PAYLOAD = payload_of(density())
DATA = PAYLOAD.to_bytes()


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def changed(section: Section, data: bytes | None) -> bytes:
    sections = {**PAYLOAD.sections, section: data}
    return dataclasses.replace(
        PAYLOAD, sections={s: d for s, d in sections.items() if d is not None}
    ).to_bytes()


def refused(data: bytes) -> bool:
    """Whether bytes are refused; any exception but PayloadError passes through and fails."""
    try:
        inrcodec.inspect(data)
        inrcodec.decode(data)
    except PayloadError:
        return True
    return False


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i1", "<u1", "<i2", ">u2"])
@pytest.mark.parametrize("weight_bits", [8, 16, 32])
def test_the_document_says_enough(dtype: str, weight_bits: int) -> None:
    chunk = density(dtype=dtype)
    payload = payload_of(chunk, weight_bits=weight_bits).to_bytes()
    decoded, expected = inrcodec.decode(payload), reference_mlp.decode(payload)
    assert decoded.dtype == expected.dtype == chunk.dtype
    assert decoded.tobytes() == expected.tobytes()
    assert (decoded[chunk <= 0] == 0).all()
    assert len(np.unique(decoded)) > 5


@pytest.mark.parametrize("residual", ["none", "alternate", "full"])
@pytest.mark.parametrize("shape", [(40,), (6, 9), (1, 5, 4), (2, 3, 4, 3)], ids=str)
def test_shapes_and_residual_patterns(shape: tuple[int, ...], residual: str) -> None:
    payload = payload_of(density(shape), residual=residual, widths=(7, 7, 4, 9, 1), frequencies=5).to_bytes()
    decoded = inrcodec.decode(payload)
    assert decoded.shape == shape
    np.testing.assert_array_equal(decoded, reference_mlp.decode(payload))


@pytest.mark.needs_torch
def test_all_devices_agree() -> None:
    payload = payload_of(density((9, 9, 9)), widths=(60, 40, 1)).to_bytes()
    np.testing.assert_array_equal(inrcodec.decode(payload, device="cpu"), inrcodec.decode(payload))


def test_special_values_come_back() -> None:
    chunk = density()
    chunk[0, :4, 3] = np.nan, np.inf, -np.inf, -1
    payload = payload_of(chunk).to_bytes()
    decoded = inrcodec.decode(payload)
    np.testing.assert_array_equal(decoded[0, :4, 3], [np.nan, np.inf, -np.inf, 0])
    np.testing.assert_array_equal(decoded, reference_mlp.decode(payload))


def test_memory_order() -> None:
    payload = dataclasses.replace(PAYLOAD, fortran=True).to_bytes()
    assert inrcodec.decode(payload).flags.f_contiguous
    np.testing.assert_array_equal(inrcodec.decode(payload), inrcodec.decode(DATA))


@pytest.mark.parametrize(
    "region",
    [
        (slice(1, 4), slice(None), slice(6, 7)),
        (slice(None, None, 2), slice(5, 1, -2), slice(2, 5)),
        (slice(2, 2), slice(None), slice(None)),
    ],
    ids=str,
)
def test_regions(region: tuple[slice, ...]) -> None:
    np.testing.assert_array_equal(decode_region(DATA, region), inrcodec.decode(DATA)[region])


def test_regions_hold_special_values() -> None:
    chunk = density()
    chunk[3, 4, 5] = np.nan
    payload = payload_of(chunk).to_bytes()
    region = (slice(2, 4), slice(4, 6), slice(5, 6))
    np.testing.assert_array_equal(decode_region(payload, region), inrcodec.decode(payload)[region])


def test_a_slab_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inrcodec.decode(DATA)
    monkeypatch.setattr(chunks, "_SLAB", 50)
    np.testing.assert_array_equal(inrcodec.decode(DATA), whole)


class TestVolumeScope:
    PAYLOAD = payload_of(density(), scope="volume")

    def test_the_network_comes_from_outside(self) -> None:
        network = random_network()
        assert Section.WEIGHTS not in self.PAYLOAD.sections
        decoded = chunks.decode(self.PAYLOAD, get_backend("numpy"), None, network)
        np.testing.assert_array_equal(decoded, inrcodec.decode(DATA))
        shared = network.shape.to_bytes() + network.data
        np.testing.assert_array_equal(decoded, reference_mlp.decode(self.PAYLOAD.to_bytes(), shared))

    def test_without_it_or_with_another(self) -> None:
        with pytest.raises(PayloadError, match="part of a set"):
            decode_many([self.PAYLOAD.to_bytes()])
        with pytest.raises(PayloadError, match="needs the network"):
            chunks.decode(self.PAYLOAD, get_backend("numpy"), None, random_network(seed=1))


class TestDamage:
    def test_every_truncation(self) -> None:
        sizes = sorted({*range(60), *range(60, len(DATA), 7)})
        assert all(refused(DATA[:n]) for n in sizes)
        assert all(refused(sealed(DATA[: max(n, 4)])) for n in sizes if n < len(DATA) - 5)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(at=st.integers(4, len(DATA) - 5), bits=st.integers(1, 255))
    def test_a_changed_byte(self, at: int, bits: int) -> None:
        damaged = bytearray(DATA[:-4])
        damaged[at] ^= bits
        assert refused(bytes(damaged) + DATA[-4:])
        refused(sealed(bytes(damaged)))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        section=st.sampled_from(list(PAYLOAD.sections)),
        start=st.integers(0, 200),
        length=st.integers(0, 30),
        new=st.binary(max_size=30),
    )
    def test_changed_sections(self, section: Section, start: int, length: int, new: bytes) -> None:
        data = PAYLOAD.sections[section]
        refused(changed(section, data[:start] + new + data[start + length :]))

    @pytest.mark.parametrize("section", list(PAYLOAD.sections))
    def test_missing_sections_are_named(self, section: Section) -> None:
        with pytest.raises(PayloadError, match=f"no {section.name.lower()} section"):
            inrcodec.decode(changed(section, None))

    def test_an_identifier_of_another_length(self) -> None:
        with pytest.raises(PayloadError, match="identifier of 8 bytes"):
            inrcodec.decode(changed(Section.LATENTS, bytes(8)))

    def test_sides_too_long(self) -> None:
        with pytest.raises(PayloadError, match="4096"):
            inrcodec.decode(dataclasses.replace(PAYLOAD, shape=(1, 4097, 1)).to_bytes())

    @pytest.mark.parametrize("shape", [(4096, 4096, 64), (1, 1, 4096)], ids=str)
    def test_enormous_claims_take_no_memory(self, shape: tuple[int, ...]) -> None:
        huge = MLPSection(dataclasses.replace(random_network().shape, widths=(4096,) * 40 + (1,)), 1.0)
        for data in (
            dataclasses.replace(PAYLOAD, shape=shape).to_bytes(),
            changed(Section.FIELD, huge.to_bytes()),
        ):
            tracemalloc.start()
            try:
                with pytest.raises(PayloadError):
                    inrcodec.decode(data)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 2**22

    def test_extreme_scales_stay_finite(self) -> None:
        network = random_network()
        scales = tuple(np.full_like(s, 3e38) for s in network.scales)
        pushed = dataclasses.replace(network, scales=scales)
        payload = chunks.make_payload(density(), 0.0, pushed, IDENTIFIER, 1e290, "chunk")
        assert np.isfinite(inrcodec.decode(payload.to_bytes())).all()


def test_sections_are_the_papers() -> None:
    assert Payload.from_bytes(DATA).field == Field.MLP
    assert set(PAYLOAD.sections) == {Section.FIELD, Section.WEIGHTS, Section.LATENTS, Section.OCCUPANCY}
    mask = occupancy.decompress(PAYLOAD.section(Section.OCCUPANCY), (5, 6, 7))
    np.testing.assert_array_equal(mask, density() > 0)
    info = inrcodec.inspect(DATA)
    assert (info.field, info.scope, info.target) == ("mlp", "chunk", "none")
    assert info.details["widths"] == (7, 5, 1)
    assert info.details["parameters"] == 7 * 19 + 5 * 8 + 6
    assert info.details["scale"] == 3.5
    assert "179 parameters of 16 bits" in info.details["networks"]
