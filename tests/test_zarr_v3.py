"""zarr format 3: the serializer, batches, partial decoding, sharding, damaged and foreign payloads."""

from __future__ import annotations

import asyncio
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import snr_of

from inrcodec import INRCodec, PayloadError

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
import zarr
from zarr.codecs import ShardingCodec, TransposeCodec

from inrcodec import INRSerializer, volume_scope, zarr_v3

BOUND = 0.02


def serializer(**options: Any) -> INRSerializer:
    return INRSerializer(**({"max_error": BOUND, "effort": 0} | options))


def new_array(store: Any, volume: np.ndarray, codec: INRSerializer | None = None, **options: Any) -> Any:
    return zarr.create_array(
        str(store) if isinstance(store, Path) else store,
        shape=volume.shape,
        dtype=volume.dtype,
        **({"chunks": (16, 16, 16), "serializer": codec or serializer(), "compressors": None} | options),
    )


def check(array: Any, volume: np.ndarray) -> None:
    assert array.dtype == volume.dtype
    restored = array[:]
    assert restored.dtype == volume.dtype
    assert np.abs(restored.astype(float) - volume.astype(float)).max() <= BOUND


SELECTIONS = {
    "box": np.s_[3:20, 5:9, 10:24],
    "steps": np.s_[1::3, ::16, 2:24:5],
    "plane": np.s_[7],
    "line": np.s_[3, :, 23],
    "voxel": np.s_[27, 25, 23],
    "nothing": np.s_[4:4],
    "ellipsis": np.s_[..., -1],
}


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shards": (16, 32, 16), "chunks": (8, 16, 16)},
        {"compressors": "auto"},
        {"filters": TransposeCodec(order=(2, 0, 1))},
    ],
    ids=["plain", "sharded", "compressed", "transposed"],
)
def test_slices(volume: np.ndarray, options: dict[str, Any], selection: Any) -> None:
    array = new_array({}, volume, **options)
    array[:] = volume
    check(array, volume)
    np.testing.assert_array_equal(array[selection], array[:][selection])


@pytest.mark.parametrize("shards", [None, (32, 32, 32)], ids=["plain", "sharded"])
def test_fancy_selections(volume: np.ndarray, shards: tuple[int, ...] | None) -> None:
    array = new_array({}, volume, shards=shards)
    array[:] = volume
    whole = array[:]
    rows, columns = [3, 20, 17], [1, 0]
    np.testing.assert_array_equal(
        array.oindex[rows, :, columns], whole[np.ix_(rows, range(whole.shape[1]), columns)]
    )
    np.testing.assert_array_equal(array.vindex[rows, 5, [0, 9, 23]], whole[rows, 5, [0, 9, 23]])
    mask = volume > 0.5
    np.testing.assert_array_equal(array[mask], whole[mask])
    flags = np.arange(len(volume)) % 3 == 0
    np.testing.assert_array_equal(array.oindex[flags], whole[flags])
    if shards is None:
        np.testing.assert_array_equal(array.blocks[1, 0], whole[16:, :16])


@pytest.mark.parametrize("dtype", ["f2", ">f4", "<f8", ">f8", "i1", "u1", ">i2", "<u2"])
def test_dtypes(volume: np.ndarray, dtype: str) -> None:
    original = (volume * 50).astype(dtype)
    store: dict[str, Any] = {}
    array = new_array(store, original, serializer(max_error=1))
    array[:] = original
    for opened in (array, zarr.open_array(store, mode="r")):
        restored = opened[:]
        assert restored.dtype == opened.dtype
        assert restored.dtype.newbyteorder("=") == original.dtype.newbyteorder("=")
        assert np.abs(restored.astype(float) - original.astype(float)).max() <= 1
        np.testing.assert_array_equal(opened[3:5, 2], restored[3:5, 2])


@pytest.mark.parametrize("sharded", [False, True], ids=["plain", "sharded"])
def test_codecs_argument(tmp_path: Path, volume: np.ndarray, sharded: bool) -> None:
    codec = ShardingCodec(chunk_shape=(8, 8, 8), codecs=[serializer()]) if sharded else serializer()
    array = zarr.open(
        str(tmp_path / "x"),
        mode="w",
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=(16, 16, 16),
        zarr_format=3,
        codecs=[codec],
    )
    array[:] = volume
    check(zarr.open(str(tmp_path / "x"), mode="r"), volume)


def test_input_of_any_strides(volume: np.ndarray) -> None:
    array = new_array({}, volume.T)
    array[:] = volume.T
    check(array, volume.T)
    array[:] = volume.T[::-1]
    check(array, volume.T[::-1])


def test_memory_order_of_the_result(volume: np.ndarray) -> None:
    array = new_array({}, volume, config={"order": "F"})
    array[:] = volume
    check(array, volume)


