"""Entropy coding of integers with fixed tables, on the ANS coder of the ``constriction`` package.

Every symbol is coded with the table of a *scale index*: index i stands for a Laplace distribution of scale
2**((i + SCALE_MIN) / 8) in quantiser steps. Up to ``SPLIT`` a table holds the values themselves; beyond it
the low bits are coded as uniform and the table holds the rest, as a Laplace distribution is flat over them.
Tables are integers (:mod:`inrcodec.core.exact`), so no float reaches the coder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import constriction
import numpy as np

from inrcodec.core.exact import halved_laplace_frequencies, laplace_frequencies, power_of_two
from inrcodec.core.payload import PayloadError

PRECISION = 24
SCALE_MIN = -36  # eighths of log2: the narrowest Laplace scale is 2**-4.5 steps
SPLIT = 68  # scale 2**4: from here on low bits are coded apart
SCALES = 160
DEAD_ZONE = Decimal("0.60")
BIT_CODES = 184  # bit frequencies, in 1/8 of log2
FLAG_LOGITS = 32  # flags have odds of 2**(logit / 2), up to this logit either way

_HALF_LIMIT = 192
_ESCAPE_BITS = 13  # an escaped value travels as two uniform symbols of 13 bits, zigzag-coded
_COST_COLUMNS = 256

Array = np.ndarray[Any, Any]


def _limit(index: int) -> int:
    """Values a side of a table: beyond 12 scales a Laplace distribution has nothing left."""
    return int(12 * 2 ** ((index + SCALE_MIN) / 8)) + 3


@cache
def frequencies(index: int) -> tuple[int, ...]:
    """The integer frequency table of a scale index (of the high part, from ``SPLIT`` on)."""
    if index < SPLIT:
        return tuple(
            laplace_frequencies(power_of_two(index + SCALE_MIN), DEAD_ZONE, _limit(index), PRECISION)
        )
    return tuple(halved_laplace_frequencies(power_of_two(24 + (index - SPLIT) % 8), _HALF_LIMIT, PRECISION))


def low_bits(index: int) -> int:
    """Bits of a symbol coded as uniform at this scale index."""
    return 0 if index < SPLIT else (index - SPLIT) // 8 + 1


@cache
def _model(index: int) -> Any:
    key = index if index < SPLIT else SPLIT + (index - SPLIT) % 8
    if key != index:
        return _model(key)
    # The coder gives every symbol 1 and shares the rest in proportion: with frequency - 1 as weights the
    # proportion is exactly one, and its table is exactly ours (tests/test_entropy.py decodes without it).
    weights = np.array(frequencies(index), np.float64) - 1.0
    return constriction.stream.model.Categorical(weights, perfect=False)


@cache
def _uniform(bits: int) -> Any:
    return constriction.stream.model.Uniform(2**bits)


@cache
def _bit_model(code: int) -> Any:
    """A bit that is set with probability 2**(-code / 8)."""
    return _two_valued(int(power_of_two(8 * PRECISION - code)))


def _two_valued(one: int) -> Any:
    """A bit that is set with ``one`` of 2**PRECISION."""
    weights = np.array([2**PRECISION - one, one], np.float64) - 1.0
    return constriction.stream.model.Categorical(weights, perfect=False)


@cache
def flag_frequency(logit: int) -> int:
    """How many of 2**PRECISION stand for a set flag."""
    odds = power_of_two(4 * abs(logit))
    rarer = int(2**PRECISION / (1 + odds))
    return rarer if logit < 0 else 2**PRECISION - rarer


@cache
def _flag_model(logit: int) -> Any:
    return _two_valued(flag_frequency(logit))


@cache
def flag_cost() -> Array:
    """Bits of an unset and of a set flag at logits -FLAG_LOGITS ... FLAG_LOGITS: (2, n) float64."""
    ones = np.array([flag_frequency(i) for i in range(-FLAG_LOGITS, FLAG_LOGITS + 1)], np.float64)
    return PRECISION - np.log2(np.stack([2**PRECISION - ones, ones]))


def bit_cost(share: float) -> float:
    """Entropy, in bits, of a bit that is set with this probability."""
    if not 0 < share < 1:
        return 0.0
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)


@cache
def cost_table() -> Array:
    """Bits of a value of given magnitude (sign included) at each scale index: (SCALES, 256) float32."""
    table = np.empty((SCALES, _COST_COLUMNS), np.float32)
    magnitude = np.arange(_COST_COLUMNS)
    for index in range(SCALES):
        bits = PRECISION - np.log2(np.array(frequencies(index), np.float64))
        low = low_bits(index)
        centre = _HALF_LIMIT if low else _limit(index)
        last = len(bits) - 1
        position = np.minimum(centre + (magnitude >> low), last)
        escaped = np.where(position == last, 2.0 * _ESCAPE_BITS, 0.0)
        table[index] = bits[position] + low + escaped
    return table


_LIMITS = np.array([_HALF_LIMIT if i >= SPLIT else _limit(i) for i in range(SCALES)], np.int32)
_LOW_BITS = np.array([low_bits(i) for i in range(SCALES)], np.int32)
# the symbol that announces an escape is the last one of its table
_ESCAPES = (2 * _LIMITS + (np.arange(SCALES) < SPLIT)).astype(np.int32)


class SymbolWriter:
    """Collects symbols in decoding order; :meth:`to_bytes` writes them."""

    def __init__(self) -> None:
        self._queue: list[tuple[Array, Any]] = []

    def put(self, symbols: Array, indices: Array) -> None:
        """Queue a step: one symbol and one scale index each, both flat.

        First the table symbols, grouped by scale index; then the low bits of groups that have any; then
        the values that escaped their tables.
        """
        order = np.argsort(indices, kind="stable")
        values = symbols[order].astype(np.int64)
        kinds = indices[order]
        low = _LOW_BITS[kinds]
        limit = _LIMITS[kinds]
        position = (values >> low) + limit
        escaped = (position < 0) | (position >= _ESCAPES[kinds])
        position = np.where(escaped, _ESCAPES[kinds], position).astype(np.int32)
        runs = groups(indices)
        for index, start, stop in runs:
            self._queue.append((position[start:stop], _model(index)))
        for index, start, stop in runs:
            if index >= SPLIT:
                bits = int(_LOW_BITS[index])
                self.put_uniform(values[start:stop] & (2**bits - 1), bits)
        if escaped.any():
            wide = values[escaped]
            zigzag = np.where(wide < 0, -2 * wide - 1, 2 * wide)
            if zigzag.max() >= 4**_ESCAPE_BITS:
                raise OverflowError(f"symbol {int(abs(wide).max())} is beyond the format's range")
            self.put_uniform(zigzag >> _ESCAPE_BITS, _ESCAPE_BITS)
            self.put_uniform(zigzag % 2**_ESCAPE_BITS, _ESCAPE_BITS)

    def put_uniform(self, values: Array, bits: int) -> None:
        """Queue values of equal probability, 0 to 2**bits - 1."""
        if len(values):
            self._queue.append((values.astype(np.int32), _uniform(bits)))

    def put_bits(self, mask: Array) -> int:
        """Queue a mask whose bits are independent; returns the code of their frequency."""
        count = int(np.count_nonzero(mask))
        code = BIT_CODES - 1 if not count else round(-8 * math.log2(count / len(mask)))
        code = min(max(code, 1), BIT_CODES - 1)
        self._queue.append((mask.astype(np.int32), _bit_model(code)))
        return code

    def put_flags(self, flags: Array, logit: int) -> None:
        """Queue flags (0 or 1) that are set with odds of 2**(logit / 2)."""
        self._queue.append((flags.astype(np.int32), _flag_model(logit)))

    def to_bytes(self) -> bytes:
        coder = constriction.stream.stack.AnsCoder()
        for symbols, model in reversed(self._queue):
            coder.encode_reverse(symbols, model)
        words: bytes = coder.get_compressed().astype("<u4").tobytes()
        return words.rstrip(b"\0")


class SymbolReader:
    """Reads what :class:`SymbolWriter` wrote, given the same scale indices in the same order."""

    def __init__(self, data: bytes) -> None:
        if data[-1:] == b"\0":
            raise PayloadError("coded symbols end in a byte of 0")
        words = np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32)
        self._coder = constriction.stream.stack.AnsCoder(words)

    def get(self, indices: Array) -> Array:
        """The next step's symbols (int32), in the order of their indices."""
        order = np.argsort(indices, kind="stable")
        runs = groups(indices)
        if not runs:
            return np.empty(0, np.int32)
        parts = [self._coder.decode(_model(index), stop - start) for index, start, stop in runs]
        values, kinds = np.concatenate(parts), indices[order]
        escaped = np.flatnonzero(values == _ESCAPES[kinds])
        values -= _LIMITS[kinds]
        for index, start, stop in runs:
            if index >= SPLIT:
                bits = int(_LOW_BITS[index])
                values[start:stop] <<= bits
                values[start:stop] += self.get_uniform(stop - start, bits)
        if len(escaped):
            zigzag = self.get_uniform(len(escaped), _ESCAPE_BITS) << _ESCAPE_BITS
            zigzag += self.get_uniform(len(escaped), _ESCAPE_BITS)
            values[escaped] = np.where(zigzag % 2, -(zigzag + 1) // 2, zigzag // 2)
        out = np.empty_like(values)
        out[order] = values
        return out

    def get_uniform(self, count: int, bits: int) -> Array:
        """The inverse of :meth:`SymbolWriter.put_uniform`."""
        if not count:
            return np.empty(0, np.int32)
        values: Array = self._coder.decode(_uniform(bits), count)
        return values

    def get_bits(self, count: int, code: int) -> Array:
        """The inverse of :meth:`SymbolWriter.put_bits`: (count,) bool."""
        if not 1 <= code < BIT_CODES:
            raise PayloadError(f"unknown bit frequency code {code}")
        return np.asarray(self._coder.decode(_bit_model(code), count) != 0)

    def get_flags(self, count: int, logit: int) -> Array:
        """The inverse of :meth:`SymbolWriter.put_flags`: (count,) int32."""
        flags: Array = self._coder.decode(_flag_model(logit), count)
        return flags

    def end(self) -> None:
        """Check that everything was read."""
        if not self._coder.is_empty():
            raise PayloadError("coded symbols are left over")


def groups(indices: Array) -> list[tuple[int, int, int]]:
    """(scale index, start, stop) of each run of the sorted indices."""
    counts = np.bincount(indices)
    present = np.flatnonzero(counts)
    stops = np.cumsum(counts[present])
    return list(zip(present.tolist(), (stops - counts[present]).tolist(), stops.tolist(), strict=True))


def best_index(values: Array) -> int:
    """The scale index at which whole numbers take the fewest bits."""
    magnitude = np.minimum(np.abs(values), _COST_COLUMNS - 1)
    return int(cost_table()[:, magnitude].sum(axis=1).argmin())


def encode_integers(parts: Sequence[Array]) -> bytes:
    """A self-contained coding of integer arrays, each with the one scale index that suits it best."""
    writer = SymbolWriter()
    chosen = bytearray()
    for part in parts:
        flat = np.asarray(part).astype(np.int64).ravel()
        index = best_index(flat)
        chosen.append(index)
        writer.put(flat, np.full(len(flat), index, np.uint8))
    return bytes(chosen) + writer.to_bytes()


def decode_integers(data: bytes, counts: Sequence[int]) -> list[Array]:
    """The inverse of :func:`encode_integers`, given the number of integers in each part."""
    indices = data[: len(counts)]
    if len(indices) < len(counts) or max(indices) >= SCALES:
        raise PayloadError("coded integers have no valid scale indices")
    reader = SymbolReader(data[len(counts) :])
    parts = [
        reader.get(np.full(count, index, np.uint8)) for count, index in zip(counts, indices, strict=True)
    ]
    reader.end()
    return parts
