"""Every target holds with symmetry: on what is symmetric, and on what breaks it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import blobs
from symmetric_maps import AMPLITUDE, d2, ligand, masked, with_ligand, with_specials

from inrcodec import INRCodec, inspect, metrics
from inrcodec.core import Target
from inrcodec.core.volume import short_step
from inrcodec.quality import Quality, measure, with_fsc
from inrcodec.synthetic_symmetry import symmetric_map

TARGETS: dict[str, dict[str, float]] = {
    "snr": {"snr": 25.0},
    "max_error": {"max_error": 0.3},
    "ratio": {"ratio": 30.0},
    "fsc": {"fsc": 0.95, "resolution": 4.0, "voxel_size": 1.0},
}
CASES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "symmetric": (d2, tuple(TARGETS)),
    "mask": (masked, ("snr", "ratio")),
    "float16": (lambda: d2().astype(np.float16), ("max_error", "snr")),
    "big-endian float64": (lambda: d2().astype(">f8"), ("snr",)),
    "NaN and infinity": (with_specials, tuple(TARGETS)),
    "not cubic": (lambda: np.ascontiguousarray(d2()[4:20, 3:22]), ("snr", "max_error")),
}


def written(volume: np.ndarray, symmetry: str, **arguments: Any) -> tuple[INRCodec, bytes, np.ndarray]:
    """A volume through a codec: the codec, the payload and the voxels that come back."""
    codec = INRCodec.fit(volume, symmetry=symmetry, effort=0, **arguments)
    payload = codec.encode(volume)
    return codec, payload, codec.decode(payload)


def check(
    codec: INRCodec, volume: np.ndarray, payload: bytes, decoded: np.ndarray, target: dict[str, float]
) -> Quality:
    """The target is met on all voxels, with the symmetry."""
    assert "symmetry" in inspect(payload).details
    assert (decoded.shape, decoded.dtype) == (volume.shape, volume.dtype)
    quality = with_fsc(measure(volume, decoded), codec.settings, volume, decoded)
    kind, value = next(iter(target.items()))
    assert codec.settings.target == Target(kind, value)
    assert quality.meets(codec.settings.target, volume.nbytes / len(payload)), quality
    return quality


@pytest.mark.parametrize(
    ("case", "target"), [(case, target) for case, (_, targets) in CASES.items() for target in targets]
)
def test_met(case: str, target: str) -> None:
    volume = CASES[case][0]()
    codec, payload, decoded = written(volume, "D2", **TARGETS[target])
    check(codec, volume, payload, decoded, TARGETS[target])
    figures = codec.choices["symmetry"].figures  # type: ignore[index]
    assert figures["d2"] < figures["none"]


def test_int8() -> None:
    volume = np.clip(np.rint(20 * d2()), -128, 127).astype(np.int8)
    codec, payload, decoded = written(volume, "D2", max_error=6)
    check(codec, volume, payload, decoded, {"max_error": 6})
    codec, payload, decoded = written(volume, "D2", snr=25)
    check(codec, volume, payload, decoded, {"snr": 25})
    codec, payload, decoded = written(volume, "D2", ratio=10)
    check(codec, volume, payload, decoded, {"ratio": 10})


def test_odd_lengths_about_a_voxel_that_is_not_the_standard_one() -> None:
    volume = np.ascontiguousarray(d2()[:23, :21])  # D2 about voxel 12, the box says 11 and 10
    codec, payload, decoded = written(volume, "auto", snr=25)
    check(codec, volume, payload, decoded, {"snr": 25})
    assert codec.volume is not None
    assert codec.volume.symmetry is not None
    assert codec.volume.symmetry.symmetry.centre == (12 * 1024,) * 3
    assert INRCodec.from_config(json.loads(json.dumps(codec.get_config()))) == codec


LOCAL = {**TARGETS, "fsc": {"fsc": 0.99, "resolution": 2.5, "voxel_size": 1.0}}


@pytest.mark.parametrize("target", TARGETS)
def test_an_asymmetric_ligand_survives(target: str) -> None:
    volume = with_ligand()
    codec, payload, decoded = written(volume, "D2", **LOCAL[target])
    check(codec, volume, payload, decoded, LOCAL[target])
    # how much of the ligand comes back, and nothing of it at its three images
    blob = ligand().astype(np.float64)
    rest = decoded.astype(np.float64) - d2()
    assert (rest * blob).sum() / (blob**2).sum() == pytest.approx(AMPLITUDE, rel=0.2)
    for axes in ((0, 1), (0, 2), (1, 2)):
        image = np.zeros_like(blob)
        image[1:, 1:, 1:] = np.flip(blob[1:, 1:, 1:], axes)  # about voxel 12
        assert abs((rest * image).sum() / (image**2).sum()) < 0.15 * AMPLITUDE
    # A target of the whole volume does not spread the error evenly. What is not symmetric is coded in a
    # second layer and takes more of it: 6 dB at most.
    inside = blob > 0.1
    error = (decoded.astype(np.float64) - volume)[inside]
    if target == "snr":
        assert 10 * np.log10(volume.var() / np.mean(error**2)) > 25 - 6
    if target == "max_error":
        assert np.abs(error).max() <= 0.3
    if target == "fsc":
        a, b = (x[inside] - x[inside].mean() for x in (volume.astype(np.float64), decoded))
        assert (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()) > 0.97


class TestInsideTheRegionOfALigand:
    """Each target as it is defined, but of the ligand's voxels alone, on a map of several blocks."""

    CENTRE = (30, 16, 33)
    AROUND = (slice(18, 42), slice(4, 28), slice(21, 45))

    def map_with_ligand(self) -> tuple[np.ndarray, np.ndarray]:
        square = sum((a - c) ** 2 for a, c in zip(np.ogrid[:48, :48, :48], self.CENTRE, strict=True))
        blob = np.exp(-square / (2 * 2.0**2)).astype(np.float32)
        return symmetric_map("D2", 48) + np.float32(AMPLITUDE) * blob, square

    @pytest.mark.parametrize("snr", [20.0, 25.0])
    def test_snr(self, snr: float) -> None:
        volume, square = self.map_with_ligand()
        codec, payload, decoded = written(volume, "D2", snr=snr)
        check(codec, volume, payload, decoded, {"snr": snr})
        inside = square < 3.6**2
        error = decoded[inside].astype(np.float64) - volume[inside]
        assert 10 * np.log10(volume[inside].var() / np.mean(error**2)) >= snr

    @pytest.mark.parametrize("fsc", [0.95, 0.99])
    def test_fsc(self, fsc: float) -> None:
        volume, square = self.map_with_ligand()
        codec, payload, decoded = written(volume, "D2", fsc=fsc, resolution=4.0, voxel_size=1.0)
        check(codec, volume, payload, decoded, {"fsc": fsc})
        mask = np.exp(-square / (2 * 4.0**2))[self.AROUND]
        frequency, correlation = metrics.fsc(volume[self.AROUND] * mask, decoded[self.AROUND] * mask)
        assert correlation[frequency <= 1 / 4].min() >= fsc


