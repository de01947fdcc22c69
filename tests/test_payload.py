"""The payload's frame, and what damaged payloads do to the decoder: a PayloadError, and nothing else."""

from __future__ import annotations

import math
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from conftest import blobs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from symmetric_payloads import Made, place, turn, whole_field

import inrcodec
from inrcodec import INRCodec, PayloadError
from inrcodec.core.field_section import FieldSection
from inrcodec.core.payload import (
    DTYPES,
    MAX_VOXELS,
    TARGETS,
    Field,
    Payload,
    Reader,
    Section,
    dtype_code,
    dtype_from_code,
    pack_short,
    pack_varint,
    short,
)
from inrcodec.core.prepare import as_volume_shape
from inrcodec.core.symmetry.images import Images

DTYPE = st.sampled_from([np.dtype(order + np.dtype(n).str[1:]) for n in DTYPES.values() for order in "<>"])
SHAPE = st.lists(st.integers(1, 2**30), min_size=1, max_size=4).map(tuple)
TARGET = st.just(("none", 0.0)) | st.tuples(st.sampled_from(TARGETS[1:]), st.floats(allow_nan=False))
PAYLOADS = st.builds(
    lambda shape, dtype, field, target, *rest: Payload(shape, dtype, field, *target, *rest),
    SHAPE.filter(lambda shape: math.prod(shape) <= MAX_VOXELS),
    DTYPE,
    st.sampled_from(Field),
    TARGET,
    st.sampled_from(["chunk", "volume"]),
    st.booleans(),
    st.dictionaries(st.sampled_from(Section), st.binary(max_size=300)),
)

MOST_SECONDS = 1.0  # of processors' time per damaged payload; most take a millisecond
MOST_BYTES = 2**24  # taken while one is decoded: its chunk has 1000 voxels


def sealed(body: bytes) -> bytes:
    """A payload with the right checksum."""
    return body + struct.pack("<I", zlib.crc32(body))


def masked(dtype: str = "<f4") -> np.ndarray:
    chunk = blobs((9, 10, 11), seed=2) * (100 if dtype[1] in "iu" else 1)
    chunk[np.indices(chunk.shape).sum(axis=0) < 9] = 0
    return chunk.astype(dtype)


def specials() -> np.ndarray:
    chunk = blobs((9, 10, 11)).astype(np.float32)
    chunk[[1, 5, 5], [2, 3, 4], 7] = np.nan, np.inf, -np.inf
    return chunk


def symmetric(symbol: str, orientation: tuple[int, ...] | None = None, radius: int | None = None) -> bytes:
    """A payload of 990 voxels with a symmetry section."""
    shape = (9, 10, 11)
    images = Images(place(symbol, shape, (4000, 5000, 6000), orientation), (2, 3, 1), radius)
    return Made(images, shape, whole_field(shape, 1)).payload().to_bytes()


ENCODED: dict[str, Callable[[], bytes]] = {
    "field": lambda: INRCodec(snr=20, effort=0).encode(blobs((9, 10, 11)).astype(np.float32)),
    "float64": lambda: INRCodec(snr=30, effort=0).encode(blobs((9, 10, 11))),
    "int8": lambda: INRCodec(snr=15, effort=0).encode((40 * blobs((9, 10, 11))).astype(np.int8)),
    "corrections": lambda: INRCodec(max_error=0.05, effort=0).encode(blobs((9, 10, 11)).astype("<f2")),
    "occupancy": lambda: INRCodec(max_error=0.1, threshold=0.3, effort=0).encode(masked()),
    "verbatim": lambda: INRCodec(snr=20, effort=0).encode(specials()),
    "lossless": lambda: INRCodec(max_error=1e-9, effort=0).encode(blobs((8, 8, 8)).astype(np.float32)),
    "constant": lambda: INRCodec().encode(np.ones((5, 6, 7), ">f4")),
    "symmetry": lambda: symmetric("D3"),
    "icosahedral": lambda: symmetric("I", turn(0), 5),
    "helical": lambda: symmetric("helical:1.75,33,C3"),
}


@pytest.fixture(scope="module", params=ENCODED, ids=str)
def payload(request: pytest.FixtureRequest) -> bytes:
    return ENCODED[request.param]()


@pytest.fixture(scope="module")
def sectioned() -> dict[str, Payload]:
    return {name: Payload.from_bytes(encode()) for name, encode in ENCODED.items()}


def decodes_or_is_refused(data: bytes) -> bool:
    """Whether damaged bytes still decode; any exception but PayloadError passes through and fails."""
    start = time.process_time()
    try:
        inrcodec.inspect(data)
        inrcodec.decode(data)
    except PayloadError:
        return False
    finally:
        assert time.process_time() - start < MOST_SECONDS
    return True


