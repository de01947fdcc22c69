"""Fourier shells of a volume: their power, their correlation, and the resolution their power speaks of.

Shells are one Fourier pixel wide and centred on its multiples; the zero frequency belongs to none. Their
correlation between two maps is the Fourier shell correlation (Harauz & van Heel 1986, Optik 73, 146-156).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_CLIFF_WIDTH = 0.06  # of the Nyquist frequency: a low-pass filter's edge, 2-5 Fourier pixels wide, is steeper
_CLIFF_DROP = 4.0  # dB that the power falls over that width, more than twice what it does elsewhere
_CLIFF_FOOT = 10.0  # dB below its brink: where filters, given a resolution, have that frequency
_FLOOR_SHARE = 0.12  # of the shells, outermost: where noise is alone, if anywhere
_FLOOR_FLAT = 2.0  # dB: over these shells a noise floor changes by no more
_FLOOR_RISE = 3.0  # dB over the floor: signal and noise have equal power


class FourierShells:
    """The shells of a box.

    Args:
        shape: voxels per axis; every axis is transformed.
        voxel_size: angstrom per voxel, one for all axes or one per axis in array order.

    Attributes:
        pixel: width of a shell, 1/angstrom: the largest of the axes' Fourier pixels.
        count: number of shells, up to the coarsest axis' Nyquist frequency.
        index: shell of each coefficient of ``rfftn``, beyond ``count`` in the corners.

    Raises:
        ValueError: a voxel size that is not positive, or a box too small for a single shell.
    """

    def __init__(self, shape: tuple[int, ...], voxel_size: float | Sequence[float] = 1.0) -> None:
        self.shape = tuple(shape)
        self.voxel_size = np.array(parse_voxel_size(voxel_size, len(shape)))
        self.pixel = max(1.0 / (n * d) for n, d in zip(shape, self.voxel_size, strict=True))
        # Axes whose voxel sizes differ by rounding alone must not lose the last shell.
        self.count = math.floor(0.5 / float(self.voxel_size.max()) / self.pixel + 1e-4)
        if self.count < 1:
            raise ValueError(f"a box of shape {shape} has no shell between zero and the Nyquist frequency")
        squared = np.zeros((1,) * len(shape))
        for axis, (n, d) in enumerate(zip(shape, self.voxel_size, strict=True)):
            last = axis == len(shape) - 1
            f = (np.fft.rfftfreq(n, d) if last else np.fft.fftfreq(n, d)) / self.pixel
            squared = squared + np.square(f).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        self.index = (np.sqrt(squared) + 0.5).astype(np.int32)
        # rfftn leaves out the conjugate half of the last axis: what it keeps counts twice, but for the planes
        # that are their own conjugate.
        self._weight = np.full(shape[-1] // 2 + 1, 2.0)
        self._weight[0] = 1.0
        if shape[-1] % 2 == 0:
            self._weight[-1] = 1.0

    @property
    def frequency(self) -> Array:
        """(count,) spatial frequency of the shells, 1/angstrom."""
        return np.arange(1, self.count + 1) * self.pixel

    @property
    def coefficients(self) -> Array:
        """(count,) Fourier coefficients in each shell, conjugates included."""
        return self.sum(np.ones(self.index.shape))

    def sum(self, values: Array) -> Array:
        """(count,) sums over the shells of something real, shaped as ``rfftn``'s output."""
        weighted = (values * self._weight).ravel()
        return np.bincount(self.index.ravel(), weighted, minlength=self.count + 1)[1 : self.count + 1]

    def power(self, volume: Array) -> Array:
        """(count,) squared amplitudes of a volume, summed over each shell."""
        return self.sum(np.abs(np.fft.rfftn(volume.astype(np.float64))) ** 2)

    def correlation(self, a: Array, b: Array) -> Array:
        """(count,) correlation of two volumes' transforms (outputs of ``rfftn``), -1 to 1."""
        cross = self.sum((a * b.conj()).real)
        return correlation_of_sums(cross, self.sum(np.abs(a) ** 2), self.sum(np.abs(b) ** 2))

    def coefficient_weight(self, at: Array) -> Array:
        """How often coefficients at flat indices of ``rfftn``'s output occur in the full transform."""
        weight: Array = self._weight[at % len(self._weight)]
        return weight

    def up_to(self, resolution: float) -> int:
        """Number of shells whose frequency does not exceed 1 / resolution (angstrom).

        Raises:
            ValueError: the resolution is not positive, or coarser than the first shell.
        """
        if not (math.isfinite(resolution) and resolution > 0):
            raise ValueError(f"resolution must be positive and finite, got {resolution}")
        shells = min(self.count, math.floor(1.0 / resolution / self.pixel + 1e-4))
        if shells < 1:
            raise ValueError(
                f"resolution {resolution:g} is coarser than the first Fourier shell of the volume, "
                f"{1 / self.pixel:.4g}: give angstrom, and voxel_size in angstrom"
            )
        return shells


