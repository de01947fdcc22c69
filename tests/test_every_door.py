"""One payload, every door: chunks written through any door read through every other, bit for bit.

A door is a class below. A new one is registered in ``DOORS``; everything else follows.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which
from typing import Any, ClassVar, Protocol

import fsspec
import h5py
import numpy as np
import pytest

from inrcodec import INRCodec, decode, hdf5
from inrcodec.native import build

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
import zarr
from mrc_files import QUICK, densities, write_map

from inrcodec import mrc_container
from inrcodec.references import hdf5_references
from inrcodec.shards import join, split

SHAPE, CHUNKS = (28, 26, 24), (16, 16, 16)
COUNTS = (2, 2, 2)
Index = tuple[int, ...]
Payloads = dict[Index, bytes]


class Door(Protocol):
    """One way to store chunks; all of them hold an array of SHAPE in chunks of CHUNKS, fill value 0."""

    writes: bool  # through its own library: otherwise it is a view of what another door has written

    def write(self, path: Path, volume: np.ndarray, codec: INRCodec) -> None:
        """Encode a volume, by the library's own means."""

    def payloads(self, path: Path) -> Payloads:
        """The bytes of each stored chunk, taken from where they lie."""

    def put(self, path: Path, payloads: Payloads, codec: INRCodec) -> None:
        """Store chunks that are encoded already."""

    def read(self, path: Path) -> np.ndarray:
        """The voxels, by the library's own means."""


class Zarr:
    writes = True
    options: ClassVar[dict[str, Any]]

    def create(self, path: Path, codec: INRCodec, **options: Any) -> Any:
        how = (
            {"compressors": codec}
            if self.options["zarr_format"] == 2
            else {"serializer": codec.serializer(), "compressors": None}
        )
        how |= {**self.options, **options}
        return zarr.create_array(str(path), shape=SHAPE, chunks=CHUNKS, dtype="f4", **how)

    def write(self, path: Path, volume: np.ndarray, codec: INRCodec) -> None:
        self.create(path, codec)[...] = volume

    def file(self, path: Path, index: Index) -> Path:
        return path / zarr.open_array(str(path), mode="r").metadata.encode_chunk_key(index)

    def payloads(self, path: Path) -> Payloads:
        files = {index: self.file(path, index) for index in np.ndindex(COUNTS)}
        return {index: file.read_bytes() for index, file in files.items() if file.exists()}

    def put(self, path: Path, payloads: Payloads, codec: INRCodec) -> None:
        self.create(path, codec)
        for index, payload in payloads.items():
            file = self.file(path, index)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(payload)

    def read(self, path: Path) -> np.ndarray:
        return zarr.open_array(str(path), mode="r")[...]


class Zarr2(Zarr):
    options: ClassVar = {"zarr_format": 2, "fill_value": 0}


class Zarr3(Zarr):
    options: ClassVar = {"zarr_format": 3}


class Sharded(Zarr):
    options: ClassVar = {"zarr_format": 3}

    def create(self, path: Path, codec: INRCodec) -> Any:
        shards = tuple(count * n for count, n in zip(COUNTS, CHUNKS, strict=True))
        return super().create(path, codec, shards=shards)

    def payloads(self, path: Path) -> Payloads:
        return dict(split(self.file(path, (0, 0, 0)).read_bytes(), COUNTS))

    def put(self, path: Path, payloads: Payloads, codec: INRCodec) -> None:
        super().put(path, {(0, 0, 0): join(payloads, COUNTS)}, codec)


class HDF5:
    writes = True

    def create(self, file: h5py.File, codec: INRCodec) -> Any:
        return file.create_dataset("map", SHAPE, "f4", chunks=CHUNKS, **hdf5.INRFilter.of(codec))

    def write(self, path: Path, volume: np.ndarray, codec: INRCodec) -> None:
        with h5py.File(path, "w") as file:
            self.create(file, codec)[...] = volume

    def payloads(self, path: Path) -> Payloads:
        with h5py.File(path) as file:
            dataset = file["map"]
            corners = [dataset.id.get_chunk_info(n).chunk_offset for n in range(dataset.id.get_num_chunks())]
            return {
                tuple(
                    start // n for start, n in zip(corner, CHUNKS, strict=True)
                ): dataset.id.read_direct_chunk(corner)[1]
                for corner in corners
            }

    def put(self, path: Path, payloads: Payloads, codec: INRCodec) -> None:
        with h5py.File(path, "w") as file:
            dataset = self.create(file, codec)
            for index, payload in payloads.items():
                dataset.id.write_direct_chunk(
                    tuple(i * n for i, n in zip(index, CHUNKS, strict=True)), payload
                )

    def read(self, path: Path) -> np.ndarray:
        with h5py.File(path) as file:
            return file["map"][...]


class References(HDF5):
    """A reference file beside an HDF5 file, read by zarr."""

    writes = False

    def read(self, path: Path) -> np.ndarray:
        options = {"fo": hdf5_references(path)}
        return zarr.open_group("reference://", mode="r", storage_options=options)["map"][...]


class Plugin(HDF5):
    """An HDF5 file read by ``h5dump``, without Python, through the plugin in C."""

    writes = False
    plugins: ClassVar[Path]

    def read(self, path: Path) -> np.ndarray:
        out = path.with_suffix(".voxels")
        subprocess.run(
            ["h5dump", "-d", "/map", "-b", "LE", "-o", out, path],
            env={**os.environ, "HDF5_PLUGIN_PATH": str(self.plugins)},
            check=True,
            capture_output=True,
            timeout=60,
        )
        return np.fromfile(out, "<f4").reshape(SHAPE)


