"""Quantiser steps by radial shell: what a Fourier-shell target stores beside the networks of a volume.

The table holds one exponent a node; nodes lie 1/64 of the Nyquist frequency apart, the first at frequency
zero. Between two nodes the exponent is interpolated, and the step of a band is the volume's step times two
to the power of it. Bands at or beyond the last node are not coded. All of it is arithmetic on whole numbers,
so that encoder and decoder agree to the last bit.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from inrcodec.core.exact import power_of_two
from inrcodec.core.fields.layout import Layout
from inrcodec.core.payload import PayloadError

NODES = 64  # per Nyquist frequency
OCTAVE = 16  # units of an exponent that double the step
MAX_NODES = 113  # to radius 1.75, beyond the largest there is
GAIN_BITS = 16  # multipliers are whole numbers of 2**-16
_PARTS = 8  # positions between two nodes
_UNITS = OCTAVE * _PARTS  # of an interpolated exponent that double the step
# |latent| in units of 2**-LATENT_BITS that exact synthesis may hold is 2**29 (see local_fourier): times the
# multiplier's fraction bits, 2**45, products are exact in float64
_PRODUCT_LIMIT = 2.0 ** (29 + GAIN_BITS)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ShellTable:
    """Exponents of the steps of a volume's radial shells.

    Attributes:
        exponents: one byte a node, in 1/16 of log2; at least 2 and at most 113 nodes.

    Raises:
        ValueError: too few or too many nodes.
    """

    exponents: bytes

    def __post_init__(self) -> None:
        if not 2 <= len(self.exponents) <= MAX_NODES:
            raise ValueError(f"a table of shells has 2 to {MAX_NODES} nodes, got {len(self.exponents)}")

    @property
    def cutoff(self) -> float:
        """Radius from which bands are not coded, in units of the Nyquist frequency."""
        return (len(self.exponents) - 1) / NODES

    def multipliers(self, layout: Layout) -> Array:
        """(bands,) float64 whole numbers of 2**-16 volume's steps; 0 where a band is not coded."""
        return _multipliers(self.exponents, layout)

    def gains(self, layout: Layout) -> Array:
        """(bands,) float64 step of each band in units of the volume's step; 0 where it is not coded."""
        return self.multipliers(layout) * 2.0**-GAIN_BITS

    def coded(self, layout: Layout) -> Array:
        """Band indices that are coded."""
        return np.flatnonzero(self.multipliers(layout))

    @classmethod
    def of_steps(cls, steps: Array) -> ShellTable:
        """The table of the steps at its nodes, relative to their smallest; steps too large are clipped."""
        exponents = np.rint(OCTAVE * np.log2(steps / steps.min()))
        return cls(np.clip(exponents, 0, 255).astype(np.uint8).tobytes())

    def to_config(self) -> str:
        """base64: as numbers, JSON would take a line for each."""
        return base64.b64encode(self.exponents).decode("ascii")

    @classmethod
    def from_config(cls, text: Any) -> ShellTable:
        """The inverse of :meth:`to_config`.

        Raises:
            ValueError: not base64, or a number of nodes that makes no sense.
        """
        if not isinstance(text, str):
            raise ValueError(f"shells of the volume must be base64 text, got {type(text).__name__}")
        return cls(base64.b64decode(text, validate=True))


@cache
def _fractions() -> Array:
    """(128,) 2**16 * 2**(i/128), rounded; no value is near a tie."""
    return np.array([round(power_of_two(i, _UNITS) * 2**GAIN_BITS) for i in range(_UNITS)], np.int64)


@lru_cache(maxsize=64)
def _multipliers(exponents: bytes, layout: Layout) -> Array:
    table = np.frombuffer(exponents, np.uint8).astype(np.int64)
    position = (layout.radius * (NODES * _PARTS)).astype(np.int64)
    node, part = position // _PARTS, position % _PARTS
    coded = node < len(table) - 1
    lower = np.minimum(node, len(table) - 2)
    exponent = table[lower] * (_PARTS - part) + table[lower + 1] * part
    out = np.where(coded, _fractions()[exponent % _UNITS] << (exponent // _UNITS), 0).astype(np.float64)
    out.setflags(write=False)
    return out


def scale_exact(latents: Array, multipliers: Array) -> Array:
    """Dequantised latents in units of the smallest step: (bands, blocks) times (bands,), rounded.

    Raises:
        PayloadError: the products are out of the range that exact arithmetic holds.
    """
    product = latents * multipliers[:, None]
    if np.abs(product).max(initial=0.0) >= _PRODUCT_LIMIT:
        raise PayloadError("latents are out of the range that exact arithmetic holds")
    scaled: Array = np.rint(product * 2.0**-GAIN_BITS)
    return scaled