class TestFrame:
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(payload=PAYLOADS)
    def test_round_trip(self, payload: Payload) -> None:
        data = payload.to_bytes()
        assert Payload.from_bytes(data) == payload
        assert Payload.from_bytes(memoryview(data)).to_bytes() == data

    def test_layout_of_bytes(self) -> None:
        """Byte for byte as docs/format.md says."""
        payload = Payload((200, 3), np.dtype(">f8"), Field.LOCAL_FOURIER, "snr", 30.0, "volume", True)
        payload.sections[Section.FIELD] = b"abc"
        payload.sections[Section.LATENTS] = b""
        body = b"INR\x05\x82\xc3\x21" + struct.pack("<d", 30.0) + b"\xc8\x01\x03\x14\x03abc"
        assert payload.to_bytes() == sealed(body)
        shared = Payload((7,), np.dtype("<f4"), Field.CONSTANT, sections={Section.CONSTANT: bytes(4)})
        assert shared.to_bytes() == sealed(b"INR\x05\x00\x02\x10\x07\x01" + bytes(4))
        payload.sections[Section.SYMMETRY] = b"de"
        longer = b"INR\x05\xc2\xc3\x21" + struct.pack("<d", 30.0) + b"\xc8\x01\x03\x14\x01\x03\x00abcde"
        assert payload.to_bytes() == sealed(longer)

    def test_sections_of_a_later_release(self) -> None:
        body = b"INR\x05\x42\x02\x10\x07\x00\x08abc"
        with pytest.raises(PayloadError, match="unknown sections in 0x800"):
            Payload.from_bytes(sealed(body))

    def test_missing_sections_are_named(self) -> None:
        payload = Payload((2,), np.dtype("<f4"), Field.CONSTANT, "snr", 30.0)
        with pytest.raises(PayloadError, match="no constant section"):
            inrcodec.decode(payload.to_bytes())

    @pytest.mark.parametrize("dtype", list(DTYPES.values()))
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_dtypes(self, dtype: str, order: str) -> None:
        kind = np.dtype(dtype).newbyteorder(order)
        assert dtype_from_code(dtype_code(kind)) == kind

    @pytest.mark.parametrize("code", [0, 8, 0x40, 0x88, 0xFF])
    def test_unknown_dtypes(self, code: int) -> None:
        with pytest.raises(PayloadError, match="dtype code"):
            dtype_from_code(code)

    @pytest.mark.parametrize("dtype", ["i4", "c8", "?", "M8[s]", "O", "V4"])
    def test_unsupported_dtypes(self, dtype: str) -> None:
        with pytest.raises(TypeError, match="is not supported"):
            dtype_code(np.dtype(dtype))

    def test_section_numbers_are_pinned(self) -> None:
        names = [
            "constant",
            "lossless",
            "field",
            "weights",
            "latents",
            "occupancy",
            "corrections",
            "verbatim",
            "symmetry",
            "prediction",
            "levels",
        ]
        assert [s.name.lower() for s in sorted(Section)] == names
        assert [s.value for s in sorted(Section)] == list(range(1, 12))
        assert [(f.name, f.value) for f in Field] == [
            ("CONSTANT", 0),
            ("LOSSLESS", 1),
            ("LOCAL_FOURIER", 2),
            ("MLP", 3),
        ]


