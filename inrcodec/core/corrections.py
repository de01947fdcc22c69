"""Corrections: what makes ``max_error`` hold at every voxel.

Voxels whose decoded density misses the bound get a whole multiple of a correction step, coded in one of two
ways. *Sparse*, where few miss it: positions as one binary symbol a voxel, the multiples behind them. *Dense*,
where the bound lies below the noise: a field that followed the noise would spend more bits on it than its own
voxels do, so the field keeps to the signal, and what is left is quantised voxel by voxel, with a scale for
each cell of voxels.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from inrcodec.core.entropy import (
    SCALE_MIN,
    SCALES,
    SPLIT,
    SymbolReader,
    SymbolWriter,
    best_index,
    bit_cost,
    frequencies,
    low_bits,
)
from inrcodec.core.payload import MAX_DENSITY, PayloadError

STEP = 1.9  # sparse, of the bound: a miss of up to 2.85 bounds is mended by one step
DENSE_STEP = 1.998  # of the bound; a little below 2 leaves room for the cast to the chunk's dtype
LARGEST = 2**20  # multiples beyond it stand for a field that has nothing to do with the chunk

_MULTIPLES = 8  # scale index of the sparse multiples beyond one: nearly always one
_DENSE = 0  # in place of a bit code
_CELLS = (2, 3, 4)  # log2 of the side of a cell in voxels, tried
_LARGEST_CELL = 6
_COARSE = 2  # scale indices of cells are multiples of it
_CELL_BITS = 2.0  # of a cell's scale, estimated
_FEW = 0.02  # share of missed voxels below which dense coding is not tried
_MANY = 0.4  # and above which sparse coding is not

Array = np.ndarray[Any, Any]


def encode(error: Array, occupied: Array, bound: float, *, whole: bool = False) -> bytes | None:
    """Section bytes that bring every error within the bound, or None where all are.

    Args:
        error: (d, h, w) float64, original minus decoded density.
        occupied: (d, h, w) mask of the voxels that the section speaks of.
        bound: largest error, density units.
        whole: errors are whole numbers, and the bound is half of one more than may be left. Steps of twice
            the bound then bring every error within it.

    Raises:
        OverflowError: an error of more than a million bounds.
    """
    sparse, dense = (2.0, 2.0) if whole else (STEP, DENSE_STEP)
    inside = error[occupied]
    missed = np.abs(inside) > bound
    share = float(missed.mean()) if missed.size else 0.0
    if share == 0:
        return None
    if np.abs(inside).max() > LARGEST * bound:
        raise OverflowError("an error of more than a million bounds")
    options = []
    if share < _MANY:
        options.append(_encode_sparse(inside, missed, bound * sparse))
    if share > _FEW:
        options.append(_encode_dense(inside, occupied, bound * dense))
    return min(options, key=len)


def decode(data: bytes, occupied: Array) -> Array:
    """(n,) float64 corrections, density units, of the voxels set in a (d, h, w) mask, in C order."""
    if len(data) < 9:
        raise PayloadError("corrections are cut short")
    step, code = struct.unpack_from("<dB", data)
    if not 0 < step <= MAX_DENSITY:
        raise PayloadError(f"correction step {step} makes no sense")
    if code == _DENSE:
        return _decode_dense(data[9:], occupied) * step
    return _decode_sparse(data[9:], int(np.count_nonzero(occupied)), code) * step


def _encode_sparse(error: Array, missed: Array, step: float) -> bytes:
    multiples = np.rint(error[missed] / step)
    multiples = np.where(multiples == 0, np.sign(error[missed]), multiples).astype(np.int64)
    writer = SymbolWriter()
    code = writer.put_bits(missed)
    writer.put_uniform((multiples < 0).astype(np.int32), 1)
    writer.put(np.abs(multiples) - 1, np.full(len(multiples), _MULTIPLES, np.uint8))
    return struct.pack("<dB", step, code) + writer.to_bytes()


def _decode_sparse(data: bytes, count: int, code: int) -> Array:
    reader = SymbolReader(data)
    missed = reader.get_bits(count, code)
    found = int(missed.sum())
    negative = reader.get_uniform(found, 1)
    multiples = reader.get(np.full(found, _MULTIPLES, np.uint8)).astype(np.float64) + 1
    reader.end()
    out = np.zeros(count)
    out[missed] = np.where(negative, -multiples, multiples)
    return out


def _encode_dense(error: Array, occupied: Array, step: float) -> bytes:
    multiples = np.zeros(occupied.shape, np.int64)
    multiples[occupied] = np.rint(error / step)
    _, side = _best_cell(np.abs(multiples), occupied)
    present, mean = _cell_means(np.abs(multiples), occupied, side)
    codes = _codes(mean[present])
    moves = np.diff(codes, prepend=codes[:1])
    table = best_index(moves)
    writer = SymbolWriter()
    writer.put(moves, np.full(len(moves), table, np.uint8))
    writer.put(multiples[occupied], _COARSE * _spread(present, codes, side, occupied))
    return struct.pack("<d4B", step, _DENSE, side, int(codes[0]), table) + writer.to_bytes()


def _decode_dense(data: bytes, occupied: Array) -> Array:
    if len(data) < 3:
        raise PayloadError("corrections are cut short")
    side, first, table = data[:3]
    if side > _LARGEST_CELL or table >= SCALES:
        raise PayloadError(f"corrections in cells of 2**{side} voxels with scale index {table}")
    reader = SymbolReader(data[3:])
    present = _cell_sums(occupied, side) > 0
    moves = reader.get(np.full(int(np.count_nonzero(present)), table, np.uint8))
    codes = first + np.cumsum(moves.astype(np.int64))
    if len(codes) and not (codes.min() >= 0 and _COARSE * codes.max() < SCALES):
        raise PayloadError(f"corrections with scales {codes.min()} to {codes.max()}")
    multiples = reader.get(_COARSE * _spread(present, codes, side, occupied))
    reader.end()
    return multiples.astype(np.float64)


def _cell_sums(values: Array, side: int) -> Array:
    """Sums over cells of 2**side voxels a side; those at the far faces are cut."""
    out = values.astype(np.int64)
    for axis, n in enumerate(values.shape):
        out = np.add.reduceat(out, np.arange(0, n, 2**side), axis=axis)
    return out


def _cell_means(magnitude: Array, occupied: Array, side: int) -> tuple[Array, Array]:
    """Which cells hold an occupied voxel, and the mean magnitude of those."""
    counts = _cell_sums(occupied, side)
    return counts > 0, _cell_sums(magnitude, side) / np.maximum(counts, 1)


def _spread(present: Array, codes: Array, side: int, occupied: Array) -> Array:
    """(n,) the code of each occupied voxel's cell."""
    grid = np.zeros(present.shape, np.uint8)
    grid[present] = codes
    for axis, n in enumerate(occupied.shape):
        grid = np.repeat(grid, 2**side, axis=axis).take(np.arange(n), axis=axis)
    return grid[occupied]


