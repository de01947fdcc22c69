"""A second decoder of the ``mlp`` field, written from ``docs/format.md`` alone, in Python's whole numbers.

As :mod:`reference_decoder`, whose cast and verbatim voxels it shares, it has no code of the package, is slow,
and believes what it reads.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from fractions import Fraction

import numpy as np
from reference_decoder import (
    DTYPES,
    FIELD,
    LATENTS,
    OCCUPANCY,
    VERBATIM,
    WEIGHTS,
    Cursor,
    cast,
    restore_verbatim,
)

RESIDUALS = ("none", "alternate", "full")


def rounded(value: Fraction | float) -> int:
    return round(Fraction(value))  # Python rounds fractions to even


def clip(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


class Network:
    """Layers of a network: rows of weights, scales and biases."""

    def __init__(self, cursor: Cursor) -> None:
        (count,) = cursor.unpack("B")
        self.widths = [cursor.varint() for _ in range(count)]
        (self.frequencies,) = cursor.unpack("B")
        self.identifier = cursor.varint()
        residual, self.bits = cursor.unpack("2B")
        self.residual = RESIDUALS[residual]

    def fill(self, section: bytes) -> None:
        data = Cursor(zlib.decompress(section))
        sizes = [3 * (1 + 2 * self.frequencies) + self.identifier, *self.widths[:-1]]
        self.scales, self.biases, self.weights = [], [], []
        for width in self.widths:
            self.scales.append(data.unpack(f"{width}f"))
            self.biases.append(data.unpack(f"{width}i"))
        total = sum(n * m for n, m in zip(self.widths, sizes, strict=True))
        planes = [data.take(total) for _ in range(self.bits // 8)]
        flat = [int.from_bytes(column, "little", signed=True) for column in zip(*planes, strict=True)]
        assert not data.rest()
        for n, m in zip(self.widths, sizes, strict=True):
            self.weights.append([flat[i * m : (i + 1) * m] for i in range(n)])
            flat = flat[n * m :]

    def run(self, value: list[int]) -> int:
        last = len(self.widths) - 1
        for layer, rows in enumerate(self.weights):
            sums = []
            for row, scale, bias in zip(rows, self.scales[layer], self.biases[layer], strict=True):
                # whole numbers beyond 2^53 become a double once, rounded, as the document says
                total = float(sum(w * a for w, a in zip(row, value, strict=True)))
                sums.append(clip(rounded(total * scale), -(2**52), 2**52) + bias)
            skips = self.residual == "full" or (self.residual == "alternate" and layer % 2 == 1)
            if skips and 0 < layer < last:
                for i in range(min(len(sums), len(value))):
                    sums[i] += value[i]
            limits = (-(2**30), 2**30) if layer == last else (0, 2**24)
            value = [clip(total, *limits) for total in sums]
        return value[0]


def encoding(i: int, n: int, frequencies: int) -> list[int]:
    p = Fraction(2 * i - n + 1, n - 1) if n > 1 else Fraction(0)
    out = [rounded(2**14 * p)]
    for k in range(frequencies):
        turn = float(2**k * p % 2)  # whole turns taken away, so that the library's functions are good
        out += [rounded(2**14 * math.sin(turn * math.pi)), rounded(2**14 * math.cos(turn * math.pi))]
    return out


def decode(payload: bytes, shared: bytes | None = None) -> np.ndarray:
    """Decode one payload; ``shared`` is what a container shares, for payloads of volume scope."""
    cursor = Cursor(payload[:-4])
    assert struct.unpack("<I", payload[-4:])[0] == zlib.crc32(payload[:-4])
    magic, version, field, code, axes = cursor.unpack("3s4B")
    assert (magic, version, field & 127, axes & 15) == (b"INR", 5, 3, 0)
    dtype = np.dtype((">" if code & 128 else "<") + DTYPES[code & 63])
    shape = tuple(cursor.varint() for _ in range(axes >> 4))
    (mask,) = cursor.unpack("B")
    numbers = [n for n in range(1, 9) if mask >> (n - 1) & 1]
    lengths = [cursor.varint() for _ in numbers[:-1]]
    sections = {number: cursor.take(length) for number, length in zip(numbers, lengths, strict=False)}
    sections[numbers[-1]] = cursor.rest()

    field_section = Cursor(sections[FIELD])
    network = Network(field_section)
    (unit,) = field_section.unpack("d")
    weights = sections.get(WEIGHTS)
    if field & 128:
        assert shared is not None
        outside = Cursor(shared)
        Network(outside)
        weights = outside.rest()
        assert field_section.unpack("I") == (zlib.crc32(weights),)
    network.fill(weights)
    identifier = [
        clip(i, -(2**24), 2**24) for i in struct.unpack(f"<{network.identifier}i", sections[LATENTS])
    ]

    seen = (1,) * (3 - len(shape)) + shape
    if len(shape) == 4:
        seen = (shape[0] * shape[1], *shape[2:])
    bits = gzip.decompress(sections[OCCUPANCY])
    chunk = np.zeros(seen, dtype)
    for number, at in enumerate(np.ndindex(seen)):
        if bits[number // 8] >> (7 - number % 8) & 1:
            inputs = [v for axis in (2, 1, 0) for v in encoding(at[axis], seen[axis], network.frequencies)]
            chunk[at] = cast(np.array(network.run(inputs + identifier) * unit), dtype)
    if VERBATIM in sections:
        restore_verbatim(sections[VERBATIM], chunk)
    return np.array(chunk.reshape(shape), order="F" if code & 64 else "C")
