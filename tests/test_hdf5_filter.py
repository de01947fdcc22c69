"""The HDF5 filter's callbacks: what they refuse, and what becomes of errors."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs

h5py = pytest.importorskip("h5py")

from inrcodec import INRCodec, inspect  # noqa: E402
from inrcodec import hdf5_filter as filters  # noqa: E402
from inrcodec.core import encoder  # noqa: E402
from inrcodec.hdf5 import FILTER_ID, INRFilter, read, write  # noqa: E402
from inrcodec.hdf5_client_data import ClientData  # noqa: E402

QUICK = INRFilter(max_error=0.1, effort=0)
SHAPE = (12, 12, 12)


@pytest.fixture
def file(tmp_path: Path) -> Any:
    with h5py.File(tmp_path / "map.h5", "w") as file:
        yield file


def test_the_number_is_one_that_hdf5_leaves_free() -> None:
    assert 32768 <= FILTER_ID <= 65535
    assert h5py.h5z.filter_avail(FILTER_ID)
    both = h5py.h5z.FILTER_CONFIG_ENCODE_ENABLED | h5py.h5z.FILTER_CONFIG_DECODE_ENABLED
    assert h5py.h5z.get_filter_info(FILTER_ID) == both


def test_the_filter_is_mandatory_and_knows_its_chunk(file: Any) -> None:
    dataset = file.create_dataset("map", shape=(20, 20, 20), dtype=">f2", chunks=SHAPE, **QUICK)
    properties = dataset.id.get_create_plist()
    code, flags, _, name = properties.get_filter(0)
    assert (code, flags) == (FILTER_ID, 0)
    assert b"inrcodec" in name
    assert filters.client_data(properties.id) == ClientData(QUICK.settings, SHAPE, np.dtype(">f2"))


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", "?", "c8", "S4", "f4,f4"])
def test_dtypes_that_the_codec_does_not_hold(file: Any, dtype: str) -> None:
    with pytest.raises((ValueError, TypeError), match="is not supported; supported are float16, float32"):
        file.create_dataset("map", shape=SHAPE, dtype=dtype, chunks=SHAPE, **QUICK)
    assert "map" not in file


def test_a_float_of_other_bits_is_refused(file: Any) -> None:
    brain = h5py.h5t.IEEE_F32LE.copy()
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_size(2)
    brain.set_ebias(127)
    space = h5py.h5s.create_simple(SHAPE)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(SHAPE)
    properties.set_filter(FILTER_ID, h5py.h5z.FLAG_OPTIONAL, QUICK.filter_options)
    with pytest.raises((ValueError, TypeError), match="inrcodec: an HDF5 type of 2 bytes"):
        h5py.h5d.create(file.id, b"map", brain, space, properties)


def test_chunks_of_five_dimensions(file: Any) -> None:
    with pytest.raises(ValueError, match="1 to 4 dimensions"):
        file.create_dataset("map", shape=(4,) * 5, dtype="f4", chunks=(2,) * 5, **QUICK)


@pytest.mark.parametrize("before", [{"shuffle": True}, {"scaleoffset": 3}], ids=str)
def test_filters_before_this_one(file: Any, before: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be the first"):
        file.create_dataset("map", shape=SHAPE, dtype="f4", chunks=SHAPE, **before, **QUICK)


@pytest.mark.needs_torch  # the default effort trains
def test_client_data_of_somebody_else(file: Any) -> None:
    dataset = file.create_dataset("map", shape=SHAPE, dtype="f4", chunks=SHAPE, compression=FILTER_ID)
    assert filters.client_data(dataset.id.get_create_plist().id).settings == INRCodec().settings


def test_training_without_torch_is_refused_at_once(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "has_torch", lambda: False)
    with pytest.raises(ValueError, match=r"inrcodec\[train\]"):
        file.create_dataset("map", shape=SHAPE, dtype="f4", chunks=SHAPE, **INRFilter(effort=3))
    file.create_dataset("map", shape=SHAPE, dtype="f4", chunks=SHAPE, **INRFilter(effort=0))


def test_copying_needs_no_torch(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "has_torch", lambda: False)
    density = blobs(SHAPE).astype("f4")
    payload = QUICK_CODEC.encode(density)
    how = {"shape": SHAPE, "dtype": "f4", "chunks": SHAPE, **INRFilter(effort=3)}
    with filters.copying():
        dataset = file.create_dataset("map", **how)
    dataset.id.write_direct_chunk((0, 0, 0), payload)
    assert dataset[...].tobytes() == QUICK_CODEC.decode(payload).tobytes()
    dataset[...] = density  # a chunk after all
    with pytest.warns(RuntimeWarning, match=r"stored losslessly.*inrcodec\[train\]"):
        file.flush()
    assert dataset[...].tobytes() == density.tobytes()
    with pytest.raises(ImportError, match=r"inrcodec\[train\]"):
        write(dataset, density)
    with pytest.raises(ValueError, match=r"inrcodec\[train\]"):  # outside it is asked for as before
        file.create_dataset("other", **how)


def fail(*_: Any, **__: Any) -> Any:
    raise ArithmeticError("100% bad luck with %s")


def test_a_chunk_that_cannot_be_encoded_is_stored_losslessly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    density = blobs(SHAPE).astype("f4")
    monkeypatch.setattr(filters, "encode_many", fail)
    with pytest.warns(RuntimeWarning, match="stored losslessly: ArithmeticError.'100% bad luck"):  # noqa: SIM117
        with h5py.File(tmp_path / "map.h5", "w") as file:
            file.create_dataset("map", data=density, chunks=SHAPE, **QUICK)
    with h5py.File(tmp_path / "map.h5") as file:
        np.testing.assert_array_equal(file["map"][...], density)
        assert inspect(file["map"].id.read_direct_chunk((0, 0, 0))[1]).field == "lossless"


def test_a_ratio_out_of_reach_loses_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=SHAPE).astype("f4")
    with pytest.warns(RuntimeWarning, match="ratio 500 cannot be reached"):  # noqa: SIM117
        with h5py.File(tmp_path / "map.h5", "w") as file:
            file.create_dataset("map", data=noise, chunks=SHAPE, **INRFilter(ratio=500, effort=0))
    with h5py.File(tmp_path / "map.h5") as file:
        np.testing.assert_array_equal(file["map"][...], noise)


def test_where_warnings_are_errors_the_reason_is_printed(
    file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(filters, "encode_many", fail)
    density = blobs(SHAPE).astype("f4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = file.create_dataset("map", data=density, chunks=SHAPE, **QUICK)
        file.flush()
    assert "bad luck" in capsys.readouterr().err
    np.testing.assert_array_equal(dataset[...], density)


def test_an_interrupt_comes_back_when_hdf5_is_done(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(filters, "encode_many", interrupted)
    density = blobs(SHAPE).astype("f4")
    with pytest.warns(RuntimeWarning, match="KeyboardInterrupt"), pytest.raises(KeyboardInterrupt):  # noqa: PT012, PT031
        file.create_dataset("map", data=density, chunks=SHAPE, **QUICK)
        file.flush()
        for _ in range(200):  # Python raises it between two of its steps, a long sleep is one
            time.sleep(0.01)
    np.testing.assert_array_equal(read(file["map"]), density)


def damaged(payload: bytes) -> bytes:
    return payload[:-9] + bytes([payload[-9] ^ 1]) + payload[-8:]


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (damaged, "inrcodec: checksum mismatch"),
        (lambda payload: payload[:10], "inrcodec: not an inrcodec payload"),
        (lambda payload: payload[:1], "inrcodec: not an inrcodec payload"),
        (lambda _: QUICK_CODEC.encode(np.ones((2, 2), "f4")), r"inrcodec: payload holds \(2, 2\) <f4"),
        (lambda _: QUICK_CODEC.encode(np.ones(SHAPE, "f8")), r"inrcodec: payload holds \(12, 12, 12\) <f8"),
    ],
    ids=["damaged", "cut short", "one byte", "of another shape", "of another dtype"],
)
def test_bad_payloads_reach_the_user_as_text(file: Any, replacement: Any, message: str) -> None:
    density = blobs((24, 12, 12)).astype("f4")
    dataset = file.create_dataset("map", shape=density.shape, dtype="f4", chunks=SHAPE, **QUICK)
    write(dataset, density)
    payload = dataset.id.read_direct_chunk((12, 0, 0))[1]
    dataset.id.write_direct_chunk((12, 0, 0), replacement(payload))
    with pytest.raises((OSError, ValueError, RuntimeError), match=message):
        dataset[...]
    assert np.abs(dataset[:12] - density[:12]).max() <= 0.1  # the other chunk is as good as before
    with pytest.raises((OSError, ValueError, RuntimeError)):
        read(dataset)


QUICK_CODEC = INRCodec(max_error=0.1, effort=0)


def test_payloads_of_the_other_byte_order_and_memory_order(file: Any) -> None:
    """As copied from zarr: format 3 stores no byte order, format 2 has arrays in Fortran order."""
    density = blobs((6, 8, 10))
    payload = QUICK_CODEC.encode(np.asfortranarray(density.astype("<f4")))
    dataset = file.create_dataset("map", shape=(6, 8, 10), dtype=">f4", chunks=(6, 8, 10), **QUICK)
    dataset.id.write_direct_chunk((0, 0, 0), payload)
    np.testing.assert_array_equal(dataset[...], QUICK_CODEC.decode(payload))
    np.testing.assert_array_equal(read(dataset), QUICK_CODEC.decode(payload))


LITTER = """
import gc, sys
from concurrent.futures import ThreadPoolExecutor
import h5py, numpy
from inrcodec import hdf5_filter
from inrcodec.hdf5 import INRFilter

class Cycle:
    pass

encode = hdf5_filter.encode_many

def littering(*arguments, **keywords):
    for _ in range(50):
        cycle = Cycle()
        cycle.self, cycle.space = cycle, h5py.h5s.create_simple((3,))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: [[[] for _ in range(100)] for _ in range(100)]).result()
    return encode(*arguments, **keywords)

hdf5_filter.encode_many = littering
with h5py.File(sys.argv[1], "w") as file:
    density = numpy.random.default_rng(0).normal(size=(8, 8, 8))
    file.create_dataset("map", data=density, chunks=(8, 8, 8), **INRFilter(effort=0))
print("done", gc.isenabled())
"""


def test_objects_of_h5py_freed_meanwhile_do_not_lock_up(tmp_path: Path) -> None:
    """The collector in a thread of the encoder's would wait for a lock that the waiting thread holds."""
    result = subprocess.run(
        [sys.executable, "-c", LITTER, tmp_path / "map.h5"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.stdout.strip() == "done True", result.stderr


def test_hdf5_out_of_reach_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise AttributeError("undefined symbol: H5Epush2")

    monkeypatch.setattr(filters, "_library", missing)
    with pytest.raises(ImportError, match="HDF5 library of h5py"):
        filters.register()
