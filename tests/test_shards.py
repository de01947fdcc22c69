"""Shards by themselves and beside those that zarr writes and reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import shards

pytest.importorskip("zarr.abc.codec", reason="shards came with zarr 3")
import zarr
from zarr.codecs import BytesCodec, ShardingCodec


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_split_is_the_inverse_of_join(counts, data):
    positions = st.tuples(*(st.integers(0, n - 1) for n in counts))
    chunks = data.draw(st.dictionaries(positions, st.binary(max_size=20)))
    assert dict(shards.split(shards.join(chunks, tuple(counts)), tuple(counts))) == chunks


@pytest.mark.parametrize("location", ["start", "end"])
def test_zarr_writes_what_is_split(tmp_path, location):
    codec = ShardingCodec(chunk_shape=(2, 3), codecs=[BytesCodec()], index_location=location)
    array = zarr.create_array(
        str(tmp_path / "x"), shape=(4, 6), chunks=(4, 6), dtype="u1", serializer=codec, compressors=None
    )
    array[:2] = np.arange(12, dtype="u1").reshape(2, 6) + 1
    found = dict(shards.split((tmp_path / "x/c/0/0").read_bytes(), (2, 2), index_at_end=location == "end"))
    assert found == {(0, 0): bytes([1, 2, 3, 7, 8, 9]), (0, 1): bytes([4, 5, 6, 10, 11, 12])}


def test_zarr_reads_what_is_joined(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "x"), shape=(4, 6), shards=(4, 6), chunks=(2, 3), dtype="u1", compressors=None
    )
    (tmp_path / "x/c/0").mkdir(parents=True)
    (tmp_path / "x/c/0/0").write_bytes(shards.join({(1, 0): bytes(range(6))}, (2, 2)))
    assert array[:].tolist() == [[0] * 6, [0] * 6, [0, 1, 2, 0, 0, 0], [3, 4, 5, 0, 0, 0]]


@pytest.mark.parametrize("cut", [0, 10, 67])
def test_a_shard_cut_short(cut):
    shard = shards.join({(0, 0): b"abc"}, (2, 2))
    assert len(shard) == 3 + 68
    with pytest.raises(ValueError, match=f"shard of {cut} bytes, its index alone has 68"):
        list(shards.split(shard[:cut], (2, 2)))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(3, 70), bit=st.integers(0, 7))
def test_every_flipped_bit_of_the_index_is_noticed(at, bit):
    shard = bytearray(shards.join({(0, 0): b"abc"}, (2, 2)))
    shard[at] ^= 1 << bit
    with pytest.raises(ValueError, match="checksum mismatch"):
        list(shards.split(bytes(shard), (2, 2)))


@pytest.mark.parametrize("entry", [(0, 100), (2**64 - 2, 1), (2**63, 2**63), (2**64 - 1, 0)])
def test_a_chunk_outside_the_shard(entry):
    index = np.array(entry, "<u8").tobytes()
    checksum = shards.google_crc32c.value(index).to_bytes(4, "little")
    with pytest.raises(ValueError, match="claims bytes"):
        list(shards.split(b"abc" + index + checksum, (1,)))


@pytest.mark.parametrize("position", [(2, 0), (0, -1), (0,)])
def test_a_position_outside_the_shard(position):
    with pytest.raises(ValueError, match="of a shard of"):
        shards.join({position: b"abc"}, (2, 2))
