"""Chunks of a volume written to a file and read back; the bytes are those of the chunks as stored.

Chunks are cut to fit at the volume's far ends, the same boxes for every codec. Every chunk is a dataset of
its own in one HDF5 file, or a run of bytes in one plain file; the file's own structures, the index of chunks
and the codec's parameters are not counted for the peers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks import peers
from inrcodec.core.volume_sample import chunk_boxes

Array = np.ndarray[Any, Any]
Box = tuple[slice, ...]

Pack = Callable[[Array], tuple[Array, Mapping[str, Any]]]
Unpack = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Written:
    """A volume as it came back, and what it took.

    Attributes:
        back: the volume, in whatever dtype the codec returns.
        nbytes: of all chunks.
        encode_s, decode_s: seconds, with writing and reading.
        config_bytes: of a configuration stored once for the whole array.
        fallbacks: chunks that the codec refused; they are stored, and counted, as the lossless Blosc.
    """

    back: Array
    nbytes: int
    encode_s: float
    decode_s: float
    config_bytes: int = 0
    fallbacks: int = 0


def boxes(shape: Sequence[int], chunk: int) -> list[Box]:
    """The boxes of cubic chunks over a volume, those at its far ends cut to fit."""
    return list(chunk_boxes(tuple(shape), (chunk,) * len(shape)))


def through_hdf5(volume: Array, chunk: int, folder: Path, pack: Pack, unpack: Unpack | None) -> Written:
    """Write chunks through HDF5 filters.

    Args:
        volume: ``(d, h, w)``.
        chunk: voxels a side.
        folder: where the file goes.
        pack: the array to store for a chunk, and the dataset's options.
        unpack: the chunk from the stored array; None where it is the chunk.
    """
    path = folder / "chunks.h5"
    where = boxes(volume.shape, chunk)
    nbytes = fallbacks = 0
    start = time.perf_counter()
    # Without a chunk cache every write encodes and every read decodes.
    with h5py.File(path, "w", rdcc_nbytes=0) as file:
        for i, box in enumerate(where):
            stored, options = pack(np.ascontiguousarray(volume[box]))
            refused = not _write(file, str(i), stored, options)
            if refused:
                file.create_dataset(str(i), data=stored, chunks=stored.shape, **peers.BLOSC)
            fallbacks += refused
    encode_s = time.perf_counter() - start
    start = time.perf_counter()
    back: Array | None = None
    with h5py.File(path, "r", rdcc_nbytes=0) as file:
        for i, box in enumerate(where):
            data = file[str(i)]
            nbytes += int(data.id.get_storage_size())
            values = data[...] if unpack is None else unpack(data[...])
            back = np.empty(volume.shape, values.dtype) if back is None else back
            back[box] = values
    assert back is not None
    return Written(back, nbytes, encode_s, time.perf_counter() - start, fallbacks=fallbacks)


def through_bytes(
    volume: Array,
    chunk: int,
    folder: Path,
    encode: Callable[[Array], bytes],
    decode: Callable[[bytes, tuple[int, ...]], Array],
) -> Written:
    """Write chunks as runs of bytes, ``encode`` and ``decode`` one chunk each."""
    path = folder / "chunks.bin"
    where = boxes(volume.shape, chunk)
    start = time.perf_counter()
    with path.open("wb") as file:
        lengths = [file.write(encode(np.ascontiguousarray(volume[box]))) for box in where]
    encode_s = time.perf_counter() - start
    start = time.perf_counter()
    back: Array | None = None
    with path.open("rb") as file:
        for box, length in zip(where, lengths, strict=True):
            values = decode(file.read(length), tuple(s.stop - s.start for s in box))
            back = np.empty(volume.shape, values.dtype) if back is None else back
            back[box] = values
    assert back is not None
    return Written(back, sum(lengths), encode_s, time.perf_counter() - start)


def _write(file: h5py.File, name: str, data: Array, options: Mapping[str, Any]) -> bool:
    """Whether the filter took the chunk; a dataset it refused is removed."""
    try:
        stored = file.create_dataset(name, data=data, chunks=data.shape, **options)
        file.flush()
        if not stored.id.get_chunk_info(0).filter_mask:
            return True
    except (OSError, RuntimeError):
        pass
    if name in file:
        del file[name]
    return False