@pytest.mark.parametrize("target", ["snr", "ratio"])
def test_without_symmetry_auto_changes_nothing(target: str) -> None:
    volume = blobs((28, 26, 24)).astype(np.float32)
    codec, payload, decoded = written(volume, "auto", **TARGETS[target])
    plain = INRCodec.fit(volume, effort=0, **TARGETS[target])  # type: ignore[arg-type]
    assert codec == plain
    assert payload == plain.encode(volume)
    assert decoded.tobytes() == plain.decode(payload).tobytes()
    assert codec.choices is not None
    choice = codec.choices["symmetry"]
    assert choice.value is None
    assert choice.reason == "none: no group is found that holds at 10 dB"


def test_a_symmetry_that_is_not_there_is_not_used() -> None:
    volume = blobs((24, 24, 24), seed=1).astype(np.float32)
    codec, payload, _ = written(volume, "C7", snr=25)
    plain = INRCodec.fit(volume, snr=25, effort=0)
    assert codec == plain
    assert payload == plain.encode(volume)
    assert codec.choices is not None
    choice = codec.choices["symmetry"]
    assert choice.value is None
    assert choice.figures["c7"] > choice.figures["none"] > len(payload)


@pytest.mark.parametrize("bound", [0.05, 0.3])
def test_a_bound_is_met_with_the_fewest_bytes(bound: float) -> None:
    """The unit's bits are cheaper than corrections: the step is not the one that pays without symmetry."""
    volume = d2()
    codec, payload, decoded = written(volume, "D2", max_error=bound)
    check(codec, volume, payload, decoded, {"max_error": bound})
    assert codec.volume is not None
    for factor in (0.8, 1.25, 2.0):
        model = replace(codec.volume, step=short_step(codec.volume.step * factor))
        other = INRCodec(max_error=bound, effort=0, volume=model)
        assert len(other.encode(volume)) >= len(payload)


