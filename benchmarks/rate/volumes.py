"""What is measured: maps, centre crops of them, and maps with white noise added."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from benchmarks import report
from inrcodec.fourier_shell import estimate_resolution

Array = np.ndarray[Any, Any]

NOISE_SEED = 20010402


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume to compress.

    Attributes:
        name: of the map, with ``+<dB>dB`` where white noise was added.
        data: voxels ``(d, h, w)`` in the machine's byte order and the map's own dtype.
        voxel_size: angstrom, one for all axes; 1 where the header has none.
        resolution: angstrom; shells beyond it are not judged.
        crop: voxels a side of the centre crop, 0 for the whole map.
    """

    name: str
    data: Array
    voxel_size: float
    resolution: float
    crop: int = 0


def load(
    path: Path,
    crop: int | None = None,
    noise_db: float | None = None,
    resolutions: Mapping[str, float] | None = None,
) -> Volume:
    """Read a map.

    Args:
        path: MRC or CCP4 file.
        crop: maps of more than ``crop**3`` voxels are cut to at most ``crop`` a side about their centre.
        noise_db: add white noise with this ratio of the map's variance to the noise's, seed
            :data:`NOISE_SEED`; the result is float32.
        resolutions: angstrom by the volume's name; one that is not there is estimated from the spectrum of
            the volume as it is measured.
    """
    data = report.read_map(path)
    cropped = crop is not None and data.size > crop**3
    if cropped:
        data = report.read_map(path, crop)
    name = report.map_name(path)
    voxel_size = read_voxel_size(path)
    if noise_db is not None:
        data, name = add_noise(data, noise_db), f"{name}+{noise_db:g}dB"
    resolution = (resolutions or {}).get(name) or round(estimate_resolution(data, voxel_size), 4)
    return Volume(name, data, voxel_size, resolution, crop if cropped and crop else 0)


def read_voxel_size(path: Path) -> float:
    """Angstrom per voxel by the header, the x axis for all; 1 where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with mrcfile.open(path, permissive=True, header_only=True) as mrc:
            size = float(mrc.voxel_size.x)
    return float(f"{size:.6g}") if np.isfinite(size) and size > 0 else 1.0


def read_resolutions(path: Path) -> dict[str, float]:
    """Lines of ``name,angstrom``; empty lines and those that start with # are skipped.

    Raises:
        ValueError: a line that is neither.
    """
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, angstrom = line.partition(",")
            found[name.strip()] = float(angstrom)
    return found


def add_noise(data: Array, snr_db: float) -> Array:
    """White Gaussian noise added, float32; the same for the same shape, variance and ratio."""
    spread = float(np.std(data, dtype=np.float64)) * 10 ** (-snr_db / 20)
    noise = np.random.default_rng(NOISE_SEED).normal(0.0, spread, data.shape)
    return (data.astype(np.float64) + noise).astype(np.float32)


def cases(
    paths: Sequence[Path], noise: Sequence[tuple[str | None, float]]
) -> list[tuple[Path, float | None]]:
    """Each map, and each again for every noise level that names it or names none."""
    found: list[tuple[Path, float | None]] = []
    for path in paths:
        found.append((path, None))
        found += [(path, db) for name, db in noise if name is None or name == report.map_name(path)]
    return found
