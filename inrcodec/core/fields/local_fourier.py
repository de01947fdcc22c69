"""The local-Fourier field: density as windowed local cosines with one latent vector a block.

Analysis (float) gives the latents of the encoder; synthesis (whole numbers) gives the voxels of the
decoder. Synthesis multiplies integer latents with integer tables in float64: every partial sum stays below
2**53, so the result is exact in any order of summation, on any device.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.fields.basis import TABLE_BITS, AxisBasis, axis_basis
from inrcodec.core.fields.layout import Layout
from inrcodec.core.payload import PayloadError

LATENT_BITS = 6  # dequantised latents are whole numbers of 1/64 step
# |latent| * 2**TABLE_BITS * sum|table row|: two blocks of at most 64 latents of norm one give 2**3.5; the
# sum of a column is hardly larger, as a function of norm one reaches at most 150 voxels
_LATENT_LIMIT = 2.0 ** (53 - TABLE_BITS - 4)

Array = np.ndarray[Any, Any]


@lru_cache(maxsize=32)
def _matrix(backend: Backend, length: int, block: int, dtype: str) -> Any:
    matrix = axis_basis(length, block).matrix()
    return backend.asarray(matrix.astype(dtype))


def analyse(backend: Backend, voxels: Any, layout: Layout) -> Any:
    """Latents of voxels: (batch, d, h, w) float32 -> (bands, batch, blocks) float32."""
    batch = voxels.shape[0]
    d, h, w = (_matrix(backend, n, layout.block, "float32") for n in layout.shape)
    latents = backend.xp.matmul(voxels, w)
    latents = backend.xp.matmul(h.T, latents)
    latents = backend.xp.matmul(d.T, latents.reshape(batch, layout.shape[0], -1))
    grid, size = layout.grid, layout.latents
    latents = latents.reshape(batch, grid[0], size[0], grid[1], size[1], grid[2], size[2])
    latents = backend.xp.permute_dims(latents, (2, 4, 6, 0, 1, 3, 5))
    latents = latents.reshape(layout.bands, batch, layout.blocks)
    return backend.xp.take(latents, backend.asarray(layout.order), axis=2)


def synthesise(backend: Backend, latents: Any, layout: Layout) -> Any:
    """The float inverse of :func:`analyse`, for the encoder's estimates."""
    batch = latents.shape[1]
    grid, size = layout.grid, layout.latents
    latents = backend.xp.take(latents, backend.asarray(layout.inverse_order), axis=2)
    latents = latents.reshape(*size, batch, *grid)
    latents = backend.xp.permute_dims(latents, (3, 4, 0, 5, 1, 6, 2))
    rows = [g * k for g, k in zip(grid, size, strict=True)]
    d, h, w = (_matrix(backend, n, layout.block, "float32") for n in layout.shape)
    voxels = backend.xp.matmul(d, latents.reshape(batch, rows[0], rows[1] * rows[2]))
    voxels = backend.xp.matmul(h, voxels.reshape(batch, layout.shape[0], rows[1], rows[2]))
    return backend.xp.matmul(voxels, w.T)


def synthesise_exact(
    backend: Backend,
    latents: Array,
    bands: Array,
    layout: Layout,
    box: tuple[slice, slice, slice] | None = None,
) -> Any:
    """Voxels of dequantised latents, exactly, in units of 2**-(TABLE_BITS + LATENT_BITS) steps.

    Args:
        backend: where to compute.
        latents: (active bands, blocks) whole numbers of 2**-LATENT_BITS steps; other bands are zero.
        bands: (active bands,) their band indices.
        layout: the field's layout.
        box: evaluate only these voxels (steps of 1) and only the blocks that reach them.

    Returns:
        Array of the backend, (d, h, w) float64, of whole numbers.

    Raises:
        PayloadError: latents too large for exact arithmetic.
    """
    box = box or (slice(0, layout.shape[0]), slice(0, layout.shape[1]), slice(0, layout.shape[2]))
    reach = [_reached(axis, s) for axis, s in zip(layout.axes, box, strict=True)]
    size = [int(k.max()) + 1 if len(bands) else 1 for k in layout.frequency[:, bands]]
    blocks = layout.inverse_order.reshape(layout.grid)[tuple(reach)]
    counts = blocks.shape
    grid = np.zeros((*size, blocks.size))
    kz, ky, kx = layout.frequency[:, bands]
    grid[kz, ky, kx] = latents[:, blocks.ravel()]
    grid = grid.reshape(*size, *counts)
    # (blocks, latents) per axis, the first axis outermost
    values = backend.asarray(np.ascontiguousarray(grid.transpose(3, 0, 4, 1, 5, 2)))
    rows = [c * k for c, k in zip(counts, size, strict=True)]
    values = values.reshape(rows[0] * rows[1], counts[2], size[2])
    values = _axis(backend, values, layout.axes[2], reach[2], box[2], last=False)
    values = values.reshape(rows[0], counts[1], size[1], -1)
    values = _axis(backend, values, layout.axes[1], reach[1], box[1], last=False)
    height = values.shape[1]
    values = values.reshape(counts[0], size[0], -1)
    values = _axis(backend, values, layout.axes[0], reach[0], box[0], last=True)
    return values.reshape(values.shape[0], height, -1)


