"""The field section: numbers that turn latents into densities."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core.field_section import FieldSection, volume_digest
from inrcodec.core.fields.layout import BINS
from inrcodec.core.payload import PayloadError, short
from inrcodec.core.volume import VolumeModel, unchanged_weights

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
CUBE = (20, 20, 20)
WHOLE = (slice(0, 20), slice(0, 20), slice(0, 20))
VOLUME = VolumeModel(0.1, 12, unchanged_weights(), cell=2)


@settings(derandomize=True, deadline=None)
@given(
    step=st.floats(1e-200, 1e200),
    offset=st.none() | st.floats(-1e200, 1e200),
    block=st.integers(1, 64),
    network=st.integers(0, 2**32 - 1),
    offsets=st.lists(st.integers(-128, 127), min_size=3, max_size=3).map(np.array),
    envelope=st.lists(st.integers(0, 255), min_size=BINS, max_size=BINS).map(np.array),
    background=st.none() | st.sampled_from([0.0, 2.5]) | st.floats(-1e200, 1e200),
    box=st.just(WHOLE) | st.tuples(SPAN, SPAN, SPAN),
    shared=st.booleans(),
)
def test_round_trip(offset: float | None, shared: bool, **values: object) -> None:
    """What comes back is what the section holds; an offset of None is the background's density."""
    if offset is None:
        offset = 1.25 if values["background"] is None else values["background"]
    if shared:
        values.update(step=VOLUME.step, block=VOLUME.block, network=VOLUME.prior, volume=VOLUME)
    original = section(offset=offset, **values)
    scope, volume = ("volume", VOLUME) if shared else ("chunk", None)
    data = original.to_bytes(CUBE)
    assert_equal(original, FieldSection.from_bytes(data, CUBE, scope=scope, volume=volume))


def test_numbers_are_kept_to_a_millionth() -> None:
    kept = section(step=1 / 3, offset=-1e5 / 7, background=0.1)
    assert 1 / 3 * (1 - 1e-6) < kept.step <= 1 / 3
    assert kept.offset == pytest.approx(-1e5 / 7, rel=1e-6)
    assert kept.background == 0.1  # voxels decode to exactly it
    assert section(offset=0.1, background=0.1).offset == 0.1


def test_layout_of_bytes() -> None:
    """Byte for byte as docs/format.md says."""
    # 200 and 255 in two nibbles each, 0, 0, 1 likewise
    envelope = bytes([5, 0xFC, 0x8F, 0xFF, 0x00, 0xF0, 0x10])
    plain = b"\x04\x09" + struct.pack("<d", 0.25)[4:] + b"\x01\xfd\x00\x28"
    assert section().to_bytes(SHAPE) == plain + envelope + struct.pack("<d", -1.5)[4:]
    masked = section(background=0.1, box=BOX, network=300, offset=0.1)
    numbers = b"\x0b\x09" + struct.pack("<d", 0.25)[4:] + b"\xac\x02\xfd\x00\x28"
    spans = bytes([2, 10, 0, 30, 39, 1])
    assert masked.to_bytes(SHAPE) == numbers + envelope + struct.pack("<d", 0.1) + spans
    shared = section(volume=VOLUME, step=0.1, block=12, background=7.0, offset=7.0)
    digest = struct.pack("<I", VOLUME.digest)
    assert (
        shared.to_bytes(SHAPE) == b"\x02" + digest + b"\xfd\x00\x28" + envelope + struct.pack("<d", 7.0)[4:]
    )
    assert volume_digest(shared.to_bytes(SHAPE)) == VOLUME.digest


def test_smooth_envelopes_take_a_nibble_an_entry() -> None:
    envelope = np.zeros(BINS, np.int64)
    envelope[:9] = 54, 0, 52, 50, 50, 53, 54, 47, 41
    data = section(envelope=envelope, offset=0.0, background=0.0).to_bytes(SHAPE)
    assert data[10:] == bytes([9, 0xE0, 0x66, 0x8B, 0x91, 0x20])


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
    assert_equal(empty, FieldSection.from_bytes(empty.to_bytes(SHAPE), SHAPE))
    assert len(empty.active) == 0


@pytest.mark.parametrize("length", range(21))
def test_cut_short(length: int) -> None:
    data = section().to_bytes(SHAPE)
    assert len(data) == 21
    with pytest.raises(PayloadError):
        FieldSection.from_bytes(data[:length], SHAPE)


def test_the_volume_has_to_be_the_right_one() -> None:
    data = section(volume=VOLUME, step=0.1, block=12).to_bytes(SHAPE)
    with pytest.raises(PayloadError, match="decode it with the codec that wrote it"):
        FieldSection.from_bytes(data, SHAPE, scope="volume")
    for other in ({"step": 0.2}, {"block": 13}, {"prior": 1}):
        with pytest.raises(PayloadError, match=f"{VOLUME.digest:08x}"):
            FieldSection.from_bytes(data, SHAPE, scope="volume", volume=replace(VOLUME, **other))


def upper(value: float) -> bytes:
    return struct.pack("<d", value)[4:]


@pytest.mark.parametrize(
    ("at", "new", "message"),
    [
        (0, b"\x10", "flags"),
        (0, b"\x00", "needs an offset"),
        (10, b"\x21", "at most 32"),
        (21, b"\x00", "left over"),
        (11, b"\xf0\x08\xff\xff\xff\xff", "spectral envelope of 0"),
        (2, upper(0.0), "makes no sense"),
        (2, upper(-1.0), "makes no sense"),
        (2, upper(math.nan), "makes no sense"),
        (2, upper(math.inf), "makes no sense"),
        (17, upper(math.nan), "makes no sense"),
        (17, upper(-math.inf), "makes no sense"),
    ],
)
def test_refused(at: int, new: bytes, message: str) -> None:
    data = bytearray(section().to_bytes(SHAPE))
    data[at : at + len(new)] = new
    with pytest.raises(PayloadError, match=message):
        FieldSection.from_bytes(bytes(data), SHAPE)


@pytest.mark.parametrize(
    "spans",
    [[0, 21, 0, 30, 0, 40], [20, 1, 0, 30, 0, 40], [0, 20, 0, 0, 0, 40], [0, 20, 0, 30, 1, 40]],
    ids=str,
)
def test_boxes_outside_the_chunk(spans: list[int]) -> None:
    data = section(background=0.0, box=BOX).to_bytes(SHAPE)[:-6] + bytes(spans)
    with pytest.raises(PayloadError, match="does not lie in a chunk"):
        FieldSection.from_bytes(data, SHAPE)


@pytest.mark.parametrize("background", [math.nan, math.inf, -math.inf])
def test_backgrounds_are_finite(background: float) -> None:
    data = section(background=0.1, offset=0.1).to_bytes(SHAPE)
    with pytest.raises(PayloadError, match="makes no sense"):
        FieldSection.from_bytes(data[:-8] + struct.pack("<d", background), SHAPE)
    assert short(0.1) != 0.1
