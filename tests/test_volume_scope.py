"""INRCodec.fit: networks trained once for a volume and carried by the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs, snr_of

import inrcodec
from inrcodec import INRCodec, PayloadError
from inrcodec.core.fields.basis import block_length

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    return blobs((48, 40, 32), seed=3).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(density: np.ndarray) -> INRCodec:
    return INRCodec.fit(density, snr=25, effort=1, chunks=(24, 40, 16), device="cpu")


def chunks_of(density: np.ndarray) -> list[np.ndarray]:
    return [density[x : x + 24, :, z : z + 16] for x in (0, 24) for z in (0, 16)]


def test_the_configuration_carries_the_volume(fitted: INRCodec) -> None:
    config = json.dumps(fitted.get_config())
    assert len(config) <= 4096
    assert fitted.volume is not None
    assert INRCodec.from_config(json.loads(config)) == fitted
    assert ("weights" in fitted.get_config()["volume"]) is fitted.volume.changed


def test_choices_are_on_the_codec_and_not_in_its_configuration(fitted: INRCodec) -> None:
    assert fitted.volume is not None
    assert fitted.choices is not None
    assert fitted.choices["block"].value == block_length(fitted.volume.block)
    assert "choices" not in json.dumps(fitted.get_config())
    assert INRCodec.from_config(fitted.get_config()).choices is None
    assert INRCodec().choices is None


def test_chunks_need_the_volume(fitted: INRCodec, density: np.ndarray) -> None:
    payload = fitted.encode(density[:24, :, :16])
    assert inrcodec.inspect(payload).scope == "volume"
    with pytest.raises(PayloadError):
        INRCodec().decode(payload)
    decoded = inrcodec.decode(payload, volume=fitted.volume)
    np.testing.assert_array_equal(decoded, fitted.decode(payload))


def test_snr_holds_over_the_volume(fitted: INRCodec, density: np.ndarray) -> None:
    chunks = chunks_of(density)
    decoded = [fitted.decode(fitted.encode(chunk)) for chunk in chunks]
    assert snr_of(np.concatenate(chunks, 2), np.concatenate(decoded, 2)) >= 25 - 0.1


def test_max_error_holds_over_the_volume(density: np.ndarray) -> None:
    codec = INRCodec.fit(density, max_error=0.05, effort=1, chunks=(24, 40, 16), device="cpu")
    for chunk in chunks_of(density):
        assert np.abs(codec.decode(codec.encode(chunk)) - chunk).max() <= 0.05


@pytest.mark.parametrize(
    "target",
    [{"effort": 1}, {"fsc": 0.9, "resolution": 6.0, "voxel_size": 1.0, "effort": 2}],
    ids=["snr", "fsc"],
)
def test_progress_runs_to_one(density: np.ndarray, target: dict[str, Any]) -> None:
    seen: list[float] = []
    INRCodec.fit(density, **target, chunks=24, device="cpu", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert all(0 <= fraction <= 1 for fraction in seen)


def test_fit_from_an_mrc_file(density: np.ndarray, tmp_path: Path) -> None:
    mrcfile = pytest.importorskip("mrcfile")
    path = tmp_path / "map.mrc"
    with mrcfile.new(path) as file:
        file.set_data(density)
    codec = INRCodec.fit(path, snr=25, effort=1, chunks=(24, 40, 16), device="cpu")
    assert codec == INRCodec.fit(str(path), snr=25, effort=1, chunks=(24, 40, 16), device="cpu")
    assert codec.volume is not None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"chunks": (8, 8)}, ValueError, "do not fit"),
        ({"chunks": 0}, ValueError, "do not fit"),
        ({"snr": 20, "max_error": 1}, ValueError, "one quality target"),
        ({"volume": None}, TypeError, "volume"),
    ],
    ids=str,
)
def test_bad_arguments(
    density: np.ndarray, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        INRCodec.fit(density, **arguments)


def test_bad_volumes() -> None:
    with pytest.raises(TypeError, match="int64"):
        INRCodec.fit(np.zeros((8, 8, 8), np.int64))
    with pytest.raises(TypeError, match="array or the path"):
        INRCodec.fit([1.0, 2.0])
    with pytest.raises(ValueError, match="1 to 4 dimensions"):
        INRCodec.fit(np.zeros((1, 2, 2, 2, 2), np.float32))


def test_lengths_of_float32_headers_are_stored_in_few_digits(density: np.ndarray) -> None:
    size = float(np.float32(1.05))
    codec = INRCodec.fit(density[:24, :24, :24], fsc=0.9, voxel_size=size, effort=0)
    assert codec.volume is not None
    assert codec.volume.voxel_size == (1.05, 1.05, 1.05)
    assert len(repr(codec.volume.resolution)) < 12
    assert len(repr(codec.volume.step)) < 12
