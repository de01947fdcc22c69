"""Stores: layout, sizes, and what must not be overwritten."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import INRCodec, store


@pytest.fixture(params=[2, 3], ids=["format 2", "format 3"])
def root(request, tmp_path):
    return zarr.open_group(str(tmp_path / "s.zarr"), mode="w", zarr_format=request.param)


def write(root, data, codec=None, chunk_shape=(8, 9, 10)):
    done = []
    codec = codec if codec is not None else INRCodec(max_error=0.1, effort=0)
    decoded = store.write_array(root, data, codec, chunk_shape, ("z", "y", "x"), done.append)
    assert done == sorted(done)
    assert done[-1] == 1.0
    return decoded


class TestWriting:
    @pytest.mark.parametrize("batch", [1, 2**23])
    def test_reads_back(self, root, volume, tmp_path, monkeypatch, batch):
        monkeypatch.setattr(store, "_BATCH_VOXELS", batch)
        decoded = write(root, volume)
        assert np.abs(decoded - volume).max() <= 0.1
        array, attributes = store.open_store(tmp_path / "s.zarr")
        np.testing.assert_array_equal(store.read_array(array, lambda fraction: None), decoded)
        np.testing.assert_array_equal(zarr.open(str(tmp_path / "s.zarr"), mode="r")["0"][...], decoded)
        assert attributes == {}
        assert store.settings_of(array).target.kind == "max_error"

    def test_big_endian_becomes_native(self, root, volume):
        assert write(root, volume.astype(">f4")).dtype == np.dtype("f4")

    def test_keys_are_nested(self, root, volume, tmp_path):
        write(root, volume)
        name = "0/c/1/1/1" if root.metadata.zarr_format == 3 else "0/1/1/1"
        assert (tmp_path / "s.zarr" / name).is_file()

    def test_an_array_is_replaced(self, root, volume, tmp_path):
        write(root, volume, chunk_shape=(4, 4, 4))
        decoded = write(root, volume[:8], INRCodec(max_error=0.5, effort=0))
        array, _ = store.open_store(tmp_path / "s.zarr")
        assert array.shape == decoded.shape
        assert store.settings_of(array).target.value == 0.5


@settings(max_examples=50, deadline=None)
@given(
    axes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4),
    limit=st.integers(1, 30),
)
def test_boxes_cover_every_voxel_once_in_whole_chunks(axes, limit):
    shape, chunks = zip(*axes, strict=True)
    chunks = tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))
    seen = np.zeros(shape, int)
    for box, _ in store._boxes(shape, chunks, limit):
        seen[box] += 1
        assert all(s.start % c == 0 for s, c in zip(box, chunks, strict=True))
        assert np.prod([-(-(s.stop - s.start) // c) for s, c in zip(box, chunks, strict=True)]) <= limit
    assert (seen == 1).all()


@pytest.mark.parametrize(("longest", "expected"), [(240, 240), (120, 120), (64, 60), (100, 80), (1, 1)])
def test_even_chunks(longest, expected):
    assert store.even_chunks((240, 240, 240), 3, longest) == (expected,) * 3
    assert store.even_chunks((7, 240, 240, 240), 3, longest) == (1, *(expected,) * 3)


class TestSizes:
    def test_every_byte_is_counted(self, root, volume, tmp_path):
        write(root, volume)
        found = store.sizes(volume, tmp_path / "s.zarr")
        files = [p for p in (tmp_path / "s.zarr").rglob("*") if p.is_file()]
        assert found.total == sum(len(p.read_bytes()) for p in files)
        assert found.original == volume.nbytes
        assert 0 < found.chunks < found.total
        assert found.ratio == volume.nbytes / found.chunks
        assert found.bits_per_voxel == 8 * found.total / volume.size

    def test_no_chunk(self):
        assert store.Sizes(8, 32, 0, 100).ratio == float("inf")


class TestDescribe:
    def test_sums_are_the_files(self, root, volume, tmp_path):
        write(root, volume)
        found = store.describe(tmp_path / "s.zarr")
        assert found.shape == volume.shape
        assert found.dtype == volume.dtype
        assert found.chunks == 4 * 3 * 3 == sum(found.fields.values())
        assert sum(found.sections.values()) == found.sizes.chunks
        assert found.zarr_format == root.metadata.zarr_format
        assert found.settings.effort == 0

    def test_bare_array(self, volume, tmp_path):
        array = zarr.create_array(
            str(tmp_path / "a.zarr"),
            shape=volume.shape,
            chunks=volume.shape,
            dtype="f4",
            serializer=INRCodec(effort=0).serializer(),
            compressors=None,
        )
        array[...] = volume
        assert store.describe(tmp_path / "a.zarr").chunks == 1

    def test_sharded(self, volume, tmp_path):
        array = zarr.create_array(
            str(tmp_path / "a.zarr"),
            shape=(16, 16, 16),
            shards=(16, 16, 16),
            chunks=(8, 8, 8),
            dtype="f4",
            serializer=INRCodec(effort=0).serializer(),
            compressors=None,
        )
        array[...] = volume[:16, :16, :16]
        with pytest.raises(ValueError, match="sharded"):
            store.describe(tmp_path / "a.zarr")

    def test_damaged_chunk(self, root, volume, tmp_path):
        write(root, volume)
        chunk = next(p for p in (tmp_path / "s.zarr" / "0").rglob("*") if p.name == "0" and p.is_file())
        chunk.write_bytes(chunk.read_bytes()[:-1])
        with pytest.raises(ValueError, match="damaged or cut short"):
            store.describe(tmp_path / "s.zarr")


class TestOpening:
    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="not a directory"):
            store.open_store(tmp_path / "no")

    def test_not_zarr(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="not a zarr store"):
            store.open_store(tmp_path)

    def test_group_without_the_array(self, root, tmp_path):
        with pytest.raises(ValueError, match="no array"):
            store.open_store(tmp_path / "s.zarr")

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_another_codec(self, tmp_path, zarr_format):
        path = str(tmp_path / "a.zarr")
        array = zarr.create_array(path, shape=(4,), dtype="f4", zarr_format=zarr_format)
        with pytest.raises(ValueError, match="not with inrcodec"):
            store.settings_of(array)


class TestDestination:
    def test_new(self, tmp_path):
        store.check_destination(tmp_path / "s.zarr", overwrite=False)

    def test_no_parent(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            store.check_destination(tmp_path / "no" / "s.zarr", overwrite=False)

    def test_existing(self, root, tmp_path):
        with pytest.raises(FileExistsError, match="exists"):
            store.check_destination(tmp_path / "s.zarr", overwrite=False)
        store.check_destination(tmp_path / "s.zarr", overwrite=True)

    @pytest.mark.parametrize("kind", ["directory", "file", "link"])
    def test_what_is_no_store_is_never_replaced(self, tmp_path, kind, root):
        path = tmp_path / "precious"
        if kind == "directory":
            path.mkdir()
            (path / "thesis.txt").write_text("years")
        elif kind == "file":
            path.write_text("years")
        else:
            path.symlink_to(tmp_path / "s.zarr")
        with pytest.raises(FileExistsError, match="not a zarr store"):
            store.check_destination(path, overwrite=True)


class TestMoveIntoPlace:
    def directory(self, path, content):
        path.mkdir()
        (path / "zarr.json").write_text(json.dumps(content))
        return path

    def test_replaces(self, tmp_path):
        new, old = self.directory(tmp_path / "new", 1), self.directory(tmp_path / "old", 2)
        store.move_into_place(new, old)
        assert json.loads((old / "zarr.json").read_text()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["old"]

    def test_the_old_one_comes_back_when_the_new_one_is_lost(self, tmp_path):
        old = self.directory(tmp_path / "old", 2)
        with pytest.raises(FileNotFoundError):
            store.move_into_place(tmp_path / "new", old)
        assert json.loads((old / "zarr.json").read_text()) == 2
