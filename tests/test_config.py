"""Settings from arguments and from stored JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import inrcodec
from inrcodec.config import (
    check_chunk,
    parse_device,
    parse_settings,
    settings_from_config,
    settings_to_config,
)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"snr": 20},
        {"max_error": np.float32(0.5), "effort": 9},
        {"ratio": 40, "threshold": 0.1, "block": 16},
    ],
    ids=str,
)
def test_configuration_is_json_and_comes_back(arguments: dict[str, Any]) -> None:
    settings = parse_settings(**arguments)
    assert settings_from_config(json.loads(json.dumps(settings_to_config(settings)))) == settings


def test_the_default_target_is_30_db() -> None:
    assert settings_to_config(parse_settings()) == {"snr": 30.0, "effort": 3}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"snr": 30, "ratio": 10}, ValueError, "one quality target"),
        ({"snr": "high"}, TypeError, "snr"),
        ({"effort": 10}, ValueError, "effort"),
        ({"block": 3}, ValueError, "block"),
        ({"threshold": float("nan")}, ValueError, "threshold"),
        ({"volume": 3}, TypeError, "volume"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse_settings(**arguments)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        settings_from_config({"snr": 30.0, "effort": 3, "colour": 1})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices(device: str) -> None:
    assert parse_device("device", device, "auto") == device


def test_unknown_device_is_named() -> None:
    with pytest.raises(ValueError, match="tpu"):
        parse_device("device", "tpu", "auto")


@pytest.mark.parametrize("dtype", ["bool", "int32", "complex64", "object"])
def test_unsupported_dtypes_are_named(dtype: str) -> None:
    with pytest.raises(TypeError, match=dtype):
        check_chunk((4, 4, 4), np.dtype(dtype))


def test_fsc_needs_a_fitted_volume() -> None:
    for make in (inrcodec.INRCodec, inrcodec.INRSerializer):
        with pytest.raises(ValueError, match=r"fsc=0.99 is a target of a whole volume.*INRCodec.fit"):
            make(fsc=0.99)
    with pytest.raises(ValueError, match=r"INRCodec.fit"):
        inrcodec.INRCodec.from_config({"id": "inr", "fsc": 0.99, "effort": 3})
