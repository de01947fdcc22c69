"""What a chunk holds before any field is fitted: special values, background, the voxels to represent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inrcodec.core import occupancy
from inrcodec.core.payload import MAX_NDIM, MAX_SIDE, MAX_VOXELS, dtype_code, short
from inrcodec.core.settings import Target

BACKGROUND_SHARE = 0.05  # of the voxels; a value as common as this is a background, not a coincidence
_FAR = 1000.0  # standard deviations from density to a background that no field should reach for
_SCALE_RANGE = (1e-120, 1e120)  # squares of densities must not overflow float64

Array = np.ndarray[Any, Any]
Box = tuple[slice, slice, slice]


@dataclass(eq=False)
class Related:
    """What is known of a chunk from volumes that the decoder has before.

    Attributes:
        chunks: their decoded chunks at the same place, of the same shape, by how many volumes back they are.
        alone: bytes of the chunk's payload without them.
    """

    chunks: dict[int, Array]
    alone: int


@dataclass(eq=False)
class Prepared:
    """A chunk made ready for a field.

    Attributes:
        chunk: the original, at most 3-D: (d, h, w).
        values: (d, h, w) float64 of the box, finite; special values replaced by the offset.
        special: (d, h, w) mask of NaN and infinities in the whole chunk, or None.
        background: the value of voxels that are not represented, or None where all are.
        represented: (d, h, w) mask inside the box of the voxels the target speaks of.
        box: bounding box of the represented voxels; everything outside is background.
        offset: subtracted before analysis: the background, or the median of the represented voxels.
        scale: standard deviation of the represented voxels, density units.
        padded: whether the background is nothing but planes at the far ends, as a store pads its last chunks.
        threshold: whether a mask of voxels must be stored, as the background comes from a threshold or lies
            far from all density.
        known: what was worked out of the chunk before, by whoever did.
        related: what it may be predicted from.
    """

    chunk: Array
    values: Array
    special: Array | None
    background: float | None
    represented: Array
    box: Box
    offset: float
    scale: float
    threshold: bool
    padded: bool = False
    known: dict[str, Any] = field(default_factory=dict)
    related: Related | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(d, h, w) of the box."""
        d, h, w = self.represented.shape
        return d, h, w

    @property
    def masked(self) -> bool:
        """Whether there is a background in the density itself: what an occupancy mask may leave out."""
        return self.background is not None and not self.padded

    @property
    def variance_sum(self) -> float:
        """Squared deviations of the represented voxels from their mean, summed."""
        return self.scale**2 * int(np.count_nonzero(self.represented))

    def occupied(self, cell: int) -> Array:
        """(d, h, w) mask of the box: the voxels of occupancy cells that hold a represented one."""
        return occupancy.refine(occupancy.coarsen(self.represented, cell), cell, self.shape)

    def care(self, occupied: Array | None) -> Array | None:
        """(1, d, h, w) voxels a field has to fit, a batch of one: occupied and finite; None is all."""
        if self.special is None:
            return None if occupied is None else occupied[None]
        finite = ~self.special[self.box]
        return (finite if occupied is None else occupied & finite)[None]

    def squared_error_budget(self, target: Target) -> float:
        """Squared error, summed over all voxels, that an SNR target allows (density units squared)."""
        return self.variance_sum / 10 ** (target.value / 10)


def check_chunk(chunk: Array) -> None:
    """Refuse what the format does not hold.

    Raises:
        TypeError: the dtype.
        ValueError: the shape.
    """
    dtype_code(chunk.dtype)
    if not 1 <= chunk.ndim <= MAX_NDIM:
        raise ValueError(f"chunks have 1 to {MAX_NDIM} dimensions, got shape {chunk.shape}")
    if chunk.size == 0:
        raise ValueError(f"chunk of shape {chunk.shape} holds no voxels")
    if chunk.size > MAX_VOXELS:
        raise ValueError(f"chunk of shape {chunk.shape} has more than {MAX_VOXELS} voxels")


