"""MRC maps and ``.mrc.inr`` files that several test modules read and write."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import mrcfile
import numpy as np

from inrcodec.mrc_reader import MRCReader
from inrcodec.mrc_writer import compress_map
from inrcodec.options import MapOptions

QUICK = {"snr": 25.0, "effort": 0, "chunks": 10}
"""Options of small maps: no training, several chunks per axis."""


class CountedBytes:
    """A source of bytes in memory that records what is asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.ranges: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.ranges += ranges
        return [self.data[start:stop] for start, stop in ranges]


def write_map(path: Path, data: np.ndarray, extended_header: bytes = b"") -> bytes:
    """Write a map with unusual headers and return the file's bytes."""
    with mrcfile.new(path, data, overwrite=True) as file:
        file.voxel_size = 1.25
        file.header.nxstart = -3
        file.header.dmin = 99  # what no writer would keep
        if extended_header:
            file.set_extended_header(np.frombuffer(extended_header, "V1"))
            file.header.exttyp = b"SERI"
    return path.read_bytes()


def container_of(path: Path, **options: object) -> bytes:
    """The ``.mrc.inr`` file of a map."""
    return compress_map(path, MapOptions.from_mapping({**QUICK, **options}))


def reader_of(data: bytes) -> tuple[MRCReader, CountedBytes]:
    source = CountedBytes(data)
    return MRCReader(source), source


def densities(map_bytes: bytes) -> np.ndarray:
    """The densities of a map given as bytes, read by mrcfile."""
    with io.BytesIO(map_bytes) as stream:
        return np.array(mrcfile.mrcinterpreter.MrcInterpreter(iostream=stream).data)
