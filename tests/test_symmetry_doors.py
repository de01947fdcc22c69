"""A symmetric volume through every door: one payload, the same voxels, and parts of it read in part."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
from mrc_files import densities, write_map
from symmetric_maps import d2, fitted

from inrcodec import INRCodec, decode, inspect, maps, mrc, mrc_container, mrc_writer
from inrcodec.convert import convert
from inrcodec.core import Target, VolumeModel, decoder
from inrcodec.core.symmetry import field
from inrcodec.hdf5 import INRFilter, codec_of, read, write
from inrcodec.options import MapOptions

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
import test_every_door as every
import zarr

SHAPE = (24, 24, 24)
ONLY = (0, 0, 0)
NAMES = [name for name in every.DOORS if name != "HDF5 by h5dump"]


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Those of ``test_every_door``, for one chunk."""
    for name, value in {"SHAPE": SHAPE, "CHUNKS": SHAPE, "COUNTS": (1, 1, 1)}.items():
        monkeypatch.setattr(every, name, value)
    return every.DOORS


@pytest.fixture(scope="module")
def payload() -> bytes:
    payload = fitted().encode(d2())
    assert "symmetry" in inspect(payload).sections
    return payload


@pytest.fixture(scope="module")
def decoded(payload: bytes) -> np.ndarray:
    return decode(payload, volume=fitted().volume)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_voxels(
    tmp_path: Path, doors: dict[str, Any], payload: bytes, decoded: np.ndarray, name: str
) -> None:
    door = doors[name]
    if door.writes:
        door.write(tmp_path / "written", d2(), fitted())
        assert door.payloads(tmp_path / "written") == {ONLY: payload}
        assert door.read(tmp_path / "written").tobytes() == decoded.tobytes()
    door.put(tmp_path / "put", {ONLY: payload}, fitted())
    assert door.payloads(tmp_path / "put") == {ONLY: payload}
    assert door.read(tmp_path / "put").tobytes() == decoded.tobytes()


