"""Archives: complete whatever happens on the way, and a manifest that tells the truth."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import zarr
from conftest import blobs
from mrc_files import QUICK, write_map

from inrcodec import archive, cli, executors, maps, store
from inrcodec.options import MapOptions

OPTIONS = MapOptions.from_mapping(QUICK)
ARGUMENTS = ["--snr", "25", "--effort", "0", "--chunks", "10"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Four tiny maps in two folders, and the working directory above them."""
    for number, name in enumerate(["in/a.mrc", "in/b.map", "in/deep/c.rec", "in/deep/a.mrc"]):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        write_map(tmp_path / name, blobs((11, 10, 9), seed=number).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def manifest_of(destination):
    return json.loads(Path(f"{destination}.manifest.json").read_text())["maps"]


def check(destination, complete=None):
    """What is listed as finished is, and nothing else is seen; where so many are expected, they verify."""
    listed = {}
    if Path(f"{destination}.manifest.json").exists():
        listed = {r["target"]: r for r in manifest_of(destination) if r["status"] != "failed"}
    group = zarr.open_group(str(destination), mode="r")
    seen = dict(group.members())
    assert set(listed) <= set(seen)
    for name, member in seen.items():
        recorded = member.attrs[store.ATTRIBUTE]["array_sha256"]
        assert store.array_digest(Path(destination) / name) == recorded
    if complete is not None:
        assert len(listed) == len(seen) == complete
        for record in listed.values():
            assert maps.verify(record["source"], Path(destination) / record["target"]).met


class TestRun:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_all_maps_of_a_folder(self, here, zarr_format):
        before = {p: p.read_bytes() for p in here.rglob("*.*") if p.is_file()}
        seen = []
        records = archive.run(
            ["in"], "all", options=OPTIONS, zarr_format=zarr_format, progress=lambda *a: seen.append(a)
        )
        assert [record["status"] for record in records] == ["archived"] * 4
        names = [record["target"] for record in records]
        assert names[1:3] == ["b", "c"] or sorted(names)[2:] == ["b", "c"]
        assert sum(name.startswith("a-") for name in names) == 2
        check("all", complete=4)
        assert set(names) == {p.name for p in Path("all").iterdir() if p.is_dir()}
        assert {p.name for p in here.iterdir()} == {"in", "all", "all.manifest.json"}
        total = sum(path.stat().st_size for path in before)
        assert seen[0] == (0, 4, 0, total)
        assert seen[-1] == (4, 4, total, total)
        assert {path: path.read_bytes() for path in before} == before  # no source is touched

    def test_in_processes(self, here):
        records = archive.run(["in"], "all", options=OPTIONS, executor=executors.processes(2))
        assert [record["status"] for record in records] == ["archived"] * 4
        alone = archive.run(["in"], "alone", options=OPTIONS)
        key = "target"
        assert sorted(records, key=lambda r: r[key]) == sorted(alone, key=lambda r: r[key])

    def test_more_maps_later(self, here, monkeypatch):
        archive.run(["in/a.mrc", "in/b.map"], "all", options=OPTIONS)
        made = []
        real = maps.compress
        monkeypatch.setattr(
            maps, "compress", lambda *a, **k: (made.append(Path(a[0]).name), real(*a, **k))[1]
        )
        records = archive.run(["in"], "all", options=OPTIONS, verify=True)
        assert sorted(made) == ["a.mrc", "c.rec"]
        assert {record["status"] for record in records} == {"verified"}
        assert {r["target"] for r in manifest_of("all")} >= {"a", "b", "c"}
        check("all", complete=4)

    def test_one_bad_source_does_not_stop_the_others(self, here):
        (here / "in/b.map").write_bytes(b"noise" * 1000)
        records = archive.run(["in", "gone.mrc"], "all", options=OPTIONS)
        failed = {Path(r["source"]).name: r["reason"] for r in records if r["status"] == "failed"}
        assert set(failed) == {"b.map", "gone.mrc"}
        assert "b.map" in failed["b.map"]
        assert "No such file" in failed["gone.mrc"]
        check("all", complete=3)
        assert {r["target"] for r in manifest_of("all") if r["status"] == "failed"} == {"b", "gone"}

    def test_a_process_that_dies_is_a_failure(self, here):
        def dies(function, tasks):
            for task in tasks:
                yield task, MemoryError() if task.name == "b" else function(task)

        records = archive.run(["in"], "all", options=OPTIONS, executor=dies)
        assert [r["reason"] for r in records if r["status"] == "failed"] == ["MemoryError"]
        check("all", complete=3)

    def test_the_manifest_is_saved_when_interrupted(self, here):
        def interrupted(function, tasks):
            yield tasks[0], function(tasks[0])
            yield tasks[1], function(tasks[1])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            archive.run(["in"], "all", options=OPTIONS, executor=interrupted)
        assert len(manifest_of("all")) == 2
        check("all", complete=2)

    def test_urls_on_both_sides(self, here):
        fsspec = pytest.importorskip("fsspec")
        fs = fsspec.filesystem("memory")
        fs.put(str(here / "in"), "/in", recursive=True)
        try:
            records = archive.run(["memory://in"], "memory://all", options=OPTIONS, verify=True)
            assert [record["status"] for record in records] == ["verified"] * 4
            again = archive.run(["memory://in"], "memory://all", options=OPTIONS, verify=True)
            assert again == records
            local = archive.run(["in"], "all", options=OPTIONS)
            assert {r["sha256"]: r["snr"] for r in local} == {r["sha256"]: r["snr"] for r in records}
            fs.get("/all", str(here / "copy"), recursive=True)
            fs.get("/all.manifest.json", str(here / "copy.manifest.json"))
            assert len(manifest_of("copy")) == len(dict(zarr.open_group("copy", mode="r").members())) == 4
        finally:
            fs.rm("/in", recursive=True)
            fs.rm("/all", recursive=True)
            fs.rm("/all.manifest.json")


class TestDestination:
    @pytest.mark.parametrize(
        ("destination", "error", "message"),
        [
            ("no/all", FileNotFoundError, "no is not a directory"),
            ("in", FileExistsError, "in is not a zarr group"),
            ("in/a.mrc", FileExistsError, "a.mrc is not a zarr group"),
            ("old", FileExistsError, "group of another format than 3"),
        ],
    )
    def test_refused(self, here, destination, error, message):
        zarr.open_group("old", mode="w", zarr_format=2)
        before = sorted(here.rglob("*"))
        with pytest.raises(error, match=message):
            archive.run(["in"], destination, options=OPTIONS)
        assert sorted(here.rglob("*")) == before

    def test_no_manifest_of_another_kind(self, here):
        zarr.open_group("all", mode="w", zarr_format=3)
        Path("all.manifest.json").write_text("mine")
        with pytest.raises(ValueError, match="no manifest"):
            archive.run(["in"], "all", options=OPTIONS)
        assert Path("all.manifest.json").read_text() == "mine"

    def test_training_without_torch(self, here, monkeypatch):
        monkeypatch.setattr(archive.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ModuleNotFoundError, match="torch"):
            archive.run(["in"], "all")
        assert not Path("all").exists()


class TestCommand:
    def run(self, capsys, *arguments):
        code = cli.main(["archive", *arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    def test_summary(self, here, capsys):
        code, out, err = self.run(capsys, "in", "all", *ARGUMENTS, "--verify", "--workers", "2")
        assert (code, err) == (0, "")
        records = manifest_of("all")
        stored = sum(record["bytes"]["stored"] for record in records)
        assert out.splitlines() == [
            "maps            4 verified",
            f"bytes           {stored:,} in all, densities {4 * 11 * 10 * 9 * 4:,}",
            f"ratio           {4 * 11 * 10 * 9 * 4 / stored:.2f}",
        ]

    def test_failures(self, here, capsys):
        (here / "in/b.map").write_bytes(b"noise" * 1000)
        code, out, err = self.run(capsys, "in", "all", *ARGUMENTS)
        assert code == 1
        assert "maps            3 archived, 1 failed" in out
        assert err.startswith(f"inrcodec: {here / 'in/b.map'}: ")
        assert err.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["in", "no/all"], "no is not a directory"),
            (["empty", "all"], "there is no map in"),
            (["in", "all", "--workers", "0"], "workers must be at least 1, got 0"),
            (["in", "all", "--ratio", "0.1"], "ratio must be at least 1"),
        ],
    )
    def test_bad_usage(self, here, capsys, arguments, message):
        Path("empty").mkdir()
        code, out, err = self.run(capsys, *arguments, "--effort", "0")
        assert (code, out) == (2, "")
        assert message in err
        assert not Path("all").exists()

    def test_interrupted(self, here, capsys, monkeypatch):
        def interrupted(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(archive, "run", interrupted)
        code, _, err = self.run(capsys, "in", "all")
        assert code == 130
        assert err == "inrcodec: interrupted; the same command goes on from here\n"

    def test_one_bar(self, here, monkeypatch):
        import io

        class Terminal(io.StringIO):
            def isatty(self):
                return True

        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert cli.main(["archive", "in", "all", *ARGUMENTS]) == 0
        assert "4 of 4 maps" in terminal.getvalue()
        assert "writing" not in terminal.getvalue()


KILLED = """
import os, signal, sys
from inrcodec import archive, cli

def kill_before(number, place):
    left = [number]
    def count(event, arguments):
        changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if changes and place in os.path.abspath(str(arguments[0])):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

for line in sys.stdin:  # each run is a process of its own, without the seconds that imports take
    number, destination = line.split()
    child = os.fork()
    if child == 0:
        kill_before(int(number), destination)
        os._exit(cli.main(["archive", *sys.argv[1:], "in", destination]))
    print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_twenty_kills(here):
    """Killed with SIGKILL just before a change of the archive, drawn at random; then the rerun finishes."""
    numbers = random.Random(7)
    kills, rounds = 0, 0
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *ARGUMENTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runs:
        while kills < 20:
            destination = f"all{rounds}"
            print(numbers.randint(1, 150), destination, file=runs.stdin, flush=True)
            code = next(line for line in runs.stdout if line.startswith("exit ")).split()[1]
            if (here / destination / "zarr.json").exists():
                check(destination)
            if code == "-9":
                kills += 1
            else:
                assert code == "0"
                check(destination, complete=4)
                rounds += 1
        runs.stdin.close()
    assert rounds >= 1
    records = archive.run(["in"], destination, options=OPTIONS, verify=True)
    assert [record["status"] for record in records] == ["verified"] * 4
    check(destination, complete=4)
    left = {path.name for path in (here / destination).iterdir()}
    assert left == {record["target"] for record in records} | {"zarr.json"}
    assert not (here / f".{destination}.partial").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_with_workers(here):
    """The parent is killed once a first map is done; the rerun finishes what two processes were at."""
    code = textwrap.dedent("""
        import os, signal, sys
        from inrcodec import cli, manifest

        if __name__ == "__main__":
            save = manifest.Manifest.save
            def killed(self):
                save(self)
                if self.records:
                    os.kill(os.getpid(), signal.SIGKILL)
            manifest.Manifest.save = killed
            sys.exit(cli.main(["archive", *sys.argv[1:], "--workers", "2"]))
    """)
    (here / "killed.py").write_text(code)
    done = subprocess.run([sys.executable, "killed.py", *ARGUMENTS, "in", "all"], timeout=120)
    assert done.returncode == -9
    assert len(manifest_of("all")) == 1
    check("all")
    records = archive.run(["in"], "all", options=OPTIONS)
    assert [record["status"] for record in records] == ["archived"] * 4
    check("all", complete=4)
