"""The layout of ``.mrc.inr`` files, and files that lie."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mrc_files import container_of, reader_of, write_map

from inrcodec import PayloadError
from inrcodec import mrc_container as container
from inrcodec.core import Settings
from inrcodec.mrc_container import ContainerError

HEADER = bytes(range(256)) * 4
PAYLOADS = [b"one", b"", b"three", b"four"]
SHAPE, CHUNKS = (3, 4), (2, 2)


def file(**changes) -> bytes:
    arguments = {
        "mrc_header": HEADER,
        "extended_header": b"extended",
        "settings": Settings(),
        "shape": SHAPE,
        "dtype": np.dtype(">f4"),
        "chunk_shape": CHUNKS,
        "payloads": PAYLOADS,
    }
    return container.pack(**{**arguments, **changes})


def resealed(data: bytes, prelude: dict[int, bytes] | None = None, configuration=None) -> bytes:
    """A file changed as somebody would who knows the format: checksum and lengths are right."""
    changed = bytearray(data)
    for offset, value in (prelude or {}).items():
        changed[offset : offset + len(value)] = value
    (length,) = struct.unpack_from("<I", changed, 12)
    (count,) = struct.unpack_from("<Q", changed, 16)
    end = 48 + 1024 + length + 12 * count
    if configuration is not None:
        old = json.loads(data[1072 : 1072 + length])
        text = (
            configuration
            if isinstance(configuration, bytes)
            else json.dumps({**old, **configuration}).encode()
        )
        index = np.frombuffer(data, "<u8,<u4", count, 1072 + length).copy()
        index["f0"] = index["f0"].astype(np.int64) + len(text) - length
        changed[1072:end] = text + index.tobytes()
        struct.pack_into("<I", changed, 12, len(text))
        struct.pack_into("<Q", changed, 32, len(changed))
        end = 1072 + len(text) + 12 * count
    struct.pack_into("<I", changed, 44, zlib.crc32(changed[48:end], zlib.crc32(changed[:44])))
    return bytes(changed)


class TestLayout:
    def test_as_documented(self):
        """Every field where docs/mrc-inr.md says it is, read without the package."""
        data = file()
        magic, version, text, count, extended, total, extended_crc, crc = struct.unpack_from(
            "<8sIIQQQII", data
        )
        assert (magic, version, count, extended, total) == (b"\x89MRCINR\n", 1, 4, 8, len(data))
        assert data[48:1072] == HEADER
        assert json.loads(data[1072 : 1072 + text]) == {
            "shape": [3, 4],
            "dtype": "float32",
            "byte_order": "big",
            "chunks": [2, 2],
            "codec": {"snr": 30.0, "effort": 3},
        }
        end = 1072 + text + 12 * count
        entries = [struct.unpack_from("<QI", data, 1072 + text + 12 * i) for i in range(count)]
        assert [data[start : start + length] for start, length in entries] == PAYLOADS
        assert data[end : end + 8] == b"extended"
        assert extended_crc == zlib.crc32(b"extended")
        assert crc == zlib.crc32(data[:44] + data[48:end])

    def test_parse(self):
        data = file()
        head = container.parse(data, len(data))
        assert head.mrc_header == HEADER
        assert (head.shape, head.chunk_shape, head.grid) == (SHAPE, CHUNKS, (2, 2))
        assert head.dtype == np.dtype(">f4")
        assert head.settings == Settings()
        assert [data[o : o + n] for o, n in zip(head.offsets, head.lengths, strict=True)] == PAYLOADS
        assert data[slice(*head.extended_header)] == b"extended"
        assert head.check_extended_header(b"extended") == b"extended"
        assert head.data_start == 1024 + 8
        assert head.map_bytes == 1024 + 8 + 12 * 4

    def test_the_head_is_enough(self):
        data = file()
        needed = container.head_bytes(data[:1072], len(data))
        assert container.parse(data[:needed], len(data)).shape == SHAPE
        with pytest.raises(ContainerError, match="are there"):
            container.parse(data[: needed - 1], len(data))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [({"mrc_header": b"short"}, "1024 bytes, got 5"), ({"payloads": PAYLOADS[:3]}, "3 payloads")],
    )
    def test_parts_that_do_not_fit(self, changes, message):
        with pytest.raises(ValueError, match=message):
            file(**changes)


class TestDamage:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "not a .mrc.inr file: 0 bytes"),
            (b"INR" * 1000, "not a .mrc.inr file"),
            (file()[:1071], "not a .mrc.inr file"),
            (file()[:-1], "cut short"),
            (file() + b"x", "cut short"),
            (resealed(file(), {8: struct.pack("<I", 2)}), "version 2, this release reads version 1"),
            (resealed(file(), {12: struct.pack("<I", 2**16 + 1)}), "65537 bytes"),
            (file()[:16] + struct.pack("<Q", 2**40) + file()[24:], f"{2**40} chunks"),
            (file()[:16] + struct.pack("<Q", 0) + file()[24:], "0 chunks"),
            (file()[:24] + struct.pack("<Q", 2**62) + file()[32:], "extended header do not fit"),
            (file()[:100] + b"x" + file()[101:], "checksum mismatch"),
            (resealed(file(), {24: struct.pack("<Q", 7)}), "do not follow one another"),
        ],
    )
    def test_prelude(self, data, message):
        with pytest.raises(ContainerError, match=message):
            container.parse(data, len(data))

    @pytest.mark.parametrize(
        ("configuration", "message"),
        [
            (b"no json", "is no JSON"),
            (b"[" * 30000, "is no JSON"),
            (b"[1]", "must have the keys"),
            ({"more": 1}, "must have the keys"),
            ({"shape": [0, 4]}, "shape must be"),
            ({"shape": [True, 4]}, "shape must be"),
            ({"shape": "ab"}, "shape must be"),
            ({"shape": [2**31, 4]}, "shape must be"),
            ({"shape": [2**30, 2**30]}, "more voxels than a file"),
            ({"shape": [3, 4, 5]}, "numbers of axes"),
            ({"shape": [3, 5]}, "4 chunks in the index"),
            ({"chunks": [2**20, 2**20]}, "the format holds"),
            ({"dtype": "complex64"}, "unknown dtype 'complex64'"),
            ({"dtype": ["f4"]}, "unknown dtype"),
            ({"byte_order": "mixed"}, "unknown byte order 'mixed'"),
            ({"byte_order": ["big"]}, "unknown byte order"),
            ({"codec": {"snr": "loud"}}, "codec's configuration"),
            ({"codec": {"quality": 3}}, "quality"),
            ({"codec": 3}, "codec's configuration"),
            ({"codec": {"snr": 20, "volume": {"step": 1}}}, "codec's configuration"),
        ],
    )
    def test_configuration(self, configuration, message):
        data = resealed(file(), configuration=configuration)
        with pytest.raises(ContainerError, match=message):
            container.parse(data, len(data))

    @pytest.mark.parametrize("value", [(0, 3), (2**63, 3), (1200, 2**32 - 1)])
    def test_index(self, value):
        data = file()
        (text,) = struct.unpack_from("<I", data, 12)
        changed = resealed(data, {1072 + text: struct.pack("<QI", *value)})
        with pytest.raises(ContainerError, match="do not follow one another"):
            container.parse(changed, len(changed))

    def test_extended_header(self):
        head = container.parse(file(), len(file()))
        with pytest.raises(ContainerError, match="extended header is damaged"):
            head.check_extended_header(b"Extended")


@pytest.fixture(scope="module")
def real(tmp_path_factory, volume):
    path = tmp_path_factory.mktemp("map") / "a.mrc"
    write_map(path, volume[:12, :12, :12], b"extended header ")
    return container_of(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_a_clear_error(real, data):
    """Cut short, or with bytes changed anywhere: never other voxels, never another exception."""
    whole = reader_of(real)[0].read()
    damaged = bytearray(real)
    if data.draw(st.booleans(), "cut"):
        del damaged[data.draw(st.integers(0, len(real) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(real) - 1))
        damaged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((ContainerError, PayloadError)):
        assert reader_of(bytes(damaged))[0].read() == whole
