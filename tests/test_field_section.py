"""The field section: numbers that turn latents into densities."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.field_section import FieldSection
from inrcodec.core.fields.layout import BINS
from inrcodec.core.payload import PayloadError

SHAPE = (20, 30, 40)
BOX = (slice(2, 12), slice(0, 30), slice(39, 40))


def section(**changes: object) -> FieldSection:
    envelope = np.zeros(BINS, np.int64)
    envelope[[0, 1, 4]] = 200, 255, 1
    whole = (slice(0, 20), slice(0, 30), slice(0, 40))
    plain = FieldSection(0.25, -1.5, 10, 1, np.array([-3, 0, 40]), envelope, None, whole)
    return replace(plain, **changes)


def assert_equal(a: FieldSection, b: FieldSection) -> None:
    for name, value in vars(a).items():
        np.testing.assert_equal(getattr(b, name), value)


SPAN = st.tuples(st.integers(0, 19), st.integers(1, 20)).map(lambda s: slice(s[0], min(s[0] + s[1], 20)))


@settings(derandomize=True, deadline=None)
@given(
    step=st.floats(1e-200, 1e200),
    offset=st.floats(-1e200, 1e200),
    block=st.integers(1, 64),
    network=st.integers(0, 2**32 - 1),
    offsets=st.lists(st.integers(-128, 127), min_size=3, max_size=3).map(np.array),
    envelope=st.lists(st.integers(0, 255), min_size=BINS, max_size=BINS).map(np.array),
    background=st.none() | st.floats(-1e200, 1e200),
    box=st.tuples(SPAN, SPAN, SPAN),
)
def test_round_trip(**values: object) -> None:
    if values["background"] is None:
        values["box"] = (slice(0, 20), slice(0, 20), slice(0, 20))
    original = section(**values)
    assert_equal(original, FieldSection.from_bytes(original.to_bytes(), (20, 20, 20)))


def test_layout_of_bytes() -> None:
    """Byte for byte as docs/format.md says."""
    plain = struct.pack("<BBdd3bBB", 0, 10, 0.25, -1.5, -3, 0, 40, 1, 5) + bytes([200, 255, 0, 0, 1])
    assert section().to_bytes() == plain
    masked = section(background=7.0, box=BOX, network=300)
    numbers = struct.pack("<BBdd3b", 1, 10, 0.25, -1.5, -3, 0, 40) + b"\xac\x02\x05"
    spans = bytes([2, 10, 0, 30, 39, 1])
    assert masked.to_bytes() == numbers + bytes([200, 255, 0, 0, 1]) + struct.pack("<d", 7.0) + spans


def test_what_follows_from_it() -> None:
    masked = section(background=0.0, box=BOX)
    assert masked.layout.shape == (10, 30, 1)
    assert masked.layout.block == 10
    assert masked.unit == 0.25 / 2**26
    active = np.zeros(masked.layout.bands, bool)
    active[masked.active] = True
    np.testing.assert_array_equal(active, np.isin(masked.layout.bin, [0, 1, 4]))


def test_a_field_of_nothing() -> None:
    empty = section(envelope=np.zeros(BINS, np.int64))
    assert_equal(empty, FieldSection.from_bytes(empty.to_bytes(), SHAPE))
    assert len(empty.active) == 0


@pytest.mark.parametrize("length", range(28))
def test_cut_short(length: int) -> None:
    data = section().to_bytes()
    with pytest.raises(PayloadError):
        FieldSection.from_bytes(data[: min(length, len(data) - 1)], SHAPE)


@pytest.mark.parametrize(
    ("at", "new", "message"),
    [
        (0, b"\x02", "flags"),
        (1, b"\x00", "block length"),
        (1, b"\x41", "block length"),
        (22, b"\x21", "at most 32"),
        (28, b"\x00", "left over"),
        (2, struct.pack("<d", 0.0), "makes no sense"),
        (2, struct.pack("<d", -1.0), "makes no sense"),
        (2, struct.pack("<d", math.nan), "makes no sense"),
        (2, struct.pack("<d", math.inf), "makes no sense"),
        (10, struct.pack("<d", math.nan), "makes no sense"),
        (10, struct.pack("<d", -math.inf), "makes no sense"),
    ],
)
def test_refused(at: int, new: bytes, message: str) -> None:
    data = bytearray(section().to_bytes())
    data[at : at + len(new)] = new
    with pytest.raises(PayloadError, match=message):
        FieldSection.from_bytes(bytes(data), SHAPE)


@pytest.mark.parametrize(
    "spans",
    [[0, 21, 0, 30, 0, 40], [20, 1, 0, 30, 0, 40], [0, 20, 0, 0, 0, 40], [0, 20, 0, 30, 1, 40]],
    ids=str,
)
def test_boxes_outside_the_chunk(spans: list[int]) -> None:
    data = section(background=0.0).to_bytes()[:-6] + bytes(spans)
    with pytest.raises(PayloadError, match="does not lie in a chunk"):
        FieldSection.from_bytes(data, SHAPE)


@pytest.mark.parametrize("background", [math.nan, math.inf, -math.inf])
def test_backgrounds_are_finite(background: float) -> None:
    data = section(background=1.0).to_bytes()
    number = struct.pack("<d", background)
    with pytest.raises(PayloadError, match="makes no sense"):
        FieldSection.from_bytes(data[:-14] + number + data[-6:], SHAPE)
