"""What the context network is told of latents: those decoded before, step by step, in the decoding order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.context import FEATURES, LOG_CLAMP, ContextNetwork, log_magnitudes, scale_indices
from inrcodec.core.fields.layout import Layout

_FEW = 8  # one of so many blocks and fewer: reading those apart pays
_NEIGHBOURS = (0, 1, 2, 3, 4, 5, 15)  # features that are 0 where all neighbours are

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Step:
    """Latents that are decoded at once: some bands of one part of the blocks.

    Attributes:
        bands: (n,) band indices (array of the backend).
        part: even or odd blocks, in coding order.
        features: (FEATURES, n, 1, blocks) inputs of the network, whole numbers in float32: those of
            ``blocks`` where that is given.
        blocks: indices, in the part, of blocks that have non-zero latents in them or beside them, if these
            are few; None is all.
        quiet: (FEATURES, n) inputs of the network for the other blocks.
    """

    bands: Any
    part: slice
    features: Any
    blocks: Array | None = None
    quiet: Array | None = None


def step_indices(backend: Backend, network: ContextNetwork, step: Step) -> Array:
    """Scale indices of one step of one chunk, (n * blocks of the part,) uint8, NumPy.

    Where all neighbours are zero, as most are, only the band matters: the network is asked once for a band.
    """
    flat = step.features.reshape(FEATURES, -1)
    if backend.device != "numpy":
        return backend.to_numpy(scale_indices(backend, [network], flat)).astype(np.uint8)
    loud = _loud(flat)
    if step.quiet is None and 2 * len(loud) > flat.shape[1]:
        return scale_indices(backend, [network], flat).astype(np.uint8)
    quiet = step.features[:, :, 0, 0].copy() if step.quiet is None else step.quiet
    quiet[list(_NEIGHBOURS)] = 0
    count = step.part.stop - step.part.start
    index = np.repeat(scale_indices(backend, [network], quiet).astype(np.uint8), count)
    if len(loud):
        at = loud
        if step.blocks is not None:
            band, block = np.divmod(loud, len(step.blocks))
            at = band * count + step.blocks[block]
        index[at] = scale_indices(backend, [network], flat[:, loud])
    return index


def known_indices(backend: Backend, network: ContextNetwork, features: Any, even: int) -> Any:
    """Scale indices of one chunk whose latents are known: (FEATURES, n, blocks) -> (n, blocks) float32.

    As in :func:`step_indices` the network is asked once for a band, and colour of blocks, where all
    neighbours are zero. ``even`` is the number of even blocks, which come first.
    """
    _, n, blocks = features.shape
    flat = features.reshape(FEATURES, -1)
    loud = _loud(flat) if backend.device == "numpy" else None
    if loud is None or 2 * len(loud) > flat.shape[1]:
        return scale_indices(backend, [network], flat).reshape(n, blocks)
    first = [0, even] if even < blocks else [0]
    quiet = features[:, :, first]
    quiet[list(_NEIGHBOURS)] = 0
    found = scale_indices(backend, [network], quiet.reshape(FEATURES, -1)).reshape(n, -1)
    index = np.repeat(found, [even, blocks - even][: len(first)], axis=1)
    if len(loud):
        index.reshape(-1)[loud] = scale_indices(backend, [network], flat[:, loud])
    return index


def _loud(features: Array) -> Array:
    """Which latents have a neighbour that is not zero: (FEATURES, n) -> indices."""
    return np.flatnonzero(features[list(_NEIGHBOURS)].any(axis=0))


class ContextState:
    """What is known of a batch of chunks of one layout while their latents are decoded.

    Attributes:
        logs: (padded bands, batch, blocks + 1) int16 log magnitudes; 0 where unknown or zero, and in the last
            column, which stands for blocks that do not exist.
        neighbours: (padded bands, batch, blocks) the same of the mean over the six neighbouring blocks.
    """

    def __init__(self, backend: Backend, layout: Layout, envelope: Array) -> None:
        """``envelope`` is (batch, BINS) int: the chunks' coarse spectra."""
        self.backend = backend
        self.layout = layout
        batch = envelope.shape[0]
        rows = (layout.padded_bands, batch)
        self.logs = backend.asarray(np.zeros((*rows, layout.blocks + 1), np.int16))
        self.neighbours = backend.asarray(np.zeros((*rows, layout.blocks), np.int16))
        self._table = backend.asarray(log_magnitudes())
        self._padded = backend.asarray(layout.padded)
        self._beside = backend.asarray(layout.neighbours)
        self._lower = backend.asarray(_lower_bands(layout))
        self._weight = backend.asarray(layout.neighbour_weight)
        # blocks with non-zero latents; only a chunk alone, on NumPy, has use for them
        self._held = np.zeros(layout.blocks + 1, bool) if batch == 1 and backend.device == "numpy" else None
        self._envelope = backend.asarray(np.ascontiguousarray(envelope.T[layout.bin]).astype(np.float32))
        self._constant = backend.asarray(_constant_features(layout))

    def put(self, bands: Any, latents: Any, part: slice) -> None:
        """Record latents (bands, batch, blocks of this part) as decoded."""
        xp = self.backend.xp
        magnitude = xp.abs(latents)
        if magnitude.shape[0] and int(xp.max(magnitude)) > LOG_CLAMP:
            magnitude = xp.clip(magnitude, 0, LOG_CLAMP)
        magnitude = xp.astype(magnitude, xp.int64)
        flat = xp.take(self._table, xp.reshape(magnitude, (-1,)), axis=0)
        self.logs[self._padded[bands], :, part] = xp.reshape(flat, latents.shape)
        if self._held is not None:
            self._held[part] |= latents.any(axis=(0, 1))

    def finish(self, bands: Any) -> None:
        """Update the neighbour means of bands that are fully decoded."""
        part = slice(0, self.layout.blocks)
        blocks = self._busy(part)
        at = self._padded[bands]
        if blocks is None:
            self.neighbours[at, :, part] = self.neighbour_mean(bands, part)
        else:
            self.neighbours[at[:, None, None], 0, blocks] = self.neighbour_mean(bands, blocks)

    def neighbour_mean(self, bands: Any, part: slice | Array) -> Any:
        """Mean log magnitude over the existing ones of the six neighbouring blocks, rounded down.

        Args:
            bands: (n,) band indices (array of the backend).
            part: of the blocks, or for a batch of one the indices of some.

        Returns:
            (n, batch, blocks of the part) int16.
        """
        xp, at = self.backend.xp, self._padded[bands]
        if isinstance(part, slice):
            rows = self.logs[at]
            total = sum(xp.take(rows, beside, axis=2) for beside in self._beside[:, part])
        else:
            total = sum(self.logs[at[:, None, None], 0, beside] for beside in self._beside[:, part])
        return xp.astype(xp.astype(total, xp.int32) * self._weight[part] >> 8, xp.int16)

    def step(self, bands: Any, part: slice) -> Step:
        """What the network is asked about a part of the blocks, the even or the odd ones."""
        blocks = self._busy(part)
        some = part if blocks is None else part.start + blocks
        same = self.neighbour_mean(bands, some) if part.start else None
        features = self.features(bands, some, same)
        quiet = None if blocks is None else self._own(bands, same is not None)[:, :, 0]
        return Step(bands, part, features, blocks, quiet)

    def _busy(self, part: slice) -> Array | None:
        """Which blocks of a part have non-zero latents in them or beside them; None if these are many."""
        if self._held is None:
            return None
        beside = self._beside[:, part]
        blocks = np.flatnonzero(self._held[part] | self._held[beside].any(axis=0))
        return blocks if len(blocks) * _FEW < part.stop - part.start else None

    def _own(self, bands: Any, odd: bool) -> Any:
        """(FEATURES, n, batch) inputs that do not depend on other latents, 0 where they do."""
        out = self.backend.asarray(np.zeros((FEATURES, bands.shape[0], self.logs.shape[1]), np.float32))
        out[6] = 32 if odd else 0
        out[7] = self._envelope[bands]
        out[8:15] = self._constant[:, bands][:, :, None]
        return out

    def features(self, bands: Any, part: slice | Array, same: Any) -> Any:
        """Inputs of the network for some bands and a part of the blocks.

        Args:
            bands: (n,) band indices (array of the backend).
            part: of the blocks in coding order, or for a batch of one the indices of some.
            same: (n, batch, blocks of the part) neighbour means at the same frequency, for odd blocks;
                None for even blocks, which do not know them.

        Returns:
            (FEATURES, n, batch, blocks of the part) float32, whole numbers.
        """
        xp, at = self.backend.xp, self._padded[bands]
        count = bands.shape[0]

        def taken(table: Any, offsets: Any) -> Any:
            """(offsets, n, batch, blocks of the part) in one go: a gather has a price of its own."""
            index = (offsets[:, None] + at).reshape(-1)
            some = (
                table[:, :, part][index] if isinstance(part, slice) else table[index[:, None, None], 0, part]
            )
            return some.reshape(offsets.shape[0], count, *some.shape[1:])

        near = taken(self.logs, self._lower[0:3])
        out = self.backend.asarray(np.empty((FEATURES, *near.shape[1:]), np.float32))
        out[6:15] = self._own(bands, same is not None)[6:15, :, :, None]
        out[0:3] = near
        # in parts: all neighbours of a whole volume at once would take half as much memory as its features
        out[3] = xp.sum(taken(self.logs, self._lower[3:9]), axis=0, dtype=xp.int16) >> 2
        out[15] = xp.sum(taken(self.logs, self._lower[9:]), axis=0, dtype=xp.int16) >> 3
        out[4] = xp.sum(taken(self.neighbours, self._lower[0:3]), axis=0, dtype=xp.int16)
        out[5] = 0 if same is None else same
        return out


