"""HDF5 datasets of density: the filter as h5py uses it, and batched writing and reading."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs, snr_of
from hypothesis import given, settings
from hypothesis import strategies as st

h5py = pytest.importorskip("h5py")

from test_hdf5_client_data import FAR, MODEL  # noqa: E402

from inrcodec import INRCodec, PayloadError, inspect  # noqa: E402
from inrcodec.core import encode_many  # noqa: E402
from inrcodec.hdf5 import ATTRIBUTE, INRFilter, codec_of, read, write  # noqa: E402
from inrcodec.hdf5_client_data import ClientData  # noqa: E402

BOUND = 0.05
QUICK = INRCodec(max_error=BOUND, effort=0)
FILTER = INRFilter.of(QUICK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "map.h5"


@pytest.fixture
def file(path: Path) -> Any:
    with h5py.File(path, "w") as file:
        yield file


def error_of(decoded: np.ndarray, original: np.ndarray) -> float:
    return float(np.abs(decoded.astype(np.float64) - original.astype(np.float64)).max())


FLOATS = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
INTEGERS = ["i1", "u1", "<i2", ">i2", "<u2", ">u2"]


def density_of(dtype: str, shape: tuple[int, ...] = (20, 18, 11)) -> np.ndarray:
    scale = 50 if dtype in INTEGERS else 1
    return (
        np.rint(scale * blobs(shape)).clip(0, 120).astype(dtype) if scale > 1 else blobs(shape).astype(dtype)
    )


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_dtypes(path: Path, dtype: str) -> None:
    density = density_of(dtype)
    bound = 1.0 if dtype in INTEGERS else BOUND
    with h5py.File(path, "w") as file:
        by_filter = INRFilter(max_error=bound, effort=0)
        file.create_dataset("filter", data=density, chunks=(12, 12, 8), **by_filter)
        dataset = file.create_dataset(
            "write", shape=density.shape, dtype=dtype, chunks=(12, 12, 8), compression=by_filter
        )
        write(dataset, density)
    with h5py.File(path) as file:
        assert file["filter"].dtype == np.dtype(dtype)
        for name in ("filter", "write"):
            decoded = file[name][...]
            assert decoded.dtype == np.dtype(dtype)
            assert error_of(decoded, density) <= bound
            np.testing.assert_array_equal(read(file[name]), decoded)


@pytest.mark.parametrize("shape", [(150,), (30, 40), (14, 13, 12), (3, 9, 8, 11)], ids=str)
def test_dimensions(file: Any, shape: tuple[int, ...]) -> None:
    density = blobs(shape).astype("f4")
    chunks = tuple(-(-2 * n // 3) for n in shape)
    dataset = file.create_dataset("map", shape=shape, dtype="f4", chunks=chunks, **FILTER)
    write(dataset, density)
    assert error_of(dataset[...], density) <= BOUND
    np.testing.assert_array_equal(read(dataset), dataset[...])


def test_payloads_are_those_of_the_codec(path: Path) -> None:
    """As zarr stores them: edge chunks padded with the fill value to their full shape."""
    density = blobs((20, 12, 12)).astype("f4")
    padded = np.full((24, 12, 12), 0.5, "f4")
    padded[:20] = density
    with h5py.File(path, "w") as file:
        for name in ("filter", "write"):
            dataset = file.create_dataset(
                name, shape=density.shape, dtype="f4", chunks=(12, 12, 12), fillvalue=0.5, **FILTER
            )
            if name == "filter":
                dataset[...] = density
            else:
                write(dataset, density)
    chunks = [padded[:12], padded[12:]]
    one_by_one = [QUICK.encode(chunk) for chunk in chunks]
    together = encode_many(chunks, QUICK.settings)  # chunks of a batch share what is chosen by measuring
    with h5py.File(path) as file:
        for name, payloads in (("filter", one_by_one), ("write", together)):
            for start, payload in zip((0, 12), payloads, strict=True):
                assert file[name].id.read_direct_chunk((start, 0, 0))[1] == payload


def test_special_values_constants_and_tiny_chunks(file: Any) -> None:
    density = blobs((16, 16, 16)).astype("f4")
    density[0, 0, :3] = np.nan, np.inf, -np.inf
    density[8:, :8, :8] = 3.25
    dataset = file.create_dataset("map", shape=density.shape, dtype="f4", chunks=(8, 8, 8), **FILTER)
    write(dataset, density)
    for decoded in (dataset[...], read(dataset)):
        np.testing.assert_array_equal(np.isfinite(decoded), np.isfinite(density))
        np.testing.assert_array_equal(decoded[0, 0, :3], density[0, 0, :3])
        np.testing.assert_array_equal(decoded[8:, :8, :8], 3.25)
        finite = np.isfinite(density)
        assert error_of(decoded[finite], density[finite]) <= BOUND
    assert inspect(dataset.id.read_direct_chunk((8, 0, 0))[1]).field == "constant"
    tiny = file.create_dataset("tiny", shape=(2, 3, 2), dtype="f4", chunks=(1, 2, 1), **FILTER)
    write(tiny, density[4:6, 4:7, 4:6])
    np.testing.assert_array_equal(read(tiny), density[4:6, 4:7, 4:6])


def test_resizing_and_fill_values(path: Path) -> None:
    density = blobs((12, 20, 10)).astype("f4")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "map",
            shape=(12, 10, 10),
            maxshape=(None, None, 10),
            dtype="f4",
            chunks=(8, 8, 8),
            fillvalue=-1,
            **FILTER,
        )
        write(dataset, density[:, :10])
        dataset.resize((20, 20, 10))
        dataset[:12, 10:] = density[:, 10:]
    with h5py.File(path) as file:
        for decoded in (file["map"][...], read(file["map"])):
            # chunks were coded again for their other half, and each time may add its error
            assert error_of(decoded[:12], density) <= 2 * BOUND
            assert error_of(decoded[12:], np.full((8, 20, 10), -1)) <= 2 * BOUND
            np.testing.assert_array_equal(decoded[16:], -1)  # never written


def test_written_parts_and_what_lies_in_the_cache(file: Any) -> None:
    """What was assigned and is not in the file yet is read all the same."""
    density = blobs((16, 16, 16)).astype("f4")
    dataset = file.create_dataset("map", shape=density.shape, dtype="f4", chunks=(8, 8, 8), **FILTER)
    dataset[:8] = density[:8]
    assert error_of(read(dataset, slice(0, 8)), density[:8]) <= BOUND
    np.testing.assert_array_equal(read(dataset)[8:], 0)


SELECTIONS = [
    ...,
    (),
    3,
    (slice(None), 2),
    (..., -1),
    (slice(3, 17, 5), ..., slice(None, None, 2)),
    (slice(4, 4), 0),
    (0, 0, 0),
    (slice(-3, None), slice(2, -2), 5),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("hdf5") / "map.h5"
    density = blobs((20, 13, 17)).astype("f4")
    with h5py.File(path, "w") as file:
        write(
            file.create_dataset("map", shape=density.shape, dtype="f4", chunks=(8, 8, 8), **FILTER), density
        )
    with h5py.File(path) as file:
        yield file["map"]


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_selections(written: Any, selection: Any) -> None:
    np.testing.assert_array_equal(read(written, selection), written[selection])


def slices(n: int) -> st.SearchStrategy[slice]:
    return st.builds(slice, st.integers(-n, n), st.integers(-n, n + 3), st.integers(1, n))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.tuples(*(st.one_of(slices(n), st.integers(-n, n - 1)) for n in (20, 13, 17))))
def test_any_selection(written: Any, selection: tuple[Any, ...]) -> None:
    whole = test_any_selection.__dict__.setdefault("whole", written[...])
    np.testing.assert_array_equal(read(written, selection), whole[selection])


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (20, IndexError, "index 20 of an axis of 20"),
        ((0, 0, 0, 0), IndexError, "3 dimensions"),
        ([1, 2], TypeError, "integers and slices"),
        ("x", TypeError, "integers and slices"),
        (slice(None, None, -1), TypeError, "positive, got -1"),
        ((..., 0, ...), TypeError, "one ellipsis"),
    ],
    ids=str,
)
def test_bad_selections(written: Any, selection: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(written, selection)


def test_threads(written: Any) -> None:
    expected = written[...]
    wrong: list[Any] = []

    def work(by_filter: bool) -> None:
        for z in range(0, 20, 3):
            part = written[z : z + 5] if by_filter else read(written, slice(z, z + 5))
            if not np.array_equal(part, expected[z : z + 5]):
                wrong.append(z)

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_progress(file: Any) -> None:
    density = blobs((16, 16, 16)).astype("f4")
    dataset = file.create_dataset("map", shape=density.shape, dtype="f4", chunks=(8, 8, 8), **FILTER)
    seen: list[float] = []
    write(dataset, density, progress=seen.append)
    read(dataset, progress=seen.append)
    assert seen == [1.0, 1.0]


def test_the_codec_comes_back(file: Any) -> None:
    codec = INRCodec(ratio=12, threshold=0.1, effort=0, block=8)
    dataset = file.create_dataset(
        "map", shape=(16, 16, 16), dtype="f4", chunks=(8, 8, 8), **INRFilter.of(codec)
    )
    assert codec_of(dataset) == codec
    assert repr(INRFilter.of(codec)) == repr(codec).replace("INRCodec", "INRFilter")
    plain = file.create_dataset("plain", shape=(16,), chunks=(8,), dtype="f4", compression="gzip")
    with pytest.raises(ValueError, match=r"/plain was not created with INRFilter: its filters are \[1\]"):
        codec_of(plain)


@pytest.mark.parametrize("model", [MODEL, FAR], ids=["prior", "far"])
def test_volume_scope(path: Path, model: Any) -> None:
    density = blobs((20, 12, 12)).astype("f4")
    codec = INRCodec(snr=20, effort=0, volume=model)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "map", shape=density.shape, dtype="f4", chunks=(12, 12, 12), **INRFilter.of(codec)
        )
        write(dataset, density, codec)
        assert inspect(dataset.id.read_direct_chunk((0, 0, 0))[1]).scope == "volume"
        file.create_dataset("filter", data=density, chunks=(12, 12, 12), **INRFilter.of(codec))
    with h5py.File(path) as file:
        assert codec_of(file["map"]) == codec
        assert INRCodec.from_config(json.loads(file["map"].attrs[ATTRIBUTE])) == codec
        whole = read(file["map"])
        np.testing.assert_array_equal(file["map"][...], whole)
        assert snr_of(density, whole) >= 10
        assert snr_of(density, file["filter"][...]) >= 10
    script = (
        "import sys, h5py, numpy, inrcodec.hdf5\n"
        "with h5py.File(sys.argv[1]) as file: numpy.save(sys.argv[2], file['map'][...])"
    )
    subprocess.run([sys.executable, "-c", script, path, path.with_suffix(".npy")], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(path.with_suffix(".npy")), whole)


def test_networks_that_the_filter_does_not_have(file: Any) -> None:
    """Readers find networks with the filter only, so such chunks would be lost."""
    density = blobs((12, 12, 12)).astype("f4")
    codec = INRCodec(effort=0, volume=MODEL)
    for name, filter_ in (("none", FILTER), ("other", INRFilter(volume=FAR))):
        dataset = file.create_dataset(name, shape=density.shape, dtype="f4", chunks=density.shape, **filter_)
        with pytest.raises(ValueError, match=r"create the dataset with INRFilter\.of\(codec\)"):
            write(dataset, density, codec)
        assert dataset.id.get_num_chunks() == 0
        assert ATTRIBUTE not in dataset.attrs


def test_other_filters_behind(path: Path) -> None:
    density = blobs((12, 12, 12)).astype("f4")
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("map", data=density, chunks=(8, 8, 8), fletcher32=True, **FILTER)
        with pytest.raises(ValueError, match="filters beside INRFilter"):
            write(dataset, density)
    with h5py.File(path) as file:
        assert error_of(file["map"][...], density) <= BOUND
        assert codec_of(file["map"]) == QUICK
        with pytest.raises(ValueError, match="filters beside INRFilter"):
            read(file["map"])


def test_bad_volumes(file: Any) -> None:
    density = blobs((12, 12, 12))
    dataset = file.create_dataset("map", shape=density.shape, dtype="i2", chunks=(8, 8, 8), **FILTER)
    with pytest.raises(TypeError, match="float64 does not go into a dataset of int16"):
        write(dataset, density)
    with pytest.raises(ValueError, match=r"shape \(12, 12\) for a dataset of shape \(12, 12, 12\)"):
        write(dataset, density[0].astype("i2"))
    contiguous = file.create_dataset("contiguous", data=density)
    for function in (codec_of, read, lambda d: write(d, density)):
        with pytest.raises(ValueError, match="not created with INRFilter"):
            function(contiguous)


def test_a_wider_volume_is_cast(file: Any) -> None:
    density = blobs((12, 12, 12))
    dataset = file.create_dataset("map", shape=density.shape, dtype=">f4", chunks=(8, 8, 8), **FILTER)
    write(dataset, density)
    assert error_of(dataset[...], density) <= BOUND
    write(dataset, density.tolist())
    assert error_of(dataset[...], density) <= BOUND


def test_an_error_surfaces_at_once_and_loses_nothing(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from inrcodec import hdf5

    density = blobs((16, 8, 8)).astype("f4")
    dataset = file.create_dataset("map", shape=density.shape, dtype="f4", chunks=(8, 8, 8), **FILTER)
    write(dataset, density)
    before = read(dataset)
    with pytest.raises(ValueError, match="ratio 5000 cannot be reached"):
        write(dataset, density, INRCodec(ratio=5000, effort=0))
    np.testing.assert_array_equal(read(dataset), before)
    monkeypatch.setattr(hdf5, "_BATCH_VOXELS", 1)
    noisy = density.copy()
    noisy[8:] = np.random.default_rng(0).integers(-(2**30), 2**30, (8, 8, 8)) * 1e3
    noisy[:8] = 2
    with pytest.raises(ValueError, match="ratio 60 cannot be reached"):
        write(dataset, noisy, INRCodec(ratio=60, effort=0))
    np.testing.assert_array_equal(read(dataset)[8:], before[8:])
    np.testing.assert_array_equal(read(dataset)[:8], 2)


def test_a_damaged_chunk_costs_only_itself(file: Any) -> None:
    density = blobs((16, 8, 8)).astype("f4")
    dataset = file.create_dataset("map", shape=density.shape, dtype="f4", chunks=(8, 8, 8), **FILTER)
    write(dataset, density)
    payload = bytearray(dataset.id.read_direct_chunk((0, 0, 0))[1])
    payload[20] ^= 1
    dataset.id.write_direct_chunk((0, 0, 0), bytes(payload))
    with pytest.raises(PayloadError, match="checksum"):
        read(dataset)
    assert error_of(read(dataset, slice(8, None)), density[8:]) <= BOUND


def test_a_chunk_that_was_stored_unfiltered_is_not_taken_for_a_payload(file: Any) -> None:
    dataset = file.create_dataset("map", shape=(8, 8, 8), dtype="f4", chunks=(8, 8, 8), **FILTER)
    dataset.id.write_direct_chunk((0, 0, 0), np.ones((8, 8, 8), "f4").tobytes(), 1)
    with pytest.raises(ValueError, match="stored without its filter"):
        read(dataset)


def test_client_data_of_another_chunk(path: Path) -> None:
    """A forged file: HDF5 itself would believe the length of what the filter returns."""
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        dataset = file.create_dataset("map", shape=(8, 8, 8), dtype="f4", chunks=(8, 8, 8), **FILTER)
        dataset.id.write_direct_chunk((0, 0, 0), QUICK.encode(np.ones((2, 2, 2), "f4")))
    true, forged = (
        struct.pack("<" + "I" * len(words), *words)
        for words in (ClientData(QUICK.settings, (n,) * 3, np.dtype("f4")).to_words() for n in (8, 2))
    )
    raw = path.read_bytes()
    assert raw.count(true) == 1
    path.write_bytes(raw.replace(true, forged))
    with h5py.File(path) as file:
        for function in (read, codec_of):
            with pytest.raises(
                ValueError, match=r"chunks of \(8, 8, 8\) float32, .* say \(2, 2, 2\) float32"
            ):
                function(file["map"])


def test_import_does_not_bring_torch() -> None:
    script = "import sys, inrcodec.hdf5; assert not {'torch', 'zarr'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


@pytest.mark.needs_torch
def test_example() -> None:
    example = Path(__file__).parent.parent / "examples" / "hdf5.py"
    result = subprocess.run(
        [sys.executable, "-W", "error", example], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "volume scope" in result.stdout
