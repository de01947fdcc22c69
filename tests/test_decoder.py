"""The decoder: regions, devices, networks, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import blobs
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from inrcodec.core import PayloadError, Settings, Target, VolumeModel, decode_many, decode_region, encode_many
from inrcodec.core.latent_coding import dequantise
from inrcodec.core.payload import Field, Payload, Section
from inrcodec.core.prior import prior

MODEL = VolumeModel(0.05, 8, prior().to_bytes(prior()))


def masked(size: int) -> np.ndarray:
    """Density on a level far from 0 inside a ball, exactly 0 outside."""
    grid = np.indices((size,) * 3) - (size - 1) / 2
    inside = (grid**2).sum(axis=0) < (0.45 * size) ** 2
    return np.where(inside, blobs((size,) * 3, 0.05) + 5, 0).astype(np.float32)


def holed() -> np.ndarray:
    chunk = blobs((17, 16, 15), 0.02).astype(np.float32)
    chunk[4, 5, 6], chunk[0, 0, 0] = np.nan, np.inf
    return chunk


CASES: dict[str, tuple[np.ndarray, Settings]] = {
    "field": (blobs((25, 22, 19), 0.02).astype(np.float32), Settings(effort=0, block=8)),
    "box in a background": (np.pad(blobs((12, 11, 10)), 5), Settings(effort=0, block=6)),
    "occupancy": (masked(28), Settings(Target("snr", 25), effort=1)),
    "threshold": (blobs((16, 16, 16)), Settings(effort=0, threshold=0.3)),
    "corrections": (blobs((18, 17, 16), 0.05), Settings(Target("max_error", 0.03), effort=0)),
    "verbatim": (holed(), Settings(effort=0)),
    "lossless": (np.random.default_rng(0).normal(size=(7, 8, 9)), Settings(Target("snr", 150), effort=0)),
    "constant": (np.full((9, 8, 7), 3, np.int16), Settings(effort=0)),
    "two dimensions": (blobs((40, 35)).astype(np.float32), Settings(effort=0, block=8)),
    "one dimension": (blobs((500,)).astype(np.float32), Settings(Target("snr", 15), effort=0)),
    "four dimensions": (blobs((3, 9, 10, 11)).astype(np.float32), Settings(effort=0)),
    "fortran": (np.asfortranarray(blobs((14, 15, 16))).astype(np.float32), Settings(effort=0, block=6)),
    "big-endian integers": ((blobs((16, 16, 16)) * 900).astype(">i2"), Settings(effort=0, block=6)),
    "volume scope": (blobs((16, 16, 16)), Settings(effort=0, volume=MODEL)),
}


@pytest.fixture(scope="module")
def coded() -> dict[str, tuple[bytes, np.ndarray]]:
    out = {}
    for name, (chunk, settings) in CASES.items():
        (payload,) = encode_many([chunk], settings)
        out[name] = payload, decode_many([payload], volume=MODEL)[0]
    return out


def axis_slices(length: int) -> st.SearchStrategy[slice]:
    end = st.none() | st.integers(-length - 2, length + 2)
    return st.builds(slice, end, end, st.sampled_from([None, 1, 2, 3, 7, -1, -2, -5]))


@pytest.mark.parametrize("name", CASES)
@examples(deadline=None, derandomize=True, max_examples=25)
@given(data=st.data())
def test_regions_equal_slices_of_the_whole(coded, name: str, data: st.DataObject) -> None:
    payload, whole = coded[name]
    region = tuple(data.draw(axis_slices(n)) for n in whole.shape)
    part = decode_region(payload, region, volume=MODEL)
    assert part.dtype == whole.dtype
    assert part.shape == whole[region].shape
    np.testing.assert_array_equal(part, whole[region])


def test_each_case_is_what_it_says(coded) -> None:
    held = {name: Payload.from_bytes(payload) for name, (payload, _) in coded.items()}
    for name in ("occupancy", "threshold"):
        assert Section.OCCUPANCY in held[name].sections
    assert Section.CORRECTIONS in held["corrections"].sections
    assert Section.VERBATIM in held["verbatim"].sections
    fields = {name: payload.field for name, payload in held.items()}
    assert [name for name, field in fields.items() if field != Field.LOCAL_FOURIER] == [
        "lossless",
        "constant",
    ]


@pytest.mark.parametrize("region", [(), (slice(None),) * 2, (slice(None),) * 4])
def test_a_region_has_one_slice_per_axis(coded, region: tuple[slice, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{len(region)} slices for a chunk of shape \(25, 22, 19\)"):
        decode_region(coded["field"][0], region)


def test_a_region_of_a_region_evaluates_fewer_blocks(coded, monkeypatch: pytest.MonkeyPatch) -> None:
    from inrcodec.core import decoder

    boxes = []
    original = decoder.synthesise_exact
    monkeypatch.setattr(decoder, "synthesise_exact", lambda *a, **k: boxes.append(a[4]) or original(*a, **k))
    decode_region(coded["field"][0], (slice(3, 9), slice(20, 4, -3), slice(None, 2)))
    assert boxes == [(slice(3, 9), slice(5, 21), slice(0, 2))]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.needs_torch
@pytest.mark.parametrize("threads", [1, 2])
def test_pytorch_gives_the_same_voxels(coded, threads: int) -> None:
    with torch_threads(threads):
        for payload, whole in coded.values():
            (decoded,) = decode_many([payload], volume=MODEL, device="cpu")
            assert decoded.tobytes() == whole.tobytes()
            assert decoded.dtype == whole.dtype


@pytest.mark.needs_torch
def test_payloads_of_a_batch_come_in_order(coded) -> None:
    names = [*CASES, *reversed(CASES)]
    for device in ("numpy", "cpu"):
        decoded = decode_many([coded[name][0] for name in names], volume=MODEL, device=device)
        for name, chunk in zip(names, decoded, strict=True):
            np.testing.assert_array_equal(chunk, coded[name][1])


@pytest.mark.parametrize("name", CASES)
def test_decoded_chunks_are_the_callers(coded, name: str) -> None:
    (first,) = decode_many([coded[name][0]], volume=MODEL)
    assert first.flags.writeable
    assert first.flags.owndata or first.base is not None
    first[...] = 0
    (second,) = decode_many([bytearray(coded[name][0])], volume=MODEL)
    np.testing.assert_array_equal(second, coded[name][1])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.frombuffer])
def test_any_buffer(coded, kind) -> None:
    payload, whole = coded["field"]
    buffer = np.frombuffer(payload, np.uint8) if kind is np.frombuffer else kind(payload)
    np.testing.assert_array_equal(decode_many([buffer])[0], whole)


class TestVolumeScope:
    def test_without_the_networks(self, coded) -> None:
        with pytest.raises(PayloadError, match="volume scope"):
            decode_many([coded["volume scope"][0]])
        with pytest.raises(PayloadError, match="volume scope"):
            decode_region(coded["volume scope"][0], (slice(0, 2),) * 3)

    def test_with_the_wrong_networks(self, coded) -> None:
        flat = prior().flat.copy()
        flat[0] += 1 if flat[0] < 100 else -1
        other = VolumeModel(0.05, 8, type(prior()).from_flat(flat).to_bytes(prior()))
        with pytest.raises(PayloadError, match=f"{MODEL.digest:08x}.*{other.digest:08x}"):
            decode_many([coded["volume scope"][0]], volume=other)

    def test_chunk_scope_does_not_mind_networks(self, coded) -> None:
        payload, whole = coded["field"]
        np.testing.assert_array_equal(decode_many([payload], volume=MODEL)[0], whole)


@pytest.mark.parametrize("name", CASES)
def test_a_missing_section_is_refused(coded, name: str) -> None:
    parsed = Payload.from_bytes(coded[name][0])
    needed = {Section.FIELD, Section.LATENTS, Section.LOSSLESS, Section.CONSTANT} & parsed.sections.keys()
    assert needed
    for section in needed:
        cut = Payload.from_bytes(coded[name][0])
        del cut.sections[section]
        with pytest.raises(PayloadError, match=f"no {section.name.lower()} section"):
            decode_many([cut.to_bytes()], volume=MODEL)


@pytest.mark.parametrize("section", [Section.FIELD, Section.LATENTS, Section.OCCUPANCY])
def test_a_section_cut_short_is_refused(coded, section: Section) -> None:
    parsed = Payload.from_bytes(coded["occupancy"][0])
    for keep in (0, 1, len(parsed.sections[section]) // 2):
        cut = Payload.from_bytes(coded["occupancy"][0])
        cut.sections[section] = cut.sections[section][:keep]
        try:
            (decoded,) = decode_many([cut.to_bytes()])
        except PayloadError:
            continue
        # the coder itself cannot tell fewer symbols from others: the checksum is what guards a payload
        assert section in (Section.LATENTS, Section.OCCUPANCY)
        assert decoded.shape == (28, 28, 28)


def test_dequantised_latents() -> None:
    latents = np.array([[0, 1, -1, 2, -2, 3, -50]])
    out = dequantise(latents, np.array([-5, 3, 7]))
    assert out.tolist() == [[0, 59, -59, 131, -131, 199, -3207]]
