"""The archive benchmark on a few tiny maps."""

from __future__ import annotations

import re

import pytest
from conftest import blobs
from mrc_files import write_map

pytest.importorskip("h5py")

from benchmarks import archive


def test_all_maps_with_each_number_of_workers(tmp_path, capsys):
    write_map(tmp_path / "real.mrc", blobs((20, 12, 12)).astype("f4"))
    arguments = [str(tmp_path), "--count", "3", "--size", "12", "--effort", "0", "--snr", "20"]
    assert archive.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 real and 2 generated maps")
    assert "3 of 3 maps in the manifest" in lines[1]
    assert lines[2].startswith("2 workers: ")
    task, record, listed = map(int, re.findall(r"\d+", lines[3]))
    assert lines[3] == f"bytes a map: task {task}, record {record}, in the manifest {listed}"
    assert all(100 < count < 10_000 for count in (task, record, listed))  # a map itself has 11,000
    assert lines[4] == "the manifests list the same maps by checksum"


def test_a_failing_command_is_not_measured(tmp_path):
    with pytest.raises(RuntimeError, match="1 workers: exit code 2"):
        archive.measure(tmp_path / "no*", tmp_path / "all", 1, 1, ["--effort", "0"])