@pytest.mark.parametrize("snr", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("width", [0.7, 3.0])
def test_targets_so_low_that_hardly_anything_is_coded(snr: float, width: float) -> None:
    square = sum((a - 12.0) ** 2 for a in np.ogrid[:24, :24, :24])  # within few voxels of the centre
    volume = (d2() * 1e-3 + np.exp(-square / (2 * width**2))).astype(np.float32)
    codec, payload, decoded = written(volume, "D2", snr=snr)
    assert measure(volume, decoded).meets(codec.settings.target, volume.nbytes / len(payload))
    assert codec.choices is not None
    assert codec.choices["symmetry"].value in ("D2", None)


def test_a_volume_whose_density_lies_where_symmetry_says_nothing() -> None:
    codec, _, _ = written(d2(), "D2", snr=20)
    assert codec.volume is not None
    assert codec.volume.symmetry is not None
    radius = 4
    symmetry = replace(codec.volume.symmetry, radius=radius)
    short = INRCodec(effort=0, volume=replace(codec.volume, symmetry=symmetry))
    corner = np.zeros_like(d2())
    corner[:6, :6, :6] = 5 * blobs((6, 6, 6))
    decoded = short.decode(short.encode(corner))
    assert np.abs(decoded - corner).max() < 2 * codec.volume.step


class TestErrors:
    @pytest.mark.parametrize("name", ["C1", "D", "X3", "", "autos", "helical:5", "helical:0,30", "C7;D2"])
    def test_names(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"not a symmetry|must be positive"):
            INRCodec.fit(d2(), symmetry=name, effort=0)

    @pytest.mark.parametrize("shape", [(24,), (24, 24), (2, 12, 12, 12)])
    @pytest.mark.parametrize("symmetry", ["auto", "D2"])
    def test_axes(self, shape: tuple[int, ...], symmetry: str) -> None:
        with pytest.raises(ValueError, match="three axes, got shape"):
            INRCodec.fit(np.ones(shape, np.float32), symmetry=symmetry, effort=0)

    def test_chunks_of_a_symmetry_that_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"D2 needs the volume of shape \(24, 24, 24\) as one chunk"):
            INRCodec.fit(d2(), symmetry="D2", chunks=16, effort=0)

    def test_chunks_are_for_the_volume_without_symmetry(self) -> None:
        volume = blobs((24, 24, 24), seed=1).astype(np.float32)
        codec = INRCodec.fit(volume, symmetry="auto", chunks=12, effort=0)
        assert codec == INRCodec.fit(volume, chunks=12, effort=0)
        symmetric = INRCodec.fit(d2(), symmetry="auto", chunks=12, effort=0)
        assert symmetric.volume is not None
        assert symmetric.volume.symmetry is not None
        assert symmetric.volume.symmetry.shape == (24, 24, 24)

    def test_voxel_size_without_a_helix(self) -> None:
        with pytest.raises(ValueError, match="voxel_size belongs to an fsc target or a helix"):
            INRCodec.fit(d2(), symmetry="D2", voxel_size=1.2, effort=0)
