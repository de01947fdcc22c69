"""The plugin inside HDF5: programs that have no Python, or no inrcodec, read what the filter wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from conftest import blobs

h5py = pytest.importorskip("h5py")

from test_hdf5_client_data import FAR  # noqa: E402

from inrcodec import INRCodec  # noqa: E402
from inrcodec.core.fields.basis import with_edges  # noqa: E402
from inrcodec.hdf5 import INRFilter, write  # noqa: E402
from inrcodec.native import build  # noqa: E402

pytestmark = pytest.mark.skipif(which("cc") is None, reason="there is no C compiler")
needs_h5dump = pytest.mark.skipif(which("h5dump") is None, reason="h5dump is not there (Debian: hdf5-tools)")

DENSITY = blobs((20, 13, 11))
SPECIAL = DENSITY.astype("f4")
SPECIAL[3, 4, :3] = np.nan, np.inf, -np.inf
DATASETS = {
    "float": (DENSITY.astype("f4"), INRCodec(max_error=0.05, effort=0)),
    "big": (DENSITY.astype(">f8"), INRCodec(snr=30, effort=0)),
    "half": (DENSITY.astype("f2"), INRCodec(snr=20, effort=0)),
    "integers": ((100 * DENSITY).astype("i2"), INRCodec(max_error=2, effort=0)),
    "special": (SPECIAL, INRCodec(max_error=0.05, effort=0)),
    "threshold": (DENSITY.astype("f4"), INRCodec(max_error=0.05, threshold=0.2, effort=0)),
    "constant": (np.full((9, 9), 2.5, "f4"), INRCodec(effort=0)),
    # the largest number that a block has
    "volume": (DENSITY.astype("f4"), INRCodec(effort=0, volume=replace(FAR, block=with_edges(64, 3)))),
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plugins"), flags=["-Werror"]).parent


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "maps.h5"
    # what old releases of HDF5 read too
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        for name, (density, codec) in DATASETS.items():
            chunks = tuple(min(n, 8) for n in density.shape)
            dataset = file.create_dataset(
                name, shape=density.shape, dtype=density.dtype, chunks=chunks, **INRFilter.of(codec)
            )
            write(dataset, density, codec)
        damaged = file.create_dataset(
            "damaged", shape=(8, 8), dtype="f4", chunks=(8, 8), **INRFilter.of(DATASETS["float"][1])
        )
        payload = bytearray(INRCodec(effort=0).encode(np.ones((8, 8), "f4")))
        payload[-1] ^= 1
        damaged.id.write_direct_chunk((0, 0), bytes(payload))
    return path


def environment(plugins: Path) -> dict[str, str]:
    return {**os.environ, "HDF5_PLUGIN_PATH": str(plugins)}


@needs_h5dump
@pytest.mark.parametrize("name", DATASETS)
def test_h5dump_prints_the_voxels(plugins: Path, path: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "voxels"
    subprocess.run(
        ["h5dump", "-d", f"/{name}", "-b", "FILE", "-o", out, path],
        env=environment(plugins),
        check=True,
        capture_output=True,
        timeout=60,
    )
    with h5py.File(path) as file:
        expected = file[name][...]
    assert out.read_bytes() == expected.tobytes()


@needs_h5dump
def test_h5dump_prints_numbers(plugins: Path, path: Path) -> None:
    command = ["h5dump", "-d", "/integers", "-y", "-w", "0", path]
    result = subprocess.run(
        command, env=environment(plugins), check=True, capture_output=True, text=True, timeout=60
    )
    data = result.stdout.split("DATA {")[1].split("}")[0]
    printed = np.array(data.replace("\n", " ").replace(",", " ").split(), int)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(printed, file["integers"][...].ravel())


@needs_h5dump
@pytest.mark.parametrize(
    ("name", "there"), [("damaged", True), ("float", False)], ids=["damaged", "no plugin"]
)
def test_h5dump_says_what_is_wrong(plugins: Path, path: Path, tmp_path: Path, name: str, there: bool) -> None:
    result = subprocess.run(
        ["h5dump", "--enable-error-stack", "-d", f"/{name}", path],
        env=environment(plugins if there else tmp_path),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert ("inrcodec: checksum mismatch" if there else "is not registered") in result.stderr


READ = """
import sys, h5py, numpy
with h5py.File(sys.argv[1]) as file:
    numpy.save(sys.argv[2], file[sys.argv[3]][...])
assert "inrcodec" not in sys.modules and "numcodecs" not in sys.modules
"""


def run(code: str, plugins: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env=environment(plugins),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_h5py_without_the_package(plugins: Path, path: Path, tmp_path: Path) -> None:
    """h5py loads its HDF5 privately: the plugin finds it by its caller."""
    out = tmp_path / "voxels.npy"
    result = run(READ, plugins, path, out, "volume")
    assert result.returncode == 0, result.stderr
    with h5py.File(path) as file:
        np.testing.assert_array_equal(np.load(out), file["volume"][...])
    assert "inrcodec: checksum mismatch" in run(READ, plugins, path, out, "damaged").stderr


WRITE = """
import sys, h5py
with h5py.File(sys.argv[1], "w") as file:
    file.create_dataset("map", shape=(8, 8), dtype="f4", chunks=(8, 8), compression=int(sys.argv[2]))
"""


def test_the_plugin_does_not_encode(plugins: Path, tmp_path: Path) -> None:
    result = run(WRITE, plugins, tmp_path / "new.h5", INRFilter.filter_id)
    assert result.returncode == 1
    assert "encod" in result.stderr


AFTERWARDS = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    first = file["float"][...]
import inrcodec.hdf5
with h5py.File(sys.argv[1]) as file:
    assert (file["float"][...] == first).all()
with h5py.File(sys.argv[2], "w") as file:
    how = inrcodec.hdf5.INRFilter(max_error=0.1, effort=0)
    file.create_dataset("map", data=first, chunks=(8, 8, 8), **how)
"""


def test_the_package_takes_over_from_the_plugin(plugins: Path, path: Path, tmp_path: Path) -> None:
    result = run(AFTERWARDS, plugins, path, tmp_path / "new.h5")
    assert result.returncode == 0, result.stderr
