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
from inrcodec.core.fields.layout import Layout
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

_LOG_CLAMP = 255
_NEIGHBOURS = (0, 1, 2, 3, 4, 5, 15)  # features that are 0 where all neighbours are

Array = np.ndarray[Any, Any]


@cache
def log_magnitudes() -> Array:
    """(256,) int16: 8 * log2((0.1 + |q|) / 0.1), rounded; magnitudes beyond 255 count as 255."""
    magnitude = np.arange(_LOG_CLAMP + 1)
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


def step_indices(backend: Backend, network: ContextNetwork, features: Any) -> Array:
    """Scale indices of one step of one chunk: (FEATURES, n, 1, blocks) -> (n * blocks,) uint8, NumPy.

    Where all neighbours are zero, as most are, only the band matters: the network is asked once for a band.
    """
    flat = features.reshape(FEATURES, -1)
    if backend.device != "numpy":
        return backend.to_numpy(scale_indices(backend, [network], flat)).astype(np.uint8)
    loud = np.flatnonzero(flat[list(_NEIGHBOURS)].any(axis=0))
    if 2 * len(loud) > flat.shape[1]:
        return scale_indices(backend, [network], flat).astype(np.uint8)
    quiet = features[:, :, 0, 0].copy()
    quiet[list(_NEIGHBOURS)] = 0
    index = np.repeat(scale_indices(backend, [network], quiet).astype(np.uint8), features.shape[3])
    if len(loud):
        index[loud] = scale_indices(backend, [network], flat[:, loud])
    return index


class ContextState:
    """What is known of a batch of chunks of one layout while their latents are decoded.

    Attributes:
        logs: (padded bands, batch, blocks) int16 log magnitudes; 0 where unknown or zero.
        neighbours: the same of the mean over the six neighbouring blocks.
    """

    def __init__(self, backend: Backend, layout: Layout, envelope: Array) -> None:
        """``envelope`` is (batch, BINS) int: the chunks' coarse spectra."""
        self.backend = backend
        self.layout = layout
        batch = envelope.shape[0]
        shape = (layout.padded_bands, batch, layout.blocks)
        self.logs = backend.asarray(np.zeros(shape, np.int16))
        self.neighbours = backend.asarray(np.zeros(shape, np.int16))
        self._table = backend.asarray(log_magnitudes())
        self._padded = backend.asarray(layout.padded)
        self._order = backend.asarray(layout.order)
        self._inverse = backend.asarray(layout.inverse_order)
        self._weight = backend.asarray(layout.neighbour_weight)
        self._envelope = backend.asarray(np.ascontiguousarray(envelope.T[layout.bin]).astype(np.float32))
        self._constant = backend.asarray(_constant_features(layout))

    def put(self, bands: Any, latents: Any, part: slice) -> None:
        """Record latents (bands, batch, blocks of this part) as decoded."""
        xp = self.backend.xp
        magnitude = xp.abs(latents)
        if magnitude.shape[0] and int(xp.max(magnitude)) > _LOG_CLAMP:
            magnitude = xp.clip(magnitude, 0, _LOG_CLAMP)
        magnitude = xp.astype(magnitude, xp.int64)
        flat = xp.take(self._table, xp.reshape(magnitude, (-1,)), axis=0)
        self.logs[self._padded[bands], :, part] = xp.reshape(flat, latents.shape)

    def finish(self, bands: Any) -> None:
        """Update the neighbour means of bands that are fully decoded."""
        self.neighbours[self._padded[bands]] = self.neighbour_mean(bands)

    def neighbour_mean(self, bands: Any) -> Any:
        """Mean log magnitude over the existing ones of the six neighbouring blocks, rounded down."""
        xp, grid = self.backend.xp, self.layout.grid
        if self.layout.blocks == 1:
            return 0 * self.logs[self._padded[bands]]
        rows = xp.take(self.logs[self._padded[bands]], self._inverse, axis=2)
        rows = xp.reshape(xp.astype(rows, xp.int32), (*rows.shape[:2], *grid))
        total = xp.zeros_like(rows)
        total[:, :, 1:] += rows[:, :, :-1]
        total[:, :, :-1] += rows[:, :, 1:]
        total[:, :, :, 1:] += rows[:, :, :, :-1]
        total[:, :, :, :-1] += rows[:, :, :, 1:]
        total[..., 1:] += rows[..., :-1]
        total[..., :-1] += rows[..., 1:]
        total = xp.reshape(total, (*total.shape[:2], -1))
        total = xp.take(total, self._order, axis=2) * self._weight
        return xp.astype(total >> 8, xp.int16)

    def features(self, bands: Any, part: slice, same: Any) -> Any:
        """Inputs of the network for some bands and a part of the blocks.

        Args:
            bands: (n,) band indices (array of the backend).
            part: the even or the odd blocks, in coding order.
            same: (n, batch, blocks of the part) neighbour means at the same frequency, for odd blocks;
                None for even blocks, which do not know them.

        Returns:
            (FEATURES, n, batch, blocks of the part) float32, whole numbers.
        """
        xp, n = self.backend.xp, bands.shape[0]
        at = self._padded[bands]
        dz, dy, dx = self.layout.padded_strides
        logs, near = self.logs[:, :, part], self.neighbours[:, :, part]
        blocks = logs.shape[2]
        out = self.backend.asarray(np.empty((FEATURES, n, logs.shape[1], blocks), np.float32))
        for i, step in enumerate((dz, dy, dx)):
            out[i] = logs[at - step]
        out[3] = (
            logs[at - 2 * dz] + logs[at - 2 * dy] + logs[at - 2 * dx]
            + logs[at - dz - dy] + logs[at - dz - dx] + logs[at - dy - dx]
        ) >> 2  # fmt: skip
        out[4] = near[at - dz] + near[at - dy] + near[at - dx]
        out[5] = 0 if same is None else same
        out[6] = 0 if same is None else 32
        out[7] = self._envelope[bands][:, :, None]
        out[8:15] = xp.reshape(self._constant[:, bands], (7, n, 1, 1))
        first, *others = (
            up - down
            for up, a, b in ((dz, dy, dx), (dy, dz, dx), (dx, dz, dy))
            for down in (2 * a, a + b, 2 * b)
        )
        beside = logs[at + first]  # a copy, as the index is an array
        for offset in others:
            beside += logs[at + offset]
        out[15] = beside >> 3
        return out


