"""Archives through a Dask cluster: the same as without it, also when its workers die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs
from mrc_files import QUICK, write_map

distributed = pytest.importorskip("distributed")
pytest.importorskip("zarr.abc.codec", reason="archives need zarr 3")

import dask  # noqa: E402

from inrcodec import archive, cli, cluster, maps  # noqa: E402
from inrcodec.archive_task import Task, archive_one  # noqa: E402
from inrcodec.options import MapOptions  # noqa: E402

OPTIONS = MapOptions.from_mapping(QUICK)
ARGUMENTS = ["--snr", "25", "--effort", "0", "--chunks", "10"]
NAMES = "abcdef"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two processes; a piece of work may take one worker with it, not two."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").mkdir()
    for number, name in enumerate(NAMES):
        write_map(tmp_path / f"in/{name}.mrc", blobs((11, 10, 9), seed=number).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def manifest(destination: str) -> dict[str, Any]:
    listed = json.loads(Path(f"{destination}.manifest.json").read_text())["maps"]
    return {record["target"]: record for record in listed}


def test_the_same_archive_as_without_a_cluster(here: Path, client: Any) -> None:
    archive.run(["in"], "here", options=OPTIONS, verify=True)
    seen: list[tuple[int, int, int, int]] = []
    records = archive.run(
        ["in"],
        "there",
        options=OPTIONS,
        verify=True,
        executor=cluster.on_client(client),
        progress=lambda *state: seen.append(state),
    )
    assert [record["status"] for record in records] == ["verified"] * len(NAMES)
    assert files("there") == files("here")
    assert manifest("there") == manifest("here")
    assert [state[0] for state in seen] == list(range(len(NAMES) + 1))


def dying(marks: str, once: str, always: str, task: Task) -> Any:
    """Archive a map; for two of them the process is killed while it writes, for one of these every time."""
    mark = Path(marks) / f"{task.name}-{len(list(Path(marks).glob(f'{task.name}-*')))}"
    if task.name == always or (task.name == once and not list(Path(marks).glob(f"{once}-*"))):
        mark.touch()
        changes = [0]

        def count(event: str, arguments: Any) -> None:
            if event in ("os.mkdir", "os.rename") and ".partial" in str(arguments[0]):
                changes[0] += 1
                if changes[0] == 5:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
    return archive_one(task)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_workers_killed_while_they_write(here: Path, client: Any) -> None:
    Path("marks").mkdir()
    inner = cluster.on_client(client)
    function = partial(dying, str(here / "marks"), "b", "d")
    (here / "in/e.mrc").write_bytes(b"noise" * 1000)
    records = archive.run(["in"], "all", options=OPTIONS, executor=lambda _, tasks: inner(function, tasks))
    # once or twice with the others (b's worker may have had it in its queue), and twice by itself
    assert sorted(os.listdir("marks")) in (["b-0", *(f"d-{n}" for n in range(count))] for count in (3, 4))
    status = {record["target"]: record["status"] for record in records}
    assert status == {name: "failed" if name in "de" else "archived" for name in NAMES}
    reasons = {name: record.get("reason", "") for name, record in manifest("all").items()}
    assert "workers died while running it" in reasons["d"]
    assert "e.mrc" in reasons["e"]
    for name in set(NAMES) - {"d", "e"}:
        assert maps.verify(f"in/{name}.mrc", f"all/{name}").met
    assert {path.name for path in Path("all").iterdir()} == {"zarr.json", *(set(NAMES) - {"d", "e"})}
    archive.run(["in/d.mrc"], "all", options=OPTIONS, executor=inner)
    assert manifest("all")["d"]["status"] == "archived"


def slow(folder: str, number: int) -> int:
    Path(folder, f"begun-{number}").touch()
    time.sleep(1 if number else 0)
    Path(folder, f"done-{number}").touch()
    return 2 * number


def test_closing_waits_for_what_has_begun_and_drops_the_rest(tmp_path: Path, client: Any) -> None:
    running = cluster.on_client(client)(partial(slow, str(tmp_path)), list(range(20)))
    number, result = next(running)
    assert result == 2 * number
    while len(list(tmp_path.glob("begun-*"))) < 2:
        time.sleep(0.01)
    running.close()
    begun, done = ({p.name.split("-")[1] for p in tmp_path.glob(f"{w}-*")} for w in ("begun", "done"))
    assert begun == done
    assert 2 <= len(done) < 10
    time.sleep(0.5)
    assert {p.name.split("-")[1] for p in tmp_path.glob("begun-*")} == begun


def fails(number: int) -> int:
    return 1 // number


def test_an_exception_is_the_result_of_its_own_piece(client: Any) -> None:
    found = dict(cluster.on_client(client)(fails, [1, 0]))
    assert found[1] == 1
    assert isinstance(found[0], ZeroDivisionError)


class TestConnected:
    def test_by_address(self, client: Any) -> None:
        with cluster.connected(client.scheduler.address) as executor:
            assert dict(executor(abs, [-1, 2])) == {-1: 1, 2: 2}
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0

    @pytest.mark.parametrize(
        ("address", "workers", "message"),
        [("local", 0, "workers must be at least 1, got 0"), ("tcp://a:1", 2, "its own workers, 2 cannot")],
    )
    def test_bad_arguments(self, address: str, workers: int, message: str) -> None:
        with pytest.raises(ValueError, match=message), cluster.connected(address, workers):
            pass

    def test_nobody_answers(self) -> None:
        with (
            pytest.raises(OSError, match=r"127\.0\.0\.1:9"),
            cluster.connected("tcp://127.0.0.1:9", timeout=1),
        ):
            pass


class TestCommand:
    def test_by_address(self, here: Path, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
        code = cli.main(["archive", "in", "all", *ARGUMENTS, "--scheduler", client.scheduler.address])
        assert (code, capsys.readouterr().out.splitlines()[0]) == (0, "maps            6 archived")

    def test_nobody_answers(
        self, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster.connected.__wrapped__, "__kwdefaults__", {"timeout": 1})
        code = cli.main(["archive", "in", "all", *ARGUMENTS, "--scheduler", "tcp://127.0.0.1:9"])
        assert code == 2
        assert "tcp://127.0.0.1:9" in capsys.readouterr().err
        assert not Path("all").exists()

    @pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
    def test_interrupted(self, here: Path) -> None:
        """A cluster of its own, and an interrupt for the whole group of processes, as from a terminal."""
        code = "import sys; from inrcodec.cli import main\nif __name__ == '__main__': sys.exit(main())"
        (here / "run.py").write_text(code)
        alone = ["--scheduler", "local", "--workers", "1"]
        with subprocess.Popen(
            [sys.executable, "run.py", "archive", "in", "all", *ARGUMENTS, *alone],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as run:
            deadline = time.monotonic() + 60
            while not list(Path("all").glob("*/zarr.json")) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.killpg(run.pid, signal.SIGINT)
            _, err = run.communicate(timeout=60)
        assert run.returncode == 130, err
        assert "the same command goes on from here" in err
        finished = [name for name, record in manifest("all").items() if record["status"] != "failed"]
        assert set(finished) <= {path.name for path in Path("all").iterdir()}
        for path in Path("all").glob("*/zarr.json"):
            assert maps.verify(f"in/{path.parent.name}.mrc", path.parent).met
        records = archive.run(["in"], "all", options=OPTIONS)
        assert {record["status"] for record in records} == {"archived"}


class TestGPUs:
    def test_one_for_each_worker(self, client: Any) -> None:
        def visible(dask_worker: Any) -> tuple[Any, str | None]:
            return dask_worker.name, os.environ.get("CUDA_VISIBLE_DEVICES")

        def forget() -> None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)

        try:
            client.register_plugin(cluster.OneGPU(["3", "GPU-5"]))
            found = sorted(client.run(visible).values())
        finally:
            client.unregister_worker_plugin(cluster.OneGPU.name)
            client.run(forget)
        assert found == [(0, "3"), (1, "GPU-5")]

    @pytest.mark.parametrize(
        ("named", "gpus"), [("0,2", ["0", "2"]), ("", []), ("GPU-8a, GPU-9b", ["GPU-8a", "GPU-9b"])]
    )
    def test_those_that_are_named(self, monkeypatch: pytest.MonkeyPatch, named: str, gpus: list[str]) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert cluster.visible_gpus() == gpus

    def test_those_that_the_driver_lists(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert cluster.visible_gpus() == []
        tool = tmp_path / "nvidia-smi"
        tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: A (UUID: GPU-2)'\n")
        tool.chmod(0o755)
        assert cluster.visible_gpus() == ["0", "1"]
