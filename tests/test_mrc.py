"""Maps in and out: every byte of the headers, every mode, both byte orders, and files that are broken."""

from __future__ import annotations

import bz2
import gzip
import struct

import mrcfile
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inrcodec import mrc

DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def map_bytes(
    data,
    *,
    order="<",
    extended=b"",
    cell=None,
    axes=(1, 2, 3),
    start=(0, 0, 0),
    origin=(0.0, 0.0, 0.0),
    ispg=1,
    mode=None,
):
    """An MRC file of 3-D data, with words that no writer would compute: dmin > dmax, odd labels."""
    nz, ny, nx = data.shape
    modes = {np.dtype(name): mode for mode, name in DTYPES.items()}
    mode = modes[data.dtype.newbyteorder("=")] if mode is None else mode
    cell = cell if cell is not None else (1.5 * nx, 1.5 * ny, 1.5 * nz)
    header = struct.pack(f"{order}10i", nx, ny, nz, mode, *start, nx, ny, nz)
    header += struct.pack(f"{order}6f3i3f2i", *cell, 90, 90, 90, *axes, 5.0, -5.0, 0.25, ispg, len(extended))
    header += bytes(8) + b"SERI" + struct.pack(f"{order}i", 20140) + bytes(range(84))
    header += struct.pack(f"{order}3f", *origin) + b"MAP " + (b"DD\0\0" if order == "<" else b"\x11\x11\0\0")
    header += struct.pack(f"{order}fi", 9.0, 7) + bytes(range(200)) * 4
    assert len(header) == 1024
    return header + extended + data.astype(data.dtype.newbyteorder(order)).tobytes()


@pytest.fixture
def data():
    return np.random.default_rng(3).normal(scale=30, size=(3, 4, 5))


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("mode", DTYPES)
@pytest.mark.parametrize("extended", [b"", bytes(range(160))], ids=["plain", "extended"])
def test_round_trip_is_identical(tmp_path, data, order, mode, extended):
    original = map_bytes(np.abs(data).astype(DTYPES[mode]), order=order, extended=extended)
    (tmp_path / "a.mrc").write_bytes(original)
    volume = mrc.open_volume(tmp_path / "a.mrc")
    assert volume.data.dtype == np.dtype(DTYPES[mode]).newbyteorder(order)
    assert (volume.header, volume.extended_header) == (original[:1024], extended)
    native = volume.data.astype(DTYPES[mode])
    mrc.write_mrc(tmp_path / "b.mrc", native, volume.header, volume.extended_header)
    assert (tmp_path / "b.mrc").read_bytes() == original


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed(tmp_path, data, suffix, compress):
    original = map_bytes(data.astype("f4"))
    path = tmp_path / f"a.map{suffix}"
    path.write_bytes(compress(original))
    volume = mrc.open_volume(path)
    assert volume.header == original[:1024]
    np.testing.assert_array_equal(volume.data, data.astype("f4"))
    mrc.write_mrc(tmp_path / f"b.map{suffix}", volume.data, volume.header)
    opener = {".gz": gzip.open, ".bz2": bz2.open}[suffix]
    with opener(tmp_path / f"b.map{suffix}") as file:
        assert file.read() == original


@pytest.mark.parametrize("name", ["a.mrc", "a.map", "a.ccp4", "a.rec", "a.st"])
def test_names_do_not_matter(tmp_path, data, name):
    (tmp_path / name).write_bytes(map_bytes(data.astype("i2")))
    assert mrc.open_volume(tmp_path / name).data.shape == (3, 4, 5)


def test_agrees_with_mrcfile(tmp_path, data):
    with mrcfile.new(tmp_path / "a.mrc", data.astype("f4")) as file:
        file.voxel_size = (1.0, 2.0, 3.0)
        file.header.origin.x = 7.5
    volume = mrc.open_volume(tmp_path / "a.mrc")
    assert volume.voxel_size == (3.0, 2.0, 1.0)
    assert volume.origin == (0.0, 0.0, 7.5)
    assert volume.axes == ("z", "y", "x")


