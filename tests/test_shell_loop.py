"""Fourier-shell targets on what was really written: in every shell, and nothing beyond."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import zarr

from inrcodec import INRCodec, metrics
from inrcodec.core import Settings, Target, fit_fsc
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.synthetic import generate


def written(volume: np.ndarray, codec: INRCodec, chunks: int) -> tuple[np.ndarray, int]:
    """What a zarr array gives back, and its stored bytes."""
    array = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=volume.shape,
        chunks=tuple(min(chunks, n) for n in volume.shape),
        dtype=volume.dtype,
        serializer=codec.serializer(),
        compressors=None,
    )
    array[...] = volume
    return array[...], array.nbytes_stored()


def shells_of(
    volume: np.ndarray, decoded: np.ndarray, codec: INRCodec, sizes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation in the shells up to the codec's resolution, and beyond it."""
    assert codec.volume is not None
    assert codec.volume.resolution is not None
    frequency, correlation = metrics.fsc(volume, decoded, sizes)
    inside = frequency * codec.volume.resolution <= 1 + 1e-4
    return correlation[inside], correlation[~inside]


@pytest.mark.parametrize("fsc", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("mask", ["none", "soft", "hard"])
def test_every_shell_of_a_written_store(fsc: float, mask: Any) -> None:
    volume = generate((40, 36, 44), voxel_size=1.2, resolution=4.0, mask=mask, seed=3)
    # chunks of 24 do not divide it: those at the ends are padded
    codec = INRCodec.fit(volume, fsc=fsc, resolution=4.0, voxel_size=1.2, chunks=24, effort=0)
    decoded, _ = written(volume, codec, 24)
    inside, _ = shells_of(volume, decoded, codec, 1.2)
    assert inside.min() >= fsc


def test_chunks_that_are_cut_at_the_far_ends() -> None:
    volume = generate((40, 36, 44), voxel_size=1.2, resolution=4.0, seed=3) + 2  # padding is far off
    scale = {"fsc": 0.99, "resolution": 4.0, "voxel_size": 1.2, "chunks": 24, "effort": 0}
    nbytes = []
    for padded in (False, True):
        codec = INRCodec.fit(volume, **scale, padded=padded)
        decoded, payloads = np.empty_like(volume), 0
        for box in chunk_boxes(volume.shape, (24, 24, 24)):
            payload = codec.encode(np.ascontiguousarray(volume[box]))
            decoded[box], payloads = codec.decode(payload), payloads + len(payload)
        nbytes.append(payloads)
        if not padded:
            assert shells_of(volume, decoded, codec, 1.2)[0].min() >= 0.99
    assert nbytes[0] < 1.03 * nbytes[1]  # padding is left out of fields: it costs hardly any bytes


@pytest.mark.needs_torch
def test_networks_are_trained() -> None:
    volume = generate((56, 56, 56), resolution=3.5)
    codecs = [
        INRCodec.fit(volume, fsc=0.99, resolution=3.5, voxel_size=1.0, chunks=56, effort=e) for e in (0, 2)
    ]
    sizes = []
    for codec in codecs:
        decoded, nbytes = written(volume, codec, 56)
        assert shells_of(volume, decoded, codec, 1.0)[0].min() >= 0.99
        sizes.append(nbytes + len(json.dumps(codec.get_config())))
    assert sizes[1] < sizes[0]
    assert codecs[1].volume is not None
    assert codecs[1].choices is not None
    assert codecs[1].choices["steps"].value
    assert codecs[1].volume.changed is (codecs[1].choices["network"].value == "own")


def test_little_overshoot_and_nothing_beyond() -> None:
    rng = np.random.default_rng(0)
    volume = (generate((48, 48, 48), resolution=5.0) + rng.normal(0, 0.1, (48, 48, 48))).astype("f4")
    codec = INRCodec.fit(volume, fsc=0.99, resolution=6.0, voxel_size=1.0, chunks=48, effort=0)
    decoded, _ = written(volume, codec, 48)
    inside, beyond = shells_of(volume, decoded, codec, 1.0)
    assert inside.min() >= 0.99
    assert (1 - inside).mean() >= 0.5 * (1 - 0.99)
    assert beyond[4:].max() < 0.3
    assert codec.volume is not None
    assert codec.volume.shells is not None
    assert codec.volume.shells.cutoff < 0.6


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint16", ">f4"])
def test_the_cast_is_measured(dtype: str) -> None:
    volume = generate((28, 28, 28), resolution=4.0)
    if np.dtype(dtype).kind in "iu":
        volume = np.clip((volume - volume.min()) * 15, 0, 127)
    volume = volume.astype(dtype)
    codec = INRCodec.fit(volume, fsc=0.995, resolution=4.0, voxel_size=1.0, effort=0)
    decoded, _ = written(volume, codec, 28)
    assert shells_of(volume, decoded, codec, 1.0)[0].min() >= 0.995


def test_what_float16_cannot_hold_is_lossless() -> None:
    volume = generate((20, 20, 20), resolution=4.0).astype("float16")
    codec = INRCodec.fit(volume, fsc=0.9999999, resolution=2.0, voxel_size=1.0, effort=0)
    decoded, _ = written(volume, codec, 20)
    assert shells_of(volume, decoded, codec, 1.0)[0].min() >= 0.9999999


def test_a_voxel_size_per_axis() -> None:
    volume = generate((32, 30, 28), resolution=4.0)
    sizes = (1.0, 1.3, 0.8)
    codec = INRCodec.fit(volume, fsc=0.98, resolution=5.0, voxel_size=sizes, chunks=32, effort=0)
    decoded, _ = written(volume, codec, 32)
    assert shells_of(volume, decoded, codec, sizes)[0].min() >= 0.98


def test_special_values_come_back() -> None:
    volume = generate((24, 24, 24), resolution=4.0)
    volume[3, 4, 5], volume[6, 7, 8] = np.nan, np.inf
    codec = INRCodec.fit(volume, fsc=0.95, resolution=5.0, voxel_size=1.0, effort=0)
    decoded = codec.decode(codec.encode(volume))
    assert np.isnan(decoded[3, 4, 5])
    assert decoded[6, 7, 8] == np.inf


@pytest.mark.parametrize("volume", [np.zeros((16, 16, 16)), np.full((8, 8, 8), 2, "i1")])
def test_constant_volumes(volume: np.ndarray) -> None:
    codec = INRCodec.fit(volume, fsc=0.99, effort=0)
    np.testing.assert_array_equal(codec.decode(codec.encode(volume)), volume)


@pytest.mark.parametrize(
    ("shape", "scale", "message"),
    [
        ((12, 12), {}, r"fsc needs a volume of three axes, got shape \(12, 12\)"),
        (
            (12, 12, 12),
            {"resolution": 0.0, "voxel_size": 1.0},
            "resolution must be positive and finite, got 0",
        ),
        ((12, 12, 12), {"resolution": 3.0}, "resolution 3 angstrom of an array needs its voxel_size"),
        ((12, 12, 12), {"voxel_size": -1.0}, "voxel_size must be positive, got -1.0"),
        ((12, 12, 12), {"voxel_size": float("nan")}, "voxel_size must be positive, got nan"),
        ((12, 12, 12), {"resolution": 40.0, "voxel_size": 1.0}, "resolution 40 is coarser than the first"),
    ],
)
def test_what_makes_no_sense(shape: tuple[int, ...], scale: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        INRCodec.fit(np.random.default_rng(0).normal(size=shape), fsc=0.99, effort=0, **scale)


@pytest.mark.parametrize("fsc", [0.0, 1.0, -1.0, float("nan")])
def test_targets_that_make_no_sense(fsc: float) -> None:
    with pytest.raises(ValueError, match="fsc must be"):
        Target("fsc", fsc)


def test_a_volume_that_the_loop_cannot_help_names_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    from inrcodec.core import shell_loop

    volume = generate((20, 20, 20), resolution=4.0)
    monkeypatch.setattr(shell_loop, "relative_error", lambda c, fsc: np.where(np.arange(len(c)) == 2, 2, 0.5))
    monkeypatch.setattr(shell_loop, "_TIGHTENINGS", 2)
    with pytest.raises(ValueError, match=r"fsc 0.9 cannot be reached in shell 3, 6.667 angstrom, for dtype"):
        fit_fsc(
            volume, Settings(Target("fsc", 0.9), effort=0), (20, 20, 20), resolution=4.0,
            voxel_size=(1.0, 1.0, 1.0),
        )  # fmt: skip
