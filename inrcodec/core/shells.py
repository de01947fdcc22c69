"""Quantiser steps by radial shell: what a Fourier-shell target stores beside the networks of a volume.

The table holds one exponent a node; nodes lie 1/64 of the Nyquist frequency apart, the first at frequency
zero. Between two nodes the exponent is interpolated, and the step of a band is the volume's step times two
to the power of it. Bands at or beyond the last node are not coded. Blocks at a chunk's faces, the ends of its
axes, may have smaller steps: faces cut errors off, and what is cut spills far over the spectrum. All of it is
arithmetic on whole numbers, so that encoder and decoder agree to the last bit.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
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
END_PARTS = 8  # nodes of the table to one of the limits at the ends
AXES = 3  # at whose ends a block may lie
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
        ends: largest exponents of blocks at the ends of one axis, of two and of three; one byte for every
            eighth node, :func:`end_nodes` each. Empty: no limits.

    Raises:
        ValueError: too few or too many nodes, or not as many limits as these ask for.
    """

    exponents: bytes
    ends: bytes = b""

    def __post_init__(self) -> None:
        if not 2 <= len(self.exponents) <= MAX_NODES:
            raise ValueError(f"a table of shells has 2 to {MAX_NODES} nodes, got {len(self.exponents)}")
        limits = AXES * end_nodes(len(self.exponents))
        if len(self.ends) not in (0, limits):
            raise ValueError(
                f"a table of {len(self.exponents)} nodes has 0 or {limits} limits, got {len(self.ends)}"
            )

    @property
    def cutoff(self) -> float:
        """Radius from which bands are not coded, in units of the Nyquist frequency."""
        return (len(self.exponents) - 1) / NODES

    def multipliers(self, layout: Layout) -> Array:
        """(bands, 4) float64 whole numbers of 2**-16 volume's steps; 0 where a band is not coded.

        One column for each number of axes at whose ends a block lies.
        """
        return _multipliers(self.exponents, self.ends, layout)

    def gains(self, layout: Layout) -> Array:
        """(bands, blocks) float64 steps in units of the volume's step; 0 where a band is not coded.

        (bands, 1) where all blocks have the same.
        """
        gains = self.multipliers(layout) * 2.0**-GAIN_BITS
        return gains[:, layout.ends] if self.ends else gains[:, :1]

    def coded(self, layout: Layout) -> Array:
        """(bands,) mask of the bands that are coded."""
        return np.asarray(self.multipliers(layout)[:, 0] > 0)

    @classmethod
    def of_steps(cls, steps: Array, limits: Array | None = None) -> ShellTable:
        """The table of the steps at its nodes, relative to their smallest; steps too large are clipped.

        Args:
            steps: (nodes,).
            limits: (3, :func:`end_nodes`) largest steps at the ends, or None.
        """
        least = steps.min() if limits is None else min(steps.min(), limits.min())

        def exponents(values: Array) -> bytes:
            return np.clip(np.rint(OCTAVE * np.log2(values / least)), 0, 255).astype(np.uint8).tobytes()

        return cls(exponents(steps), b"" if limits is None else exponents(limits))

    def to_config(self) -> dict[str, str]:
        """Entries of the volume's configuration, base64: as numbers, JSON would take a line for each."""
        config = {"shells": base64.b64encode(self.exponents).decode("ascii")}
        if self.ends:
            config["shell_ends"] = base64.b64encode(self.ends).decode("ascii")
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ShellTable | None:
        """The inverse of :meth:`to_config`; None where the volume's configuration has no table.

        Raises:
            ValueError: not base64, or a number of nodes or limits that makes no sense.
        """
        texts = [config.get("shells"), config.get("shell_ends")]
        if texts == [None, None]:
            return None
        for text in texts:
            if not isinstance(text, str | None):
                raise ValueError(f"shells of the volume must be base64 text, got {type(text).__name__}")
        return cls(*(base64.b64decode(text or "", validate=True) for text in texts))


def end_nodes(nodes: int) -> int:
    """Limits at the ends of one number of axes, for a table of so many nodes."""
    return (nodes - 2) // END_PARTS + 2


@cache
def _fractions() -> Array:
    """(128,) 2**16 * 2**(i/128), rounded; no value is near a tie."""
    return np.array([round(power_of_two(i, _UNITS) * 2**GAIN_BITS) for i in range(_UNITS)], np.int64)


@lru_cache(maxsize=64)
def _multipliers(exponents: bytes, ends: bytes, layout: Layout) -> Array:
    table = np.frombuffer(exponents, np.uint8).astype(np.int64)
    position = (layout.radius * (NODES * _PARTS)).astype(np.int64)
    node, part = position // _PARTS, position % _PARTS
    coded = node < len(table) - 1
    lower = np.minimum(node, len(table) - 2)
    exponent = table[lower] * (_PARTS - part) + table[lower + 1] * part
    every = np.repeat(exponent[:, None], AXES + 1, axis=1)
    if ends:
        limits = np.frombuffer(ends, np.uint8).astype(np.int64).reshape(AXES, -1)
        wide = END_PARTS * _PARTS  # positions between two limits
        node, part = lower // END_PARTS, position % wide
        limit = (limits[:, node] * (wide - part) + limits[:, node + 1] * part) // END_PARTS
        every[:, 1:] = np.minimum(every[:, 1:], limit.T)
    out = np.where(coded[:, None], _fractions()[every % _UNITS] << (every // _UNITS), 0).astype(np.float64)
    out.setflags(write=False)
    return out


def scale_exact(latents: Array, multipliers: Array) -> Array:
    """Dequantised latents in units of the smallest step: (bands, blocks) times as many multipliers, rounded.

    Raises:
        PayloadError: the products are out of the range that exact arithmetic holds.
    """
    product = latents * multipliers
    if np.abs(product).max(initial=0.0) >= _PRODUCT_LIMIT:
        raise PayloadError("latents are out of the range that exact arithmetic holds")
    scaled: Array = np.rint(product * 2.0**-GAIN_BITS)
    return scaled