def _constant_features(layout: Layout) -> Array:
    """(7, bands) float32: frequency per axis, its length, block length, number of blocks, and one."""
    scaled = layout.frequency * 64 // np.array(layout.latents)[:, None]
    radius = (layout.radius * 64).astype(np.int64)
    ones = np.ones_like(radius)
    size = round(8 * np.log2(np.prod(layout.latents)))
    alone = sum(8 for n in layout.grid if n == 1)
    return np.stack([*scaled, radius, size * ones, alone * ones, 16 * ones]).astype(np.float32)


def walk(state: ContextState, active: Array) -> Any:
    """The decoding order: yields (bands, part, features) for each step.

    The caller must :meth:`ContextState.put` the step's latents before it asks for the next one.
    """
    layout, backend = state.layout, state.backend
    if not len(active):
        return
    shells = layout.shell[active]
    by_shell = np.argsort(shells, kind="stable")
    _, starts = np.unique(shells[by_shell], return_index=True)
    even, odd = slice(0, layout.even), slice(layout.even, layout.blocks)
    for members in np.split(active[by_shell], starts[1:]):
        bands = backend.asarray(members)
        yield bands, even, state.features(bands, even, None)
        if layout.blocks > 1:
            same = state.neighbour_mean(bands)[:, :, odd]
            yield bands, odd, state.features(bands, odd, same)
        state.finish(bands)


def known_features(state: ContextState, bands: Any, latents: Any) -> tuple[Any, Any]:
    """Features of all latents at once, for the encoder, which knows them: (even part, odd part).

    ``latents`` is (bands, batch, blocks). Identical to what :func:`walk` sees step by step.
    """
    layout = state.layout
    even, odd = slice(0, layout.even), slice(layout.even, layout.blocks)
    state.put(bands, latents[:, :, even], even)
    if layout.blocks > 1:
        # odd blocks see even neighbours only, and the other way round never: one mean serves both
        state.put(bands, latents[:, :, odd], odd)
        state.finish(bands)
        same = state.neighbours[state._padded[bands]][:, :, odd]
        return state.features(bands, even, None), state.features(bands, odd, same)
    return state.features(bands, even, None), None


def spectral_envelope(means: Array) -> Array:
    """Coarse spectrum of a chunk: mean magnitudes per radial bin (..., BINS) -> codes 0..255.

    0 marks a bin without any latent, which is not coded at all; otherwise the code is in 1/8 of log2.
    """
    codes = 1 + np.rint(8 * np.log2(1 + means / 0.004))
    return np.where(means > 0, np.minimum(codes, 255), 0).astype(np.int64)