def test_snr_holds_in_every_chunk(volume: np.ndarray) -> None:
    array = new_array({}, volume, INRSerializer(effort=0), chunks=(14, 13, 12))
    array[:] = volume
    for index in np.ndindex(2, 2, 2):
        box = tuple(slice(n * i, n * i + n) for n, i in zip((14, 13, 12), index, strict=True))
        assert snr_of(volume[box], array[box]) >= 30 - 0.01


@pytest.mark.needs_torch
def test_default_serializer(volume: np.ndarray) -> None:
    array = new_array({}, volume, INRCodec().serializer(), chunks=volume.shape)
    array[:] = volume
    assert snr_of(volume, array[:]) >= 30 - 0.01


@pytest.mark.needs_torch
def test_volume_scope(volume: np.ndarray) -> None:
    codec = INRCodec.fit(volume, snr=25, effort=1, chunks=16)
    store: dict[str, Any] = {}
    new_array(store, volume, codec.serializer())[:] = volume
    array = zarr.open_array(store, mode="r")
    assert snr_of(volume, array[:]) >= 25 - 0.1
    np.testing.assert_array_equal(array[3:7, 20, ::2], array[:][3:7, 20, ::2])


def test_same_bytes_as_format_2(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "v3", volume)[:] = volume
    codec = INRCodec(max_error=BOUND, effort=0)
    v2 = zarr.create_array(
        str(tmp_path / "v2"),
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=(16, 16, 16),
        compressors=codec,
        zarr_format=2,
    )
    v2[:] = volume
    for index in np.ndindex(2, 2, 2):
        path = "/".join(map(str, index))
        assert (tmp_path / "v3" / "c" / path).read_bytes() == (
            tmp_path / "v2" / path.replace("/", ".")
        ).read_bytes()


@pytest.mark.parametrize("order", ["C", "F"])
def test_format_2_chunks_are_copied_into_format_3(tmp_path: Path, volume: np.ndarray, order: str) -> None:
    v2 = zarr.create_array(
        str(tmp_path / "v2"),
        shape=volume.shape,
        dtype=">f4",
        chunks=(16, 8, 12),
        compressors=INRCodec(max_error=BOUND, effort=0),
        zarr_format=2,
        order=order,
    )
    v2[:] = volume
    v3 = new_array(tmp_path / "v3", volume, chunks=(16, 8, 12))
    for source in (tmp_path / "v2").glob("[0-9]*"):
        target = (tmp_path / "v3" / "c").joinpath(*source.name.split("."))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    np.testing.assert_array_equal(v3[:], v2[:])


@pytest.mark.parametrize("shards", [None, (16, 16, 16)], ids=["plain", "sharded"])
@pytest.mark.parametrize("dtype", ["bool", "int32", "uint64", "complex64"])
def test_unsupported_dtype_is_refused_at_creation(
    tmp_path: Path, dtype: str, shards: tuple[int, ...] | None
) -> None:
    with pytest.raises(TypeError, match=f"dtype {dtype} is not supported"):
        new_array(tmp_path / "x", np.zeros((16, 16, 16), dtype), shards=shards, chunks=(8, 8, 8))
    assert not list(tmp_path.glob("x/*"))


