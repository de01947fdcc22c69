"""Work in processes: all of it done, also when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures.process import BrokenProcessPool

import pytest

from inrcodec import executors


def double(number):
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def threads(name):
    return os.environ[name]


def test_here():
    assert list(executors.here(double, [1, 2])) == [(1, 2), (2, 4)]


def test_processes():
    assert sorted(executors.processes(2)(double, [1, 2, 3])) == [(1, 2), (2, 4), (3, 6)]


def test_cores_are_shared(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ((_, count),) = executors.processes(1)(threads, ["OMP_NUM_THREADS"])
    assert count == str(os.cpu_count())


def test_no_workers():
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        executors.processes(0)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_only_what_kills_its_process_is_lost():
    found = dict(executors.processes(2)(double, [1, 2, -1, 3, 4]))
    assert isinstance(found.pop(-1), BrokenProcessPool)
    assert found == {1: 2, 2: 4, 3: 6, 4: 8}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_processes_end_with_their_parent(tmp_path):
    """Both ends of the pipe are closed only when every process that inherited it is gone."""
    (tmp_path / "work.py").write_text(
        textwrap.dedent("""
            import os, signal, sys, time
            from inrcodec import executors

            def wait(number):
                print("working", flush=True)
                time.sleep(600)

            if __name__ == "__main__":
                list(executors.processes(2)(wait, [1, 2]))
        """)
    )
    with subprocess.Popen([sys.executable, tmp_path / "work.py"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"working\n"
        parent.kill()
        parent.communicate(timeout=60)