class TestGeometry:
    def read(self, tmp_path, data, **words):
        (tmp_path / "a.mrc").write_bytes(map_bytes(data.astype("f4"), **words))
        return mrc.open_volume(tmp_path / "a.mrc")

    def test_axis_order(self, tmp_path, data):
        # Columns along z, rows along x, sections along y; cell and grid are given along x, y and z.
        volume = self.read(tmp_path, data, axes=(3, 1, 2), cell=(5.0, 8.0, 9.0), start=(1, 2, 3))
        assert volume.axes == ("y", "x", "z")
        assert volume.voxel_size == pytest.approx((8 / 4, 5 / 5, 9 / 3))
        assert volume.origin == pytest.approx((3 * 2.0, 2 * 1.0, 1 * 3.0))

    def test_origin_words_win_over_start(self, tmp_path, data):
        volume = self.read(tmp_path, data, start=(-2, -2, -2), origin=(1.0, 2.0, 3.0))
        assert volume.origin == (3.0, 2.0, 1.0)

    def test_start_is_used_without_origin(self, tmp_path, data):
        assert self.read(tmp_path, data, start=(-2, -3, -4)).origin == (-6.0, -4.5, -3.0)

    @pytest.mark.parametrize("cell", [(0.0, 0.0, 0.0), (float("nan"), 1.0, -2.0)])
    def test_no_voxel_size(self, tmp_path, data, cell):
        volume = self.read(tmp_path, data, cell=cell)
        assert volume.voxel_size[0] == 0.0
        assert volume.voxel_size[2] == 0.0

    @pytest.mark.parametrize("axes", [(0, 0, 0), (1, 1, 3), (7, 2, 3)])
    def test_senseless_axes_are_taken_as_usual(self, tmp_path, data, axes):
        assert self.read(tmp_path, data, axes=axes).axes == ("z", "y", "x")

    def test_voxel_size_has_the_digits_of_the_header(self, tmp_path, data):
        assert self.read(tmp_path, data, cell=(5 * 1.05, 4 * 0.834, 3 * 7.84)).voxel_size == (
            7.84,
            0.834,
            1.05,
        )

    def test_stack_of_volumes(self, tmp_path):
        original = bytearray(map_bytes(np.zeros((6, 4, 5), "f4"), ispg=401))
        original[36:40] = struct.pack("<i", 3)  # MZ: sections per volume
        (tmp_path / "a.mrc").write_bytes(original)
        volume = mrc.open_volume(tmp_path / "a.mrc")
        assert volume.data.shape == (2, 3, 4, 5)
        assert volume.axes == ("volume", "z", "y", "x")
        assert len(volume.voxel_size) == 3
        mrc.write_mrc(tmp_path / "b.mrc", volume.data, volume.header)
        assert (tmp_path / "b.mrc").read_bytes() == original

    def test_image(self, tmp_path):
        (tmp_path / "a.mrc").write_bytes(map_bytes(np.zeros((1, 4, 5), "f4"), ispg=0))
        volume = mrc.open_volume(tmp_path / "a.mrc")
        assert volume.data.shape == (4, 5)
        assert volume.axes == ("y", "x")
        assert volume.voxel_size == (1.5, 1.5)


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("mode", "what"),
        [(3, "complex int16"), (4, "complex float32"), (16, "RGB"), (101, "4-bit"), (9, "mode 9")],
    )
    def test_unsupported_mode(self, tmp_path, data, mode, what):
        (tmp_path / "a.mrc").write_bytes(map_bytes(data.astype("f4"), mode=mode))
        with pytest.raises(ValueError, match=rf"a\.mrc: MRC mode {mode} .*not supported") as error:
            mrc.open_volume(tmp_path / "a.mrc")
        assert what in str(error.value)

    @pytest.mark.parametrize("length", [0, 1023, 1024, 1100])
    def test_cut_short(self, tmp_path, data, length):
        (tmp_path / "a.mrc").write_bytes(map_bytes(data.astype("f4"))[:length])
        with pytest.raises(ValueError, match=r"a\.mrc"):
            mrc.open_volume(tmp_path / "a.mrc")

    @pytest.mark.parametrize("compress", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
    def test_compressed_and_cut_short(self, tmp_path, data, compress):
        path = tmp_path / "a.mrc"
        path.write_bytes(compress(map_bytes(np.tile(data, (9, 9, 9)).astype("f4")))[:-2000])
        with pytest.raises(ValueError, match=r"a\.mrc"):
            mrc.open_volume(path)

    def test_not_a_map(self, tmp_path):
        (tmp_path / "a.mrc").write_bytes(b"\x55" * 3000)
        with pytest.raises(ValueError, match=r"a\.mrc.*not an MRC file"):
            mrc.open_volume(tmp_path / "a.mrc")

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            mrc.open_volume(tmp_path / "a.mrc")

    @pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
    def test_permissive(self, tmp_path, data, order):
        original = bytearray(map_bytes(data.astype("f4"), order=order))
        original[208:216] = bytes(8)  # neither MAP mark nor machine stamp
        (tmp_path / "a.mrc").write_bytes(original)
        with pytest.raises(ValueError, match="permissive"):
            mrc.open_volume(tmp_path / "a.mrc")
        with pytest.warns(RuntimeWarning):
            volume = mrc.open_volume(tmp_path / "a.mrc", permissive=True)
        np.testing.assert_array_equal(volume.data, data.astype("f4"))
        mrc.write_mrc(tmp_path / "b.mrc", volume.data, volume.header)
        assert (tmp_path / "b.mrc").read_bytes() == original

    @settings(max_examples=50, deadline=None)
    @given(position=st.integers(0, 1023), value=st.integers(0, 255), permissive=st.booleans())
    @example(position=3, value=128, permissive=False)  # a negative length
    @example(position=92, value=97, permissive=True)  # more extended header than there are bytes
    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_any_header_byte_changed(self, tmp_path_factory, position, value, permissive):
        path = tmp_path_factory.mktemp("fuzz") / "a.mrc"
        original = bytearray(map_bytes(np.ones((2, 3, 4), "f4")))
        original[position] = value
        path.write_bytes(original)
        try:
            header = mrc.open_volume(path, permissive=permissive).header
        except ValueError:
            return
        assert header == original[:1024]


class TestWriting:
    def write(self, tmp_path, **changes):
        original = map_bytes(np.ones((2, 3, 4), "f4"))
        arguments = {"data": np.ones((2, 3, 4), "f4"), "header": original[:1024], **changes}
        mrc.write_mrc(tmp_path / "a.mrc", **arguments)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"data": np.ones((2, 3, 5), "f4")}, "header describes"),
            ({"data": np.ones((2, 3, 4), "f8")}, "header describes"),
            ({"header": bytes(100)}, "1024 bytes"),
            ({"extended_header": b"abc"}, "announces 0 bytes"),
        ],
    )
    def test_refused(self, tmp_path, changes, message):
        with pytest.raises(ValueError, match=message):
            self.write(tmp_path, **changes)
        assert not list(tmp_path.iterdir())

    def test_a_failure_leaves_the_old_file(self, tmp_path, monkeypatch):
        (tmp_path / "a.mrc").write_bytes(b"old")

        def interrupted(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(mrc.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.write(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["a.mrc"]
        assert (tmp_path / "a.mrc").read_bytes() == b"old"