@cache
def _moments() -> tuple[Array, Array]:
    """Mean magnitude and entropy, bits, of a value at each scale index that a cell can have."""
    means, bits = [], []
    for index in range(0, SCALES, _COARSE):
        p = np.array(frequencies(index), np.float64) / 2**24
        values = np.arange(len(p)) - (len(p) // 2 - 1)  # the escape comes last
        low = low_bits(index)
        means.append(float(p @ np.abs(values)) if index < SPLIT else 2 ** ((index + SCALE_MIN) / 8))
        bits.append(float(-p @ np.log2(p)) + low)
    return np.array(means), np.array(bits)


def _codes(mean: Array) -> Array:
    """Codes of cells by their mean magnitudes: of the scales at which a Laplace distribution is likeliest."""
    means, _ = _moments()
    between = np.sqrt(means[1:] * means[:-1])
    return np.searchsorted(between, mean)


def _best_cell(magnitude: Array, occupied: Array) -> tuple[float, int]:
    """Estimated bits, and log2 of the cell's side that takes the fewest."""
    _, entropy = _moments()
    options = []
    for side in _CELLS:
        present, mean = _cell_means(magnitude, occupied, side)
        counts = _cell_sums(occupied, side)[present]
        bits = entropy[_codes(mean[present])]
        options.append((float(counts @ bits) + _CELL_BITS * len(counts), side))
    return min(options)


def estimate_dense_bits(error: Array, occupied: Array, bound: float) -> float:
    """Expected bits of correcting (d, h, w) errors at every voxel of a mask."""
    magnitude = np.where(occupied, np.rint(np.abs(error) / (bound * DENSE_STEP)), 0)
    return _best_cell(np.minimum(magnitude, LARGEST), occupied)[0]


def estimate_bits(missed: int, count: int) -> float:
    """Expected bits of correcting some of ``count`` voxels, sparsely."""
    return count * bit_cost(missed / count) + 1.1 * missed