class MRC:
    """A ``.mrc.inr`` file, read by mrcfile through fsspec."""

    writes = False  # it fits a codec of its own: the test below is of maps written this way

    def file(self, path: Path) -> Path:
        return path.with_suffix(".mrc.inr")

    def head(self, path: Path) -> mrc_container.Head:
        data = self.file(path).read_bytes()
        return mrc_container.parse(data, len(data))

    def payloads(self, path: Path) -> Payloads:
        data, head = self.file(path).read_bytes(), self.head(path)
        places = zip(np.ndindex(head.grid), head.offsets, head.lengths, strict=True)
        return {index: data[start : start + length] for index, start, length in places if length}

    def put(self, path: Path, payloads: Payloads, codec: INRCodec) -> None:
        header = write_map(path.with_suffix(".mrc"), np.zeros(SHAPE, "f4"))[:1024]
        listed = [payloads.get(index, b"") for index in np.ndindex(COUNTS)]
        self.file(path).write_bytes(
            mrc_container.pack(header, b"", codec.settings, SHAPE, np.dtype("<f4"), CHUNKS, listed)
        )

    def read(self, path: Path) -> np.ndarray:
        with fsspec.open(f"inr://{self.file(path).stem}::file://{self.file(path)}", "rb") as stream:
            return densities(stream.read())


DOORS: dict[str, Door] = {
    "zarr 2": Zarr2(),
    "zarr 3": Zarr3(),
    "zarr 3 sharded": Sharded(),
    "HDF5": HDF5(),
    "HDF5 by references": References(),
    ".mrc.inr": MRC(),
}
if which("cc") and which("h5dump"):
    DOORS["HDF5 by h5dump"] = Plugin()


@pytest.fixture(scope="module", autouse=True)
def _plugins(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "HDF5 by h5dump" in DOORS:
        Plugin.plugins = build(tmp_path_factory.mktemp("plugins")).parent


@pytest.fixture(scope="module", params=["chunk", "volume", "Fourier shells"])
def codec(request: pytest.FixtureRequest, volume: np.ndarray) -> INRCodec:
    if request.param == "chunk":
        return INRCodec(max_error=0.02, effort=0)
    if request.param == "volume":
        return INRCodec.fit(volume, snr=25, effort=0, chunks=CHUNKS)
    return INRCodec.fit(volume, fsc=0.95, resolution=6.0, voxel_size=1.25, effort=0, chunks=CHUNKS)


@pytest.fixture(scope="module")
def sparse(volume: np.ndarray) -> np.ndarray:
    """Chunks of zeros, which HDF5 stores and the others do not."""
    sparse = volume.copy()
    sparse[16:, 16:] = 0
    return sparse


@pytest.mark.parametrize("writer", [name for name, door in DOORS.items() if door.writes])
def test_every_door(tmp_path: Path, sparse: np.ndarray, codec: INRCodec, writer: str) -> None:
    first = DOORS[writer]
    first.write(tmp_path / "first", sparse, codec)
    check(tmp_path, first.payloads(tmp_path / "first"), sparse, codec)


def test_a_map_written_through_fsspec(
    tmp_path: Path, sparse: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "CHUNKS", (14, 13, 12))  # maps are cut into equal chunks
    data = write_map(tmp_path / "map.mrc", sparse)
    options = {**QUICK, "chunks": 16}
    with fsspec.open(f"inr://first.mrc::file://{tmp_path}/first.mrc.inr", "wb", inr=options) as stream:
        stream.write(data)
    door = MRC()
    head = door.head(tmp_path / "first")
    assert (head.shape, head.chunk_shape) == (SHAPE, CHUNKS)
    codec = INRCodec(volume=head.settings.volume, snr=head.settings.target.value, effort=0)
    assert codec.settings == head.settings
    check(tmp_path, door.payloads(tmp_path / "first"), sparse, codec)
    assert door.read(tmp_path / "first").tobytes() == door.read(tmp_path / ".mrc.inr").tobytes()


def check(tmp_path: Path, payloads: Payloads, sparse: np.ndarray, codec: INRCodec) -> None:
    """Payloads of a volume are what the codec makes of it, and every door gives the same voxels for them."""
    assert len(payloads) >= 6
    expected = np.zeros(SHAPE, "f4")
    for index, payload in payloads.items():
        box = tuple(slice(i * n, i * n + n) for i, n in zip(index, CHUNKS, strict=True))
        part = expected[box]
        part[...] = decode(payload, volume=codec.volume)[tuple(map(slice, part.shape))]
        chunk = np.zeros(CHUNKS, "f4")
        chunk[tuple(map(slice, part.shape))] = sparse[box]
        # the bytes are the same, whichever library hands over the chunk
        assert payload == codec.encode(chunk)
    assert 0 < np.abs(expected - sparse).max() < 0.2
    for name, door in DOORS.items():
        path = tmp_path / name
        door.put(path, payloads, codec)
        read = door.read(path)
        assert read.dtype == np.float32, name
        assert read.tobytes() == expected.tobytes(), name
        assert door.payloads(path) == payloads, name
