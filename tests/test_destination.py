"""Stores appear when they are complete, in directories and at URLs."""

from __future__ import annotations

import pytest
import zarr

from inrcodec import urls
from inrcodec.destination import Destination

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def fs():
    fs = fsspec.filesystem("memory")
    yield fs
    if fs.exists("/d"):
        fs.rm("/d", recursive=True)


def build(partial, zarr_format=3, text=b"chunk"):
    """A store with one array, as far as its files go."""
    zarr.open_group(str(partial), mode="w", zarr_format=zarr_format).create_array("0", shape=(1,), dtype="f4")
    (partial / "0" / "c").mkdir(exist_ok=True)
    (partial / "0" / "c" / "0").write_bytes(text)


class TestURL:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_metadata_come_last(self, fs, monkeypatch, zarr_format):
        order = []
        real = type(fs).pipe_file
        monkeypatch.setattr(
            type(fs),
            "pipe_file",
            lambda self, path, *a, **k: (order.append(path), real(self, path, *a, **k))[1],
        )
        with Destination("memory://d/s.zarr") as place:
            build(place.partial, zarr_format)
            place.commit()
        expected = ["0/zarr.json", "zarr.json"]
        if zarr_format == 2:
            expected = ["0/.zattrs", "0/.zarray", ".zattrs", ".zgroup"]
        assert [path.removeprefix("/d/s.zarr/") for path in order if "c/0" not in path] == expected
        assert "0/c/0" in urls.files("memory://d/s.zarr")
        assert not place.partial.exists()

    def test_nothing_without_commit(self, fs):
        with Destination("memory://d/s.zarr") as place:
            build(place.partial)
        assert not fs.exists("/d")
        assert not place.partial.exists()

    def test_replaced(self, fs):
        for text in (b"old", b"new"):
            with Destination("memory://d/s.zarr", overwrite=True) as place:
                build(place.partial, text=text)
                if text == b"old":
                    (place.partial / "0" / "c" / "1").write_bytes(b"more")
                place.commit()
        assert dict(urls.read("memory://d/s.zarr", ["0/c/0"])) == {"0/c/0": b"new"}
        assert set(urls.files("memory://d/s.zarr")) == {"zarr.json", "0/zarr.json", "0/c/0"}

    def test_while_it_is_replaced_there_is_no_array(self, fs, monkeypatch):
        with Destination("memory://d/s.zarr") as place:
            build(place.partial)
            place.commit()
        removed = []
        monkeypatch.setattr(urls, "remove", lambda url, names: removed.append(list(names)))
        with Destination("memory://d/s.zarr", overwrite=True) as place:
            build(place.partial)
            place.commit()
        assert removed == [["zarr.json", "0/zarr.json"], ["0/c/0"]]

    def test_what_a_killed_writer_left_is_replaced(self, fs):
        fs.pipe_file("/d/s.zarr/0/c/0", b"left")
        fs.pipe_file("/d/s.zarr/0/c/7", b"left")
        with Destination("memory://d/s.zarr") as place:
            build(place.partial)
            place.commit()
        assert set(urls.files("memory://d/s.zarr")) == {"zarr.json", "0/zarr.json", "0/c/0"}

    def test_refused(self, fs):
        fs.pipe_file("/d/s.zarr/zarr.json", b"{}")
        with pytest.raises(FileExistsError, match=r"memory://d/s.zarr exists; --overwrite"):
            Destination("memory://d/s.zarr")
        fs.pipe_file("/d/other/thesis.txt", b"years")
        with pytest.raises(FileExistsError, match="not a zarr store and is not replaced"):
            Destination("memory://d/other", overwrite=True)


class TestDirectory:
    def test_staged_elsewhere(self, tmp_path):
        (tmp_path / "staging").mkdir()
        with Destination(tmp_path / "s.zarr", staging=tmp_path / "staging") as place:
            assert place.partial.parent == tmp_path / "staging"
            build(place.partial)
            assert not (tmp_path / "s.zarr").exists()
            place.commit()
        assert (tmp_path / "s.zarr" / "zarr.json").exists()
        assert list((tmp_path / "staging").iterdir()) == []

    def test_nothing_without_commit(self, tmp_path):
        with Destination(tmp_path / "s.zarr") as place:
            build(place.partial)
        assert list(tmp_path.iterdir()) == []

    def test_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no is not a directory"):
            Destination(tmp_path / "no" / "s.zarr")
