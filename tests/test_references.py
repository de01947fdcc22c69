"""HDF5 files read as zarr groups through reference files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
from fsspec.implementations.reference import ReferenceFileSystem

from inrcodec import INRCodec, PayloadError, hdf5

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
import zarr

from inrcodec import store
from inrcodec.references import hdf5_references

CODEC = INRCodec(max_error=0.02, effort=0)
FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def make(path: Path, volume: np.ndarray, codec: INRCodec = CODEC, **options: Any) -> np.ndarray:
    """A file with a dataset "maps/a"; returns what h5py reads of it."""
    with h5py.File(path, "w", **options) as file:
        file.attrs["title"] = "tubulin"
        dataset = file.create_dataset(
            "maps/a",
            volume.shape,
            volume.dtype,
            chunks=(16, 16, 16),
            fillvalue=0.5,
            **hdf5.INRFilter.of(codec),
        )
        dataset[:16] = volume[:16]  # the second layer of chunks is missing
        dataset.attrs["units"] = "e/A^3"
        dataset.dims[0].label = "z"
        file["z"] = np.arange(28) * 1.25
    with h5py.File(path) as file:  # what was in HDF5's cache before is not encoded
        return file["maps/a"][...]


def opened(references: dict[str, Any]) -> zarr.Group:
    return zarr.open_group("reference://", mode="r", storage_options={"fo": references})


@FORMATS
@pytest.mark.parametrize("scope", ["chunk", "volume"])
def test_the_voxels_of_h5py(tmp_path: Path, volume: np.ndarray, zarr_format: int, scope: str) -> None:
    codec = CODEC if scope == "chunk" else INRCodec.fit(volume, snr=25, effort=0, chunks=16)
    expected = make(tmp_path / "a.h5", volume, codec)
    before = hashlib.sha256((tmp_path / "a.h5").read_bytes()).digest()
    references = hdf5_references(tmp_path / "a.h5", zarr_format=zarr_format)
    assert json.loads(json.dumps(references)) == references
    root = opened(references)
    assert root.metadata.zarr_format == zarr_format
    array = root["maps/a"]
    np.testing.assert_array_equal(array[...], expected)
    np.testing.assert_array_equal(array[14:18, 3, ::2], expected[14:18, 3, ::2])
    assert (expected[16:] == 0.5).all()
    assert store.settings_of(array) == codec.settings
    assert root.attrs.asdict() == {"title": "tubulin"}
    assert array.attrs["units"] == "e/A^3"
    assert root["z"][...].tolist() == (np.arange(28) * 1.25).tolist()
    assert hashlib.sha256((tmp_path / "a.h5").read_bytes()).digest() == before


def test_only_ranges_of_the_file(tmp_path: Path, volume: np.ndarray) -> None:
    make(tmp_path / "a.h5", volume)
    with h5py.File(tmp_path / "a.h5") as file:
        sizes = sorted(file["maps/a"].id.get_chunk_info(n).size for n in range(4))
    ranges = [ref for ref in hdf5_references(tmp_path / "a.h5")["refs"].values() if isinstance(ref, list)]
    assert sorted(size for _, _, size in ranges) == sizes
    assert {place for place, _, _ in ranges} == {str(tmp_path / "a.h5")}


@FORMATS
def test_user_block_and_another_place(tmp_path: Path, volume: np.ndarray, zarr_format: int) -> None:
    expected = make(tmp_path / "a.h5", volume, userblock_size=1024)
    url = "memory://elsewhere/b.h5"
    references = hdf5_references(tmp_path / "a.h5", url=url, zarr_format=zarr_format)
    with fsspec.open(url, "wb") as file:
        file.write((tmp_path / "a.h5").read_bytes())
    (tmp_path / "a.h5").unlink()
    root = zarr.open_group(
        "reference://", mode="r", storage_options={"fo": references, "remote_protocol": "memory"}
    )
    np.testing.assert_array_equal(root["maps/a"][...], expected)


@FORMATS
@pytest.mark.parametrize("order", [">f4", "F"])
def test_orders(tmp_path: Path, volume: np.ndarray, zarr_format: int, order: str) -> None:
    """Payloads that come from zarr format 2 keep their byte order and memory order."""
    chunk = volume[:16, :16, :16]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", chunk.shape, "<f4", chunks=chunk.shape, **hdf5.INRFilter.of(CODEC))
        given = np.asfortranarray(chunk) if order == "F" else chunk.astype(order)
        dataset.id.write_direct_chunk((0, 0, 0), CODEC.encode(given))
        expected = dataset[...]
    array = opened(hdf5_references(tmp_path / "a.h5", zarr_format=zarr_format))["a"]
    np.testing.assert_array_equal(array[...], expected)
    assert np.abs(array[...] - chunk).max() <= 0.02


def test_damaged_chunks(tmp_path: Path, volume: np.ndarray) -> None:
    make(tmp_path / "a.h5", volume)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        info = file["maps/a"].id.get_chunk_info(1)
    with (tmp_path / "a.h5").open("r+b") as raw:
        raw.seek(info.byte_offset + 30)
        byte = raw.read(1)[0]
        raw.seek(-1, 1)
        raw.write(bytes([byte ^ 1]))
    with pytest.raises(PayloadError, match=r"chunk \(0, 0, 1\) of maps/a: checksum mismatch"):
        hdf5_references(tmp_path / "a.h5")


def test_refused(tmp_path: Path, volume: np.ndarray) -> None:
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        hdf5_references(tmp_path / "text.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["large"] = np.zeros(2**18, "f8")
    with pytest.raises(ValueError, match="dataset large has 2097152 bytes"):
        hdf5_references(tmp_path / "a.h5")
    with pytest.raises(ValueError, match="must be 2 or 3, got 1"):
        hdf5_references(tmp_path / "a.h5", zarr_format=1)


def test_inline_bytes_are_what_the_file_system_gives() -> None:
    from inrcodec.references import _inline

    for data in (b"{}", b"base64:e30=", bytes(range(256)), b"", b"plain"):
        assert ReferenceFileSystem(fo={"key": _inline(data)}).cat_file("key") == data
