"""One payload, every door: chunks written through any door read through every other, bit for bit.

A door is a class below. A new one is registered in ``DOORS``; everything else follows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

import h5py
import numpy as np
import pytest

from inrcodec import INRCodec, decode, hdf5

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
import zarr

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

    def create(self, path: Path, codec: INRCodec) -> Any:
        how = (
            {"compressors": codec}
            if self.options["zarr_format"] == 2
            else {"serializer": codec.serializer(), "compressors": None}
        )
        return zarr.create_array(str(path), shape=SHAPE, chunks=CHUNKS, dtype="f4", **how, **self.options)

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
    options: ClassVar = {"zarr_format": 3, "shards": (32, 32, 32)}

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


DOORS: dict[str, Door] = {
    "zarr 2": Zarr2(),
    "zarr 3": Zarr3(),
    "zarr 3 sharded": Sharded(),
    "HDF5": HDF5(),
    "HDF5 by references": References(),
}


@pytest.fixture(scope="module", params=["chunk", "volume", "Fourier shells"])
def codec(request: pytest.FixtureRequest, volume: np.ndarray) -> INRCodec:
    if request.param == "chunk":
        return INRCodec(max_error=0.02, effort=0)
    if request.param == "volume":
        return INRCodec.fit(volume, snr=25, effort=0, chunks=CHUNKS)
    return INRCodec.fit(volume, fsc=0.95, resolution=6.0, voxel_size=1.25, effort=0, chunks=CHUNKS)


@pytest.mark.parametrize("writer", [name for name, door in DOORS.items() if door.writes])
def test_every_door(tmp_path: Path, volume: np.ndarray, codec: INRCodec, writer: str) -> None:
    sparse = volume.copy()
    sparse[16:, 16:] = 0  # HDF5 stores these chunks, zarr does not
    first = DOORS[writer]
    first.write(tmp_path / "first", sparse, codec)
    payloads = first.payloads(tmp_path / "first")
    assert len(payloads) >= 6
    expected = np.zeros(SHAPE, "f4")
    for index, payload in payloads.items():
        box = tuple(slice(i * n, i * n + n) for i, n in zip(index, CHUNKS, strict=True))
        part = expected[box]
        part[...] = decode(payload, volume=codec.volume)[tuple(map(slice, part.shape))]
        chunk = np.zeros(CHUNKS, "f4")
        chunk[tuple(map(slice, part.shape))] = sparse[box]
        assert payload == codec.encode(
            chunk
        )  # the bytes are the same, whichever library hands over the chunk
    assert 0 < np.abs(expected - sparse).max() < 0.2
    for name, door in DOORS.items():
        path = tmp_path / name
        door.put(path, payloads, codec)
        read = door.read(path)
        assert read.dtype == np.float32, name
        assert read.tobytes() == expected.tobytes(), name
        assert door.payloads(path) == payloads, name
