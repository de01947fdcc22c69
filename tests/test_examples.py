"""Every example runs as it is, in a fresh process in which warnings are errors, and says what it should."""

from __future__ import annotations

import importlib.util
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("zarr.abc.codec", reason="the examples write format 3 too")
import zarr

EXAMPLES = Path(__file__).parent.parent / "examples"


def output(name: str) -> list[str]:
    """The lines an example prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def loaded(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.needs_torch
def test_zarr_roundtrip() -> None:
    lines = output("zarr_roundtrip.py")
    assert [line[:9] for line in lines] == ["format 2:", "format 3:"]
    for line in lines:
        ratio, snr = map(float, re.findall(r"(\d+) times smaller, SNR (\S+) dB", line)[0])
        assert ratio > 20
        assert snr >= 30 - 0.1


def test_xarray_maps() -> None:
    pytest.importorskip("xarray")
    place = "{'z': 25.0, 'y': 20.0, 'x': 27.5}"
    assert output("xarray_maps.py") == [f"format {number}: density 1.00 at {place} A" for number in (2, 3)]


def test_dask_maps() -> None:
    pytest.importorskip("dask.array")
    lines = output("dask_maps.py")
    assert [line.split(",")[0] for line in lines] == ["threads: (2", "processes: (2"]
    for line in lines:
        assert "(2, 2, 2) chunks" in line
        assert 0 < float(line.rsplit(" ", 1)[1]) <= 0.01


def test_cluster() -> None:
    pytest.importorskip("distributed")
    first, second = output("cluster.py")
    chunks, snr = re.fullmatch(r"(\d+) chunks, SNR (\S+) dB", first).groups()
    assert int(chunks) == 27
    assert float(snr) >= 29.9
    assert second == "two workers wrote the bytes that one process writes: True"


@pytest.mark.needs_torch
def test_torch_dataset() -> None:
    assert output("torch_dataset.py") == ["262144 voxels in sub-volumes, by map: {'map_0': 32, 'map_1': 32}"]


@pytest.mark.needs_torch
def test_a_sub_volume_reads_only_the_chunks_it_touches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = loaded("torch_dataset")
    module.archive(str(tmp_path / "a.zarr"), maps=1)
    dataset = module.SubVolumes(tmp_path / "a.zarr", size=16, per_map=20)
    whole = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["map_0"][...]
    read: list[str] = []
    get = zarr.storage.LocalStore.get

    async def watched(self, key, *args, **kwargs):
        read.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", watched)
    touched_more_than_one = 0
    for number, (name, *corner) in enumerate(dataset.places):
        del read[:]
        volume, found = dataset[number]
        assert found == name
        box = tuple(slice(start, start + 16) for start in corner)
        np.testing.assert_array_equal(volume[0].numpy(), whole[box])
        spans = [range(start // 32, (start + 15) // 32 + 1) for start in corner]
        wanted = {f"map_0/c/{z}/{y}/{x}" for z in spans[0] for y in spans[1] for x in spans[2]}
        assert {key for key in read if "/c/" in key} == wanted
        touched_more_than_one += len(wanted) > 1
    assert 0 < touched_more_than_one < 20
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy._maps is None
    assert copy.places == dataset.places
    assert len(pickle.dumps(dataset)) < 5_000
