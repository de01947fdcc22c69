"""The numcodecs codec by itself: bounds, dtypes, errors, configuration."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numcodecs
import numpy as np
import pytest
from conftest import blobs, snr_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import inrcodec
from inrcodec import INRCodec, PayloadError

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "uint8", "int16", "uint16"]
ROUNDING = 1e-2  # dB; the encoder's sums and NumPy's need not agree further

CODECS = [
    INRCodec(),
    INRCodec(27.5, effort=0),
    INRCodec(max_error=0.1, effort=9),
    INRCodec(ratio=50, threshold=0.02),
    INRCodec(snr=np.float32(20), effort=np.int64(5), block=np.int8(16)),
]


def in_dtype(chunk: np.ndarray, dtype: str) -> np.ndarray:
    """The chunk in a dtype, scaled to half the range of an integer one."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return chunk.astype(kind)
    limits = np.iinfo(kind)
    middle = (int(limits.max) + int(limits.min) + 1) // 2
    return np.rint(chunk / np.abs(chunk).max() * limits.max / 2 + middle / 2).astype(kind)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_snr_is_reached_in_every_dtype(chunk: np.ndarray, dtype: str, order: str) -> None:
    original = in_dtype(chunk, dtype).astype(np.dtype(dtype).newbyteorder(order))
    codec = INRCodec(snr=25, effort=0)
    decoded = codec.decode(codec.encode(original))
    assert decoded.shape == original.shape
    assert decoded.dtype == original.dtype
    assert decoded.flags.c_contiguous
    assert snr_of(original, decoded) >= 25 - ROUNDING


@pytest.mark.parametrize("snr", [5, 20, 40, 80])
def test_snr_over_the_range(chunk: np.ndarray, snr: float) -> None:
    codec = INRCodec(snr=snr, effort=0)
    assert snr_of(chunk, codec.decode(codec.encode(chunk))) >= snr - ROUNDING


@pytest.mark.parametrize("seed", range(4))
def test_density_is_coded_as_a_field(seed: int) -> None:
    original = blobs((24, 24, 24), seed=seed).astype(np.float32)
    info = inrcodec.inspect(INRCodec(snr=30, effort=0).encode(original))
    assert info.field == "local-fourier"
    assert info.ratio > 15


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int16"])
@pytest.mark.parametrize("relative", [1.0, 0.1, 0.01])
def test_max_error_holds_for_every_voxel(chunk: np.ndarray, dtype: str, relative: float) -> None:
    original = in_dtype(chunk, dtype)
    bound = float(relative * original.astype(float).std())
    codec = INRCodec(max_error=bound, effort=0)
    decoded = codec.decode(codec.encode(original))
    assert np.abs(decoded.astype(float) - original.astype(float)).max() <= bound


def test_ratio_is_reached(chunk: np.ndarray) -> None:
    assert chunk.nbytes / len(INRCodec(ratio=20, effort=0).encode(chunk)) >= 20


def test_threshold_is_background(chunk: np.ndarray) -> None:
    codec = INRCodec(snr=25, threshold=0.2, effort=0)
    decoded = codec.decode(codec.encode(chunk))
    represented = chunk > 0.2
    np.testing.assert_array_equal(decoded[~represented], 0)
    assert snr_of(chunk[represented], decoded[represented]) >= 25 - ROUNDING


@pytest.mark.needs_torch
@pytest.mark.parametrize("settings", [{}, {"max_error": 0.02}], ids=str)
def test_default_effort(chunk: np.ndarray, settings: dict[str, float]) -> None:
    codec = INRCodec(**settings)
    payload = codec.encode(chunk)
    decoded = codec.decode(payload)
    assert len(payload) < chunk.nbytes
    if settings:
        assert np.abs(decoded - chunk).max() <= 0.02
    else:
        assert snr_of(chunk, decoded) >= 30 - ROUNDING


@pytest.mark.parametrize("outlier", [1e10, -3e38])
def test_one_enormous_voxel(outlier: float) -> None:
    original = blobs((16, 16, 16)).astype(np.float32)
    original[3, 4, 5] = outlier
    codec = INRCodec(max_error=0.01, effort=0)
    decoded = codec.decode(codec.encode(original))
    assert np.abs(decoded.astype(float) - original.astype(float)).max() <= 0.01


