"""The encoder's view of latents: a batch of chunks of one layout, quantised by rate and distortion."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from inrcodec.core import context, context_state, entropy
from inrcodec.core.backend import Backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.context_state import ContextState
from inrcodec.core.fields.layout import BINS, Layout
from inrcodec.core.fields.local_fourier import LATENT_BITS
from inrcodec.core.shells import ShellTable

DEAD_ZONE_OFFSET = 0.4  # |x| rounds up above 0.6 when no rate is known
LAMBDA = 0.12  # squared steps per bit, in the choice of latents
_COST_TOP = 255
_LARGEST = 2.0**24  # latents beyond the decoder's range: float32 squares of them still make sense

Array = np.ndarray[Any, Any]


@dataclass
class Quantised:
    """Quantised latents of a batch.

    Attributes:
        bands: (n,) active band indices, NumPy.
        values: (n, batch, blocks) float32 whole numbers, array of the backend.
        envelope: (batch, BINS) codes.
        bits: (batch,) estimated bits of the values; NaN where no network was asked.
    """

    bands: Array
    values: Any
    envelope: Array
    bits: Array

    def chunk(self, at: int) -> Quantised:
        """One chunk of the batch, as a batch of one."""
        one = slice(at, at + 1)
        return Quantised(self.bands, self.values[:, one], self.envelope[one], self.bits[one])


class Latents:
    """Unquantised latents of a batch of chunks, (bands, batch, blocks) float32, and what is done to them.

    With ``shells`` every band has a step of its own: latents are kept in units of their step's gain, so that
    rates, distortions and the choice between them are in their own steps. Errors and energies are those of
    voxels all the same.
    """

    def __init__(
        self, backend: Backend, layout: Layout, latents: Any, shells: ShellTable | None = None
    ) -> None:
        self.backend = backend
        self.layout = layout
        self.shells = shells
        self.energy = self._per_chunk(latents * latents)
        self.gains: Any = None
        if shells is not None:
            gains = shells.gains(layout)
            self.gains = backend.asarray(gains.astype(np.float32))[:, None]
            inverse = np.divide(1.0, gains, out=np.zeros_like(gains), where=gains > 0)
            latents = latents * backend.asarray(inverse.astype(np.float32))[:, None]
        self.latents = latents

    @property
    def batch(self) -> int:
        return int(self.latents.shape[1])

    def chunk(self, at: int) -> Latents:
        """One chunk of the batch, as a batch of one."""
        one = copy.copy(self)
        one.latents, one.energy = self.latents[:, at : at + 1], self.energy[at : at + 1]
        return one

    @property
    def coded(self) -> Array:
        """Band indices that may be coded."""
        return (
            np.arange(self.layout.bands)
            if self.shells is None
            else np.flatnonzero(self.shells.coded(self.layout))
        )

    def in_voxels(self, bands: Array, values: Any) -> Any:
        """Latents of some bands, (n, batch, blocks), in the units of voxels."""
        return values if self.gains is None else values * self.gains[self.backend.asarray(bands)]

    def _per_chunk(self, values: Any) -> Array:
        """Sum over all but the batch axis: (batch,) float64."""
        partial = self.backend.xp.sum(values, axis=2)
        return self.backend.to_numpy(partial).astype(np.float64).sum(axis=0)

    def _steps(self, step: Array) -> Any:
        return self.backend.asarray(np.asarray(step, np.float32))[None, :, None]

    def shrunk(self, limit: Array) -> Any:
        """Latents moved towards zero by ``limit``, (batch,): the proximal step of the sum of magnitudes.

        (bands, batch, blocks) in the units of voxels.
        """
        xp, most = self.backend.xp, self._steps(limit)
        return self.in_voxels(np.arange(self.layout.bands), self.latents - xp.clip(self.latents, -most, most))

    def plain(self, step: Array) -> Quantised:
        """Uniform quantisation with a dead zone; ``step`` is (batch,)."""
        xp = self.backend.xp
        scaled = self.latents / self._steps(step)
        values = xp.clip(xp.sign(scaled) * xp.floor(xp.abs(scaled) + DEAD_ZONE_OFFSET), -_LARGEST, _LARGEST)
        coded = self.coded
        return self._trim(coded, values if self.shells is None else values[self.backend.asarray(coded)])

    def plain_error(self, step: Array, samples: int = 2**16) -> Array:
        """(batch,) estimate of the squared error of :meth:`plain`, from latents drawn at random; of one step.

        Not from every n-th: block grids and intervals share factors, and some blocks would never be seen.
        """
        xp = self.backend.xp
        count = self.layout.bands * self.layout.blocks
        some = xp.permute_dims(self.latents, (1, 0, 2)).reshape(self.batch, -1)
        if count > 2 * samples:
            some = some[:, self.backend.asarray(_draws(count, samples))]
        scaled = xp.abs(some) / self.backend.asarray(np.asarray(step, np.float32))[:, None]
        difference = scaled - xp.floor(scaled + DEAD_ZONE_OFFSET)
        total = self.backend.to_numpy(xp.sum(difference * difference, axis=1)).astype(np.float64)
        return total * step**2 * (count / some.shape[1])

    def _trim(self, bands: Array, values: Any) -> Quantised:
        """Drop the radial bins that hold zeros only; describe the rest by their envelope."""
        sums = self.backend.to_numpy(self.backend.xp.sum(self.backend.xp.abs(values), axis=2))
        bins = self.layout.bin[bands]
        means = np.zeros((self.batch, BINS))
        np.add.at(means.T, bins, sums.astype(np.float64))
        counts = np.bincount(self.layout.bin, minlength=BINS) * self.layout.blocks
        envelope = context.spectral_envelope(means / np.maximum(counts, 1))
        keep = np.asarray((envelope > 0).any(axis=0))[bins]
        if keep.all():
            return Quantised(bands, values, envelope, np.full(self.batch, np.nan))
        kept = self.backend.asarray(np.flatnonzero(keep))
        return Quantised(bands[keep], values[kept], envelope, np.full(self.batch, np.nan))

    def features(self, q: Quantised) -> Any:
        """Network inputs of all active latents: (batch, FEATURES, n * blocks), blocks in coding order."""
        state = ContextState(self.backend, self.layout, q.envelope)
        bands = self.backend.asarray(q.bands)
        even, odd = context_state.known_features(state, bands, q.values)
        both = even if odd is None else self.backend.xp.concat([even, odd], axis=3)
        batched = self.backend.xp.permute_dims(both, (2, 0, 1, 3))
        return batched.reshape(self.batch, context.FEATURES, -1)

    def active_mask(self, q: Quantised) -> Any:
        """(n, batch, 1) 1 where a chunk of the batch codes the band, 0 where only others do."""
        own = (q.envelope > 0)[:, self.layout.bin[q.bands]].T
        return self.backend.asarray(own.astype(np.float32))[:, :, None]

    def indices(self, q: Quantised, networks: Sequence[ContextNetwork], features: Any | None = None) -> Any:
        """Scale indices of all active latents, (n, batch, blocks) int64."""
        xp = self.backend.xp
        features = self.features(q) if features is None else features
        if len(networks) == 1:
            shape, even = (context.FEATURES, len(q.bands), self.layout.blocks), self.layout.even
            chunks = [xp.reshape(f, shape) for f in _unstack(features)]
            known = [context_state.known_indices(self.backend, networks[0], f, even) for f in chunks]
            index = xp.stack(known, axis=0)
        else:
            index = context.scale_indices(self.backend, networks, features)
        index = index.reshape(self.batch, len(q.bands), self.layout.blocks)
        return xp.astype(xp.permute_dims(index, (1, 0, 2)), xp.int64)

    def cost(
        self, q: Quantised, networks: Sequence[ContextNetwork], features: Any | None = None
    ) -> Quantised:
        """The same latents with their estimated bits."""
        if len(q.bands) == 0:
            return Quantised(q.bands, q.values, q.envelope, np.zeros(self.batch))
        xp = self.backend.xp
        index = self.indices(q, networks, features)
        magnitude = xp.astype(xp.clip(xp.abs(q.values), 0, _COST_TOP), xp.int64)
        bits = _costs(self.backend, index, magnitude) * self.active_mask(q)
        return Quantised(q.bands, q.values, q.envelope, self._per_chunk(bits))

    def rate_distortion(
        self,
        q: Quantised,
        step: Array,
        networks: Sequence[ContextNetwork],
        *,
        index: Any | None = None,
        prune: bool = False,
        weight: float | Array = LAMBDA,
    ) -> Quantised:
        """Choose each latent among its rounding, one nearer zero and zero, by distortion + weight * bits.

        The rates are those the networks predict from the latents chosen before (``q``), or those of scale
        indices that :meth:`indices` gave for them. ``prune`` drops
        whole radial bins that cost more than they mend; they do not come back. ``weight`` is one or
        (blocks,), infinite for blocks that are left empty.
        """
        if len(q.bands) == 0:
            return q
        xp = self.backend.xp
        index = self.indices(q, networks) if index is None else index
        coded = self.backend.asarray(np.isfinite(weight))
        weight = self.backend.asarray(np.where(np.isfinite(weight), weight, LAMBDA).astype(np.float32))
        scaled = self._scaled(q, step)
        upper = xp.round(scaled)
        best = xp.zeros_like(upper)
        zeros = xp.zeros_like(index)
        least = scaled * scaled + weight * _costs(self.backend, index, zeros)
        for candidate in (upper - 1, upper):
            magnitude = xp.astype(xp.clip(candidate, 0, _COST_TOP), xp.int64)
            score = (scaled - candidate) ** 2 + weight * _costs(self.backend, index, magnitude)
            better = (score < least) & (candidate > 0) & coded
            best = xp.where(better, candidate, best)
            least = xp.where(better, score, least)
        keep = self.active_mask(q)
        if prune:
            keep = keep * self._worth(q, least, scaled)
        signed = best * xp.sign(self.latents[self.backend.asarray(q.bands)]) * keep
        return self._trim(q.bands, signed)

    def block_sizes(self, step: Array) -> tuple[Any, Any]:
        """Of each block, (batch, blocks): mean square of its latents, and largest magnitude, in steps."""
        xp = self.backend.xp
        scaled = self.latents / self._steps(step)
        return xp.mean(scaled * scaled, axis=0), xp.max(xp.abs(scaled), axis=0)

    def _worth(self, q: Quantised, score: Any, scaled: Any) -> Any:
        """(n, batch, 1) 0 for radial bins that cost more than they mend: dropped, they cost nothing."""
        xp = self.backend.xp
        gain = self.backend.to_numpy(xp.sum(scaled * scaled - score, axis=2))
        total = np.zeros((BINS, self.batch))
        bins = self.layout.bin[q.bands]
        np.add.at(total, bins, gain)
        return self.backend.asarray((total > 0)[bins].astype(np.float32))[:, :, None]

    def _scaled(self, q: Quantised, step: Array) -> Any:
        """Magnitudes of the active bands' latents in steps, (n, batch, blocks) float32."""
        xp = self.backend.xp
        scaled = xp.abs(self.latents[self.backend.asarray(q.bands)] / self._steps(step))
        return xp.clip(scaled, 0.0, _LARGEST)

    def offsets(self, q: Quantised, step: Array) -> Array:
        """Reconstruction offsets for magnitudes 1, 2 and above: (batch, 3) in 2**-LATENT_BITS steps."""
        xp = self.backend.xp
        out = np.zeros((self.batch, 3), np.int64)
        if len(q.bands) == 0:
            return out
        scaled = self._scaled(q, step)
        magnitude = xp.abs(q.values)
        for i, chosen in enumerate((magnitude == 1, magnitude == 2, magnitude > 2)):
            chosen = xp.astype(chosen, scaled.dtype)
            count = np.maximum(self._per_chunk(chosen), 1)
            out[:, i] = np.rint(self._per_chunk((scaled - magnitude) * chosen) / count * 2**LATENT_BITS)
        return np.clip(out, -40, 40)

    def dequantise(self, q: Quantised, step: Array, offsets: Array) -> Any:
        """Reconstructed latents of the active bands, (n, batch, blocks) float32, as they are kept here."""
        xp = self.backend.xp
        shift = self.backend.asarray((offsets.astype(np.float32) / 2**LATENT_BITS).T)[:, None, :, None]
        magnitude = xp.abs(q.values)
        moved = magnitude + xp.where(magnitude > 2, shift[2], xp.where(magnitude > 1, shift[1], shift[0]))
        return xp.where(magnitude > 0, moved * xp.sign(q.values), magnitude) * self._steps(step)

    def squared_error(self, q: Quantised, step: Array, offsets: Array) -> Array:
        """(batch,) squared error summed over voxels, which equals that summed over latents."""
        kept = self.latents[self.backend.asarray(q.bands)]
        difference = self.in_voxels(q.bands, kept - self.dequantise(q, step, offsets))
        kept = self.in_voxels(q.bands, kept)
        inside = self._per_chunk(difference * difference)
        return np.maximum(self.energy - self._per_chunk(kept * kept), 0.0) + inside


@lru_cache(maxsize=8)
def _draws(count: int, samples: int) -> Array:
    return np.sort(np.random.default_rng(0).integers(0, count, samples))


@cache
def _cost_array(backend: Backend) -> Any:
    return backend.asarray(entropy.cost_table().reshape(-1))


def _costs(backend: Backend, index: Any, magnitude: Any) -> Any:
    """Bits at (scale index, magnitude), elementwise."""
    flat = index * (_COST_TOP + 1) + magnitude
    costs = backend.xp.take(_cost_array(backend), backend.xp.reshape(flat, (-1,)), axis=0)
    return backend.xp.reshape(costs, flat.shape)


def _unstack(features: Any) -> list[Any]:
    return [features[i] for i in range(features.shape[0])]