@pytest.mark.parametrize("shape", [(), (2, 2, 2, 2, 2)], ids=str)
def test_impossible_dimensions_are_refused_at_creation(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 4 dimensions"):
        new_array(tmp_path / "x", np.zeros(shape, "f4"), chunks=shape)


def test_configuration_round_trip() -> None:
    for codec in (
        INRSerializer(),
        serializer(device="cpu", decode_device="cpu"),
        INRSerializer(ratio=20, threshold=0.1, block=16),
        INRCodec(27, effort=1).serializer(),
    ):
        stored = json.loads(json.dumps(codec.to_dict()))
        assert stored["name"] == "inrcodec.inr"
        assert "device" not in json.dumps(stored)
        assert INRSerializer.from_dict(stored) == codec
        assert pickle.loads(pickle.dumps(codec)) == codec
        assert hash(codec) == hash(INRSerializer.from_dict(stored))
    assert INRCodec(27).serializer().settings == INRCodec(27).settings
    assert eval(repr(serializer())) == serializer()


def test_bad_configurations() -> None:
    with pytest.raises(ValueError, match="one quality target"):
        INRSerializer(snr=30, max_error=1)
    with pytest.raises(ValueError, match="unknown codec settings: quality"):
        INRSerializer.from_dict({"name": "inrcodec.inr", "configuration": {"snr": 30, "quality": 1}})
    with pytest.raises(ValueError, match="expected codec"):
        INRSerializer.from_dict({"name": "bytes"})


def test_metadata(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume, INRSerializer(27, effort=0, device="cpu"))
    metadata = json.loads((tmp_path / "x" / "zarr.json").read_text())
    assert metadata["codecs"] == [{"name": "inrcodec.inr", "configuration": {"snr": 27.0, "effort": 0}}]


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """Record the first two arguments of each call of one of the core's functions."""
    calls: list[Any] = []
    function = getattr(zarr_v3, name)

    def recorded(*args: Any, **options: Any) -> Any:
        calls.append(args[:2])
        return function(*args, **options)

    monkeypatch.setattr(zarr_v3, name, recorded)
    return calls


def test_a_batch_is_one_call(volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, decoded = count_calls(monkeypatch, "encode_many"), count_calls(monkeypatch, "decode_many")
    with zarr.config.set({"codec_pipeline.batch_size": 64}):
        array = new_array({}, volume, chunks=(14, 13, 12))
        array[:] = volume
        check(array, volume)
    assert [len(chunks) for chunks, _ in encoded] == [8]
    assert [len(payloads) for (payloads,) in decoded] == [8]


def test_a_voxel_decodes_a_region(volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    array = new_array({}, volume)
    array[:] = volume
    decoded, regions = count_calls(monkeypatch, "decode_many"), count_calls(monkeypatch, "decode_region")
    assert array[20, 3, 5].shape == ()
    array.vindex[[1, 3], [2, 2], [9, 4]]
    assert decoded == []
    assert [region for _, region in regions] == [
        (slice(4, 5), slice(3, 4), slice(5, 6)),
        (slice(1, 4), slice(2, 3), slice(4, 10)),
    ]


def test_missing_chunks_are_the_fill_value(volume: np.ndarray) -> None:
    array = new_array({}, volume, fill_value=0.5)
    array[:16, :16, :16] = volume[:16, :16, :16]
    array[16:, :16, :16] = 0.5
    assert array.nchunks_initialized == 1
    np.testing.assert_array_equal(array[20:, 3], 0.5)
    np.testing.assert_array_equal(array[:, :, 17:], 0.5)


def test_none_stays_none_in_a_batch() -> None:
    codec = serializer()
    assert asyncio.run(codec.encode([(None, None)])) == [None]
    assert asyncio.run(codec.decode([(None, None)])) == [None]


def test_foreign_payloads_are_refused_before_decoding(
    tmp_path: Path, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = new_array(tmp_path / "x", volume)
    array[:] = volume
    whole, regions = count_calls(monkeypatch, "decode_many"), count_calls(monkeypatch, "decode_region")
    file = tmp_path / "x" / "c" / "0" / "0" / "0"
    payload = file.read_bytes()
    codec = INRCodec(max_error=BOUND, effort=0)
    for bad in (
        codec.encode(volume[:16, :16, :8]),
        codec.encode(volume[:16, :16, :16].astype("f8")),
        payload[:-1],
        payload[:40] + bytes([payload[40] ^ 1]) + payload[41:],
        b"not a payload",
    ):
        file.write_bytes(bad)
        with pytest.raises(PayloadError):
            array[:16, :16, :16]
        with pytest.raises(PayloadError):
            array[0, 0, 0]
    assert whole == []
    assert regions == []


def test_fresh_process_reads_without_importing_inrcodec(tmp_path: Path, volume: np.ndarray) -> None:
    new_array(tmp_path / "x", volume, shards=(32, 32, 32))[:] = volume
    reader = (
        "import sys, numpy, zarr\n"
        "numpy.save(sys.argv[2], zarr.open(sys.argv[1], mode='r')[:])\n"
        "assert 'inrcodec' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", reader, tmp_path / "x", tmp_path / "out.npy"], check=True)
    assert np.abs(np.load(tmp_path / "out.npy") - volume).max() <= BOUND


def test_many_threads_write_and_read() -> None:
    volume = np.random.default_rng(0).normal(size=(8 * 12, 12, 12)).astype(np.float32)
    array = new_array({}, volume, chunks=(12, 12, 12))
    slabs = [slice(start, start + 12) for start in range(0, len(volume), 12)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda slab: array.__setitem__(slab, volume[slab]), slabs))
        restored = np.concatenate(list(pool.map(array.__getitem__, slabs)))
    assert np.abs(restored - volume).max() <= BOUND


@pytest.mark.needs_torch
def test_fit_takes_the_inner_chunks_of_a_sharded_array(volume: np.ndarray, monkeypatch: Any) -> None:
    seen: list[tuple[int, ...]] = []
    train = volume_scope.fit
    monkeypatch.setattr(volume_scope, "fit", lambda *a, **k: seen.append(a[2]) or train(*a, **k))
    source = zarr.create_array(
        {}, shape=volume.shape, dtype=volume.dtype, chunks=(8, 16, 8), shards=(32, 32, 32)
    )
    source[:] = volume
    assert INRCodec.fit(source, snr=25, effort=1).volume is not None
    assert seen == [(8, 16, 8)]