def test_integers_do_not_wrap() -> None:
    original = np.where(blobs((16, 16, 16), noise=0) > 0.3, 255, 0).astype(np.uint8)
    codec = INRCodec(max_error=40, effort=0)
    decoded = codec.decode(codec.encode(original))
    assert np.abs(decoded.astype(int) - original.astype(int)).max() <= 40


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [[np.nan], [np.inf, -np.inf], [np.nan, np.inf, -np.inf]], ids=str)
def test_specials_are_exact(chunk: np.ndarray, dtype: str, special: list[float]) -> None:
    original = chunk.astype(dtype)
    rng = np.random.default_rng(0)
    original.flat[rng.choice(original.size, 40, replace=False)] = rng.choice(special, 40)
    codec = INRCodec(max_error=0.02, effort=0)
    decoded = codec.decode(codec.encode(original))
    finite = np.isfinite(original)
    np.testing.assert_array_equal(decoded[~finite], original[~finite])
    assert np.abs(decoded[finite].astype(float) - original[finite].astype(float)).max() <= 0.02


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
@pytest.mark.parametrize("value", [0, -3, 1e-30, 1e30, np.nan, np.inf])
def test_constant_chunks_take_a_few_bytes(value: float, dtype: str) -> None:
    original = np.full((20, 20, 20), value, dtype)
    codec = INRCodec()
    payload = codec.encode(original)
    assert len(payload) < 64
    decoded = codec.decode(payload)
    assert decoded.dtype == original.dtype
    np.testing.assert_array_equal(decoded, original)


@pytest.mark.parametrize("shape", [(1,), (1000,), (1, 1, 1, 1), (40, 30), (3, 17, 1), (2, 9, 8, 7)], ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    original = blobs(shape).astype(np.float32)
    codec = INRCodec(max_error=0.01, effort=0)
    decoded = codec.decode(codec.encode(original))
    assert decoded.shape == shape
    assert np.abs(decoded - original).max() <= 0.01


DTYPES = st.sampled_from([order + np.dtype(name).str[1:] for name in FLOATS + INTEGERS for order in "<>"])


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    original=DTYPES.flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=8))
    ),
    bound=st.sampled_from([1e-3, 0.5, 20.0]),
)
def test_any_array_within_the_bound(original: np.ndarray, bound: float) -> None:
    codec = INRCodec(max_error=bound, effort=0)
    before = original.tobytes()
    decoded = codec.decode(codec.encode(original))
    assert original.tobytes() == before
    assert decoded.shape == original.shape
    assert decoded.dtype == original.dtype
    finite = np.isfinite(original)
    np.testing.assert_array_equal(decoded[~finite], original[~finite])
    with np.errstate(over="ignore"):
        error = np.abs(decoded[finite].astype(np.float64) - original[finite].astype(np.float64))
    assert error.max(initial=0) <= bound


def test_strides_do_not_matter(chunk: np.ndarray) -> None:
    codec = INRCodec(effort=0)
    expected = codec.encode(chunk)
    spread = np.zeros((48, 24, 48), np.float32)
    spread[::2, :, ::2] = chunk
    assert codec.encode(spread[::2, :, ::2]) == expected
    locked = chunk.copy()
    locked.flags.writeable = False
    assert codec.encode(locked) == expected


def test_memory_order_comes_back(volume: np.ndarray) -> None:
    codec = INRCodec(effort=0)
    decoded = codec.decode(codec.encode(np.asfortranarray(volume)))
    assert decoded.shape == volume.shape
    assert decoded.flags.f_contiguous
    assert decoded.tobytes("A") == codec.decode(codec.encode(volume)).tobytes("F")
    assert snr_of(volume, decoded) >= 30 - ROUNDING


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda p: np.frombuffer(p, np.uint8)])
def test_payload_from_any_buffer(chunk: np.ndarray, wrap: type) -> None:
    codec = INRCodec(effort=0)
    payload = codec.encode(chunk)
    np.testing.assert_array_equal(codec.decode(wrap(payload)), codec.decode(payload))


def test_decode_into_out(chunk: np.ndarray) -> None:
    codec = INRCodec(effort=0)
    payload = codec.encode(chunk)
    decoded = codec.decode(payload)
    out = np.empty_like(chunk)
    assert codec.decode(payload, out=out) is out
    np.testing.assert_array_equal(out, decoded)
    raw = bytearray(chunk.nbytes)
    codec.decode(payload, out=raw)
    assert raw == decoded.tobytes()
    with pytest.raises(PayloadError, match="out has"):
        codec.decode(payload, out=np.empty((2, 2), np.float32))


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int32", "int64", "uint32", "uint64", "complex64", "longdouble", "datetime64[s]", "U3", "O"],
)
def test_unsupported_dtype_is_named(dtype: str) -> None:
    with pytest.raises(TypeError, match=str(np.dtype(dtype)).replace("[", r"\[")):
        INRCodec().encode(np.zeros((4, 4, 4), dtype))


