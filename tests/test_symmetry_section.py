"""The symmetry section: bytes and back, and what a decoder refuses before it works on it."""

from __future__ import annotations

import struct
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetric_payloads import BINS, CASES, Shape, place, turn, whole_field

import inrcodec
from inrcodec.core import PayloadError
from inrcodec.core.payload import Payload, Section, pack_varint
from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, PointGroup, Symmetry, parse_symmetry
from inrcodec.core.symmetry.images import Images
from inrcodec.core.symmetry.section import SymmetrySection

SHAPE = (24, 20, 22)
MOST_SECONDS = 10.0  # they take one at most: this is for what never ends
MOST_BYTES = 2**25

GROUPS = (
    st.sampled_from(["T", "T222", "O", "I", "I1", "I3", "I4", "C2", "D99"]).map(parse_symmetry)
    | st.builds(PointGroup, st.sampled_from("CD"), st.integers(2, 99))
    | st.builds(Helix, st.integers(RISE_UNIT // 8, 2**40), st.integers(-(2**31), 2**31), n=st.integers(1, 99))
)
SPAN = st.tuples(st.integers(-120, 120), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1]))


def assert_equal(one: SymmetrySection, other: SymmetrySection) -> None:
    assert one.images.symmetry == other.images.symmetry
    assert one.images.direction == other.images.direction
    assert one.images.radius == other.images.radius
    assert one.field == other.field
    assert one.latents == other.latents
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.envelope, other.envelope)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    group=GROUPS,
    centre=st.none() | st.tuples(*[st.integers(0, 20 * 1024)] * 3),
    seed=st.none() | st.integers(0, 9),
    direction=st.tuples(*[st.integers(-128, 127)] * 3),
    radius=st.none() | st.integers(0, 2**16),
    offsets=st.lists(st.integers(-128, 127), min_size=3, max_size=3).map(np.array),
    envelope=st.lists(st.integers(0, 255), min_size=BINS, max_size=BINS).map(np.array),
    field=st.tuples(SPAN, SPAN, SPAN),
    latents=st.binary(max_size=40),
)
def test_round_trip(
    group: Any, centre: Any, seed: int | None, direction: Any, radius: int | None, field: Any, **values: Any
) -> None:
    symmetry = Symmetry.standard(group, SHAPE)
    if seed is not None and not isinstance(group, Helix):
        symmetry = replace(symmetry, orientation=turn(seed))
    if centre is not None:
        symmetry = replace(symmetry, centre=centre)
    original = SymmetrySection(Images(symmetry, direction, radius), field=field, **values)
    data = original.to_bytes(SHAPE)
    assert_equal(SymmetrySection.from_bytes(data, SHAPE), original)
    assert original.shape == tuple(b - a for a, b in field)


def test_layout_of_bytes() -> None:
    """Byte for byte as docs/format.md says."""
    envelope = np.zeros(BINS, np.int64)
    envelope[0] = 50
    images = Images(place("D7", SHAPE), (-1, 2, 3))
    section = SymmetrySection(images, np.array([1, -2, 3]), envelope, ((-2, 3), (0, 300), (7, 8)), b"xyz")
    standard = (
        b"\x01\x07\xff\x02\x03" + b"\x01\xfe\x03" + b"\x01\xa0" + b"\x03\x05\x00\xac\x02\x0e\x01" + b"xyz"
    )
    assert section.to_bytes(SHAPE) == standard
    turned = place("I3", SHAPE, (1, 2, -3), (0, 0, UNIT, 0, UNIT, 0, -UNIT, 0, 0))
    section.images = Images(turned, (-1, 2, 3), 300)
    head = b"\x74\x03\xff\x02\x03" + struct.pack("<3i9i", 1, 2, -3, *(turned.orientation or ()))
    assert section.to_bytes(SHAPE) == head + b"\xac\x02" + standard[5:]
    section.images = Images(Symmetry.standard(Helix(2**18, -5, 3), SHAPE), (-1, 2, 3))
    assert section.to_bytes(SHAPE) == b"\x05\x03\xff\x02\x03" + struct.pack("<2q", 2**18, -5) + standard[5:]


HEAD = struct.pack("<2B3b", 0, 7, 0, 1, 2)
TAIL = bytes(3) + b"\x01\xa0" + b"\x00\x08" * 3
HELIX = struct.pack("<2B3b", 5, 1, 0, 1, 2)