def _lower_bands(layout: Layout) -> Array:
    """Steps in the padded band index to those that the features look at.

    Three one frequency lower along an axis, six of two shells before, and nine others of the shell before.
    """
    dz, dy, dx = layout.padded_strides
    near = [-dz, -dy, -dx]
    second = [-2 * dz, -2 * dy, -2 * dx, -dz - dy, -dz - dx, -dy - dx]
    beside = [
        up - down for up, a, b in ((dz, dy, dx), (dy, dz, dx), (dx, dz, dy)) for down in (2 * a, a + b, 2 * b)
    ]
    return np.array(near + second + beside)


def _constant_features(layout: Layout) -> Array:
    """(7, bands) float32: frequency per axis, its length, block length, number of blocks, and one."""
    scaled = layout.frequency * 64 // np.array(layout.latents)[:, None]
    radius = (layout.radius * 64).astype(np.int64)
    ones = np.ones_like(radius)
    size = round(8 * np.log2(np.prod(layout.latents)))
    alone = sum(8 for n in layout.grid if n == 1)
    return np.stack([*scaled, radius, size * ones, alone * ones, 16 * ones]).astype(np.float32)


def walk(state: ContextState, active: Array) -> Iterator[Step]:
    """The decoding order: yields every :class:`Step`.

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
        yield state.step(bands, even)
        if layout.blocks > 1:
            yield state.step(bands, odd)
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
