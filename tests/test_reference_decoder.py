"""Payloads decoded twice: by the package, and by a decoder written from ``docs/format.md`` alone."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import reference_decoder
from conftest import blobs
from symmetric_payloads import CASES as SYMMETRIC
from symmetric_payloads import place

import inrcodec
from inrcodec import INRCodec
from inrcodec.core import VolumeModel
from inrcodec.core.payload import Payload, Section
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable, end_nodes
from inrcodec.core.symmetry.model import SymmetryModel

_SPEC = find_spec("inrcodec")
assert _SPEC is not None
assert _SPEC.origin is not None
PRIORS = Path(_SPEC.origin).parent / "core" / "data"


def assert_same(payload: bytes, volume: VolumeModel | None = None) -> inrcodec.PayloadInfo:
    expected = inrcodec.decode(payload, volume=volume)
    decoded = reference_decoder.decode(payload, PRIORS, None if volume is None else volume.to_config())
    assert decoded.dtype == expected.dtype
    assert decoded.shape == expected.shape
    assert decoded.tobytes("A") == expected.tobytes("A")
    assert decoded.flags.f_contiguous == expected.flags.f_contiguous
    return inrcodec.inspect(payload)


def masked() -> np.ndarray:
    """float32, soft density inside a ball, exactly 0 outside."""
    chunk = blobs((20, 18, 22), seed=2).astype(np.float32)
    z, y, x = (np.arange(n) - n / 2 for n in chunk.shape)
    chunk[z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 > 64] = 0
    return chunk


@pytest.mark.parametrize("shape", [(13, 17, 9), (24, 24, 24), (1, 30, 31), (3, 6, 11, 10), (400,)], ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    chunk = blobs(shape).astype(np.float32)
    assert assert_same(INRCodec(snr=25, effort=0).encode(chunk)).field == "local-fourier"


@pytest.mark.parametrize("block", [4, 5, 16, 64])
def test_block_lengths(block: int) -> None:
    chunk = blobs((13, 17, 9)).astype(np.float32)
    assert_same(INRCodec(snr=25, effort=0, block=block).encode(chunk))


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8", "<i1", "<u1", "<i2", ">u2"])
def test_dtypes(dtype: str) -> None:
    density = blobs((14, 15, 16))
    chunk = (density if dtype[1] == "f" else 60 * (density - density.min())).astype(dtype)
    assert assert_same(INRCodec(snr=30, effort=0).encode(chunk)).field == "local-fourier"


@pytest.mark.parametrize("snr", [5, 20, 60, 110])
def test_small_and_large_latents(snr: float) -> None:
    chunk = blobs((14, 15, 16), noise=0)
    chunk[3, 4, 5] += 1e3  # latents of very different magnitudes in one payload
    assert assert_same(INRCodec(snr=snr, effort=0).encode(chunk)).field == "local-fourier"


@pytest.mark.parametrize("relative", [1.0, 0.3])
def test_corrections(relative: float) -> None:
    chunk = blobs((16, 16, 16)).astype(np.float32)
    chunk[2, 3, 4] += 5
    info = assert_same(INRCodec(max_error=relative * float(chunk.std()), effort=0).encode(chunk))
    assert "corrections" in info.sections


def test_dense_corrections() -> None:
    chunk = blobs((18, 17, 19), noise=0.0).astype(np.float32)
    chunk += np.random.default_rng(0).normal(0, chunk.std(), chunk.shape).astype(np.float32)
    payload = INRCodec(max_error=0.02 * float(chunk.std()), effort=0).encode(chunk)
    section = Payload.from_bytes(payload).section(Section.CORRECTIONS)
    assert section[8] == 0
    assert_same(payload)


def test_verbatim() -> None:
    chunk = blobs((16, 16, 16)).astype(np.float32)
    chunk[[1, 5, 5], [2, 3, 4], 7] = np.nan, np.inf, -np.inf
    assert "verbatim" in assert_same(INRCodec(snr=25, effort=0).encode(chunk)).sections


@pytest.mark.parametrize("settings", [{"snr": 30}, {"max_error": 0.05}], ids=str)
def test_background(settings: dict[str, float]) -> None:
    assert_same(INRCodec(**settings, effort=0).encode(masked()))


@pytest.mark.parametrize("settings", [{"snr": 25}, {"max_error": 0.1}], ids=str)
def test_occupancy(settings: dict[str, float]) -> None:
    info = assert_same(INRCodec(**settings, threshold=0.3, effort=0).encode(masked()))
    assert "occupancy" in info.sections


def test_coarse_occupancy() -> None:
    hard = np.where(masked() > 0, blobs((20, 18, 22), seed=2) + 1, 0).astype(np.float32)
    volume = VolumeModel(0.05, 8, prior().to_bytes(prior()), cell=4)
    info = assert_same(INRCodec(volume=volume, effort=0).encode(hard), volume)
    assert "occupancy" in info.sections


@pytest.mark.parametrize("settings", [{"snr": 25}, {"max_error": 0.1}], ids=str)
@pytest.mark.parametrize("fill", [-3.4e38, -9999.0])
def test_fill_values(fill: float, settings: dict[str, float]) -> None:
    """Values far from all density that stand for voxels not measured."""
    chunk = blobs((12, 13, 14)).astype(np.float32)
    chunk[:4] = fill
    payload = INRCodec(**settings, effort=0).encode(chunk)
    assert "occupancy" in assert_same(payload).sections
    decoded = inrcodec.decode(payload)
    np.testing.assert_array_equal(decoded[:4], chunk[:4])
    assert np.abs(decoded[4:] - chunk[4:]).max() < 0.5


def test_memory_order() -> None:
    chunk = np.asfortranarray(blobs((13, 17, 9)).astype(np.float32))
    assert_same(INRCodec(snr=25, effort=0).encode(chunk))


def test_volume_scope() -> None:
    chunk = blobs((15, 16, 17), seed=3).astype(np.float32)
    network = prior().from_flat(np.clip(prior().flat + np.arange(len(prior().flat)) % 5 - 2, -127, 127))
    volume = VolumeModel(0.02, 8, network.to_bytes(prior()))
    assert assert_same(INRCodec(volume=volume, effort=0).encode(chunk), volume).scope == "volume"


@pytest.mark.needs_torch
def test_own_weights() -> None:
    chunk = np.random.default_rng(0).normal(size=(30, 30, 30)).cumsum(2).astype(np.float32)
    info = assert_same(INRCodec(snr=50, effort=2, device="cpu").encode(chunk))
    assert "weights" in info.sections


@pytest.mark.parametrize("order", ["C", "F"])
def test_without_a_field(order: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 7, 8)).astype(np.uint8, order=order)
    assert assert_same(INRCodec(max_error=0.5, effort=0).encode(noise)).field == "lossless"
    assert assert_same(INRCodec().encode(np.full((6, 7, 8), -2.5, ">f8"))).field == "constant"


@pytest.mark.parametrize("dtype", ["<f4", "<i2"])
def test_steps_by_radial_shell(dtype: str) -> None:
    volume = blobs((20, 18, 22), noise=0.0)
    volume = (volume if dtype == "<f4" else 500 * volume).astype(dtype)
    codec = INRCodec.fit(volume, fsc=0.99, resolution=4.0, voxel_size=1.0, chunks=(20, 18, 11), effort=0)
    assert codec.volume is not None
    table = codec.volume.shells
    assert table is not None
    limits = np.linspace(60, 3, 3 * end_nodes(len(table.exponents))).astype(np.uint8)
    limited = ShellTable(table.exponents, limits.tobytes())
    codec = INRCodec(volume=replace(codec.volume, shells=limited), effort=0)
    for part in (volume[..., :11], volume[..., 11:]):
        assert assert_same(codec.encode(part), codec.volume).field == "local-fourier"


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetry(name: str) -> None:
    payload = SYMMETRIC[name].payload()
    assert "symmetry" in assert_same(payload.to_bytes()).sections
    alone = replace(payload, sections={s: b for s, b in payload.sections.items() if s != Section.SYMMETRY})
    difference = inrcodec.decode(payload.to_bytes()) != inrcodec.decode(alone.to_bytes())
    assert difference.mean() > 0.1  # of the voxels: the section says something


def test_symmetry_in_volume_scope_with_shells() -> None:
    table = ShellTable(bytes([0, *range(0, 40, 2)]), bytes(range(12, 0, -1)))
    volume = VolumeModel(0.05, 6, prior().to_bytes(prior()), shells=table)
    density = (blobs((14, 15, 16), noise=0) + blobs((14, 15, 16), noise=0)[:, ::-1, ::-1]).astype(np.float32)
    density = np.roll(density, 1, axis=(1,))  # about (7, 8, 7.5): close to the axis asked for
    images = SymmetryModel(place("C2", (14, 15, 16), (7 * 1024, 8 * 1024, 15 * 512)), (0, 1, 0), (14, 15, 16))
    payload = INRCodec(volume=replace(volume, symmetry=images), effort=0).encode(density)
    assert "symmetry" in assert_same(payload, volume).sections


def test_symmetry_of_a_masked_map() -> None:
    """The box of the field is smaller than the volume, and some of its voxels are not occupied."""
    shape = (20, 18, 22)
    symmetry = SymmetryModel(place("C3", shape, (10 * 1024, 9 * 1024 + 5, 11 * 1024)), (0, 1, 1), shape)
    volume = VolumeModel(0.05, 8, prior().to_bytes(prior()), cell=2, symmetry=symmetry)
    payload = INRCodec(volume=volume, effort=0).encode(masked())
    assert {"symmetry", "occupancy"} <= set(assert_same(payload, volume).sections)