def rises(rise: int, twist: int = 0) -> bytes:
    return HELIX + struct.pack("<2q", rise, twist) + TAIL


def turned(*entries: int) -> bytes:
    return struct.pack("<2B3b9i", 32, 7, 0, 1, 2, *entries) + TAIL


def spans(*pairs: tuple[int, int]) -> bytes:
    return HEAD + bytes(3) + b"\x00" + b"".join(pack_varint(a) + pack_varint(n) for a, n in pairs)


BAD = {
    "flag": (b"\x80" + HEAD[1:] + TAIL, "flags 128"),
    "family": (b"\x06" + HEAD[1:] + TAIL, "flags 6"),
    "C1": (b"\x00\x01" + HEAD[2:] + TAIL, "no point group"),
    "C100": (b"\x00\x64" + HEAD[2:] + TAIL, "no point group"),
    "D0": (b"\x01\x00" + HEAD[2:] + TAIL, "no point group"),
    "O3": (b"\x03\x03" + HEAD[2:] + TAIL, "no point group"),
    "I2": (b"\x04\x02" + HEAD[2:] + TAIL, "no point group"),
    "helix of C0": (b"\x05\x00" + HEAD[2:] + struct.pack("<2q", 2**20, 0) + TAIL, "rotational symmetry"),
    "rise 0": (rises(0), "rise"),
    "rise 1": (rises(1), "rise of 1 "),
    "rise just too small": (rises(RISE_UNIT // 8 - 1), "at least 131072"),
    "rise -1": (rises(-1), "rise"),
    "rise too large": (rises(2**40 + 1), "rise"),
    "twist": (rises(2**20, 2**31 + 1), "twist"),
    "turned helix": (
        b"\x25\x01" + HEAD[2:] + struct.pack("<2q9i", 2**20, 0, UNIT, 0, 0, 0, UNIT, 0, 0, 0, UNIT) + TAIL,
        "axis is not z",
    ),
    "mirror": (turned(UNIT, 0, 0, 0, UNIT, 0, 0, 0, -UNIT), "not a rotation"),
    "no rotation": (turned(*[UNIT] * 9), "not a rotation"),
    "beyond 1": (turned(UNIT + 1, 0, 0, 0, UNIT, 0, 0, 0, UNIT), "not a rotation"),
    "zeros": (turned(*[0] * 9), "not a rotation"),
    "smallest": (turned(*[-(2**31)] * 9), "not a rotation"),
    "centre": (b"\x10" + HEAD[1:] + struct.pack("<3i", 0, 2**23 + 1, 0) + TAIL, "centre"),
    "smallest centre": (b"\x10" + HEAD[1:] + struct.pack("<3i", -(2**31), 0, 0) + TAIL, "centre"),
    "radius": (b"\x40" + HEAD[1:] + pack_varint(2**16 + 1) + TAIL, "radius"),
    "largest radius": (b"\x40" + HEAD[1:] + pack_varint(2**62) + TAIL, "radius"),
    "empty field": (spans((0, 1), (0, 0), (0, 1)), "does not go with"),
    "long field": (spans((0, 4097), (0, 1), (0, 1)), "does not go with"),
    "large field": (spans((0, 4096), (0, 4096), (0, 64)), "does not go with"),
    "largest field": (spans((0, 2**62), (0, 2**62), (0, 2**62)), "does not go with"),
    "far field": (spans((2**62, 1), (0, 1), (0, 1)), "does not go with"),
    "far field before": (spans((2**62 + 1, 1), (0, 1), (0, 1)), "does not go with"),
    "envelope": (HEAD + bytes(3) + b"\x21" + bytes(16) + b"\x00\x08" * 3, "33 bins"),
    "scattered": (
        b"\x13\x00" + HEAD[2:] + struct.pack("<3i", *[2**22] * 3) + TAIL,
        "scatters",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    data, words = BAD[name]
    SymmetrySection.from_bytes(HEAD + TAIL, SHAPE)  # what all these cases are changes of
    payload = CASES["C7"].payload()
    payload.sections[Section.SYMMETRY] = data
    damaged = payload.to_bytes()
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(PayloadError, match=words):
            SymmetrySection.from_bytes(data, SHAPE)
        with pytest.raises(PayloadError, match=words):
            inrcodec.decode(damaged)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < MOST_SECONDS
    assert peak < 2**22


@pytest.mark.parametrize("name", CASES)
def test_headers_cut_short(name: str) -> None:
    made = CASES[name]
    section = made.section()
    data = section.to_bytes(made.shape)
    head = len(data) - len(section.latents)
    for length in range(head):
        with pytest.raises(PayloadError):
            SymmetrySection.from_bytes(data[:length], made.shape)


def test_chunks_too_long_for_symmetry() -> None:
    with pytest.raises(PayloadError, match="at most 4096 voxels a side"):
        SymmetrySection.from_bytes(HEAD + TAIL, (1, 1, 4097))
    with pytest.raises(PayloadError, match="at most 4096 voxels a side"):
        SymmetrySection.from_bytes(HEAD + TAIL, (2**30, 1, 1))


@pytest.mark.parametrize(
    "shape", [(16, 16, 16), (64, 64, 64), (1, 16, 16), (20, 30, 24), (4000, 8, 8)], ids=str
)
@pytest.mark.parametrize("symbol", ["C2", "D2", "T", "O", "I"])
def test_usual_shapes_are_allowed(symbol: str, shape: Shape) -> None:
    cubic = max(shape) < 3 * min(shape)
    images = Images(place(symbol, shape), (6, 3, 1))
    section = SymmetrySection(images, np.zeros(3, int), np.zeros(BINS, int), whole_field(shape, 2), b"")
    if cubic or images.axial:
        assert_equal(SymmetrySection.from_bytes(section.to_bytes(shape), shape), section)


def changed(payload: Payload, **changes: Any) -> bytes:
    """A payload whose symmetry section is another one, whether or not the format allows it."""
    shape = payload.shape
    section = SymmetrySection.from_bytes(payload.section(Section.SYMMETRY), (shape[0], shape[1], shape[2]))
    body = replace(section, **changes).to_bytes((shape[0], shape[1], shape[2]))
    return replace(payload, sections={**payload.sections, Section.SYMMETRY: body}).to_bytes()


def resources(data: bytes) -> tuple[float, int]:
    """Seconds and bytes that decoding takes, whether it succeeds or is refused."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        decoded = inrcodec.decode(data)
        assert np.isfinite(decoded).all()
    except PayloadError:
        pass
    finally:
        seconds = time.perf_counter() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return seconds, peak


EXTREMES = {
    "smallest rise, largest fold": Images(Symmetry((Helix(RISE_UNIT // 8, 2**31, 99)), (0, 0, 0)), (0, 0, 1)),
    "largest rise": Images(Symmetry((Helix(2**40, -(2**31), 99)), (0, 0, 0)), (0, 0, 1)),
    "helix far off": Images(Symmetry((Helix(2**17, 12345, 7)), (2**23, -(2**23), 2**23)), (0, 0, 1)),
    "D99": Images(place("D99", (12, 18, 17)), (1, 1, 1)),
    "C2 far off": Images(place("C2", (12, 18, 17), (2**23, -(2**23), 2**23)), (127, 127, 127)),
    "I at a corner": Images(place("I", (12, 18, 17), (0, 0, 0)), (-128, -128, -128)),
    "I far off": Images(place("I", (12, 18, 17), (30000, 30000, 30000)), (-128, -128, 127)),
    "turned and far off": Images(place("C99", (12, 18, 17), (30000, -9000, 0), turn(1)), (1, 0, 0)),
    "radius 0": Images(place("O", (12, 18, 17)), (1, 2, 3), 0),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_symmetries_take_little(name: str) -> None:
    payload = CASES["C7"].payload()
    for field in (whole_field((12, 18, 17)), ((-100, -40), (-80, -20), (40, 100)), ((-20, 44),) * 3):
        seconds, peak = resources(changed(payload, images=EXTREMES[name], field=field))
        assert seconds < MOST_SECONDS
        assert peak < MOST_BYTES


def test_the_largest_field_takes_little() -> None:
    payload = CASES["C7"].payload()
    data = changed(payload, field=((-30, 34), (-24, 40), (-20, 44)))
    seconds, peak = resources(data)
    assert seconds < MOST_SECONDS
    assert peak < MOST_BYTES


def test_an_encoder_writes_nothing_that_is_refused() -> None:
    made = CASES["O"]
    section = made.section()
    far = replace(section, images=Images(place("O", made.shape, (2**22,) * 3), (1, 2, 3)))
    with pytest.raises(PayloadError, match="scatters"):
        far.to_bytes(made.shape)
    with pytest.raises(PayloadError, match="does not go with"):
        replace(section, field=((0, 5000), (0, 1), (0, 1))).to_bytes(made.shape)
