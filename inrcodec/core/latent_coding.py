"""Quantised latents to bytes and back, under a context network; and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inrcodec.core import context_state
from inrcodec.core.backend import NUMPY, Backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.context_state import ContextState
from inrcodec.core.entropy import SymbolReader, SymbolWriter
from inrcodec.core.fields.layout import Layout
from inrcodec.core.fields.local_fourier import LATENT_BITS
from inrcodec.core.shells import ShellTable, scale_exact

Array = np.ndarray[Any, Any]


def encode_latents(
    values: Array, layout: Layout, envelope: Array, active: Array, network: ContextNetwork
) -> bytes:
    """Latents (active bands, blocks) int32 as :func:`decode_latents` reads them.

    Args:
        values: the latents.
        layout: of the field.
        envelope: (BINS,) its spectral envelope.
        active: (active bands,) band indices, ascending.
        network: predicts their scales.
    """
    writer = SymbolWriter()
    if len(active):
        state = ContextState(NUMPY, layout, envelope[None])
        for step in context_state.walk(state, active):
            symbols = values[np.searchsorted(active, step.bands), step.part]
            writer.put(symbols.reshape(-1), context_state.step_indices(NUMPY, network, step))
            state.put(step.bands, symbols[:, None], step.part)
    return writer.to_bytes()


def decode_latents(
    backend: Backend, data: bytes, layout: Layout, envelope: Array, active: Array, network: ContextNetwork
) -> Array:
    """Quantised latents of the active bands, (active bands, blocks) int32.

    Raises:
        PayloadError: the bytes are damaged.
    """
    reader = SymbolReader(data)
    if not len(active):
        reader.end()
        return np.zeros((0, layout.blocks), np.int32)
    values = np.zeros((len(active), layout.blocks), np.int32)
    state = ContextState(backend, layout, envelope[None])
    for step in context_state.walk(state, active):
        symbols = reader.get(context_state.step_indices(backend, network, step)).reshape(len(step.bands), -1)
        values[np.searchsorted(active, backend.to_numpy(step.bands)), step.part] = symbols
        state.put(step.bands, backend.asarray(symbols[:, None]), step.part)
    reader.end()
    return values


def dequantise(latents: Array, offsets: Array) -> Array:
    """Latents with reconstruction offsets, float64 whole numbers of 2**-LATENT_BITS steps."""
    table = np.concatenate([[0], offsets])
    magnitude = np.abs(latents)
    moved = magnitude.astype(np.float64) * 2**LATENT_BITS + table[np.minimum(magnitude, 3)]
    return np.where(latents < 0, -moved, moved)


def dequantiser(
    offsets: Array, shells: ShellTable | None, layout: Layout, active: Array
) -> Callable[[Array, Array], Array]:
    """:func:`dequantise` for latents (active bands, some blocks) of a field and their blocks' indices.

    The result is in units of the field's step.
    """
    if shells is None:
        return lambda latents, _: dequantise(latents, offsets)
    multipliers = shells.multipliers(layout)[active]
    return lambda latents, blocks: scale_exact(
        dequantise(latents, offsets), multipliers[:, layout.ends[blocks]]
    )
