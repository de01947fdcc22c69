"""Corrections: what makes ``max_error`` hold at every voxel.

Voxels whose decoded density misses the bound get a whole multiple of a correction step. Positions are coded
as one binary symbol a voxel, the multiples behind them.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from inrcodec.core.entropy import SymbolReader, SymbolWriter, bit_cost
from inrcodec.core.payload import MAX_DENSITY, PayloadError

STEP = 1.9  # of the bound: a miss of up to 2.85 bounds is mended by one step
_MULTIPLES = 8  # scale index of the multiples beyond one: nearly always one

Array = np.ndarray[Any, Any]


def encode(multiples: Array, step: float) -> bytes:
    """Section bytes of (n,) integer multiples of a step, mostly 0."""
    missed = multiples != 0
    chosen = multiples[missed]
    writer = SymbolWriter()
    code = writer.put_bits(missed)
    writer.put_uniform((chosen < 0).astype(np.int32), 1)
    writer.put(np.abs(chosen) - 1, np.full(len(chosen), _MULTIPLES, np.uint8))
    return struct.pack("<dB", step, code) + writer.to_bytes()


def decode(data: bytes, count: int) -> Array:
    """(count,) float64 corrections in density units."""
    if len(data) < 9:
        raise PayloadError("corrections are cut short")
    step, code = struct.unpack_from("<dB", data)
    if not 0 < step <= MAX_DENSITY:
        raise PayloadError(f"correction step {step} makes no sense")
    reader = SymbolReader(data[9:])
    missed = reader.get_bits(count, code)
    found = int(missed.sum())
    negative = reader.get_uniform(found, 1)
    multiples = reader.get(np.full(found, _MULTIPLES, np.uint8)).astype(np.float64) + 1
    reader.end()
    out = np.zeros(count)
    out[missed] = np.where(negative, -multiples, multiples) * step
    return out


def estimate_bits(missed: int, count: int) -> float:
    """Expected bits of correcting some of ``count`` voxels."""
    return count * bit_cost(missed / count) + 1.1 * missed