def as_volume_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(d, h, w) of 1 to 4 dimensions: leading axes of one are added, or the first two are joined."""
    if len(shape) == 4:
        return shape[0] * shape[1], shape[2], shape[3]
    d, h, w = (1,) * (3 - len(shape)) + shape
    return d, h, w


def is_constant(chunk: Array) -> bool:
    """Whether all voxels hold the same bits (NaN included, and -0.0 is not 0.0)."""
    bits = np.ascontiguousarray(chunk).reshape(-1).view(f"u{chunk.dtype.itemsize}")
    return bool((bits == bits[0]).all())


def prepare(chunk: Array, threshold: float | None) -> Prepared | None:
    """Find special values, background and box; None where a field makes no sense."""
    volume = chunk.reshape(as_volume_shape(chunk.shape))
    if max(volume.shape) > MAX_SIDE:
        return None
    finite = np.isfinite(volume) if volume.dtype.kind == "f" else None
    special = None if finite is None or finite.all() else ~finite
    background, represented = _background(volume, threshold, special)
    whole = _unpadded(volume) if threshold is None else None
    padded = whole is not None and _background(volume[whole], None, special)[0] is None
    if whole is not None and padded:
        background, represented = float(volume[-1, -1, -1]) + 0.0, np.zeros(volume.shape, bool)
        represented[whole] = True
    if special is not None:
        represented = represented & ~special
    if not represented.any():
        return None
    box = _bounding_box(represented) if background is not None else _whole(volume.shape)
    inside = represented[box]
    values = volume[box].astype(np.float64)
    selected = values[inside]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(selected.mean()), float(selected.std())
    if not _SCALE_RANGE[0] < scale < _SCALE_RANGE[1] or not abs(mean) < _SCALE_RANGE[1]:
        return None
    far = background is not None and abs(background - mean) > _FAR * scale
    # solvent fills more than half of most maps: from its density on, latents of empty blocks are zero
    median = short(float(np.median(selected)))
    offset = median if background is None or padded or far else background
    if far:
        values[~inside] = offset  # a fill value, not density: a mask of voxels keeps it out of the field
    if special is not None:
        values[special[box]] = offset
    mask = not padded and (far or threshold is not None)
    return Prepared(volume, values, special, background, inside, box, offset, scale, mask, padded)


def _background(volume: Array, threshold: float | None, special: Array | None) -> tuple[float | None, Array]:
    if threshold is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            return 0.0, volume > threshold
    value = _commonest(volume)
    if value is not None:
        background = volume == value
        if np.count_nonzero(background) >= BACKGROUND_SHARE * volume.size:
            return float(value) + 0.0, ~background  # 0.0 of either sign is 0.0
    return None, np.ones(volume.shape, bool)


def _unpadded(volume: Array) -> Box | None:
    """What planes of one value at the far ends leave, as a store pads its last chunks; None without any."""
    value = volume[-1, -1, -1]
    density = volume != value
    if not np.isfinite(value) or not density.any():
        return None
    d, h, w = (slice(s.stop) for s in _bounding_box(density))
    return None if volume[d, h, w].shape == volume.shape else (d, h, w)


def _commonest(volume: Array) -> Any:
    """The commonest of a sample of finite voxels, if it comes often enough to be a background."""
    if volume.dtype.kind != "f":
        return None  # integer densities repeat by nature
    flat = volume.reshape(-1)
    sample = flat[:: max(1, flat.size // 20_000)]
    values, counts = np.unique(sample[np.isfinite(sample)], return_counts=True)
    if not len(values) or counts.max() < max(4, BACKGROUND_SHARE / 2 * len(sample)):
        return None
    return values[counts.argmax()]


def _bounding_box(mask: Array) -> Box:
    slices = []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        slices.append(slice(int(held[0]), int(held[-1]) + 1))
    return slices[0], slices[1], slices[2]


def _whole(shape: tuple[int, ...]) -> Box:
    d, h, w = (slice(0, n) for n in shape)
    return d, h, w
