"""Packing with the local-Fourier field: maps predicted from those before them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

mrcfile = pytest.importorskip("mrcfile")
pytest.importorskip("h5py")

from inrcodec import PayloadError, metrics  # noqa: E402
from inrcodec.container import Container, PackedMap  # noqa: E402
from inrcodec.core.fields.layout import get_layout  # noqa: E402
from inrcodec.core.payload import Payload, Section  # noqa: E402
from inrcodec.core.prediction import MAX_CHAIN, PredictionSection  # noqa: E402
from inrcodec.core.prepare import as_volume_shape  # noqa: E402
from inrcodec.mrc import open_volume  # noqa: E402
from inrcodec.pack import Result, pack  # noqa: E402
from inrcodec.pack_fourier import searched  # noqa: E402
from inrcodec.synthetic_half_maps import half_maps  # noqa: E402
from inrcodec.unpack import decode_map, reference_distances, saved_bytes, unpack  # noqa: E402

Arrays = dict[str, np.ndarray]
MAPS = half_maps(32, voxel_size=1.5, resolution=5.0, b_factor=150.0, regularised=True)
TRIPLE: Arrays = {"half1": MAPS.half1, "half2": MAPS.half2, "full": MAPS.wiener}


def chain_lengths(container: Container) -> list[int]:
    """For each map, the number of predictions one upon the other that it needs."""
    lengths: list[int] = []
    for i, one in enumerate(container.maps):
        back = {d for distances in reference_distances(one) for d in distances}
        lengths.append(max((lengths[i - distance] + 1 for distance in back), default=0))
    return lengths


def packed(directory: Path, maps: Arrays, **settings: object) -> tuple[Result, Container]:
    paths = []
    for name, data in maps.items():
        paths.append(directory / f"{name}.mrc")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of NaN
            mrcfile.write(paths[-1], data, overwrite=True)
    options: dict = {"snr": 25, "effort": 0, "device": "numpy", "overwrite": True, **settings}
    result = pack(paths, directory / "maps.inr", field="local-fourier", **options)
    return result, Container.from_bytes((directory / "maps.inr").read_bytes())


@pytest.fixture(scope="module")
def triple(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Container]:
    return packed(tmp_path_factory.mktemp("triple"), TRIPLE)


def test_half_maps_and_the_map_made_of_both(triple: tuple[Result, Container], tmp_path: Path) -> None:
    result, container = triple
    first, second, full = result.maps
    assert (first.references, first.alone) == ((), first.stored)
    assert second.references == ("half1.mrc",)
    assert full.references == ("half1.mrc", "half2.mrc")
    assert second.stored < second.alone
    assert full.stored < 0.4 * full.alone
    assert all(one.met for one in result.maps)
    assert chain_lengths(container) == [0, 1, 2]
    for i, (name, data) in enumerate(TRIPLE.items()):
        decoded = decode_map(container, i)
        assert metrics.represented_snr(data, decoded) >= 25, name
        assert metrics.represented_snr(data, decoded) == pytest.approx(result.maps[i].quality.snr)
    assert saved_bytes(container.maps[2]) == full.alone - full.stored
    assert saved_bytes(container.maps[0]) == 0


def test_unpack_all_and_each(triple: tuple[Result, Container], tmp_path: Path) -> None:
    _, container = triple
    (tmp_path / "maps.inr").write_bytes(container.to_bytes())
    for i, path in enumerate(unpack(tmp_path / "maps.inr", tmp_path / "back")):
        np.testing.assert_array_equal(open_volume(path).data, decode_map(container, i))


def test_without_prediction(tmp_path: Path) -> None:
    result, container = packed(tmp_path, TRIPLE, predict=False)
    assert not any(any(reference_distances(one)) for one in container.maps)
    assert all(one.stored == one.alone and not one.references for one in result.maps)


def test_chunks(tmp_path: Path) -> None:
    """Several chunks a map, those at the far ends cut."""
    result, container = packed(tmp_path, {"half1": MAPS.half1[:30], "full": MAPS.mean[:30]}, chunks=16)
    assert len(container.maps[1].payloads) == 8
    assert result.maps[1].stored < result.maps[1].alone
    decoded = decode_map(container, 1)
    assert metrics.represented_snr(MAPS.mean[:30], decoded) >= 25


def test_a_bound(tmp_path: Path) -> None:
    bound = 0.1 * float(MAPS.mean.std())
    result, container = packed(tmp_path, {**TRIPLE, "full": MAPS.mean}, snr=None, max_error=bound)
    assert result.maps[2].stored < result.maps[2].alone
    for i, name in enumerate(TRIPLE):
        original = MAPS.mean if name == "full" else TRIPLE[name]
        assert np.abs(decode_map(container, i) - original).max() <= bound


def test_masks_and_special_values(tmp_path: Path) -> None:
    """A map in a box of its own, NaN in one, and a first map that is constant in a chunk."""
    holed = MAPS.half2.copy()
    holed[4, 5, 6:9] = np.nan, np.inf, -np.inf
    flat = MAPS.half1.copy()
    flat[:16, :16, :16] = 0.5
    result, container = packed(
        tmp_path, {"half1": flat, "half2": holed, "full": MAPS.masked, "again": holed}, chunks=16
    )
    assert all(one.met for one in result.maps)
    assert result.maps[3].stored < 0.5 * result.maps[3].alone
    back = decode_map(container, 3)
    np.testing.assert_array_equal(back[4, 5, 6:9], holed[4, 5, 6:9])
    assert np.isfinite(back).sum() == back.size - 3


def test_other_dtypes(tmp_path: Path) -> None:
    scaled = np.rint(MAPS.half1 / np.abs(MAPS.half1).max() * 30000).astype(np.int16)
    result, container = packed(tmp_path, {"half1": scaled, "full": MAPS.mean})
    assert result.maps[1].stored < result.maps[1].alone
    assert decode_map(container, 0).dtype == np.int16


def test_maps_that_cannot_help(tmp_path: Path) -> None:
    """Another shape, or nothing in common: stored as they would be alone."""
    noise = np.random.default_rng(0).normal(size=(32, 32, 32)).astype(np.float32)
    result, _ = packed(tmp_path, {"short": MAPS.half1[:28], "noise": noise, "half1": MAPS.half1})
    assert all(not one.references for one in result.maps)


def test_a_long_row_of_maps(tmp_path: Path) -> None:
    """Chains end at the limit; what comes after is predicted from maps with shorter ones, or alone."""
    rng = np.random.default_rng(0)
    maps, density = {}, np.zeros((16, 16, 16))
    for i in range(MAX_CHAIN + 4):
        density = (
            0.98 * density + MAPS.half1[8:24, 8:24, 8:24] * (i == 0) + rng.normal(0, 0.02, density.shape)
        )
        maps[f"m{i}"] = (density / density.std()).astype(np.float32)
    result, container = packed(tmp_path, maps)
    assert max(chain_lengths(container)) <= MAX_CHAIN
    assert sum(bool(one.references) for one in result.maps) > MAX_CHAIN / 2
    for i, data in enumerate(maps.values()):
        assert metrics.represented_snr(data, decode_map(container, i)) >= 25


def moved(packed_map: PackedMap, distance: int) -> PackedMap:
    """A predicted map of one chunk whose only reference lies elsewhere."""
    payload = Payload.from_bytes(packed_map.payloads[0])
    blocks = get_layout(as_volume_shape(packed_map.shape), packed_map.block).blocks
    parsed = PredictionSection.from_bytes(payload.section(Section.PREDICTION), blocks)
    assert len(parsed.distances) == 1
    parsed.distances = (distance,)
    payload.sections[Section.PREDICTION] = parsed.to_bytes()
    return dataclasses.replace(packed_map, payloads=(payload.to_bytes(),))


class TestDamage:
    def test_references_before_the_first_map(self, triple: tuple[Result, Container]) -> None:
        _, container = triple
        first, second, _ = container.maps
        broken = dataclasses.replace(container, maps=(first, moved(second, 2)))
        with pytest.raises(PayloadError, match="2 maps back, 1 are before it"):
            decode_map(broken, 1)

    def test_references_of_another_shape(self, triple: tuple[Result, Container]) -> None:
        _, container = triple
        first, second, _ = container.maps
        for change in ({"shape": (32, 32, 31)}, {"chunk_shape": (32, 32, 16)}):
            broken = dataclasses.replace(container, maps=(dataclasses.replace(first, **change), second))
            with pytest.raises(
                PayloadError, match=r"half2\.mrc is predicted from half1\.mrc, of other shape"
            ):
                decode_map(broken, 1)

    def test_a_chain_too_long(self, triple: tuple[Result, Container]) -> None:
        _, container = triple
        first, second, _ = container.maps
        link = moved(second, 1)
        names = [dataclasses.replace(link, name=f"m{i}") for i in range(MAX_CHAIN + 1)]
        broken = dataclasses.replace(container, maps=(first, *names))
        decode_map(broken, MAX_CHAIN)
        with pytest.raises(PayloadError, match="more than 8 predictions"):
            decode_map(broken, MAX_CHAIN + 1)

    def test_a_reference_that_is_damaged(self, triple: tuple[Result, Container]) -> None:
        _, container = triple
        first, *others = container.maps
        payload = bytearray(first.payloads[0])
        payload[40] ^= 1
        broken = dataclasses.replace(
            container, maps=(dataclasses.replace(first, payloads=(bytes(payload),)), *others)
        )
        with pytest.raises(PayloadError, match="checksum"):
            decode_map(broken, 2)


class TestSteps:
    def test_moves_grow_until_both_sides_are_known(self) -> None:
        tried: list[tuple[float, float]] = [(1.0, -0.01)]
        moves = []
        for _ in range(4):
            step = searched(tried)
            moves.append(math.log(tried[-1][0] / step))
            tried.append((step, -0.01))
        assert all(b > 1.5 * a > 0 for a, b in itertools.pairwise(moves))

    def test_between_the_two_then(self) -> None:
        tried = [(1.0, -0.4), (0.8, 0.1), (2.0, -3.0)]
        assert 0.8 < searched(tried) < 1.0
        assert searched([(1.0, -3.0), (0.9, 1e-9)]) > 0.9

    @pytest.mark.parametrize("spare", [0.5, 3.0, 40.0])
    def test_a_target_exceeded(self, spare: float) -> None:
        assert 1.0 < searched([(1.0, spare)]) <= 4.0
