"""fsspec's doors to ``.mrc.inr`` files: compression and filesystem, reading, writing, finding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from mrc_files import QUICK, container_of, densities, write_map

from inrcodec.core import Target
from inrcodec.mrc_container import ContainerError

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("zarr.abc.codec", reason="maps are compressed with zarr 3")
fsspec_mrc = pytest.importorskip("inrcodec.fsspec_mrc")


@pytest.fixture
def original(tmp_path, volume):
    return write_map(tmp_path / "a.mrc", volume[:12, :12, :12], b"extended header")


@pytest.fixture
def file(tmp_path, original):
    (tmp_path / "a.mrc.inr").write_bytes(container_of(tmp_path / "a.mrc"))
    return tmp_path / "a.mrc.inr"


@pytest.fixture
def quick(monkeypatch):
    """The options as fsspec's configuration has them."""
    monkeypatch.setitem(fsspec.config.conf, "inr", dict(QUICK))


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    yield fs
    if fs.exists("/m"):
        fs.rm("/m", recursive=True)


def chained(path):
    return f"inr://{path.name.removesuffix('.inr')}::{path.as_uri()}"


class TestReading:
    def test_both_doors_give_the_same_map(self, file, original):
        with fsspec.open(str(file), compression="infer") as stream:
            inferred = stream.read()
        with fsspec.open(chained(file)) as stream:
            assert stream.read() == inferred
        assert inferred[: 1024 + 15] == original[: 1024 + 15]
        assert len(inferred) == len(original)

    def test_mrcfile_reads_it(self, file, volume):
        with fsspec.open(chained(file)) as stream:
            interpreter = mrcfile.mrcinterpreter.MrcInterpreter(iostream=stream)
            assert interpreter.voxel_size.x == 1.25
            assert interpreter.extended_header.tobytes() == b"extended header"
            decoded = np.array(interpreter.data)
        error = decoded - volume[:12, :12, :12]
        assert 10 * np.log10(volume[:12, :12, :12].var() / np.mean(error**2)) >= 25

    def test_the_file_is_closed(self, file):
        inner = open(file, "rb")  # noqa: SIM115
        with fsspec_mrc.open_compressed(inner, "rb") as stream:
            assert not inner.closed
        assert stream.closed
        assert inner.closed

    def test_what_is_no_such_file(self, tmp_path):
        (tmp_path / "x.mrc.inr").write_bytes(b"noise" * 1000)
        with pytest.raises(ContainerError, match=r"not a \.mrc\.inr file"):
            fsspec.open(str(tmp_path / "x.mrc.inr"), compression="inr").open()
        with pytest.raises(ContainerError, match=r"not a \.mrc\.inr file"):
            fsspec.open(chained(tmp_path / "x.mrc.inr")).open()


