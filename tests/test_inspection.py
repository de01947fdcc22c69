"""What a payload says of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import blobs
from symmetric_maps import d2, fitted

import inrcodec
from inrcodec import INRCodec, PayloadError, PayloadInfo
from inrcodec.core import VolumeModel
from inrcodec.core.inspection import copies
from inrcodec.core.payload import Field, Payload, Section
from inrcodec.core.prior import prior
from inrcodec.core.symmetry.groups import parse_symmetry


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    return blobs((13, 17, 9)).astype(np.float32)


def test_a_field(density: np.ndarray) -> None:
    payload = INRCodec(max_error=0.05, effort=0, block=8).encode(density)
    info = inrcodec.inspect(payload)
    assert isinstance(info, PayloadInfo)
    assert (info.shape, info.dtype) == ((13, 17, 9), np.dtype("<f4"))
    assert (info.field, info.scope) == ("local-fourier", "chunk")
    assert (info.target, info.target_value) == ("max_error", 0.05)
    assert info.nbytes == len(payload)
    assert info.ratio == density.nbytes / len(payload)
    assert set(info.sections) >= {"field", "latents"}
    assert sum(info.sections.values()) < info.nbytes
    assert info.details["block"] == 8
    assert info.details["step"] > 0


def test_a_background(density: np.ndarray) -> None:
    masked = np.zeros((20, 20, 20), np.float32)
    masked[2:15, 3:20, 4:13] = density
    details = inrcodec.inspect(INRCodec(effort=0).encode(masked)).details
    assert details["background"] == 0
    assert details["box"] == ((2, 15), (3, 20), (4, 13))


def test_volume_scope(density: np.ndarray) -> None:
    volume = VolumeModel(0.02, 8, prior().to_bytes(prior()))
    payload = INRCodec(volume=volume, effort=0).encode(density)
    info = inrcodec.inspect(payload, volume=volume)
    assert info.scope == "volume"
    assert (info.details["step"], info.details["block"]) == (0.02, 8)
    alone = inrcodec.inspect(payload)
    assert alone.details == {"cell": None, "networks": f"volume {volume.digest:08x}"}
    assert alone.sections == info.sections
    with pytest.raises(inrcodec.PayloadError, match="needs the networks"):
        inrcodec.inspect(payload, volume=VolumeModel(0.03, 8, prior().to_bytes(prior())))


@pytest.mark.parametrize(
    ("chunk", "field"),
    [
        (np.full((4, 5), 2.5), "constant"),
        (np.arange(40, dtype=np.int16).reshape(4, 10), "lossless"),
        (blobs((5000,)), "lossless"),
    ],
    ids=["constant", "few voxels", "a long axis"],
)
def test_without_a_field(chunk: np.ndarray, field: str) -> None:
    info = inrcodec.inspect(INRCodec(effort=0).encode(chunk))
    assert info.field == field
    assert info.dtype == chunk.dtype
    assert list(info.sections) == [field]
    assert info.details == {}


def test_big_endian(density: np.ndarray) -> None:
    assert inrcodec.inspect(INRCodec(effort=0).encode(density.astype(">f8"))).dtype == np.dtype(">f8")


def test_ratio_of_large_chunks() -> None:
    payload = Payload((1024, 1024, 1024), np.dtype("<f8"), Field.CONSTANT, "snr", 30.0)
    payload.sections[Section.CONSTANT] = bytes(8)
    data = payload.to_bytes()
    assert inrcodec.inspect(data).ratio == 2**33 / len(data)


@pytest.mark.parametrize("damage", [slice(0, 20), slice(1, None), slice(0, -1)], ids=str)
def test_damage(density: np.ndarray, damage: slice) -> None:
    payload = INRCodec(effort=0).encode(density)
    with pytest.raises(PayloadError):
        inrcodec.inspect(payload[damage])


class TestSymmetry:
    def test_a_point_group(self) -> None:
        model = fitted().volume
        assert model is not None
        assert model.symmetry is not None
        payload = fitted().encode(d2())
        found = inrcodec.inspect(payload).details["symmetry"]
        assert inrcodec.inspect(payload, volume=model).details["symmetry"] == found
        assert (found["group"], found["order"]) == ("D2", 4)
        assert found["radius"] == model.symmetry.radius
        # the asymmetric unit and a margin, not the whole volume
        assert 24**3 / 4 <= math.prod(stop - start for start, stop in found["box"]) < 24**3
        assert "symmetry" in inrcodec.inspect(payload).sections

    def test_damage(self) -> None:
        payload = Payload.from_bytes(fitted().encode(d2()))
        payload.sections[Section.SYMMETRY] = payload.sections[Section.SYMMETRY][:6]
        with pytest.raises(PayloadError):
            inrcodec.inspect(payload.to_bytes())

    def test_copies(self) -> None:
        orders = {"C7": 7, "D2": 4, "T": 12, "O": 24, "I": 60}
        assert {name: copies(parse_symmetry(name), 9) for name in orders} == orders
        assert copies(parse_symmetry("helical:4.5,30,C2"), 45) == 20
        assert copies(parse_symmetry("helical:100,30"), 45) == 1
