"""Occupancy: which voxels are represented at all, as a gzipped bit mask.

The mask holds one bit for each cell of 1, 2, 4 or 8 voxels a side; voxels of cells that are not set decode to
the background value. Before gzip each bit is predicted by the majority of its three lower neighbours, so
that gzip sees the boundary only.
"""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise
from typing import Any

import numpy as np

from inrcodec.core.payload import PayloadError, Reader, pack_varint

CELLS = (1, 2, 4, 8)

Array = np.ndarray[Any, Any]


def coarsen(mask: Array, cell: int) -> Array:
    """Cells that hold any set voxel: (d, h, w) bool -> (ceil(d / cell), ...) bool."""
    if cell == 1:
        return mask
    pads = [(0, -n % cell) for n in mask.shape]
    padded = np.pad(mask, pads)
    shape = [m for n in padded.shape for m in (n // cell, cell)]
    return np.asarray(padded.reshape(shape).any(axis=(1, 3, 5)))


def refine(cells: Array, cell: int, shape: tuple[int, ...]) -> Array:
    """The voxels of set cells: the inverse of :func:`coarsen`, rounded outwards."""
    mask = cells
    for axis in range(3):
        mask = np.repeat(mask, cell, axis=axis)
    return mask[tuple(slice(0, n) for n in shape)]


def compress(mask: Array, cell: int) -> bytes:
    """Section bytes of a (d, h, w) bool mask at a cell size."""
    bits = np.packbits(_residual(coarsen(mask, cell)))
    # zlib searches harder than gzip's default at level 9; the time stamp is left out, for equal bytes
    return pack_varint(cell) + gzip.compress(bits.tobytes(), 9, mtime=0)


def decompress(data: bytes, shape: tuple[int, ...]) -> Array:
    """The (d, h, w) bool mask of a section; its size is known before memory is taken."""
    reader = Reader(data)
    cell = reader.varint()
    if cell not in CELLS:
        raise PayloadError(f"occupancy cells of {cell} voxels, not one of {CELLS}")
    cells = tuple(-(-n // cell) for n in shape)
    count = int(np.prod(cells, dtype=np.int64))
    expected = -(-count // 8)
    inflate = zlib.decompressobj(wbits=31)
    try:
        raw = inflate.decompress(reader.rest(), expected + 1)
    except zlib.error as error:
        raise PayloadError(f"occupancy does not decompress: {error}") from error
    if len(raw) != expected or not inflate.eof or inflate.unused_data:
        raise PayloadError(f"occupancy of {len(raw)} bytes, {expected} expected")
    residual = np.unpackbits(np.frombuffer(raw, np.uint8), count=count).reshape(cells)
    return refine(_integrate(residual), cell, shape)


def _residual(cells: Array) -> Array:
    """Where each bit differs from the majority of its three lower neighbours (unset outside)."""
    padded = np.pad(cells.astype(np.uint8), ((1, 0),) * 3)
    votes = padded[:-1, 1:, 1:] + padded[1:, :-1, 1:] + padded[1:, 1:, :-1]
    return np.asarray(cells ^ (votes >= 2))


def _integrate(residual: Array) -> Array:
    """The inverse of :func:`_residual`, one diagonal plane of cells after another."""
    d, h, w = residual.shape
    out = np.zeros((d + 1) * (h + 1) * (w + 1), np.uint8)
    steps = ((h + 1) * (w + 1), w + 1, 1)
    z, y, x = np.ogrid[1 : d + 1, 1 : h + 1, 1 : w + 1]
    at = (z * steps[0] + y * steps[1] + x).ravel()
    plane = (z + y + x).ravel()
    order = np.argsort(plane, kind="stable")
    at, bits = at[order], residual.ravel()[order].astype(np.uint8)
    bounds = np.cumsum(np.bincount(plane))
    for start, stop in pairwise(bounds):
        cells = at[start:stop]
        votes = out[cells - steps[0]] + out[cells - steps[1]] + out[cells - steps[2]]
        out[cells] = bits[start:stop] ^ (votes >= 2)
    return out.reshape(d + 1, h + 1, w + 1)[1:, 1:, 1:].astype(bool)