class TestWriting:
    def test_compression(self, tmp_path, original, quick):
        with fsspec.open(str(tmp_path / "b.mrc.inr"), "wb", compression="infer") as stream:
            stream.write(original)
        expected = container_of(tmp_path / "a.mrc")
        assert (tmp_path / "b.mrc.inr").read_bytes() == expected

    def test_filesystem(self, tmp_path, original):
        with fsspec.open(chained(tmp_path / "b.mrc.inr"), "wb", inr=QUICK) as stream:
            stream.write(original)
        assert (tmp_path / "b.mrc.inr").read_bytes() == container_of(tmp_path / "a.mrc")
        assert {path.name for path in tmp_path.iterdir()} == {"a.mrc", "b.mrc.inr"}

    def test_options_reach_the_file(self, tmp_path, original):
        with fsspec.open(
            chained(tmp_path / "b.mrc.inr"), "wb", inr={"max_error": 0.1, "effort": 0}
        ) as stream:
            stream.write(original)
        with fsspec.open(chained(tmp_path / "b.mrc.inr")) as stream:
            assert stream.head.settings.target == Target("max_error", 0.1)
            decoded = densities(stream.read())
        assert np.abs(decoded - densities(original)).max() <= 0.1

    def test_the_environment(self, tmp_path, original):
        """The whole of it as a user has it: no import of inrcodec, options in the environment."""
        code = (
            "import sys, fsspec\n"
            "with fsspec.open(sys.argv[1], 'wb') as out: out.write(open(sys.argv[2], 'rb').read())\n"
            "with fsspec.open(sys.argv[1]) as f: print(len(f.read()), f.head.settings.target.value)\n"
            "print(fsspec.open(sys.argv[3], compression='infer').compression)"
        )
        environment = {**os.environ, "FSSPEC_INR": json.dumps({"effort": 0}), "FSSPEC_INR_SNR": "21"}
        url = chained(tmp_path / "b.mrc.inr")
        arguments = [sys.executable, "-c", code, url, str(tmp_path / "a.mrc"), str(tmp_path / "b.mrc.inr")]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"{len(original)} 21.0", "inr"]

    @pytest.mark.parametrize("door", ["compression", "filesystem"])
    def test_other_files_are_refused(self, tmp_path, quick, door):
        path = tmp_path / "b.mrc.inr"
        place, how = (str(path), {"compression": "inr"}) if door == "compression" else (chained(path), {})

        def write():
            with fsspec.open(place, "wb", **how) as stream:
                stream.write(b"%PDF-1.7 " * 1000)

        with pytest.raises(ValueError, match="holds uncompressed MRC maps"):
            write()
        # fsspec has made the local file before the compression is asked; it reads as an error
        assert not path.exists() or path.read_bytes() == b""

    def test_a_refused_file_does_not_replace_the_old_one(self, file):
        before = file.read_bytes()
        stream = fsspec.open(chained(file), "wb").open()
        stream.write(b"noise")
        with pytest.raises(ValueError, match="header ends after 5 bytes"):
            stream.close()
        assert file.read_bytes() == before

    def test_another_filesystem(self, original, memory, quick):
        with fsspec.open("inr://b.mrc::memory://m/b.mrc.inr", "wb") as stream:
            stream.write(original)
        with fsspec.open("inr://b.mrc::memory://m/b.mrc.inr") as stream:
            assert stream.read(1024) == original[:1024]

    @pytest.mark.parametrize("mode", ["ab", "r+b"])
    def test_modes(self, file, mode):
        with pytest.raises(ValueError, match="whole maps, got mode"):
            fsspec.filesystem("inr", fo=str(file)).open("a.mrc", mode)
        with open(file, "rb") as inner, pytest.raises(ValueError, match="whole maps, got mode 'a'"):
            fsspec_mrc.open_compressed(inner, "a")

    def test_bad_options(self, tmp_path):
        with pytest.raises(ValueError, match="unknown options: quality"):
            fsspec.open(chained(tmp_path / "b.mrc.inr"), "wb", inr={"quality": 3})
        with open(tmp_path / "b.mrc.inr", "wb") as inner, pytest.raises(ValueError, match="unknown options"):
            fsspec_mrc.open_compressed(inner, "w", quality=3)


class TestFileSystem:
    def test_one_file(self, file, original):
        fs = fsspec.filesystem("inr", fo=str(file))
        assert fs.ls("", detail=False) == ["a.mrc"]
        assert fs.info("a.mrc") == {"name": "a.mrc", "size": len(original), "type": "file"}
        assert fs.exists("a.mrc")
        assert fs.glob("*.mrc") == ["a.mrc"]
        assert not fs.exists("b.mrc")
        with pytest.raises(FileNotFoundError, match=r"'b.mrc': .* holds 'a.mrc'"):
            fs.open("b.mrc")

    def test_ranges(self, file):
        fs = fsspec.filesystem("inr", fo=str(file))
        whole = fs.cat_file("a.mrc")
        assert fs.cat_file("a.mrc", 1000, 1100) == whole[1000:1100]
        assert fs.cat_file("a.mrc", -10) == whole[-10:]
        assert fs.cat_file("a.mrc", 10, 5) == b""

    def test_missing(self, tmp_path):
        fs = fsspec.filesystem("inr", fo=str(tmp_path / "a.mrc.inr"))
        assert fs.ls("") == []
        with pytest.raises(FileNotFoundError):
            fs.open("a.mrc")

    @pytest.mark.parametrize("fo", ["", "a.mrc", "/d/.inr", "a.mrc.inr/"])
    def test_names(self, fo):
        if fo == "a.mrc.inr/":
            assert fsspec.filesystem("inr", fo=fo)._name == "a.mrc"  # fsspec drops the slash
            return
        with pytest.raises(ValueError, match=r"files whose names end in \.inr"):
            fsspec.filesystem("inr", fo=fo)

    def test_a_cache_of_bytes(self, file):
        assert fsspec_mrc.INRFileSystem(fo=str(file), cache_bytes="0")._cache_bytes == 0


def test_empty_ranges_are_no_requests(memory):
    memory.pipe_file("/m/a", b"0123")
    assert fsspec_mrc.RangeSource(memory, "/m/a").read([(1, 1), (2, 4)]) == [b"", b"23"]


def test_example():
    example = Path(__file__).parent.parent / "examples" / "object_store.py"
    done = subprocess.run([sys.executable, "-W", "error", str(example)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("zarr: plane 30, (48, 48), largest error 0.0")
    assert lines[1] == "file: plane 30, (48, 48), 4 of 8 chunks decoded"
