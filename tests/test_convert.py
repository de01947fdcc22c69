"""Conversion: the same bytes, the same voxels, everything beside them kept, nothing half made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import h5py
import mrcfile
import numpy as np
import pytest
import zarr

from inrcodec import INRCodec, PayloadError, maps, store
from inrcodec import convert as convert_module
from inrcodec.convert import convert
from inrcodec.core import Target, encoder

BOUND = 0.02
CODEC = INRCodec(max_error=BOUND, effort=0)
FORMATS = {
    "zarr 2": ("x.zarr", {"zarr_format": 2}),
    "zarr 3": ("x.zarr", {"zarr_format": 3}),
    "sharded": ("x.zarr", {"shard": 2}),
    "HDF5": ("x.h5", {}),
}


def make(path, volume, zarr_format=3, codec=CODEC, chunks=(16, 16, 16), dtype=None, shards=None, **options):
    """A group with an array "0" of a volume, and no chunks that are all fill value."""
    root = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    if zarr_format == 2:
        how = {"compressors": codec}
    else:
        how = {"serializer": codec.serializer(), "compressors": None, "shards": shards}
    array = root.create_array(
        "0", shape=volume.shape, dtype=dtype or volume.dtype, chunks=chunks, **how, **options
    )
    array[...] = volume
    return root


def payloads(path):
    """Every payload of array "0" by its index, whatever holds it."""
    from inrcodec.hdf5_container import HDF5Source
    from inrcodec.zarr_container import ZarrSource

    if path.is_dir():
        source = ZarrSource(zarr.open_group(str(path), mode="r"))
        return dict(source.payloads(next(n for n in source.nodes() if n.path == "0")))
    with HDF5Source(path) as source:
        return dict(source.payloads(next(n for n in source.nodes() if n.path == "0")))


def voxels(path):
    if path.is_dir():
        return zarr.open_group(str(path), mode="r")["0"][...]
    with h5py.File(path, "r") as file:
        return file["0"][...]


@pytest.fixture(scope="module")
def encoded(volume, tmp_path_factory):
    """A group of format 3, to be read only."""
    path = tmp_path_factory.mktemp("encoded") / "a.zarr"
    make(path, volume, fill_value=0.5, dimension_names=("z", "y", "x"))
    return path


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_there_and_on(tmp_path, volume, encoded, first, second):
    """Zarr 3 to any format, on to any other: the same payloads and voxels."""
    expected = voxels(encoded)
    assert np.abs(expected - volume).max() <= BOUND
    name, options = FORMATS[first]
    assert convert(encoded, tmp_path / f"1{name}", **options) == 8
    name2, options = FORMATS[second]
    assert convert(tmp_path / f"1{name}", tmp_path / f"2{name2}", **options) == 8
    for path in (tmp_path / f"1{name}", tmp_path / f"2{name2}"):
        assert payloads(path) == payloads(encoded)
        np.testing.assert_array_equal(voxels(path), expected)
    assert {path.name for path in tmp_path.iterdir()} == {f"1{name}", f"2{name2}"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("dtype", "order"), [(">f4", "C"), (">f4", "F"), ("<f2", "F"), (">i2", "C"), ("u1", "F")]
)
def test_byte_and_memory_order(tmp_path, volume, kind, order, dtype):
    volume = volume[:20, :12, :10]
    data = (volume * 50).astype(dtype)
    make(tmp_path / "a.zarr", data, 2, INRCodec(max_error=1, effort=0), order=order)
    expected = voxels(tmp_path / "a.zarr")
    assert np.abs(expected.astype("f8") - data.astype("f8")).max() <= 1
    name, options = FORMATS[kind]
    convert(tmp_path / "a.zarr", tmp_path / name, **options)
    np.testing.assert_array_equal(voxels(tmp_path / name), expected)
    convert(tmp_path / name, tmp_path / "back.zarr", zarr_format=2)
    np.testing.assert_array_equal(voxels(tmp_path / "back.zarr"), expected)


@pytest.mark.parametrize("kind", FORMATS)
def test_volume_scope_and_edges_and_missing_chunks(tmp_path, volume, kind):
    sparse = volume.copy()
    sparse[16:] = 0
    codec = INRCodec.fit(sparse, snr=25, effort=0, chunks=16)
    make(tmp_path / "a.zarr", sparse, codec=codec)
    name, options = FORMATS[kind]
    assert convert(tmp_path / "a.zarr", tmp_path / name, **options) == 4
    np.testing.assert_array_equal(voxels(tmp_path / name), voxels(tmp_path / "a.zarr"))
    convert(tmp_path / name, tmp_path / "back.zarr")
    array = zarr.open_group(str(tmp_path / "back.zarr"), mode="r")["0"]
    assert store.settings_of(array) == codec.settings
    assert array.nchunks_initialized == 4


@pytest.mark.parametrize("kind", FORMATS)
def test_fill_values_and_chunks_longer_than_the_array(tmp_path, volume, kind):
    root = make(tmp_path / "a.zarr", volume, chunks=(16, 40, 30), fill_value=-0.25)
    root["0"][16:] = -0.25
    name, options = FORMATS[kind]
    assert convert(tmp_path / "a.zarr", tmp_path / name, **options) == 1
    np.testing.assert_array_equal(voxels(tmp_path / name), voxels(tmp_path / "a.zarr"))
    assert (voxels(tmp_path / name)[16:] == -0.25).all()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_map_comes_back_byte_for_byte(tmp_path, volume, kind):
    with mrcfile.new(tmp_path / "a.mrc", np.pad(volume, 4)) as file:
        file.voxel_size = 1.25
        file.set_extended_header(np.frombuffer(os.urandom(800), "S1"))
    maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=Target("snr", 25.0), effort=0, pyramid=2,
                  chunks=18)  # fmt: skip
    maps.decompress(tmp_path / "a.zarr", tmp_path / "a_back.mrc")
    name, options = FORMATS[kind]
    convert(tmp_path / "a.zarr", tmp_path / name, **options)
    convert(tmp_path / name, tmp_path / "back.zarr", zarr_format=2)
    assert maps.decompress(tmp_path / "back.zarr", tmp_path / "b.mrc")
    assert (tmp_path / "b.mrc").read_bytes() == (tmp_path / "a_back.mrc").read_bytes()
    root = zarr.open_group(str(tmp_path / "back.zarr"), mode="r")
    before = zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs.asdict()
    (image,) = root.attrs["multiscales"]
    assert image == {"version": "0.4", **before["ome"]["multiscales"][0]}
    assert root.attrs["inrcodec"] == before["inrcodec"]
    assert root["1"].shape == (18, 17, 16)
    convert(tmp_path / "back.zarr", tmp_path / "again.zarr")
    assert zarr.open_group(str(tmp_path / "again.zarr"), mode="r").attrs.asdict() == before


def test_attributes_and_dimension_names(tmp_path, volume):
    attributes = {"title": "tubulin", "n": 3, "x": 0.5, "flag": True, "sizes": [1.0, 2.5],
                  "deep": {"a": [None, {"b": "ü\n"}]}, "empty": []}  # fmt: skip
    root = make(tmp_path / "a.zarr", volume, dimension_names=("z", None, "x"))
    root.attrs.update(attributes)
    root["0"].attrs.update(attributes)
    root.create_group("deeper/still").attrs["a"] = 1
    times = root.create_array("deeper/time", shape=(5,), dtype="i8", dimension_names=("t",))
    times[:] = np.arange(5)
    root.create_array("scalar", shape=(), dtype="f8")[...] = 2.5
    convert(tmp_path / "a.zarr", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["0"].attrs["title"] == "tubulin"
        assert [dim.label for dim in file["0"].dims] == ["z", "", "x"]
    convert(tmp_path / "b.h5", tmp_path / "c.zarr", zarr_format=2)
    convert(tmp_path / "c.zarr", tmp_path / "d.zarr")
    back = zarr.open_group(str(tmp_path / "d.zarr"), mode="r")
    assert back.attrs.asdict() == attributes
    assert back["0"].attrs.asdict() == attributes
    assert back["0"].metadata.dimension_names == ("z", None, "x")
    assert back["deeper/still"].attrs.asdict() == {"a": 1}
    assert back["deeper/time"][...].tolist() == [0, 1, 2, 3, 4]
    assert back["deeper/time"].metadata.dimension_names == ("t",)
    assert back["scalar"][...] == 2.5
    np.testing.assert_array_equal(back["0"][...], root["0"][...])


def test_a_bare_array(tmp_path, volume):
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=volume.shape, dtype="f4", chunks=(14, 13, 12), compressors=CODEC,
        zarr_format=2,
    )  # fmt: skip
    array[...] = volume
    assert convert(tmp_path / "a.zarr", tmp_path / "b.zarr") == 8
    np.testing.assert_array_equal(voxels(tmp_path / "b.zarr"), array[...])


class TestRefused:
    def refuse(self, path, target, error, message, **options):
        before = {item.name for item in path.iterdir()}
        with pytest.raises(error, match=message):
            convert(path / "a.zarr", path / target, **options)
        assert {item.name for item in path.iterdir()} == before

    def test_formats_that_do_not_fit(self, tmp_path, volume):
        make(tmp_path / "a.zarr", volume)
        self.refuse(tmp_path, "b.h5", ValueError, "no zarr format", zarr_format=2)
        self.refuse(tmp_path, "b.h5", ValueError, "no shards", shard=2)
        self.refuse(tmp_path, "b.zarr", ValueError, "shards need zarr format 3", zarr_format=2, shard=2)
        self.refuse(tmp_path, "b.zarr", ValueError, "at least 1 chunk along each axis, got 0", shard=0)
        self.refuse(tmp_path, "b.zarr", ValueError, "must be 2 or 3, got 1", zarr_format=1)

    def test_targets_that_exist(self, tmp_path, volume):
        make(tmp_path / "a.zarr", volume)
        (tmp_path / "b.h5").write_text("years")
        (tmp_path / "b.zarr").mkdir()
        self.refuse(tmp_path, "b.h5", FileExistsError, "exists; --overwrite")
        self.refuse(tmp_path, "b.zarr", FileExistsError, "exists; --overwrite")
        self.refuse(tmp_path, "b.h5", FileExistsError, "not an HDF5 file", overwrite=True)
        self.refuse(tmp_path, "b.zarr", FileExistsError, "not a zarr store", overwrite=True)
        assert (tmp_path / "b.h5").read_text() == "years"
        self.refuse(tmp_path, "no/b.h5", FileNotFoundError, "not a directory")
        self.refuse(tmp_path, "a.zarr", ValueError, "its own source", overwrite=True)
        self.refuse(tmp_path, "a.zarr/b.zarr", ValueError, "its own source")

    def test_overwrite(self, tmp_path, volume):
        make(tmp_path / "a.zarr", volume)
        for target in ("b.h5", "b.zarr"):
            convert(tmp_path / "a.zarr", tmp_path / target)
            root = make(tmp_path / "a.zarr", volume[:20])
            convert(tmp_path / "a.zarr", tmp_path / target, overwrite=True)
            np.testing.assert_array_equal(voxels(tmp_path / target), root["0"][...])

    def test_sources_that_are_none(self, tmp_path):
        self.refuse(tmp_path, "b.zarr", FileNotFoundError, "neither a file nor a directory")
        (tmp_path / "a.zarr").write_text("no HDF5")
        self.refuse(tmp_path, "b.zarr", ValueError, "is not an HDF5 file")
        (tmp_path / "a.zarr").unlink()
        (tmp_path / "a.zarr").mkdir()
        self.refuse(tmp_path, "b.zarr", FileNotFoundError, "is not a zarr store")

    @pytest.mark.parametrize("target", ["b.zarr", "b.h5"])
    def test_payloads_behind_another_codec(self, tmp_path, volume, target):
        root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
        root.create_array("0", shape=volume.shape, dtype="f4", serializer=CODEC.serializer())
        self.refuse(tmp_path, target, ValueError, "chunks of 0 are no payloads alone.* ZstdCodec")

    def test_a_filter_before_the_codec(self, tmp_path, volume):
        from numcodecs import Delta

        root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
        root.create_array("0", shape=volume.shape, dtype="f4", filters=[Delta("f4")], compressors=CODEC)
        self.refuse(tmp_path, "b.zarr", ValueError, "no payloads alone.* Delta, INRCodec")

    @pytest.mark.parametrize("target", ["b.zarr", "b.h5"])
    def test_damaged_and_foreign_payloads(self, tmp_path, volume, target):
        make(tmp_path / "a.zarr", volume)
        file = tmp_path / "a.zarr/0/c/0/1/0"
        good = file.read_bytes()
        fitted = INRCodec.fit(volume, snr=25, effort=0, chunks=16)
        for bad, message in (
            (good[:-1], "checksum"),
            (CODEC.encode(volume[:16, :16, :8]), r"payload holds \(16, 16, 8\)"),
            (CODEC.encode(volume[:16, :16, :16].astype("f8")), "float64"),
            (fitted.encode(volume[:16, :16, :16]), "volume scope needs networks .*, not none"),
        ):
            file.write_bytes(bad)
            self.refuse(tmp_path, target, PayloadError, rf"chunk \(0, 1, 0\) of 0: .*{message}")

    def test_a_damaged_shard(self, tmp_path, volume):
        make(tmp_path / "a.zarr", volume, shards=(32, 32, 32))
        file = tmp_path / "a.zarr/0/c/0/0/0"
        file.write_bytes(file.read_bytes()[:-1])
        self.refuse(tmp_path, "b.zarr", ValueError, r"shard \(0, 0, 0\) of 0: checksum mismatch")

    @pytest.mark.parametrize("other", [">f4", "F"])
    def test_chunks_of_two_orders_in_format_2(self, tmp_path, volume, other):
        make(tmp_path / "a.zarr", volume)
        chunk = volume[:16, :16, :16]
        chunk = np.asfortranarray(chunk) if other == "F" else np.ascontiguousarray(chunk, other)
        (tmp_path / "a.zarr/0/c/0/1/0").write_bytes(CODEC.encode(chunk))
        self.refuse(tmp_path, "b.zarr", ValueError, "one byte order and one memory order", zarr_format=2)
        for name in ("b.zarr", "b.h5"):
            convert(tmp_path / "a.zarr", tmp_path / name)
            np.testing.assert_array_equal(voxels(tmp_path / name), voxels(tmp_path / "a.zarr"))

    @pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
    def test_text(self, tmp_path, volume):
        root = make(tmp_path / "a.zarr", volume, 2)
        root.create_array("names", shape=(2,), dtype="U3")[...] = ["a", "b"]
        for target in ("b.zarr", "b.h5"):
            self.refuse(tmp_path, target, ValueError, "array names is of dtype <U3: only numbers")


class TestInterrupted:
    @pytest.mark.parametrize("target", ["b.zarr", "b.h5"])
    def test_an_interrupt_leaves_nothing(self, tmp_path, volume, target):
        make(tmp_path / "a.zarr", volume)

        def stop(fraction):
            if fraction > 0.3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            convert(tmp_path / "a.zarr", tmp_path / target, progress=stop)
        assert {path.name for path in tmp_path.iterdir()} == {"a.zarr"}

    @pytest.mark.parametrize("target", ["b.zarr", "b.h5"])
    def test_a_kill_leaves_nothing_under_the_target_s_name(self, tmp_path, volume, target):
        make(tmp_path / "a.zarr", volume)
        code = """
            import os, signal, sys
            from inrcodec.convert import convert
            def stop(fraction):
                if fraction > 0.5:
                    os.kill(os.getpid(), signal.SIGKILL)
            convert(sys.argv[1], sys.argv[2], progress=stop)
        """
        arguments = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "a.zarr", tmp_path / target]
        assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
        assert not (tmp_path / target).exists()
        convert(tmp_path / "a.zarr", tmp_path / target)
        np.testing.assert_array_equal(voxels(tmp_path / target), voxels(tmp_path / "a.zarr"))


def test_nothing_is_encoded_or_decoded(tmp_path, volume, monkeypatch):
    make(tmp_path / "a.zarr", volume)
    for name in ("encode_many", "decode_many", "decode_region"):
        for module in [m for m in sys.modules.values() if m.__name__.startswith("inrcodec")]:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, None)
    for source, target in (("a.zarr", "b.zarr"), ("b.zarr", "b.h5"), ("b.h5", "c.zarr")):
        assert convert_module.convert(tmp_path / source, tmp_path / target) == 8


def test_progress_is_complete(tmp_path, volume):
    make(tmp_path / "a.zarr", volume, shards=(32, 32, 32))
    seen = []
    convert(tmp_path / "a.zarr", tmp_path / "b.zarr", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_copying_needs_no_torch(tmp_path, monkeypatch, chunk):
    """The codec says effort 3, and nothing is encoded: its payloads are there."""
    trained = INRCodec(max_error=BOUND)
    payload = CODEC.encode(chunk)
    root = zarr.open_group(str(tmp_path / "x.zarr"), mode="w", zarr_format=3)
    how = {"chunks": chunk.shape, "serializer": trained.serializer(), "compressors": None}
    root.create_array("0", shape=chunk.shape, dtype="f4", **how)
    file = tmp_path / "x.zarr/0/c/0/0/0"
    file.parent.mkdir(parents=True)
    file.write_bytes(payload)
    monkeypatch.setattr(encoder, "has_torch", lambda: False)
    for target in ("x.h5", "y.zarr"):
        assert convert(tmp_path / "x.zarr", tmp_path / target) == 1
        assert payloads(tmp_path / target) == {(0, 0, 0): payload}
        assert voxels(tmp_path / target).tobytes() == CODEC.decode(payload).tobytes()
