"""Paths and URLs alike, and no credentials in what is shown."""

from __future__ import annotations

import pytest

pytest.importorskip("fsspec")

import fsspec

from inrcodec import urls


@pytest.fixture(params=["path", "local URL", "memory URL"])
def place(request, tmp_path):
    """A directory or prefix with three files, as a path and as URLs."""
    content = {"a": b"1", "b/c": b"22", "b/d/e": b"333"}
    if request.param == "memory URL":
        fs = fsspec.filesystem("memory")
        for name, data in content.items():
            fs.pipe_file(f"/urls/{name}", data)
        yield "memory://urls"
        fs.rm("/urls", recursive=True)
        return
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(data)
    yield str(tmp_path) if request.param == "path" else tmp_path.as_uri()


class TestFiles:
    def test_files(self, place):
        assert urls.files(place) == {"a": 1, "b/c": 2, "b/d/e": 3}

    def test_read_in_order(self, place, monkeypatch):
        monkeypatch.setattr(urls, "_AT_ONCE", 2)
        assert list(urls.read(place, ["b/d/e", "a", "b/c"])) == [
            ("b/d/e", b"333"),
            ("a", b"1"),
            ("b/c", b"22"),
        ]

    def test_write(self, place):
        urls.write(f"{place}/a", b"new")
        assert dict(urls.read(place, ["a"])) == {"a": b"new"}
        assert set(urls.files(place)) == {"a", "b/c", "b/d/e"}

    def test_exists(self, place):
        assert urls.exists(f"{place}/a")
        assert not urls.exists(f"{place}/z")

    def test_local_copy(self, place):
        with urls.local_copy(f"{place}/b/c") as path:
            assert path.name == "c"
            assert path.read_bytes() == b"22"
        assert path.exists() == (not urls.is_url(place))

    def test_local_target(self, place):
        with urls.local_target(f"{place}/new") as path:
            path.write_bytes(b"4444")
        assert urls.files(place)["new"] == 4

    def test_a_target_that_fails_is_not_put(self, place):
        if not urls.is_url(place):
            pytest.skip("paths are written in place")

        def fail():
            with urls.local_target(f"{place}/new") as path:
                path.write_bytes(b"4444")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert "new" not in urls.files(place)


def test_upload_puts_what_comes_last_last(tmp_path, monkeypatch):
    for name in ("z", "a", "m/n"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    fs = fsspec.filesystem("memory")
    put = []
    real = fs.pipe_file
    monkeypatch.setattr(
        type(fs),
        "pipe_file",
        lambda self, path, data, **k: (put.append(sorted(urls.files("memory://up"))), real(path, data))[1],
    )
    urls.upload(tmp_path, "memory://up", ["z", "a"])
    assert put == [["m/n"], ["m/n", "z"]]
    assert urls.files("memory://up") == {"m/n": 3, "z": 1, "a": 1}
    urls.remove("memory://up", ["m/n", "z", "a"])
    assert urls.files("memory://up") == {}


@pytest.mark.parametrize(
    ("place", "shown", "name"),
    [
        ("/data/a.map", "/data/a.map", "a.map"),
        ("s3://bucket/a.map", "s3://bucket/a.map", "a.map"),
        ("s3://KEY:SECRET@bucket/a.map", "s3://bucket/a.map", "a.map"),
        ("https://host/a.map?X-Amz-Signature=abc#part", "https://host/a.map", "a.map"),
        ("simplecache::ftp://me:pass@host/a.map", "simplecache::ftp://host/a.map", "a.map"),
        ("inr://a.mrc::https://host/a.mrc.inr?sig=1", "inr://a.mrc::https://host/a.mrc.inr", "a.mrc"),
    ],
)
def test_public(place, shown, name):
    assert urls.public(place) == shown
    assert urls.redacted(f"no {place}!", place) == f"no {shown}!"
    assert urls.name_of(place) == name


def test_with_path():
    assert urls.with_path("s3://b/maps/", "b/maps", "b/maps/a.mrc") == "s3://b/maps/a.mrc"
    assert urls.with_path("s3://s", "s", "s/a.mrc") == "s3://s/a.mrc"
    assert urls.with_path("memory://tree", "/tree", "/tree/a") == "memory://tree/a"
    assert urls.with_path("zip://*::s3://b/*.zip", "*", "a.mrc") == "zip://a.mrc::s3://b/*.zip"
    with pytest.raises(ValueError, match="does not have 'c' in it"):
        urls.with_path("s3://b", "c", "d")


class TestErrors:
    def test_missing(self):
        with pytest.raises(FileNotFoundError, match="memory://no"), urls.local_copy("memory://no/a.mrc"):
            pass

    def test_unknown_protocol(self):
        with pytest.raises(ValueError, match="nosuch"):
            urls.open_filesystem("nosuch://a")

    def test_errors_of_other_libraries_are_os_errors(self):
        class Strange(Exception):
            pass

        with (
            pytest.raises(OSError, match=r"ftp://host/a: no \.\.\."),
            urls.reported("ftp://me:secret@host/a"),
        ):
            raise Strange("no secret")