def test_structured_dtype_is_refused() -> None:
    with pytest.raises(TypeError, match="not supported"):
        INRCodec().encode(np.zeros((4, 4), [("re", "f4"), ("im", "f4")]))


@pytest.mark.parametrize(
    "raw", [b"abc", bytearray(8), memoryview(b"abc"), [1.0, 2.0], "abc"], ids=lambda raw: type(raw).__name__
)
def test_raw_bytes_are_refused(raw: object) -> None:
    with pytest.raises(TypeError, match="array with a shape"):
        INRCodec().encode(raw)


@pytest.mark.parametrize("shape", [(), (0,), (4, 0, 4), (1, 1, 1, 1, 1)], ids=str)
def test_impossible_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="chunks have 1 to"):
        INRCodec().encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"snr": 30, "max_error": 0.1}, ValueError, "one quality target"),
        ({"snr": 30.0, "ratio": 10}, ValueError, "one quality target"),
        ({"max_error": 0.1, "ratio": 10}, ValueError, "one quality target"),
        ({"max_error": 0}, ValueError, "positive"),
        ({"max_error": float("nan")}, ValueError, "finite"),
        ({"ratio": 0.5}, ValueError, "at least 1"),
        ({"snr": 1000}, ValueError, "between"),
        ({"snr": "30"}, TypeError, "must be a number"),
        ({"snr": True}, TypeError, "must be a number"),
        ({"effort": 10}, ValueError, "0 to 9"),
        ({"effort": True}, TypeError, "integer"),
        ({"effort": 2.5}, TypeError, "integer"),
        ({"block": 2}, ValueError, "between 4 and 64"),
        ({"threshold": float("inf")}, ValueError, "finite"),
        ({"device": "gpu"}, ValueError, "device must be"),
        ({"device": "numpy"}, ValueError, "device must be"),
        ({"decode_device": "auto"}, ValueError, "decode_device must be"),
        ({"volume": b"weights"}, TypeError, "INRCodec.fit"),
        ({"quality": 3}, TypeError, "quality"),
    ],
    ids=str,
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        INRCodec(**arguments)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_configuration_round_trip(codec: INRCodec) -> None:
    config = json.loads(json.dumps(codec.get_config()))
    assert config == codec.get_config()
    assert numcodecs.get_codec(dict(config)) == codec
    assert INRCodec.from_config(config) == codec
    assert eval(repr(codec)) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert copy.deepcopy(codec) == codec


def test_default_configuration_is_pinned() -> None:
    assert INRCodec().get_config() == {"id": "inr", "snr": 30.0, "effort": 3}
    assert repr(INRCodec(max_error=0.1)) == "INRCodec(max_error=0.1, effort=3)"
    assert INRCodec() != INRCodec(29)
    assert INRCodec() != numcodecs.Zlib()


def test_devices_are_not_stored() -> None:
    assert INRCodec(device="cpu", decode_device="cpu").get_config() == INRCodec().get_config()


@pytest.mark.parametrize("extra", [{"quality": 3}, {"device": "cpu"}, {"volume": {"layers": 3}}], ids=str)
def test_unknown_configuration_keys(extra: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown (codec|volume) settings"):
        INRCodec.from_config({"snr": 30.0, **extra})


def test_damaged_payload(chunk: np.ndarray) -> None:
    codec = INRCodec(effort=0)
    payload = codec.encode(chunk)
    for bad in (b"", b"INR", payload[:-1], payload[:100], bytes(len(payload)), b"x" + payload):
        with pytest.raises(PayloadError):
            codec.decode(bad)


def test_module_level_decode_and_inspect(chunk: np.ndarray) -> None:
    payload = INRCodec(max_error=0.02, effort=0).encode(chunk)
    info = inrcodec.inspect(payload)
    assert isinstance(info, inrcodec.PayloadInfo)
    assert (info.shape, info.dtype, info.scope) == (chunk.shape, chunk.dtype, "chunk")
    assert (info.target, info.target_value) == ("max_error", 0.02)
    assert info.nbytes == len(payload)
    assert np.abs(inrcodec.decode(payload) - chunk).max() <= 0.02


def test_one_codec_in_many_threads() -> None:
    codec = INRCodec(effort=0)
    chunks = [blobs((16, 16, 16), seed=seed).astype(np.float32) for seed in range(12)]
    expected = [codec.encode(chunk) for chunk in chunks]
    with ThreadPoolExecutor(8) as pool:
        payloads = list(pool.map(codec.encode, chunks))
        decoded = list(pool.map(codec.decode, payloads))
    assert payloads == expected
    for original, restored in zip(chunks, decoded, strict=True):
        assert snr_of(original, restored) >= 30 - ROUNDING
