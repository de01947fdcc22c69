"""The local-Fourier field: density as windowed local cosines with one latent vector a block.

Analysis (float) gives the latents of the encoder; synthesis (whole numbers) gives the voxels of the
decoder. Synthesis multiplies integer latents with integer tables in float64: every partial sum stays below
2**53, so the result is exact in any order of summation, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    dequantise: Callable[[Array, Array], Array] | None = None,
) -> Any:
    """Voxels of latents, exactly, in units of 2**-(TABLE_BITS + LATENT_BITS) steps.

    Args:
        backend: where to compute.
        latents: (active bands, blocks) whole numbers of 2**-LATENT_BITS steps, or what ``dequantise`` makes
            them of; other bands are zero.
        bands: (active bands,) their band indices.
        layout: the field's layout.
        box: evaluate only these voxels (steps of 1) and only the blocks that reach them.
        dequantise: called with the latents of those blocks only, (active bands, some blocks), and the blocks'
            indices; keeps zeros.

    Returns:
        Array of the backend, (d, h, w) float64, of whole numbers.

    Raises:
        PayloadError: latents too large for exact arithmetic.
    """
    box = box or (slice(0, layout.shape[0]), slice(0, layout.shape[1]), slice(0, layout.shape[2]))
    reach = [_reached(axis, s) for axis, s in zip(layout.axes, box, strict=True)]
    size = [int(k.max()) + 1 if len(bands) else 1 for k in layout.frequency[:, bands]]
    blocks = layout.inverse_order.reshape(layout.grid)[tuple(reach)]
    depth, rows, columns = blocks.shape
    # Lines of blocks along x that hold nothing, as outside a particle, add nothing.
    lines = blocks.reshape(-1, columns)
    held = np.flatnonzero(np.asarray(latents.any(axis=0))[lines].any(axis=1))
    if not len(held):
        return backend.asarray(np.zeros([s.stop - s.start for s in box]))
    grid = np.zeros((*size, len(held), columns))
    kz, ky, kx = layout.frequency[:, bands]
    some = lines[held].ravel()
    known = latents[:, some]
    known = known if dequantise is None else dequantise(known, some)
    grid[kz, ky, kx] = known.reshape(-1, len(held), columns)
    values = backend.asarray(np.ascontiguousarray(grid.transpose(3, 0, 1, 4, 2)))
    values = _along_x(backend, values.reshape(-1, columns, size[2]), layout.axes[2], reach[2], box[2])
    values = values.reshape(len(held), size[0], size[1], -1)
    at = np.divmod(held, rows)
    values = _along_y(backend, values, at, depth, layout.axes[1], reach[1], box[1])
    height = values.shape[2]
    values = _along_z(backend, values.reshape(depth, size[0], -1), layout.axes[0], reach[0], box[0])
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
    low, high = float(backend.xp.min(values)), float(backend.xp.max(values))
    if not (low > -_LATENT_LIMIT and high < _LATENT_LIMIT):  # written so that NaN fails
        raise PayloadError("latents are out of the range that exact arithmetic holds")


def _reached(axis: AxisBasis, wanted: slice) -> slice:
    touching = [b for b, k in enumerate(axis.blocks) if k.low < wanted.stop and k.high > wanted.start]
    return slice(touching[0], touching[-1] + 1)


def _along_x(backend: Backend, values: Any, axis: AxisBasis, reach: slice, wanted: slice) -> Any:
    """(rows, blocks, latents) -> (rows, voxels)."""
    _check_range(backend, values)
    out = backend.asarray(np.zeros((values.shape[0], wanted.stop - wanted.start)))
    for i, part, table in _tables(backend, axis, reach, wanted, values.shape[2]):
        out[:, part] += backend.xp.matmul(values[:, i], table.T)
    return _to_whole(backend, out)


def _along_y(
    backend: Backend,
    values: Any,
    at: tuple[Array, Array],
    depth: int,
    axis: AxisBasis,
    reach: slice,
    wanted: slice,
) -> Any:
    """(lines of blocks, latents along z and y, width) -> (blocks along z, latents along z, voxels, width).

    ``at`` gives the block along z, of ``depth``, and along y of each line.
    """
    _check_range(backend, values)
    _, many, size, width = values.shape
    out = backend.asarray(np.zeros((depth, many, wanted.stop - wanted.start, width)))
    for i, part, table in _tables(backend, axis, reach, wanted, size):
        some = np.flatnonzero(at[1] == i)
        z = backend.asarray(at[0][some])
        out[z, :, part] += backend.xp.matmul(table, values[backend.asarray(some)])
    return _to_whole(backend, out)


def _along_z(backend: Backend, values: Any, axis: AxisBasis, reach: slice, wanted: slice) -> Any:
    """(blocks, latents, columns) -> (voxels, columns), in finer units: nothing is rounded."""
    _check_range(backend, values)
    out = backend.asarray(np.zeros((wanted.stop - wanted.start, values.shape[2])))
    for i, part, table in _tables(backend, axis, reach, wanted, values.shape[1]):
        out[part] += backend.xp.matmul(table, values[i])
    return out


def _tables(
    backend: Backend, axis: AxisBasis, reach: slice, wanted: slice, size: int
) -> Iterator[tuple[int, slice, Any]]:
    """For each block: its number, the wanted voxels it touches, and (voxels, latents) of its functions."""
    for i, block in enumerate(axis.blocks[reach]):
        low, high = max(block.low, wanted.start), min(block.high, wanted.stop)
        table = backend.asarray(block.integer_table[low - block.low : high - block.low, :size])
        yield i, slice(low - wanted.start, high - wanted.start), table


def _to_whole(backend: Backend, values: Any) -> Any:
    values *= 2.0**-TABLE_BITS
    return np.rint(values, out=values) if backend.device == "numpy" else backend.xp.round(values)
