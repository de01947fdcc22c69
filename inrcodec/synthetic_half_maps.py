"""Generated half-maps and the maps made of them, without a real reconstruction.

One signal, and independent white noise in each half, of such strength that the Fourier shell correlation of
the halves falls to 0.143 at the resolution (Rosenthal & Henderson 2003, J. Mol. Biol. 333, 721-745). Lengths
are in angstrom (A), frequencies in 1/A, B-factors in A^2, volumes in ``(z, y, x)`` order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.synthetic import generate

Array = np.ndarray[Any, Any]

_LEVEL = 0.143  # correlation of the halves at the resolution
_MASK_SHARE = (0.3, 0.15)  # of the voxels: where the mask begins, and where it is 1
_MASK_BLUR = 15.0  # A, of the density that the mask follows


@dataclass(frozen=True, eq=False)
class HalfMapSet:
    """A pair of half-maps, and maps made of both as they are deposited; float32, (n, n, n).

    Attributes:
        half1, half2: as reconstructed, or regularised: times the Wiener filter SNR / (1 + SNR) of each shell.
        mean: of the two as they are here.
        wiener: of the unfiltered two, weighted by 2 FSC / (1 + FSC) in each shell.
        sharpened: likewise by the root of that, with the B-factor taken back and a low-pass filter.
        masked: the sharpened one times a soft mask, exactly 0 outside.
    """

    half1: Array
    half2: Array
    mean: Array
    wiener: Array
    sharpened: Array
    masked: Array


def half_maps(
    size: int = 64,
    *,
    voxel_size: float = 1.2,
    resolution: float = 3.6,
    b_factor: float = 90.0,
    regularised: bool = False,
    seed: int = 0,
) -> HalfMapSet:
    """A pair of half-maps and what is made of them.

    Args:
        size: voxels a side.
        voxel_size: A per voxel.
        resolution: A, where the correlation of the halves is 0.143.
        b_factor: A^2, of the fall-off ``exp(-B s^2 / 4)`` of the halves' amplitudes.
        regularised: filter the halves as refinement programs do, instead of leaving all noise in.
        seed: the same seed and arguments give the same maps.

    Raises:
        ValueError: the resolution is not between two voxels and a quarter of the box.
    """
    if not 2 * voxel_size < resolution < size * voxel_size / 4:
        raise ValueError(f"a resolution of {resolution} A in {size} voxels of {voxel_size} A")
    finest = max(0.7 * resolution, 2 * voxel_size)  # the signal goes on beyond what the noise leaves
    shape = (size,) * 3
    signal = np.fft.rfftn(
        generate(shape, voxel_size=voxel_size, resolution=finest, b_factor=b_factor, seed=seed)
    )
    s = _frequency(size, voxel_size)
    position = s * size * voxel_size  # in shells
    power = _shell_power(signal, position)
    shell = round(size * voxel_size / resolution)
    rng = np.random.default_rng((seed, 1))
    noise = [np.fft.rfftn(rng.standard_normal(shape)) for _ in range(2)]
    strength = power[shell - 1 : shell + 2].mean() / size**3 * (1 - _LEVEL) / _LEVEL  # variance of a voxel
    halves = [signal + np.sqrt(strength) * one for one in noise]
    ratio = power / (strength * size**3)  # of signal to noise, in one half
    both = 2 * ratio / (1 + 2 * ratio)  # 2 FSC / (1 + FSC)

    def weight(curve: Array) -> Array:
        return np.interp(position, np.arange(len(curve)), curve)

    full = (halves[0] + halves[1]) / 2
    if regularised:
        halves = [half * weight(ratio / (1 + ratio)) for half in halves]
    low_pass = _cosine((1.1 / resolution - s) / (0.2 / resolution))
    sharpened = _inverse(full * weight(np.sqrt(both)) * np.exp(b_factor * s**2 / 4) * low_pass, size)
    blurred = _inverse(signal * np.exp(-((s * _MASK_BLUR) ** 2)), size)
    begins, ends = np.quantile(blurred, [1 - share for share in _MASK_SHARE])
    mask = _cosine((blurred - begins) / (ends - begins))
    maps = (
        _inverse(halves[0], size),
        _inverse(halves[1], size),
        _inverse((halves[0] + halves[1]) / 2, size),
        _inverse(full * weight(both), size),
        sharpened,
        sharpened * mask,
    )
    return HalfMapSet(*(one.astype(np.float32) for one in maps))


def _frequency(size: int, voxel_size: float) -> Array:
    """(size, size, size // 2 + 1) 1/A."""
    axis, last = np.fft.fftfreq(size, voxel_size), np.fft.rfftfreq(size, voxel_size)
    return np.asarray(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + last**2))


def _shell_power(spectrum: Array, position: Array) -> Array:
    """Mean squared amplitude of each shell, out to the corners."""
    shells = np.rint(position).astype(np.int64).ravel()
    total = np.bincount(shells, (np.abs(spectrum) ** 2).ravel())
    return np.asarray(total / np.maximum(np.bincount(shells), 1))


def _cosine(x: Array) -> Array:
    """0 below 0, 1 above 1, half a cosine between."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(x, 0, 1)))


def _inverse(spectrum: Array, size: int) -> Array:
    return np.fft.irfftn(spectrum, s=(size,) * 3, axes=(0, 1, 2))
