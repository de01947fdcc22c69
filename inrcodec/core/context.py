"""The context network: the scale of each latent's distribution, from latents already decoded.

All arithmetic is on whole numbers that float32 holds exactly (partial sums stay below 2**24), so a matrix
product gives the same result on every device and in any order of summation. Encoder and decoder run the
same functions on NumPy or PyTorch arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from inrcodec.core import entropy
from inrcodec.core.backend import Backend
from inrcodec.core.payload import PayloadError

FEATURES = 16
WIDTH = 32
WEIGHT_BITS = 6  # weights are in units of 1/64
FEATURE_BITS = 3  # features in 1/8
ACTIVATION_BITS = 4  # activations in 1/16, clamped to 0..255
SCALE_BITS = 3  # scale indices in 1/8 of log2
SHAPES = ((WIDTH, FEATURES), (WIDTH,), (WIDTH, WIDTH), (WIDTH,), (1, WIDTH), (1,))
SHIFTS = (
    FEATURE_BITS + WEIGHT_BITS - ACTIVATION_BITS,
    WEIGHT_BITS,
    ACTIVATION_BITS + WEIGHT_BITS - SCALE_BITS,
)
TOPS = (255.0, 255.0, entropy.SCALES - 1.0)
PARAMETERS = sum(int(np.prod(shape)) for shape in SHAPES)

LOG_CLAMP = 255

Array = np.ndarray[Any, Any]


@cache
def log_magnitudes() -> Array:
    """(256,) int16: 8 * log2((0.1 + |q|) / 0.1), rounded; magnitudes beyond 255 count as 255."""
    magnitude = np.arange(LOG_CLAMP + 1)
    return np.rint(8 * np.log2((0.1 + magnitude) / 0.1)).astype(np.int16)


@dataclass(frozen=True, eq=False)
class ContextNetwork:
    """Quantised weights and biases, one array per entry of ``SHAPES``.

    Weights are int8 in 1/64; the first biases are in 1/512, the others in 1/1024.
    """

    arrays: tuple[Array, ...]

    @property
    def flat(self) -> Array:
        """(PARAMETERS,) int32."""
        return np.concatenate([a.ravel() for a in self.arrays]).astype(np.int32)

    @classmethod
    def from_flat(cls, flat: Array) -> ContextNetwork:
        """The inverse of :attr:`flat`.

        Raises:
            PayloadError: weights beyond int8 or biases beyond int16.
        """
        parts = np.split(np.asarray(flat), np.cumsum([int(np.prod(s)) for s in SHAPES])[:-1])
        arrays = tuple(part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True))
        if any(np.abs(a).max() > (127 if a.ndim == 2 else 32767) for a in arrays):
            raise PayloadError("network weights are out of range")
        return cls(arrays)

    def to_bytes(self, reference: ContextNetwork) -> bytes:
        """The difference to a reference network, entropy-coded."""
        return entropy.encode_integers(
            [own - other for own, other in zip(self.arrays, reference.arrays, strict=True)]
        )

    @classmethod
    def from_bytes(cls, data: bytes, reference: ContextNetwork) -> ContextNetwork:
        parts = entropy.decode_integers(data, [int(np.prod(shape)) for shape in SHAPES])
        return cls.from_flat(np.concatenate(parts) + reference.flat)


def scale_indices(backend: Backend, networks: Sequence[ContextNetwork], features: Any) -> Any:
    """The network: whole-numbered float32 features -> scale indices, whole numbers in float32.

    ``features`` is (FEATURES, n) for one network, (batch, FEATURES, n) for one network a chunk; the result
    is (n,) or (batch, n).
    """
    xp = backend.xp
    if len(networks) == 1:
        arrays = networks[0].arrays
    else:
        arrays = tuple(np.stack(a) for a in zip(*(n.arrays for n in networks), strict=True))
    # dividing by a power of two is exact, so the shift of each layer goes into its weights
    layers = [
        (
            backend.asarray((w * 2.0**-shift).astype(np.float32)),
            backend.asarray((b * 2.0**-shift).astype(np.float32)),
        )
        for w, b, shift in zip(arrays[::2], arrays[1::2], SHIFTS, strict=True)
    ]
    out = []
    for start in range(0, features.shape[-1], backend.tile):
        values = features[..., start : start + backend.tile]
        for (weights, bias), top in zip(layers, TOPS, strict=True):
            values = xp.matmul(weights, values)
            values += bias[..., None]
            values = backend.round_clip(values, 0.0, top)
        out.append(values[..., 0, :])
    return out[0] if len(out) == 1 else xp.concat(out, axis=-1)


def spectral_envelope(means: Array) -> Array:
    """Coarse spectrum of a chunk: mean magnitudes per radial bin (..., BINS) -> codes 0..255.

    0 marks a bin without any latent, which is not coded at all; otherwise the code is in 1/8 of log2.
    """
    codes = 1 + np.rint(8 * np.log2(1 + means / 0.004))
    return np.where(means > 0, np.minimum(codes, 255), 0).astype(np.int64)