class TestReader:
    @given(value=st.integers(0, 2**63 - 1))
    @example(127)
    @example(128)
    @settings(derandomize=True)
    def test_varints(self, value: int) -> None:
        data = pack_varint(value)
        reader = Reader(data)
        assert reader.varint() == value
        reader.end()
        assert len(data) == max(1, -(-value.bit_length() // 7))

    @given(value=st.floats(allow_nan=False, allow_infinity=False))
    @settings(derandomize=True)
    def test_shorts(self, value: float) -> None:
        kept = short(value)
        assert abs(kept) <= abs(value)
        assert Reader(pack_short(value)).short() == kept == short(kept)
        if abs(value) > 1e-300:
            assert kept == pytest.approx(value, rel=2.0**-20)

    def test_varints_that_never_end(self) -> None:
        with pytest.raises(PayloadError, match="63 bits"):
            Reader(b"\xff" * 1000).varint()

    def test_reading_past_the_end(self) -> None:
        reader = Reader(b"abc")
        assert reader.take(2) == b"ab"
        with pytest.raises(PayloadError, match="2 bytes claimed, 1 left"):
            reader.take(2)
        with pytest.raises(PayloadError, match="1 bytes left over"):
            reader.end()
        assert reader.rest() == b"c"
        for read in (reader.u8, reader.f64, reader.short, reader.varint):
            with pytest.raises(PayloadError, match="claimed"):
                read()


class TestDamage:
    def test_every_changed_byte_is_noticed(self, payload: bytes) -> None:
        rng = np.random.default_rng(0)
        for at in range(len(payload)):
            damaged = bytearray(payload)
            damaged[at] ^= int(rng.integers(1, 256))
            with pytest.raises(PayloadError):
                inrcodec.decode(bytes(damaged))

    def test_every_truncation_is_noticed(self, payload: bytes) -> None:
        for length in range(len(payload)):
            with pytest.raises(PayloadError):
                inrcodec.decode(payload[:length])
        with pytest.raises(PayloadError):
            inrcodec.decode(payload + b"\0")

    def test_every_changed_header_byte_with_a_right_checksum(self, payload: bytes) -> None:
        body = payload[:-4]
        for at in range(3, min(len(body), 34)):
            for change in (1, 3, 0x40, 0x80):
                damaged = bytearray(body)
                damaged[at] ^= change
                if claimed_voxels(sealed(bytes(damaged))) <= 2**20:
                    decodes_or_is_refused(sealed(bytes(damaged)))

    def test_truncations_with_a_right_checksum(self, payload: bytes) -> None:
        """Only the last section may be cut: that makes another payload, or one that is refused."""
        last = len(payload) - 4 - len(list(Payload.from_bytes(payload).sections.values())[-1])
        for length in range(4, last + 1):
            assert not decodes_or_is_refused(sealed(payload[:length])) or length == last
        for length in range(last, len(payload) - 4, 17):
            decodes_or_is_refused(sealed(payload[:length]))

    @pytest.mark.parametrize(
        ("name", "section", "cases"),
        [
            ("field", Section.FIELD, 200),
            ("float64", Section.FIELD, 150),
            ("int8", Section.FIELD, 150),
            ("occupancy", Section.FIELD, 200),
            ("field", Section.LATENTS, 60),
            ("corrections", Section.CORRECTIONS, 100),
            ("occupancy", Section.OCCUPANCY, 100),
            ("occupancy", Section.CORRECTIONS, 60),
            ("verbatim", Section.VERBATIM, 100),
            ("lossless", Section.LOSSLESS, 100),
            ("constant", Section.CONSTANT, 10),
            ("symmetry", Section.SYMMETRY, 150),
            ("icosahedral", Section.SYMMETRY, 100),
            ("helical", Section.SYMMETRY, 150),
        ],
    )
    def test_damaged_sections(
        self, sectioned: dict[str, Payload], name: str, section: Section, cases: int
    ) -> None:
        rng = np.random.default_rng(section)
        original = sectioned[name].section(section)
        for _ in range(cases):
            decodes_or_is_refused(changed(sectioned[name], section, spoiled(original, rng)))

    def test_damaged_sections_take_little_memory(self, sectioned: dict[str, Payload]) -> None:
        rng = np.random.default_rng(1)
        tracemalloc.start()
        try:
            for name, section in product(("occupancy", "verbatim", "symmetry", "helical"), Section):
                if section in sectioned[name].sections:
                    for _ in range(5):
                        body = spoiled(sectioned[name].section(section), rng)
                        decodes_or_is_refused(changed(sectioned[name], section, body))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MOST_BYTES

    @pytest.mark.parametrize("section", Section)
    def test_missing_and_empty_sections(self, sectioned: dict[str, Payload], section: Section) -> None:
        for payload in sectioned.values():
            for body in (None, b""):
                sections = {s: b for s, b in payload.sections.items() if s != section}
                if body is not None:
                    sections[section] = body
                damaged = Payload(**{**vars(payload), "sections": sections})
                decodes_or_is_refused(damaged.to_bytes())


def changed(payload: Payload, section: Section, body: bytes) -> bytes:
    """A payload with one section's bytes replaced, checksum and all."""
    return Payload(**{**vars(payload), "sections": {**payload.sections, section: body}}).to_bytes()


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with a few changes, a piece cut out, or a piece repeated."""
    out = bytearray(data)
    kind = rng.integers(0, 6)
    if kind < 4:
        for _ in range(rng.integers(1, 4)):
            out[rng.integers(0, len(out))] = [0, 255, 128, int(rng.integers(0, 256))][rng.integers(0, 4)]
    elif kind == 4:
        del out[rng.integers(0, len(out)) :]
    else:
        at, length = rng.integers(0, len(out)), rng.integers(1, 12)
        out[at:at] = out[at : at + length]
    return bytes(out)


def claimed_voxels(data: bytes) -> int:
    try:
        return math.prod(Payload.from_bytes(data).shape)
    except PayloadError:
        return 0


CLAIMS = [(10**12,), (10**6, 10**6), (10**4, 10**4, 10**4), (10**3,) * 4, (2**62, 2**62, 2**62), (2**30 + 1,)]


@pytest.mark.parametrize("shape", CLAIMS, ids=str)
@pytest.mark.parametrize("field", Field, ids=lambda f: f.name)
def test_enormous_claims_take_neither_time_nor_memory(shape: tuple[int, ...], field: Field) -> None:
    payload = Payload(shape, np.dtype("<f4"), field, "snr", 30.0)
    payload.sections[Section.CONSTANT] = bytes(4)
    payload.sections[Section.LOSSLESS] = bytes(64)
    payload.sections[Section.FIELD] = b"\x04\x10\0\0\xf0\x3f\x02\0\0\0\x01\x80\0\0\0\0"
    payload.sections[Section.LATENTS] = b""
    data = payload.to_bytes()
    for read in (inrcodec.decode, inrcodec.inspect):
        tracemalloc.start()
        start = time.process_time()
        try:
            with pytest.raises(PayloadError, match="voxels"):
                read(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert time.process_time() - start < 1
        assert peak < 1e6


@pytest.mark.parametrize("section", [Section.LOSSLESS, Section.OCCUPANCY, Section.VERBATIM], ids=str)
def test_compressed_bombs(sectioned: dict[str, Payload], section: Section) -> None:
    """Sections that inflate to far more than the chunk needs are refused without inflating them."""
    zeros = bytes(2**26)
    bodies = {
        Section.LOSSLESS: b"\x02\x01\x21\x04" + struct.pack("<III", 2**31 - 1, 2**20, 80) + bytes(64),
        Section.OCCUPANCY: b"\x01" + zeros[: 2**16],
        Section.VERBATIM: pack_varint(2**40) + zlib.compress(zeros, 9),
    }
    name = section.name.lower()
    data = changed(sectioned[name], section, bodies[section])
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match=r"lossless|byte of 0|verbatim"):
            inrcodec.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize("shape", [(0,), (4, 0, 4), (0, 0)], ids=str)
@pytest.mark.parametrize("name", ["field", "occupancy", "lossless", "constant"])
def test_no_voxels(sectioned: dict[str, Payload], name: str, shape: tuple[int, ...]) -> None:
    damaged = Payload(**{**vars(sectioned[name]), "shape": shape})
    with pytest.raises(PayloadError):
        inrcodec.decode(damaged.to_bytes())


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4, 6, 255])
def test_other_versions(version: int) -> None:
    data = bytearray(ENCODED["constant"]()[:-4])
    data[3] = version
    with pytest.raises(PayloadError, match=f"version {version}"):
        inrcodec.decode(sealed(bytes(data)))


@pytest.mark.parametrize("axes", [0, 5, 15])
def test_number_of_axes(axes: int) -> None:
    data = sealed(ENCODED["constant"]()[:6] + bytes([axes << 4]) + b"\x01" * axes + b"\1" + bytes(4))
    with pytest.raises(PayloadError, match="dimensions"):
        inrcodec.decode(data)


@pytest.mark.parametrize("name", ["field", "float64", "int8", "corrections", "occupancy"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.7e308, -1e300, 1e39, -1e5, 5e-324, 0.0])
def test_extreme_densities(sectioned: dict[str, Payload], name: str, value: float) -> None:
    """Step, offset, background and correction step, in every dtype: refused, or clipped like any density."""
    payload = sectioned[name]
    field = payload.section(Section.FIELD)
    number = struct.pack("<d", value)
    parsed = FieldSection.from_bytes(field, as_volume_shape(payload.shape))
    d, h, w = as_volume_shape(payload.shape)
    masked = replace(parsed, background=0.1, offset=0.1).to_bytes((d, h, w))  # its background takes 8 bytes
    box = 6 if masked[0] & 8 else 0
    at = len(masked) - box
    cases = [
        (Section.FIELD, field[:2] + number[4:] + field[6:]),
        (Section.FIELD, bytes([masked[0] | 4]) + masked[1:at] + number[4:] + masked[at:]),
        (Section.FIELD, masked[: at - 8] + number + masked[at:]),
    ]
    if Section.CORRECTIONS in payload.sections:
        cases.append((Section.CORRECTIONS, number + payload.section(Section.CORRECTIONS)[8:]))
    for section, body in cases:
        data = changed(payload, section, body)
        if decodes_or_is_refused(data):
            assert math.isfinite(value)
            assert np.isfinite(inrcodec.decode(data)).all()


@pytest.mark.parametrize("shape", [(2**20,), (2**19, 2, 1), (1, 2**20, 1), (2**10, 2**10, 1, 1)], ids=str)
def test_long_axes(shape: tuple[int, ...]) -> None:
    """Allowed numbers of voxels in shapes that no field is made for."""
    payload = Payload(shape, np.dtype("u1"), Field.LOCAL_FOURIER, "snr", 30.0)
    payload.sections[Section.FIELD] = b"\0\x04" + struct.pack("<dd", 1.0, 0.0) + b"\0\0\0\x01\x01\x05"
    payload.sections[Section.LATENTS] = b""
    assert not decodes_or_is_refused(payload.to_bytes())
