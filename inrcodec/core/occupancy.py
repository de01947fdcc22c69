"""Occupancy: which voxels are represented at all, as an entropy-coded bit mask.

The mask holds one bit for each cell of 1, 2, 4 or 8 voxels a side; voxels of cells that are not set decode to
the background value. Cells are coded from coarse to fine: every second plane from the planes on both sides of
it, axis after axis, and in a plane one colour of a checkerboard before the other. How many neighbours are set
selects the probability that a cell is (context coding of binary images, as in JBIG; here interpolating, and
a whole colour at a time).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from inrcodec.core.entropy import FLAG_LOGITS, SymbolReader, SymbolWriter, flag_cost, groups
from inrcodec.core.payload import PayloadError, Reader, pack_varint

CELLS = (1, 2, 4, 8)
CONTEXTS = (3 * 13 * 3, 3 * 5 * 9)  # of the first and of the second colour
_TABLE_SCALE = 52  # scale index (1/8 of log2) of a context's difference to its default, where it differs
_CHANGED = -3  # logit of the flag that says so
_CHANGE_BITS = 7  # what such a difference takes, about

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
    cells = coarsen(mask, cell).astype(np.uint8)
    steps = [(colour, contexts, new[where].ravel()) for colour, new, where, contexts in _walk(cells)]
    logits = [_logits(colour, steps) for colour in range(2)]
    writer = SymbolWriter()
    for colour, table in enumerate(logits):
        change = table - default_logits()[colour]
        writer.put_flags(np.array([change.any()]), 0)
        if not change.any():
            continue
        writer.put_flags(change != 0, _CHANGED)
        writer.put(change[change != 0], np.full(np.count_nonzero(change), _TABLE_SCALE, np.uint8))
    writer.put_flags(cells[:1, :1, :1].ravel(), 0)
    for colour, contexts, bits in steps:
        order = np.argsort(contexts, kind="stable")
        bits = bits[order]
        for context, start, stop in groups(contexts):
            writer.put_flags(bits[start:stop], int(logits[colour][context]))
    return pack_varint(cell) + writer.to_bytes()


def decompress(data: bytes, shape: tuple[int, ...]) -> Array:
    """The (d, h, w) bool mask of a section.

    Raises:
        PayloadError: the section is damaged.
    """
    reader = Reader(data)
    cell = reader.varint()
    if cell not in CELLS:
        raise PayloadError(f"occupancy cells of {cell} voxels, not one of {CELLS}")
    count = int(np.prod([-(-n // cell) for n in shape], dtype=np.int64))
    rest = reader.rest()
    if 8 * len(rest) + 64 < count * flag_cost().min():
        raise PayloadError(f"occupancy of {len(rest)} bytes is too short for {count} cells")
    symbols = SymbolReader(rest)
    logits = []
    for default in default_logits():
        table = default.copy()
        changed = np.zeros(len(table), bool)
        if symbols.get_flags(1, 0)[0]:
            changed = symbols.get_flags(len(table), _CHANGED) != 0
        table[changed] += symbols.get(np.full(np.count_nonzero(changed), _TABLE_SCALE, np.uint8))
        if np.abs(table).max() > FLAG_LOGITS:
            raise PayloadError("occupancy has a probability beyond the format's range")
        logits.append(table)
    cells = np.zeros([-(-n // cell) for n in shape], np.uint8)
    cells[:1, :1, :1] = symbols.get_flags(1, 0)
    for colour, new, where, contexts in _walk(cells):
        order = np.argsort(contexts, kind="stable")
        bits = np.empty(len(contexts), np.uint8)
        bits[order] = np.concatenate(
            [
                symbols.get_flags(stop - start, int(logits[colour][context]))
                for context, start, stop in groups(contexts)
            ]
        )
        new[where] = bits
    symbols.end()
    return refine(cells.astype(bool), cell, shape)


def _walk(cells: Array) -> Iterator[tuple[int, Array, Array, Array]]:
    """Coding order: yields (colour, view of a lattice of cells, which of them, their contexts).

    A decoder fills those cells in before it asks for the next ones.
    """
    stride = 1 << (max(cells.shape) - 1).bit_length()
    while stride > 1:
        half = stride // 2
        for axis in range(3):
            steps = [slice(None, None, half if a < axis else stride) for a in range(3)]
            known = np.moveaxis(cells[tuple(steps)], axis, 0)
            steps[axis] = slice(half, None, stride)
            new = np.moveaxis(cells[tuple(steps)], axis, 0)
            if new.size:
                yield from _planes(known, new)
        stride = half


def _planes(known: Array, new: Array) -> Iterator[tuple[int, Array, Array, Array]]:
    """Two colours of the planes between known ones."""
    last, between = len(known) - 1, np.arange(len(new))
    both = known[between] + known[np.minimum(between + 1, last)]
    beyond = known[np.maximum(between - 1, 0)] + known[np.minimum(between + 2, last)]
    around = np.pad(both, ((0, 0), (1, 1), (1, 1)), mode="edge")
    beside = around[:, 2:, 1:-1] + around[:, :-2, 1:-1] + around[:, 1:-1, 2:] + around[:, 1:-1, :-2]
    corners = around[:, 2:, 2:] + around[:, :-2, 2:] + around[:, 2:, :-2] + around[:, :-2, :-2]
    odd = np.broadcast_to(np.indices(new.shape[1:]).sum(axis=0) % 2 == 1, new.shape)
    first = (both * 13 + (2 * beside + corners) // 2) * 3 + beyond
    yield 0, new, ~odd, first[~odd]
    if odd.any():
        # the other colour is known by now; beyond the lattice there is nothing
        inside = np.pad(new, ((0, 0), (1, 1), (1, 1)))
        near = inside[:, 2:, 1:-1] + inside[:, :-2, 1:-1] + inside[:, 1:-1, 2:] + inside[:, 1:-1, :-2]
        second = (both * 5 + near) * 9 + beside
        yield 1, new, odd, second[odd]


@cache
def default_logits() -> tuple[Array, Array]:
    """Logits (1/2 of log2 of the odds) of both colours' contexts where a section does not change them."""
    both, around, beyond = np.indices((3, 13, 3))
    first = np.choose(both, [8 * around // 5 - 20, around - 5, 4 * around // 3 + 1])
    first[(both == 0) & (around == 0) & (beyond == 0)] = -FLAG_LOGITS
    first[(both == 2) & (around == 12) & (beyond == 2)] = FLAG_LOGITS - 4
    both, near, beside = np.indices((3, 5, 9))
    second = np.choose(
        both,
        [
            5 * beside // 2 + 3 * near - 26,
            3 * beside // 2 + 5 * near - 14,
            3 * beside // 2 + 9 * near // 2 - 6,
        ],
    )
    second[0, 0, 0] = -FLAG_LOGITS
    return first.ravel(), second.ravel()


def _logits(colour: int, steps: list[tuple[int, Array, Array]]) -> Array:
    """The best logits of a colour's contexts; the default where changing it does not pay."""
    size = CONTEXTS[colour]
    count, ones = np.zeros(size), np.zeros(size)
    for which, contexts, bits in steps:
        if which == colour:
            count += np.bincount(contexts, minlength=size)
            ones += np.bincount(contexts, weights=bits, minlength=size)
    best = np.rint(2 * np.log2((ones + 0.3) / (count - ones + 0.3)))
    best = np.clip(best, -FLAG_LOGITS, FLAG_LOGITS).astype(np.int64)
    default = default_logits()[colour]
    saved = _bits(count, ones, default) - _bits(count, ones, best)
    pays = saved > _CHANGE_BITS
    flags = size * flag_cost()[0, _CHANGED + FLAG_LOGITS]
    return np.where(pays & ((saved - _CHANGE_BITS)[pays].sum() > flags), best, default)


def _bits(count: Array, ones: Array, logits: Array) -> Array:
    cost = flag_cost()
    return (count - ones) * cost[0, logits + FLAG_LOGITS] + ones * cost[1, logits + FLAG_LOGITS]
