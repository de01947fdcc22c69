"""Reading a map inside a ``.mrc.inr`` file: every byte, and only the chunks that are asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mrc_files import CountedBytes, container_of, densities, reader_of, write_map

from inrcodec import mrc_container, mrc_reader
from inrcodec.core import Settings
from inrcodec.mrc_reader import MRCReader, boxes_of_range

EXTENDED = b"extended header " * 5


@pytest.fixture(scope="module")
def original(tmp_path_factory, volume):
    path = tmp_path_factory.mktemp("map") / "a.mrc"
    return path, write_map(path, volume, EXTENDED)


@pytest.fixture(scope="module")
def file(original):
    return container_of(original[0])


@pytest.fixture(scope="module")
def whole(file):
    return reader_of(file)[0].read()


class TestBytes:
    def test_headers_come_back(self, original, whole):
        start = 1024 + len(EXTENDED)
        assert whole[:start] == original[1][:start]
        assert len(whole) == len(original[1])

    def test_densities_meet_the_target(self, volume, whole):
        decoded = densities(whole)
        assert 10 * np.log10(volume.var() / np.mean((decoded - volume) ** 2)) >= 25

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_any_range(self, file, whole, data):
        reader, _ = reader_of(file)
        start = data.draw(st.integers(0, len(whole) + 10))
        count = data.draw(st.integers(0, len(whole)))
        assert reader.seek(start) == reader.tell() == start
        assert reader.read(count) == whole[start : start + count]
        assert reader.tell() == max(start, min(start + count, len(whole)))

    def test_many_small_reads_decode_each_chunk_once(self, file, whole):
        reader, _ = reader_of(file)
        with io.BufferedReader(reader, 1000) as stream:
            assert b"".join(iter(lambda: stream.read(777), b"")) == whole
            assert reader.decoded == np.prod(reader.head.grid)

    def test_a_small_cache_costs_time_only(self, file, whole):
        reader = MRCReader(CountedBytes(file), cache_bytes=0)
        assert reader.read() == whole

    @pytest.mark.parametrize("dtype", [">f4", "f2", "i1", "i2", ">i2", "u2"])
    def test_dtypes(self, tmp_path, volume, dtype):
        data = (50 * (volume[:13] + 5)).astype(dtype)
        before = write_map(tmp_path / "a.mrc", data)
        after = reader_of(container_of(tmp_path / "a.mrc"))[0].read()
        assert before[:1024] == after[:1024]
        assert len(before) == len(after)
        assert densities(after).dtype == densities(before).dtype
        error = densities(after).astype(float) - data
        assert 10 * np.log10(data.astype(float).var() / np.mean(error**2)) >= 25

    def test_a_stack_of_volumes(self, tmp_path, volume):
        before = write_map(tmp_path / "a.mrc", np.stack([volume[:9], volume[9:18]]))
        reader, _ = reader_of(container_of(tmp_path / "a.mrc"))
        assert reader.head.shape == (2, 9, *volume.shape[1:])
        after = reader.read()
        assert before[:1024] == after[:1024]
        assert densities(after).shape == densities(before).shape


class TestAccess:
    def test_opening_is_one_request(self, file):
        reader, source = reader_of(file)
        assert source.ranges == [(0, min(len(file), mrc_container.FIRST_READ))]
        assert reader.decoded == 0

    def test_a_long_head_is_two(self, original, file, whole, monkeypatch):
        monkeypatch.setattr(mrc_container, "FIRST_READ", 1100)
        reader, source = reader_of(file)
        assert source.ranges == [(0, 1100), (1100, reader.head.extended_header[0])]
        assert reader.read() == whole

    def test_headers_decode_nothing(self, file):
        reader, source = reader_of(file)
        reader.read(1024)
        assert len(source.ranges) == 1
        reader.read(len(EXTENDED))
        assert source.ranges[1:] == [reader.head.extended_header]
        assert reader.decoded == 0

    def test_a_slab_fetches_its_chunks_in_one_request(self, file, whole, volume):
        reader, source = reader_of(file)
        plane = volume[0].nbytes
        start = reader.head.data_start + 12 * plane
        reader.seek(start)
        assert reader.read(3 * plane) == whole[start : start + 3 * plane]
        across = int(np.prod(reader.head.grid[1:]))
        assert reader.decoded == across
        lengths = reader.head.lengths[across : 2 * across]
        offset = int(reader.head.offsets[across])
        assert source.ranges[1:] == [(offset, offset + int(lengths.sum()))]

    def test_one_voxel_fetches_one_chunk(self, file, whole):
        reader, source = reader_of(file)
        reader.seek(-4, io.SEEK_END)
        assert reader.read() == whole[-4:]
        assert reader.decoded == 1
        assert source.ranges[1:] == [(int(reader.head.offsets[-1]), len(file))]

    def test_box(self, file, volume, whole):
        reader, _ = reader_of(file)
        box = reader.read_box((slice(11, 20), slice(3, 9), slice(8, 24)))
        np.testing.assert_array_equal(box, densities(whole)[11:20, 3:9, 8:24])
        assert reader.head.chunk_shape == (10, 9, 8)
        assert reader.decoded == 1 * 1 * 2

    def test_chunks_of_zeros_are_not_stored(self, tmp_path, volume):
        data = volume.copy()
        data[14:] = 0
        write_map(tmp_path / "a.mrc", data)
        reader, _ = reader_of(container_of(tmp_path / "a.mrc", chunks=14))
        assert reader.head.grid[0] == 2
        per_layer = len(reader.head.lengths) // 2
        assert (reader.head.lengths[:per_layer] > 0).all()
        assert (reader.head.lengths[per_layer:] == 0).all()
        assert not densities(reader.read())[14:].any()


class TestStream:
    def test_properties(self, file):
        reader, _ = reader_of(file)
        assert reader.readable()
        assert reader.seekable()
        assert not reader.writable()
        with pytest.raises(ValueError, match="cannot seek to -1"):
            reader.seek(-1)
        with pytest.raises(ValueError, match="whence"):
            reader.seek(0, 7)
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            reader.read(1)

    def test_a_payload_of_another_shape_is_refused(self, tmp_path, volume):
        from inrcodec import INRCodec

        payload = INRCodec(effort=0).encode(volume[:5, :5, :5])
        data = mrc_container.pack(
            bytes(1024), b"", Settings(), (4, 4, 4), np.dtype("<f4"), (4, 4, 4), [payload]
        )
        reader, _ = reader_of(data)
        reader.seek(1024)
        with pytest.raises(mrc_container.ContainerError, match=r"payload holds \(5, 5, 5\)"):
            reader.read(4)

    def test_a_source_that_ends_early_is_noticed(self, file):
        class Short(CountedBytes):
            def read(self, ranges):
                parts = zip(super().read(ranges), ranges, strict=True)
                return [part[:-1] if start > 0 else part for part, (start, _) in parts]

        reader = MRCReader(Short(file))
        reader.seek(reader.head.data_start)
        with pytest.raises(mrc_container.ContainerError, match="were asked for"):
            reader.read(4)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_boxes_cover_a_range_in_order(data, shape):
    numbers = np.arange(np.prod(shape)).reshape(shape)
    start = data.draw(st.integers(0, numbers.size))
    stop = data.draw(st.integers(0, numbers.size))
    boxes = list(boxes_of_range(start, stop, tuple(shape)))
    assert [n for box in boxes for n in numbers[box].reshape(-1)] == list(range(start, stop))
    assert len(boxes) <= 2 * len(shape) - 1


def test_file_source(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb") as opened:
        source = mrc_reader.FileSource(opened)
        assert source.size == 10
        assert source.read([(8, 12), (2, 4)]) == [b"89", b"23"]
