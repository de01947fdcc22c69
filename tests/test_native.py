"""The native decoder gives the Python decoder's voxels, bit for bit, and refuses what that refuses."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from conftest import blobs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_decoder import NativeDecoder, NativeError
from test_golden import GOLDEN, NAMES, model_of, payload_of
from test_hdf5_client_data import FAR, MODEL

from inrcodec import INRCodec, core, inspect
from inrcodec.core import PayloadError, Settings, VolumeModel
from inrcodec.core.fields.basis import with_edges
from inrcodec.core.fields.edges import EDGES
from inrcodec.core.payload import Payload, Section
from inrcodec.core.shells import ShellTable
from inrcodec.core.volume import unchanged_weights
from inrcodec.hdf5_client_data import ClientData
from inrcodec.native import BuildError, build
from inrcodec.native.build import LIBRARY, SOURCES, compile_sources

COMPILER = which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

STRICT = ("-Werror",)
SYMMETRIC = [name for name in NAMES if "symmetry" in inspect(payload_of(name)).sections]


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> NativeDecoder:
    return NativeDecoder(build(tmp_path_factory.mktemp("plugin"), flags=STRICT))


@pytest.fixture(scope="module")
def blosc(native: NativeDecoder) -> bool:
    """Whether Blosc was found when the library was built."""
    name = "lossless-f8"
    info = inspect(payload_of(name))
    try:
        native.decode(payload_of(name), info.shape, info.dtype)
    except NativeError as error:
        return "without Blosc" not in str(error)
    return True


def compare(native: NativeDecoder, payload: bytes, volume: VolumeModel | None = None) -> None:
    (expected,) = core.decode_many([payload], volume=volume)
    decoded = native.decode(payload, expected.shape, expected.dtype, volume)
    assert decoded.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_golden_files(native: NativeDecoder, blosc: bool, name: str) -> None:
    if inspect(payload_of(name)).field == "lossless" and not blosc:
        pytest.skip("Blosc is not found")
    if inspect(payload_of(name)).field == "mlp":
        with pytest.raises(NativeError, match="unknown field code 3"):
            compare(native, payload_of(name), model_of(name))
        return
    if name in SYMMETRIC:
        with pytest.raises(NativeError, match="symmetry or prediction: the decoder in Python reads it"):
            compare(native, payload_of(name), model_of(name))
        return
    compare(native, payload_of(name), model_of(name))


def test_prediction_is_refused_by_name(native: NativeDecoder) -> None:
    parsed = Payload.from_bytes(payload_of("prior-f4"))
    parsed.sections[Section.PREDICTION] = b"\1"
    with pytest.raises(NativeError, match="symmetry or prediction: the decoder in Python reads it"):
        native.decode(parsed.to_bytes(), parsed.shape, parsed.dtype)


CHUNKS = st.builds(
    lambda shape, dtype, seed, noise: (100 * blobs(shape, noise, seed)).clip(0, 120).astype(dtype),
    st.one_of(
        st.tuples(st.integers(64, 200)),
        st.tuples(st.integers(8, 20), st.integers(8, 20)),
        st.tuples(st.integers(4, 15), st.integers(4, 15), st.integers(5, 15)),
        st.tuples(st.integers(1, 3), st.integers(4, 7), st.integers(4, 7), st.integers(4, 9)),
    ),
    st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">i2", "<u2", ">u2"]),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.01, 0.2]),
)
CODECS = st.one_of(
    st.builds(INRCodec, max_error=st.floats(0.01, 20), effort=st.just(0)),
    st.builds(INRCodec, snr=st.floats(0, 60), effort=st.just(0), block=st.integers(4, 20)),
    st.builds(INRCodec, snr=st.floats(10, 30), effort=st.just(0), threshold=st.floats(1, 50)),
    st.builds(
        lambda model, length, kind: INRCodec(effort=0, volume=replace(model, block=with_edges(length, kind))),
        st.sampled_from([MODEL, FAR]),
        st.integers(1, 20),
        st.integers(0, len(EDGES) - 1),
    ),
)


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(chunk=CHUNKS, codec=CODECS)
def test_any_chunk(native: NativeDecoder, blosc: bool, chunk: np.ndarray, codec: INRCodec) -> None:
    payload = codec.encode(chunk)
    if inspect(payload).field != "lossless" or blosc:
        compare(native, payload, codec.volume)


@pytest.mark.parametrize("kind", range(len(EDGES)))
def test_long_blocks_with_edges_of_any_kind(native: NativeDecoder, kind: int) -> None:
    density = blobs((95, 40, 7)).astype("f4")
    volume = VolumeModel(0.01, with_edges(64, kind), unchanged_weights())
    payload = INRCodec(effort=0, volume=volume).encode(density)
    assert inspect(payload).field == "local-fourier"
    compare(native, payload, volume)


@pytest.mark.parametrize("shape", [(24, 22, 20), (7, 30, 40)])
def test_shells_with_limits_at_the_ends_of_axes(native: NativeDecoder, shape: tuple[int, ...]) -> None:
    limits = bytes([20] * 6 + [7, 3, 9, 4, 2, 11] + [0] * 6)
    shells = ShellTable(bytes(range(39, -1, -1)), limits)
    volume = VolumeModel(0.02, 7, unchanged_weights(), shells=shells)
    density = blobs(shape).astype("f4")
    payload = INRCodec(effort=0, volume=volume).encode(density)
    compare(native, payload, volume)
    without = replace(volume, shells=ShellTable(shells.exponents))
    assert len(INRCodec(effort=0, volume=without).encode(density)) < 0.95 * len(payload)


@pytest.mark.needs_torch
def test_trained_networks_and_shells(native: NativeDecoder) -> None:
    density = blobs((24, 22, 20)).astype("f4")
    compare(native, INRCodec(snr=30, effort=1, device="cpu").encode(density))
    for target in ({"snr": 20}, {"fsc": 0.9, "resolution": 4.0, "voxel_size": 1.0}):
        codec = INRCodec.fit(density, **target, effort=1, chunks=24, device="cpu")
        compare(native, codec.encode(density), codec.volume)


def test_other_byte_orders_and_other_chunks(native: NativeDecoder) -> None:
    density = blobs((6, 7, 8)).astype(">f4")
    payload = INRCodec(max_error=0.1, effort=0).encode(density)
    (expected,) = core.decode_many([payload])
    np.testing.assert_array_equal(native.decode(payload, (6, 7, 8), np.dtype("<f4")), expected)
    for shape, dtype in (((6, 7, 9), ">f4"), ((6, 56), ">f4"), ((6, 7, 8), ">f8"), ((6, 7, 8), "i2")):
        with pytest.raises(NativeError, match="another chunk"):
            native.decode(payload, shape, np.dtype(dtype))


@pytest.mark.parametrize("volume", [None, MODEL], ids=["none", "another"])
def test_networks_that_are_missing_or_others(native: NativeDecoder, volume: VolumeModel | None) -> None:
    name = "volume-scope-f4"
    info = inspect(payload_of(name))
    with pytest.raises(NativeError, match="no networks" if volume is None else "needs the networks"):
        native.decode(payload_of(name), info.shape, info.dtype, volume)


def with_checksum(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


# Blosc has a mind of its own, and symmetry is not decoded
DAMAGED = [name for name in NAMES if name != "lossless-f8" and name not in SYMMETRIC]


@settings(derandomize=True, deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_payloads_are_refused_by_both_or_by_neither(native: NativeDecoder, data: Any) -> None:
    name = data.draw(st.sampled_from(DAMAGED))
    volume, info = model_of(name), inspect(payload_of(name))
    body = bytearray(payload_of(name)[:-4])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    body = body[: len(body) - data.draw(st.sampled_from([0, 0, 0, 1, 4, 40]))]
    payload = with_checksum(bytes(body))
    try:
        if inspect(payload).shape != info.shape or inspect(payload).dtype != info.dtype:
            raise PayloadError("another chunk")
        if {"symmetry", "prediction"} & set(inspect(payload).sections):
            raise PayloadError("sections that only the Python decoder reads")
        if inspect(payload).field == "lossless":
            return
        (expected,) = core.decode_many([payload], volume=volume)
    except PayloadError:
        with pytest.raises(NativeError):
            native.decode(payload, info.shape, info.dtype, volume)
    else:
        assert native.decode(payload, info.shape, info.dtype, volume).tobytes() == expected.tobytes()


def test_damage_is_told_in_words(native: NativeDecoder) -> None:
    good = payload_of("prior-f4")
    info = inspect(good)
    parsed = Payload.from_bytes(good)
    parsed.sections[Section.FIELD] = parsed.sections[Section.FIELD][:2] + bytes(30)
    cases = {
        b"": "not an inrcodec payload: 0 bytes",
        b"INR" + bytes(20): "format version 0",
        good[:-1]: "checksum mismatch",
        good[:50] + b"?" + good[51:]: "checksum mismatch",
        parsed.to_bytes(): "makes no sense|bytes left over|prior 0",
    }
    for payload, message in cases.items():
        with pytest.raises(NativeError, match=message):
            native.decode(payload, info.shape, info.dtype)


def sanitizers() -> bool:
    """Whether the compiler has them."""
    probe = [str(COMPILER), "-fsanitize=address,undefined", "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(probe, input=b"int main(void) {}", capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not sanitizers():
        pytest.skip("the C compiler has no sanitizers")
    flags = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *STRICT)
    sources = [*(s for s in SOURCES if s != "plugin.c"), Path(__file__).with_name("native_fuzz.c")]
    return compile_sources(tmp_path_factory.mktemp("fuzz") / "fuzz", sources, flags=flags)


@pytest.mark.parametrize("name", NAMES)
def test_damage_makes_no_wrong_access(fuzzer: Path, tmp_path: Path, name: str) -> None:
    info = inspect(payload_of(name))
    words = ClientData(Settings(volume=model_of(name)), info.shape, info.dtype).to_words()
    (tmp_path / "client").write_bytes(struct.pack(f"<{len(words)}I", *words))
    result = subprocess.run(
        [fuzzer, tmp_path / "client", GOLDEN / f"{name}.inr", "40", "7"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"ASAN_OPTIONS": "allocator_may_return_null=1"},
    )
    assert result.returncode == 0, result.stderr
    decoded, refused = map(int, result.stdout.split())
    assert decoded + refused == 40
    assert refused > 0


def test_build_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no C compiler: no-such-compiler is not there"):
        build(tmp_path, compiler="no-such-compiler")
    with pytest.raises(BuildError, match="refuses"):
        build(tmp_path, flags=["-no-such-flag-at-all"])
    assert list(tmp_path.iterdir()) == []


def test_without_blosc(tmp_path: Path) -> None:
    small = NativeDecoder(build(tmp_path, blosc=False, flags=("-O1", *STRICT)))
    compare(small, payload_of("prior-f4"))
    info = inspect(payload_of("lossless-f8"))
    with pytest.raises(NativeError, match="built without Blosc"):
        small.decode(payload_of("lossless-f8"), info.shape, info.dtype)


def test_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "inrcodec.native", "build", "--out", tmp_path / "new" / "folder"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(tmp_path / "new" / "folder" / LIBRARY)
    assert (tmp_path / "new" / "folder" / LIBRARY).exists()
    refused = subprocess.run([*command, "--compiler", "none"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "no C compiler" in refused.stderr