def parse_voxel_size(voxel_size: float | Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Angstrom per voxel of every axis, from one value for all or one per axis; 1 where nothing is known.

    Raises:
        ValueError: not one value or one per axis, or a value that is not positive.
    """
    sizes = np.asarray(1.0 if voxel_size is None else voxel_size, dtype=np.float64)
    if sizes.shape not in ((), (1,), (ndim,)):
        raise ValueError(f"voxel_size has {sizes.size} values, the volume {ndim} axes")
    if not np.all(np.isfinite(sizes) & (sizes > 0)):
        raise ValueError(f"voxel_size must be positive, got {voxel_size}")
    return tuple(float(size) for size in np.broadcast_to(sizes, (ndim,)))


def finite(volume: Array) -> Array:
    """The volume in float64 with NaN and infinities replaced by 0, as they have no place in a transform."""
    out = np.asarray(volume).astype(np.float64)
    out[~np.isfinite(out)] = 0.0
    return out


def estimate_resolution(volume: Array, voxel_size: float | Sequence[float] = 1.0) -> float:
    """The resolution up to which a map's own power spectrum holds signal, in angstrom.

    Deposited maps are low-pass filtered: at the filter's edge the power falls by many decibels within a few
    shells. The resolution is where it is 10 dB below the edge's brink. Maps without such an edge may have a
    noise floor, where the power stays the same to the Nyquist frequency: the resolution is then the last
    shell at twice that power, where signal and noise are equal. Maps with neither (hard masks, early maps of
    a smoothly falling spectrum) get the Nyquist limit: too much is safe, too little is not. It is an estimate
    from one map; a resolution from half-maps is better, where there is one.

    Args:
        volume: ``(..., d, h, w)``, at least one axis of two voxels.
        voxel_size: angstrom per voxel, one for all axes or one per axis in array order.

    Raises:
        ValueError: a voxel size that is not positive, or a box without a shell.
    """
    volume = np.asarray(volume)
    shells = FourierShells(volume.shape, voxel_size)
    power = shells.power(finite(volume)) / shells.coefficients
    return float(1.0 / (signal_shells(power) * shells.pixel))


def signal_shells(power: Array) -> int:
    """How many shells, counted from the first, hold signal: the rule of :func:`estimate_resolution`."""
    count = len(power)
    if count < 8 or power.max() <= 0:
        return count
    decibel = 10 * np.log10(np.maximum(power, power.max() * 1e-20))
    # The first shells fall steeply by themselves: envelope and solvent.
    first = max(2, count // 6)
    width = max(3, round(_CLIFF_WIDTH * count))
    drop = decibel[:-width] - decibel[width:]
    usual = float(np.median(drop[first:])) if len(drop) > first else 0.0
    steep = drop[first:] > 2 * max(usual, 0.0) + _CLIFF_DROP
    if steep.any():
        return _foot(decibel, first, width, drop, steep)
    outer = max(3, round(_FLOOR_SHARE * count))
    floor = 10 * math.log10(max(floor_power(power), power.max() * 1e-20))
    slope = float(np.polyfit(np.arange(outer), decibel[-outer:], 1)[0]) * outer
    if abs(slope) <= _FLOOR_FLAT:
        above = np.flatnonzero(decibel > floor + _FLOOR_RISE)
        return int(above[-1]) + 1 if above.size else count
    return count


def floor_power(power: Array) -> float:
    """Median of the outermost shells' mean power: the noise's, where it is alone there."""
    return float(np.median(power[-max(3, round(_FLOOR_SHARE * len(power))) :]))


def _foot(decibel: Array, first: int, width: int, drop: Array, steep: Array) -> int:
    """The shell 10 dB below the brink of the steepest edge."""
    at = first + int(np.argmax(np.where(steep, drop[first:], -np.inf)))
    brink = float(decibel[max(first, at - width) : at + 1].max())
    below = np.flatnonzero(decibel[at:] < brink - _CLIFF_FOOT)
    return at + int(below[0]) if below.size else min(at + width, len(decibel))


class ShellReference:
    """A volume that others are compared with, shell by shell; its coefficients are kept, not its voxels.

    Args:
        volume: real, any number of axes; NaN and infinities count as 0.
        shells: of its box.
        limit: number of shells to compare, from the first.

    Attributes:
        power: (limit,) squared amplitudes summed over each shell.
    """

    def __init__(self, volume: Array, shells: FourierShells, limit: int) -> None:
        self.shells = shells
        self.limit = limit
        self._finite = np.isfinite(volume) if volume.dtype.kind == "f" else None
        index = shells.index.ravel()
        self._inside = np.flatnonzero((index >= 1) & (index <= limit))
        self._shell = index[self._inside] - 1
        self._weight = shells.coefficient_weight(self._inside)
        self._own = self._transform(volume)
        self.power = self._sum(np.abs(self._own) ** 2)

    def correlation(self, decoded: Array) -> Array:
        """(limit,) Fourier shell correlation of a decoded volume with this one."""
        other = self._transform(decoded)
        return correlation_of_sums(
            self._sum((self._own * other.conj()).real), self.power, self._sum(np.abs(other) ** 2)
        )

    def _transform(self, volume: Array) -> Array:
        values = volume.astype(np.float64)
        if self._finite is not None:
            values[~self._finite] = 0.0
        return np.fft.rfftn(values).ravel()[self._inside]

    def _sum(self, values: Array) -> Array:
        return np.bincount(self._shell, values * self._weight, minlength=self.limit)


def correlation_of_sums(cross: Array, power_a: Array, power_b: Array) -> Array:
    """Correlation of the shells of two maps, -1 to 1, from their sums.

    A shell without power in either has correlation 1, in one of the two 0.
    """
    product = np.sqrt(power_a) * np.sqrt(power_b)
    correlation = np.where((power_a == 0) & (power_b == 0), 1.0, 0.0)
    np.divide(cross, product, out=correlation, where=product > 0)
    return np.clip(correlation, -1.0, 1.0)


def relative_error(correlation: Array, fsc: float) -> Array:
    """Error power of shells, relative to what a target of correlation allows: at most 1 where it is met."""
    found = np.clip(correlation, 1e-6, 1.0)
    error: Array = (found**-2.0 - 1) / (fsc**-2.0 - 1)
    return error


def crossing(frequency: Array, correlation: Array, level: float) -> float | None:
    """Angstrom at which a correlation first falls below a level, between shells by linear interpolation.

    None where it never does. A curve below the level from its first shell on crosses at that shell.
    """
    below = np.flatnonzero(correlation < level)
    if not below.size:
        return None
    at = int(below[0])
    if at == 0:
        return float(1 / frequency[0])
    share = (correlation[at - 1] - level) / (correlation[at - 1] - correlation[at])
    return float(1 / (frequency[at - 1] + share * (frequency[at] - frequency[at - 1])))
