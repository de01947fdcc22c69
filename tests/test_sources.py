"""Which maps are meant, and names that do not depend on the order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("fsspec")

import fsspec
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import sources
from inrcodec.sources import Source

TREE = ["a.mrc", "b.map.gz", "notes.txt", ".hidden.mrc", "deep/c.REC", "deep/er/d.st", ".cache/e.mrc"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in TREE:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments):
    return [source.place for source in sources.expand(arguments)]


class TestPaths:
    def test_folder(self, tree):
        names = ["a.mrc", "b.map.gz", "deep/c.REC", "deep/er/d.st"]
        assert found(".") == [str(tree / name) for name in names]
        assert sources.expand(["."])[0].nbytes == len("a.mrc")

    def test_pattern(self, tree):
        assert found("*") == [str(tree / "a.mrc"), str(tree / "b.map.gz")]
        assert found("**/*.st") == [str(tree / "deep/er/d.st")]

    def test_files_are_taken_whatever_they_are_called(self, tree):
        assert found("notes.txt", ".hidden.mrc") == [str(tree / "notes.txt"), str(tree / ".hidden.mrc")]

    def test_a_name_that_looks_like_a_pattern(self, tree):
        (tree / "a[1].mrc").write_text("")
        assert found("a[1].mrc") == [str(tree / "a[1].mrc")]

    def test_missing_files_stay(self, tree):
        assert sources.expand(["no.mrc"]) == [Source(str(tree / "no.mrc"), 0)]

    def test_once_each(self, tree):
        assert len(found("a.mrc", "./deep/../a.mrc", str(tree / "a.mrc"), ".")) == 4

    @pytest.mark.parametrize("argument", ["empty", "*.rec"])
    def test_nothing(self, tree, argument):
        (tree / "empty").mkdir()
        with pytest.raises(ValueError, match="there is no map in"):
            found(argument)


class TestURLs:
    @pytest.fixture(autouse=True)
    def memory(self):
        fs = fsspec.filesystem("memory")
        for name in TREE:
            fs.pipe_file(f"/tree/{name}", name.encode())
        yield
        fs.rm("/tree", recursive=True)

    def test_folder(self):
        names = ["a.mrc", "b.map.gz", "deep/c.REC", "deep/er/d.st"]
        assert found("memory://tree") == [f"memory://tree/{name}" for name in names]
        assert sources.expand(["memory://tree"])[0].nbytes == len("a.mrc")

    def test_pattern(self):
        assert found("memory://tree/*") == ["memory://tree/a.mrc", "memory://tree/b.map.gz"]

    def test_file(self):
        assert sources.expand(["memory://tree/notes.txt"]) == [Source("memory://tree/notes.txt", 9)]

    def test_missing(self):
        assert sources.expand(["memory://tree/no.mrc"]) == [Source("memory://tree/no.mrc", 0)]

    def test_chain(self, tree):
        chain = f"simplecache::{tree.as_uri()}"
        names = ["a.mrc", "b.map.gz", "deep/c.REC", "deep/er/d.st"]
        assert found(chain) == [f"{chain}/{name}" for name in names]
        assert found(f"{chain}/*.mrc") == [f"{chain}/a.mrc"]
        assert found(f"{chain}/a.mrc") == [f"{chain}/a.mrc"]


class TestNames:
    def test_plain(self):
        given_sources = [
            Source(p, 0) for p in ("/d/emd_1.map.gz", "s3://b/x y.mrc?sig=1", "/d/.mrc", "/d/manifest.json")
        ]
        names = sources.names(given_sources, {})
        assert names[:2] == ["emd_1", "x_y"]
        assert all(name.startswith("map-") for name in names[2:])

    def test_equal_names_are_told_apart(self):
        names = sources.names([Source("/a/x.mrc", 0), Source("/b/x.map", 0), Source("/c/y.mrc", 0)], {})
        assert names[2] == "y"
        assert len(set(names)) == 3
        assert all(name.startswith("x-") for name in names[:2])

    def test_known_ones_keep_theirs(self):
        given_sources = [Source("/a/x.mrc", 0), Source("/b/x.mrc", 0)]
        names = sources.names(given_sources, {"/a/x.mrc": "x"})
        assert names[0] == "x"
        assert names[1].startswith("x-")
        assert sources.names([Source("/c/x.mrc", 0)], {"/a/x.mrc": "x"})[0].startswith("x-")

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.sampled_from(["/a/x.mrc", "/b/x.map", "/c/y.rec", "/d/z.mrc", "/e/z.mrc"]), unique=True)
    )
    def test_the_order_does_not_matter(self, places):
        first = dict(zip(places, sources.names([Source(p, 0) for p in places], {}), strict=True))
        shuffled = random.Random(0).sample(places, len(places))
        assert first == dict(zip(shuffled, sources.names([Source(p, 0) for p in shuffled], {}), strict=True))
        assert len(set(first.values())) == len(first)
        assert all(Path(name).name == name for name in first.values())
