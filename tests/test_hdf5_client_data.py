"""The client data of the HDF5 filter."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from inrcodec.core import PayloadError, Settings, Target, VolumeModel
from inrcodec.core.context import ContextNetwork
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable
from inrcodec.core.volume import unchanged_weights
from inrcodec.hdf5_client_data import HEADER, ClientData, _checksum, check_payload, find, parse


def far_network(seed: int = 0) -> bytes:
    """Weights that differ from the prior's everywhere: the longest that there are."""
    flat = prior().flat
    weights = np.random.default_rng(seed).integers(-127, 128, len(flat))
    return ContextNetwork.from_flat(weights).to_bytes(prior())


MODEL = VolumeModel(0.25, 10, unchanged_weights(), cell=2, resolution=3.5, voxel_size=(1.0, 1.5, 2.0))
FAR = replace(MODEL, weights=far_network(), shells=ShellTable(bytes(range(40)), bytes(range(18))))
CASES = {
    "default": ClientData(Settings()),
    "chunk": ClientData(
        Settings(Target("max_error", 0.5), threshold=0.1, effort=0, block=8), (3, 4), np.dtype(">f4")
    ),
    "volume": ClientData(Settings(volume=MODEL), (8, 8, 8), np.dtype("i1")),
    "far": ClientData(Settings(Target("fsc", 0.9), volume=FAR), (1, 2, 3, 4), np.dtype("<u2")),
}


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_round_trip(data: ClientData) -> None:
    words = data.to_words()
    assert all(0 <= word < 2**32 for word in words)
    assert parse(words) == data


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b"pline\0\1", b"x" * 50)])
def test_found_among_encoded_properties(data: ClientData, before: bytes, after: bytes) -> None:
    words = data.to_words()
    assert find(before + struct.pack(f"<{len(words)}I", *words) + after) == data


def test_networks_may_be_longer_than_hdf5_hands_out() -> None:
    assert len(CASES["far"].to_words()) > 256


def test_long_ones_are_referred_to_until_the_dataset_is_there() -> None:
    assert CASES["volume"].to_options() == CASES["volume"].to_words()
    options = CASES["far"].to_options()
    assert len(options) == 5
    assert parse(options) == CASES["far"]
    with pytest.raises(ValueError, match="networks 00000007 of another process"):
        parse((*options[:4], 7))


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert find(b"pline and other properties") is None


def test_no_words_are_the_default_settings() -> None:
    assert parse(()) == ClientData(Settings())


@budget(derandomize=True, deadline=None, max_examples=200)
@given(st.data())
def test_any_damage_is_refused(data: st.DataObject) -> None:
    words = list(CASES[data.draw(st.sampled_from(["chunk", "far"]))].to_words())
    at = data.draw(st.integers(0, len(words) - 1))
    words[at] ^= data.draw(st.integers(1, 2**32 - 1))
    with pytest.raises(ValueError, match="client data"):
        parse(tuple(words))


@budget(derandomize=True, deadline=None, max_examples=200)
@given(st.data())
def test_what_makes_no_sense_is_refused_or_parsed(data: st.DataObject) -> None:
    """With the checksum mended the words reach the parsers behind it: nothing but a ValueError comes out."""
    words = list(CASES[data.draw(st.sampled_from(["chunk", "volume", "far"]))].to_words())
    at = data.draw(st.integers(5, min(len(words) - 1, HEADER + 40)))
    words[at] ^= data.draw(st.integers(1, 2**32 - 1))
    words[4] = _checksum(words[5:])
    try:
        parsed = parse(tuple(words))
    except ValueError:
        return
    assert parse(parsed.to_words()) == parsed


@pytest.mark.parametrize(
    "text", [b"[" * 5000, b"null", b"{}x", b'{"volume":3}', b'{"snr":"30"}', b'{"colour":1}']
)
def test_settings_that_are_none_are_refused(text: bytes) -> None:
    body = text + bytes(-len(text) % 4)
    rest = (len(text), *[0] * 12, *struct.unpack(f"<{len(body) // 4}I", body))
    head = CASES["default"].to_words()[:3]
    with pytest.raises(ValueError, match="make no sense"):
        parse((*head, 5 + len(rest), _checksum(rest), *rest))


def test_cut_short_or_too_long() -> None:
    words = CASES["volume"].to_words()
    raw = struct.pack(f"<{len(words)}I", *words)
    for size in (8, 4 * HEADER - 1, len(raw) - 1):
        with pytest.raises(ValueError, match="client data"):
            find(raw[:size])
    with pytest.raises(ValueError, match="damaged"):
        parse((*words, 0))
    with pytest.raises(ValueError, match="not those"):
        parse(words[:5])


def test_more_than_hdf5_stores() -> None:
    huge = replace(MODEL, weights=bytes(70_000))
    with pytest.raises(ValueError, match=r"words, HDF5 stores at most 16384"):
        ClientData(Settings(volume=huge)).to_words()


def test_another_version_is_refused() -> None:
    words = list(CASES["default"].to_words())
    words[2] = 2
    with pytest.raises(ValueError, match="version 2"):
        parse(tuple(words))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 5), ">f4"), ((3, 4, 1), ">f4"), ((3, 4), "f8"), ((3, 4), "i2")]
)
def test_payloads_of_other_chunks_are_refused(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(PayloadError, match=r"the dataset's chunk is \(3, 4\) >f4"):
        check_payload(CASES["chunk"], shape, np.dtype(dtype))
    with pytest.raises(PayloadError, match="dataset's chunk"):
        check_payload(CASES["default"], shape, np.dtype(dtype))


def test_payloads_may_have_the_other_byte_order() -> None:
    check_payload(CASES["chunk"], (3, 4), np.dtype("<f4"))
