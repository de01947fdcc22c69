"""Containers of many maps: bytes in and out, and what damage does."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlp_cases import random_network

from inrcodec import PayloadError
from inrcodec.container import Container, PackedMap, check_names
from inrcodec.core.payload import Field, pack_varint
from inrcodec.core.volume import VolumeModel, unchanged_weights

MAP = PackedMap("a.mrc", bytes(range(256)) * 4, b"extended", (5, 6), np.dtype(">f4"), (3, 6), (b"one", b""))
NETWORK = random_network()
SHARED = NETWORK.shape.to_bytes() + NETWORK.data
MLP = Container(Field.MLP, SHARED, (MAP, dataclasses.replace(MAP, name="é.map.gz", extended_header=b"")))
LOCAL = Container(Field.LOCAL_FOURIER, b"\x02", (dataclasses.replace(MAP, step=0.25, block=136),))


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def same(one: Container, other: Container) -> bool:
    return (one.field, one.shared) == (other.field, other.shared) and all(
        dataclasses.astuple(a) == dataclasses.astuple(b) for a, b in zip(one.maps, other.maps, strict=True)
    )


@pytest.mark.parametrize("container", [MLP, LOCAL], ids=["mlp", "local-fourier"])
def test_round_trip(container: Container) -> None:
    assert same(Container.from_bytes(container.to_bytes()), container)


def test_layout_of_bytes() -> None:
    """Byte for byte as docs/format.md says."""
    headers = zlib.compress(MAP.header + MAP.extended_header, 9)
    body = b"INRP\x02\x02\x01\x02\x01" + b"\x05a.mrc\x08" + pack_varint(len(headers)) + headers
    body += b"\x82\x02\x05\x06\x03\x06" + struct.pack("<d", 0.25) + b"\x87" + b"\x03one\x00"
    assert LOCAL.to_bytes() == sealed(body)


def test_what_is_shared() -> None:
    assert MLP.network.data == NETWORK.data
    assert MLP.network.shape == NETWORK.shape
    model = LOCAL.model(LOCAL.maps[0])
    assert model == VolumeModel(0.25, 136, unchanged_weights(), 2)
    with pytest.raises(PayloadError):
        _ = dataclasses.replace(MLP, shared=b"").network
    with pytest.raises(PayloadError):
        dataclasses.replace(LOCAL, shared=b"").model(MAP)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "c:", "a\n", "x" * 256, "\0", "\ud800"], ids=ascii
)
def test_names_that_could_go_anywhere(name: str) -> None:
    with pytest.raises(ValueError, match="name of a file"):
        check_names([name])


def test_names_that_meet() -> None:
    with pytest.raises(ValueError, match=r"two maps of the name 'A\.mrc'"):
        check_names(["a.mrc", "b.mrc", "A.mrc"])
    body = MLP.to_bytes()[:-4].replace("é.map.gz".encode(), b"../.a.map")
    with pytest.raises(PayloadError, match="name of a file"):
        Container.from_bytes(sealed(body))


def test_no_maps() -> None:
    with pytest.raises(ValueError, match="got 0"):
        dataclasses.replace(MLP, maps=()).to_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (0, 6)}, "voxels"),
        ({"shape": (2**30, 2**30)}, "voxels"),
        ({"chunk_shape": (0, 6)}, "chunk"),
        ({"chunk_shape": (2**20, 2**20)}, "chunk"),
        ({"shape": (2**35, 2), "chunk_shape": (1, 1)}, "claimed"),
        ({"shape": (), "chunk_shape": ()}, "0 dimensions"),
        ({"shape": (1,) * 5, "chunk_shape": (1,) * 5}, "5 dimensions"),
        ({"step": 0.0}, "step 0.0"),
        ({"step": float("nan")}, "step nan"),
        ({"header": b"short"}, "MRC headers"),
        ({"payloads": (b"one",)}, "claimed"),
        ({"payloads": (b"one", b"", b"three")}, "left over"),
    ],
    ids=str,
)
def test_what_does_not_add_up(change: dict, words: str) -> None:
    damaged = dataclasses.replace(LOCAL, maps=(dataclasses.replace(LOCAL.maps[0], **change),))
    with pytest.raises(PayloadError, match=words):
        Container.from_bytes(damaged.to_bytes())


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not an"), (b"INRP", "not an"), (sealed(b"INRP\x03\x03" + bytes(9)), "version 3")],
)
def test_other_files(data: bytes, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        Container.from_bytes(data)


@pytest.mark.parametrize("container", [MLP, LOCAL], ids=["mlp", "local-fourier"])
def test_truncations(container: Container) -> None:
    data = container.to_bytes()
    for length in range(len(data)):
        for cut in (data[:length], sealed(data[: min(length, len(data) - 5)])):
            with pytest.raises(PayloadError):
                Container.from_bytes(cut)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(container=st.sampled_from([MLP, LOCAL]), at=st.integers(0, 10**6), bits=st.integers(1, 255))
def test_a_changed_byte(container: Container, at: int, bits: int) -> None:
    data = container.to_bytes()
    damaged = bytearray(data[:-4])
    damaged[at % len(damaged)] ^= bits
    with pytest.raises(PayloadError):
        Container.from_bytes(bytes(damaged) + data[-4:])
    try:
        parsed = Container.from_bytes(sealed(bytes(damaged)))
        _ = parsed.network if parsed.field == Field.MLP else parsed.model(parsed.maps[0])
    except PayloadError:
        pass
