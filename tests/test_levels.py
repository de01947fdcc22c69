"""Densities on levels: found where they are, and coded without a change."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from conftest import blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import INRCodec, PayloadError, decode, inspect
from inrcodec.core.levels import Levels, find_levels
from inrcodec.core.payload import Payload, Section


def on_levels(spacing: float, offset: float, dtype: str = "f4", levels: int = 200) -> np.ndarray:
    density = blobs((30, 28, 26), noise=0.02)
    numbers = np.rint(levels * (density - density.min()) / np.ptp(density)) - levels // 3
    return (numbers * spacing + offset).astype(dtype)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.floats(-8, 8),
    st.floats(-3, 3),
    st.sampled_from(["f4", ">f4", "f8"]),
    st.integers(2, 1000),
    st.booleans(),
)
def test_levels_are_found(decade: float, offset: float, dtype: str, levels: int, zero: bool) -> None:
    spacing = 10**decade
    chunk = on_levels(spacing, 0.0 if zero else offset * spacing, dtype, levels)
    found = find_levels(chunk)
    assert found is not None
    numbers = found[1]
    assert numbers.dtype == np.int16
    assert np.ptp(numbers) <= levels
    np.testing.assert_allclose(found[0].densities(numbers), chunk, atol=1e-3 * spacing)
    if zero:
        assert found[0].offset == 0


@pytest.mark.parametrize(
    "chunk",
    [
        blobs((20, 20, 20)).astype("f4"),
        np.full((4, 4, 4), 2.5),
        np.array([0.0, 1.0, 2.4]),
        np.array([0.0, 1.0, np.nan]),
        np.array([0.0, 1.0, np.inf]),
        np.array([0.0, 1.0, 1e9]),
        np.array([-1.7e308, 0.0, 1.7e308]),
        np.array([0.0, 5e-324]) * 1.0,
    ],
    ids=["smooth", "constant", "between", "nan", "inf", "many", "enormous", "tiny"],
)
def test_densities_on_no_levels(chunk: np.ndarray) -> None:
    found = find_levels(chunk)
    if found is not None:  # two values are two levels, however near
        np.testing.assert_array_equal(found[0].densities(found[1]), chunk)
        assert len(np.unique(chunk)) == 2


@pytest.mark.parametrize("dtype", ["f4", ">f8"])
@pytest.mark.parametrize("target", [{"snr": 60}, {"max_error": 0.001}, {"ratio": 3}])
def test_exact_where_that_takes_fewer_bytes(dtype: str, target: dict[str, float]) -> None:
    chunk = on_levels(0.0226603, -0.4, dtype)
    payload = INRCodec(**target, effort=0).encode(chunk)
    assert "levels" in inspect(payload).sections
    np.testing.assert_allclose(decode(payload), chunk, rtol=0, atol=1e-6)
    levels = len(np.unique(chunk))
    assert len(payload) * 8 < 0.9 * chunk.size * np.log2(levels)


def test_not_where_much_less_is_asked() -> None:
    payload = INRCodec(snr=15, effort=0).encode(on_levels(0.0226603, 0.0))
    assert "levels" not in inspect(payload).sections


def test_bounds_that_rounding_to_levels_would_break() -> None:
    """Floats miss their levels by more than the bound."""
    chunk = on_levels(0.01, 3.0)
    payload = INRCodec(max_error=1e-9, effort=0).encode(chunk)
    assert np.abs(decode(payload).astype(float) - chunk).max() <= 1e-9


def test_whole_numbers_take_no_more_than_unchanged() -> None:
    chunk = on_levels(1.0, 0.0, "i2", 60)
    payloads = {snr: INRCodec(snr=snr, effort=0).encode(chunk) for snr in (30, 60, 120)}
    np.testing.assert_array_equal(decode(payloads[120]), chunk)
    assert len(payloads[30]) < len(payloads[120])
    assert payloads[60] == payloads[120]
    assert inspect(payloads[120]).field == "local-fourier"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (bytes(15), "levels in 15 bytes"),
        (struct.pack("<2d", 0.0, 1.0), "make no sense"),
        (struct.pack("<2d", -1.0, 1.0), "make no sense"),
        (struct.pack("<2d", np.nan, 1.0), "make no sense"),
        (struct.pack("<2d", 1.0, np.inf), "make no sense"),
        (struct.pack("<2d", 1e300, 0.0), "make no sense"),
    ],
)
def test_damaged_sections(section: bytes, message: str) -> None:
    payload = Payload.from_bytes(INRCodec(snr=60, effort=0).encode(on_levels(0.5, 0.25)))
    payload.sections[Section.LEVELS] = section
    with pytest.raises(PayloadError, match=message):
        decode(payload.to_bytes())


def test_levels_of_whole_numbers_are_refused() -> None:
    payload = Payload.from_bytes(INRCodec(snr=20, effort=0).encode(on_levels(1.0, 0.0, "i2")))
    payload = replace(payload, sections=payload.sections | {Section.LEVELS: Levels(1.0, 0.0).to_bytes()})
    with pytest.raises(PayloadError, match="levels of densities of dtype int16"):
        decode(payload.to_bytes())


def test_the_largest_levels_do_not_overflow() -> None:
    largest = Levels(1e290, -1e290).densities(np.array([-1e300, 1e300]))
    assert np.isfinite(largest).all()