@pytest.mark.skipif(not (which("cc") and which("h5dump")), reason="needs a C compiler and h5dump")
def test_the_plugin_in_c_refuses(tmp_path: Path, doors: dict[str, Any], payload: bytes) -> None:
    import os
    import subprocess

    from inrcodec.native import build

    doors["HDF5"].put(tmp_path / "map", {ONLY: payload}, fitted())
    plugins = build(tmp_path).parent
    done = subprocess.run(
        ["h5dump", "--enable-error-stack", "-d", "/map", tmp_path / "map"],
        env={**os.environ, "HDF5_PLUGIN_PATH": str(plugins)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "symmetry or prediction: the decoder in Python reads it" in done.stderr


class TestParts:
    @pytest.fixture
    def evaluated(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Voxels that fields are evaluated at: of the asymmetric unit, and of what it misses."""
        seen: list[int] = []
        for module in (field, decoder):
            function = module.synthesise_exact

            def counted(*arguments: Any, original: Any = function) -> Any:
                out = original(*arguments)
                seen.append(int(np.prod(out.shape)))
                return out

            monkeypatch.setattr(module, "synthesise_exact", counted)
        return seen

    @pytest.mark.parametrize("name", ["zarr 3", "HDF5"])
    def test_only_what_a_slice_touches(
        self,
        tmp_path: Path,
        doors: dict[str, Any],
        payload: bytes,
        decoded: np.ndarray,
        evaluated: list[int],
        name: str,
    ) -> None:
        doors[name].put(tmp_path / "map", {ONLY: payload}, fitted())
        box = (slice(2, 4), slice(5, 9), slice(3, 7))
        if name == "zarr 3":
            part = zarr.open_array(str(tmp_path / "map"), mode="r")[box]
        else:
            with h5py.File(tmp_path / "map") as file:
                part = read(file["map"], box)
        np.testing.assert_array_equal(part, decoded[box])
        few = sum(evaluated)
        evaluated.clear()
        decode(payload, volume=fitted().volume)
        assert 0 < few < 0.5 * sum(evaluated)


class TestHDF5:
    def test_client_data_carry_the_symmetry(self, tmp_path: Path, payload: bytes) -> None:
        with h5py.File(tmp_path / "map.h5", "w") as file:
            options = INRFilter.of(fitted())
            first = file.create_dataset("first", SHAPE, "f4", chunks=SHAPE, **options)
            second = file.create_dataset("second", SHAPE, "f4", chunks=SHAPE, **options)
            write(first, d2(), fitted())
            write(second, d2())  # with the codec of the filter alone
            for dataset in (first, second):
                assert codec_of(dataset) == fitted()
                assert dataset.id.read_direct_chunk(ONLY)[1] == payload

    def test_other_chunks_are_refused_when_the_dataset_is_made(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "map.h5", "w") as file:
            with pytest.raises((ValueError, TypeError), match=r"D2 is one chunk of \(24, 24, 24\), got"):
                file.create_dataset("map", SHAPE, "f4", chunks=(12, 12, 12), **INRFilter.of(fitted()))
            assert "map" not in file


class TestOtherChunks:
    MESSAGE = r"symmetry D2 is one chunk of \(24, 24, 24\), got a chunk of shape \(12, 24, 24\)"

    def test_a_codec(self) -> None:
        with pytest.raises(ValueError, match=self.MESSAGE):
            fitted().encode(d2()[:12])

    @pytest.mark.parametrize("shards", [None, SHAPE])
    def test_zarr_3_makes_no_array(self, tmp_path: Path, shards: Any) -> None:
        with pytest.raises(ValueError, match=self.MESSAGE):
            zarr.create_array(
                str(tmp_path / "map.zarr"),
                shape=SHAPE,
                chunks=(12, 24, 24),
                shards=shards,
                dtype="f4",
                serializer=fitted().serializer(),
                compressors=None,
            )
        assert not list(tmp_path.rglob("zarr.json"))

    def test_zarr_2(self, tmp_path: Path) -> None:
        array = zarr.create_array(
            str(tmp_path / "map.zarr"),
            shape=SHAPE,
            chunks=(12, 24, 24),
            dtype="f4",
            zarr_format=2,
            compressors=fitted(),
        )
        with pytest.raises(ValueError, match=self.MESSAGE):
            array[...] = d2()

    def test_leading_axes_of_one_are_the_same_volume(self, payload: bytes) -> None:
        codec = fitted()
        with_time = codec.encode(d2()[None])
        assert inspect(with_time).details["symmetry"] == inspect(payload).details["symmetry"]
        np.testing.assert_array_equal(codec.decode(with_time)[0], codec.decode(payload))


class TestConversion:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        write_map(tmp_path / "map.mrc", d2())
        maps.compress(
            tmp_path / "map.mrc", tmp_path / "map.zarr", target=Target("snr", 25), effort=0, symmetry="D2"
        )
        return tmp_path / "map.zarr"

    def test_payload_bytes_are_kept(self, tmp_path: Path, source: Path) -> None:
        chunk = source / "0" / "c" / "0" / "0" / "0"
        original = chunk.read_bytes()
        assert "symmetry" in inspect(original).sections
        voxels = zarr.open_array(str(source / "0"), mode="r")[...]
        assert convert(source, tmp_path / "map.h5") == 1
        with h5py.File(tmp_path / "map.h5") as file:
            assert file["0"].id.read_direct_chunk(ONLY)[1] == original
            assert file["0"][...].tobytes() == voxels.tobytes()
        assert convert(tmp_path / "map.h5", tmp_path / "two.zarr", zarr_format=2) == 1
        assert (tmp_path / "two.zarr" / "0" / "0" / "0" / "0").read_bytes() == original
        assert zarr.open_array(str(tmp_path / "two.zarr" / "0"), mode="r")[...].tobytes() == voxels.tobytes()
        assert convert(tmp_path / "two.zarr", tmp_path / "sharded.zarr", shard=1) == 1
        sharded = zarr.open_array(str(tmp_path / "sharded.zarr" / "0"), mode="r")
        assert sharded[...].tobytes() == voxels.tobytes()

    def test_into_an_mrc_inr_file(self, tmp_path: Path, source: Path) -> None:
        data = mrc_writer.from_store(source, mrc.open_volume(tmp_path / "map.mrc"))
        head = mrc_container.parse(data, len(data))
        start, length = int(head.offsets[0]), int(head.lengths[0])
        assert data[start : start + length] == (source / "0" / "c" / "0" / "0" / "0").read_bytes()
        (tmp_path / "map.mrc.inr").write_bytes(data)
        with fsspec.open(f"inr://map.mrc::file://{tmp_path}/map.mrc.inr", "rb") as stream:
            voxels = densities(stream.read())
        assert voxels.tobytes() == zarr.open_array(str(source / "0"), mode="r")[...].tobytes()


class TestConfiguration:
    def test_a_volume_model_carries_its_symmetry(self) -> None:
        model = fitted().volume
        assert model is not None
        config = json.loads(json.dumps(model.to_config()))
        assert config["symmetry"]["group"] == "D2"
        assert VolumeModel.from_config(config) == model
        with pytest.raises(ValueError, match="unknown symmetry settings: order"):
            VolumeModel.from_config({**config, "symmetry": {**config["symmetry"], "order": 4}})
        with pytest.raises(ValueError, match="'D1' is not a symmetry"):
            VolumeModel.from_config({**config, "symmetry": {**config["symmetry"], "group": "D1"}})

    def test_codecs_travel_between_processes(self, payload: bytes) -> None:
        for codec in (
            pickle.loads(pickle.dumps(fitted())),
            INRCodec.from_config(json.loads(json.dumps(fitted().get_config()))),
        ):
            assert codec == fitted()
            assert codec.encode(d2()) == payload

    def test_a_payload_needs_only_the_networks(self, payload: bytes, decoded: np.ndarray) -> None:
        """It says its symmetry itself."""
        model = fitted().volume
        assert model is not None
        without = replace(model, symmetry=None)
        np.testing.assert_array_equal(decode(payload, volume=without), decoded)

    def test_dask_blocks(self, payload: bytes) -> None:
        dask = pytest.importorskip("dask.array")
        blocks = dask.from_array(np.array(d2()), chunks=SHAPE).map_blocks(
            lambda block, codec: codec.decode(codec.encode(block)), codec=fitted(), dtype="f4", meta=d2()[:0]
        )
        np.testing.assert_array_equal(blocks.compute(scheduler="threads"), fitted().decode(payload))


class TestMRCFiles:
    @pytest.fixture
    def source(self, tmp_path: Path) -> bytes:
        return write_map(tmp_path / "map.mrc", d2())

    def test_written_through_fsspec(self, tmp_path: Path, source: bytes, payload: bytes) -> None:
        options = {"snr": 25, "effort": 0, "symmetry": "auto"}
        url = f"inr://out.mrc::file://{tmp_path}/out.mrc.inr"
        with fsspec.open(url, "wb", inr=options) as stream:
            stream.write(source)
        data = (tmp_path / "out.mrc.inr").read_bytes()
        head = mrc_container.parse(data, len(data))
        assert head.chunk_shape == SHAPE
        start, length = int(head.offsets[0]), int(head.lengths[0])
        assert inspect(data[start : start + length]).details["symmetry"]["group"] == "D2"
        with fsspec.open(url, "rb") as stream:
            back = stream.read()
        assert back[:1024] == source[:1024]
        error = densities(back).astype(np.float64) - d2()
        assert 10 * np.log10(d2().var() / np.mean(error**2)) >= 25

    def test_volumes_that_are_no_chunk_of_such_a_file(
        self, tmp_path: Path, source: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mrc_container, "MAX_CHUNK_VOXELS", 24**3 - 1)
        options = MapOptions(Target("snr", 25), effort=0, symmetry="D2")
        with pytest.raises(ValueError, match=r"D2 needs the volume as one chunk: it has 13824 voxels"):
            mrc_writer.compress_map(tmp_path / "map.mrc", options)
        with pytest.raises(ValueError, match=r"chunks of \(24, 24, 24\) voxels, the format holds 13823"):
            mrc_container.pack(source[:1024], b"", fitted().settings, SHAPE, np.dtype("<f4"), SHAPE, [b""])


def test_stores_at_urls(tmp_path: Path) -> None:
    write_map(tmp_path / "map.mrc", d2())
    url = "memory://symmetric/map.zarr"
    result = maps.compress(
        f"file://{tmp_path}/map.mrc", url, target=Target("snr", 25), effort=0, symmetry="D2"
    )
    assert result.met
    found = maps.verify(f"file://{tmp_path}/map.mrc", url)
    assert found.met
    assert found.symmetry is not None
    assert result.symmetry is not None
    assert found.symmetry.lines == result.symmetry.lines