def analyse_exact(backend: Backend, voxels: Array, layout: Layout) -> Array:
    """Latents of whole-numbered voxels, exactly: the transpose of synthesis, with the same integer tables.

    Args:
        backend: where to compute.
        voxels: (d, h, w) whole numbers of any unit.
        layout: the field's layout.

    Returns:
        (bands, blocks) float64 of whole numbers of the same unit, NumPy, blocks in coding order.

    Raises:
        PayloadError: voxels too large for exact arithmetic.
    """
    xp, values = backend.xp, backend.asarray(np.ascontiguousarray(voxels, np.float64))
    for axis in reversed(layout.axes):
        # the last axis holds voxels; its latents go to the front, so that after three turns z is first again
        _check_range(backend, values)
        rows = values.shape[:2]
        values = values.reshape(-1, axis.length)
        parts = [xp.matmul(values[:, b.low : b.high], backend.asarray(b.integer_table)) for b in axis.blocks]
        turned = xp.permute_dims(xp.concat(parts, axis=1).reshape(*rows, -1), (2, 0, 1))
        values = xp.round(turned * 2.0**-TABLE_BITS)
    _check_range(backend, values)
    grid, size = layout.grid, layout.latents
    split = backend.to_numpy(values).reshape(grid[0], size[0], grid[1], size[1], grid[2], size[2])
    latents = split.transpose(1, 3, 5, 0, 2, 4).reshape(layout.bands, layout.blocks)
    return np.asarray(latents[:, layout.order])


def _check_range(backend: Backend, values: Any) -> None:
    if not float(backend.xp.max(backend.xp.abs(values))) < _LATENT_LIMIT:  # written so that NaN fails
        raise PayloadError("latents are out of the range that exact arithmetic holds")


def _reached(axis: AxisBasis, wanted: slice) -> slice:
    touching = [b for b, k in enumerate(axis.blocks) if k.low < wanted.stop and k.high > wanted.start]
    return slice(touching[0], touching[-1] + 1)


def _axis(backend: Backend, values: Any, axis: AxisBasis, reach: slice, wanted: slice, last: bool) -> Any:
    """Synthesis along one axis.

    ``values`` is (rows, blocks, latents) for the innermost axis, (rows, blocks, latents, columns) for the
    middle one and (blocks, latents, columns) for the outermost, which ``last`` names.
    """
    xp = backend.xp
    _check_range(backend, values)
    length = wanted.stop - wanted.start
    inner = values.ndim == 3 and not last
    rows, columns = values.shape[0], values.shape[-1]
    shape = (rows, length) if inner else (length, columns) if last else (rows, length, columns)
    out = backend.asarray(np.zeros(shape))
    size = values.shape[1] if last else values.shape[2]
    for i, block in enumerate(axis.blocks[reach]):
        low, high = max(block.low, wanted.start), min(block.high, wanted.stop)
        table = backend.asarray(block.integer_table[low - block.low : high - block.low, :size])
        part = slice(low - wanted.start, high - wanted.start)
        if inner:
            out[:, part] += xp.matmul(values[:, i], table.T)
        elif last:
            out[part] += xp.matmul(table, values[i])
        else:
            out[:, part] += xp.matmul(table, values[:, i])
    if not last:
        out *= 2.0**-TABLE_BITS
        out = xp.round(out)
    return out
