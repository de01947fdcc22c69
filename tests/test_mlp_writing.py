"""``INRCodec(field="mlp")``: the seed paper's network in a codec, in both formats of zarr."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
from mlp_cases import LEARNS, QUICK, share_within, smooth_map

import inrcodec
from inrcodec import INRCodec
from inrcodec.core import Settings, Target
from inrcodec.core.mlp import writing
from inrcodec.core.mlp.network import NetworkSettings

needs_torch = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def learnt() -> tuple[np.ndarray, bytes]:
    """A map, and its payload of 16-bit weights."""
    pytest.importorskip("torch")
    chunk = smooth_map()
    return chunk, INRCodec(field="mlp", network=LEARNS, weight_bits=16, device="cpu").encode(chunk)


def test_high_densities_are_within_20_percent(learnt: tuple[np.ndarray, bytes]) -> None:
    """The seed paper: 88.25 % of the points above 0.1."""
    chunk, payload = learnt
    decoded = inrcodec.decode(payload)
    assert share_within(chunk, decoded) >= 0.88
    assert (decoded[chunk <= 0] == 0).all()
    assert (chunk < 0).any()


def test_densities_span_the_originals_range(learnt: tuple[np.ndarray, bytes]) -> None:
    chunk, payload = learnt
    assert inrcodec.decode(payload).max() == pytest.approx(chunk.max(), rel=0.1)


def test_what_a_payload_says(learnt: tuple[np.ndarray, bytes]) -> None:
    chunk, payload = learnt
    info = inrcodec.inspect(payload)
    assert (info.field, info.scope, info.target) == ("mlp", "chunk", "none")
    assert set(info.sections) == {"field", "weights", "latents", "occupancy"}
    assert info.details["scale"] == pytest.approx(float(chunk.max()))
    assert info.details["widths"] == (64, 64, 48, 48, 32, 32, 16, 16, 1)


@needs_torch
@pytest.mark.parametrize(("bits", "most"), [(32, 1.0), (16, 0.55), (8, 0.3)])
def test_weight_bits_set_the_size(bits: int, most: float) -> None:
    chunk = smooth_map(shape=(12, 12, 12))
    network = {**QUICK, "widths": [64, 32]}
    sizes = {
        b: len(INRCodec(field="mlp", network=network, weight_bits=b, device="cpu").encode(chunk))
        for b in (32, bits)
    }
    assert sizes[bits] <= most * sizes[32]


@needs_torch
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i1", "<u1", "<i2", ">u2"])
def test_dtypes_come_back(dtype: str) -> None:
    chunk = smooth_map(shape=(8, 9, 10))
    chunk = (chunk if dtype[1] == "f" else 50 * chunk).astype(dtype)
    decoded = inrcodec.decode(INRCodec(field="mlp", network=QUICK, device="cpu").encode(chunk))
    assert decoded.dtype == chunk.dtype
    assert decoded.shape == chunk.shape
    assert (decoded[chunk <= 0] == 0).all()


@needs_torch
@pytest.mark.parametrize("shape", [(70,), (8, 9), (2, 5, 6, 7)], ids=str)
def test_numbers_of_axes(shape: tuple[int, ...]) -> None:
    chunk = np.random.default_rng(0).normal(size=shape)
    assert (
        INRCodec(field="mlp", network=QUICK).decode(INRCodec(field="mlp", network=QUICK).encode(chunk)).shape
        == shape
    )


@needs_torch
def test_special_values_and_memory_order() -> None:
    chunk = np.asfortranarray(smooth_map(shape=(8, 9, 10)))
    chunk[1, 2, 3:6] = np.nan, np.inf, -np.inf
    decoded = inrcodec.decode(INRCodec(field="mlp", network=QUICK).encode(chunk))
    assert decoded.flags.f_contiguous
    np.testing.assert_array_equal(decoded[1, 2, 3:6], chunk[1, 2, 3:6])
    assert np.isfinite(np.delete(decoded, 1, axis=0)).all()


@pytest.mark.parametrize(
    ("chunk", "field"),
    [
        (np.full((5, 5, 5), -1.0), "constant"),
        (np.full((5, 5, 5), 2.0), "constant"),
        (-np.random.default_rng(0).random((5, 5, 5)), "constant"),
        (np.arange(27.0).reshape(3, 3, 3), "lossless"),
        (np.random.default_rng(0).random((5000, 1, 1)), "lossless"),
        (np.full((5, 5, 5), np.nan) * np.arange(5), "constant"),
        (1e300 * np.random.default_rng(0).random((5, 5, 5)), "lossless"),
        (np.where(np.arange(125) == 3, np.nan, -1.0).reshape(5, 5, 5), "lossless"),
    ],
    ids=["low", "constant", "all below", "few voxels", "a long axis", "NaN", "too large", "NaN and low"],
)
def test_without_a_network(chunk: np.ndarray, field: str) -> None:
    payload = INRCodec(field="mlp", network=QUICK).encode(chunk)
    assert inrcodec.inspect(payload).field == field
    with np.errstate(invalid="ignore"):
        expected = np.where(chunk <= 0, 0, chunk)
    np.testing.assert_array_equal(inrcodec.decode(payload), expected)


@needs_torch
def test_threshold() -> None:
    chunk = smooth_map(shape=(8, 9, 10))
    threshold = float(np.quantile(chunk, 0.8))
    decoded = inrcodec.decode(INRCodec(field="mlp", threshold=threshold, network=QUICK).encode(chunk))
    assert (decoded[chunk <= threshold] == 0).all()
    below = inrcodec.decode(INRCodec(field="mlp", threshold=-1e9, network=QUICK).encode(chunk))
    assert np.count_nonzero(below[chunk < 0]) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"threshold": 0.05, "weight_bits": 8},
        {"network": {"widths": [32, 16], "residual": "full", "steps": 10}, "weight_bits": np.int64(16)},
    ],
    ids=str,
)
def test_configuration_is_json_and_comes_back(arguments: dict[str, Any]) -> None:
    codec = INRCodec(field="mlp", **arguments)
    config = json.loads(json.dumps(codec.get_config()))
    assert INRCodec.from_config(config) == codec
    assert config["field"] == "mlp"
    assert "snr" not in config
    assert "effort" not in config
    assert "field='mlp'" in repr(codec)


def test_defaults_are_the_papers() -> None:
    config = INRCodec(field="mlp").get_config()
    assert config == {"id": "inr", "field": "mlp", "threshold": 0.0, "weight_bits": 32}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"field": "mlp", "snr": 30}, ValueError, "no quality target.*snr was given"),
        ({"field": "mlp", "max_error": 0.1}, ValueError, "max_error was given"),
        ({"field": "mlp", "ratio": 10}, ValueError, "ratio was given"),
        ({"field": "mlp", "fsc": 0.9}, ValueError, "fsc was given"),
        ({"field": "mlp", "block": 8}, ValueError, "block was given"),
        ({"field": "mlp", "volume": {}}, ValueError, "volume was given"),
        ({"field": "mlp", "effort": 5}, ValueError, "effort=5 does not apply"),
        ({"field": "mlp", "weight_bits": 12}, ValueError, "weight_bits must be 8, 16 or 32, got 12"),
        ({"field": "mlp", "weight_bits": "8"}, TypeError, "weight_bits"),
        ({"field": "mlp", "network": {"width": 3}}, ValueError, "unknown network settings: width"),
        ({"field": "mlp", "threshold": float("inf")}, ValueError, "threshold"),
        ({"network": {}}, ValueError, "belongs to field='mlp'"),
        ({"weight_bits": 8}, ValueError, "belongs to field='mlp'"),
        ({"field": "siren"}, ValueError, "field must be one of local-fourier, mlp, got 'siren'"),
    ],
    ids=str,
)
def test_arguments_that_do_not_go_together(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        INRCodec(**arguments)


def test_settings_guard_themselves() -> None:
    with pytest.raises(ValueError, match="target of snr"):
        Settings(field="mlp")
    with pytest.raises(ValueError, match="target of none"):
        Settings(target=Target("none", 0.0))
    assert Settings(target=Target("none", 0.0), field="mlp").threshold == 0.0


def test_no_volume_scope() -> None:
    with pytest.raises(ValueError, match="no volume scope"):
        INRCodec.fit(smooth_map(shape=(8, 8, 8)), field="mlp")


@needs_torch
def test_a_smaller_width_on_a_cpu_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    writing._said.clear()
    with caplog.at_level(logging.WARNING, logger="inrcodec"):
        for _ in range(2):
            network, device = writing.resolve_network(NetworkSettings(steps=7), "cpu")
        writing.resolve_network(NetworkSettings(widths=(2048, 1024, 512, 256)), "cpu")
        writing.resolve_network(NetworkSettings(widths=(8, 4)), "cpu")
    assert (network.widths, device) == ((128, 64, 32, 16), "cpu")
    assert [record.message for record in caplog.records] == [
        "mlp: no GPU, so hidden widths of 128, 64, 32, 16 instead of the paper's 2048, 1024, 512, 256; "
        "network={'widths': [2048, 1024, 512, 256]} asks for those"
    ]


@needs_torch
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr(zarr_format: int, tmp_path: Any) -> None:
    pytest.importorskip("zarr.abc.codec", reason="needs zarr 3")
    import zarr

    codec = INRCodec(field="mlp", network=QUICK, weight_bits=8)
    how: dict[str, Any] = {"compressors": codec}
    if zarr_format == 3:
        how = {"serializer": codec.serializer(), "compressors": None}
    volume = smooth_map(shape=(16, 9, 10))
    array = zarr.create_array(
        tmp_path / "a", shape=volume.shape, chunks=(8, 9, 10), dtype="f4", zarr_format=zarr_format, **how
    )
    array[:] = volume
    restored = zarr.open_array(tmp_path / "a", mode="r")
    whole = restored[:]
    assert (whole[volume <= 0] == 0).all()
    assert np.count_nonzero(whole) > 0
    np.testing.assert_array_equal(restored[3:12:2, 4], whole[3:12:2, 4])
    payload = codec.encode(volume[:8])
    np.testing.assert_array_equal(inrcodec.decode(payload), whole[:8])


@needs_torch
def test_info_of_a_store_says_the_network(tmp_path: Any) -> None:
    pytest.importorskip("zarr.abc.codec", reason="needs zarr 3")
    import zarr

    from inrcodec import report, store

    codec = INRCodec(field="mlp", network=QUICK)
    array = zarr.create_array(
        tmp_path / "a", shape=(8, 9, 10), chunks=(8, 9, 10), dtype="f4", serializer=codec.serializer(),
        compressors=None,
    )  # fmt: skip
    array[:] = smooth_map(shape=(8, 9, 10))
    lines = report.description(store.describe(tmp_path / "a"))
    assert "target          none" in lines
    assert "field           mlp: 1 chunks" in lines
    assert any(line.startswith("network         layers of 6, 6, 5, 1, 18 inputs") for line in lines)
