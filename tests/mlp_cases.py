"""What the tests of the mlp field share: small networks, trained and untrained, and a map they can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inrcodec.core.mlp.fixed import FixedNetwork
from inrcodec.core.mlp.section import Shape
from inrcodec.synthetic import generate

SHAPES = ((10, 12, 14), (9, 9, 9), (16, 8, 12))

# Learns the map below in a few seconds on one core.
LEARNS: dict[str, Any] = {
    "widths": [64, 48, 32, 16],
    "frequencies": 2,
    "identifier": 8,
    "steps": 500,
    "batch": 1024,
    "learning_rate": 4e-3,
}
# Trains in no time, and to nothing.
QUICK: dict[str, Any] = {
    "widths": [6, 5],
    "layers": 4,
    "frequencies": 2,
    "identifier": 3,
    "steps": 3,
    "batch": 64,
}


def smooth_map(seed: int = 1, shape: tuple[int, int, int] = (24, 24, 24)) -> np.ndarray:
    """Density at 12 A, 2 A a voxel, float32, with a soft mask and negative densities."""
    return generate(shape, voxel_size=2.0, resolution=12.0, mask="soft", seed=seed)


def random_network(
    widths: tuple[int, ...] = (7, 5, 1),
    *,
    frequencies: int = 2,
    identifier: int = 3,
    residual: str = "none",
    weight_bits: int = 16,
    seed: int = 9,
) -> FixedNetwork:
    """A network of random weights."""
    shape = Shape(widths, frequencies, identifier, residual, weight_bits)
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, (2 / m) ** 0.5, (n, m)) for n, m in shape.layers]
    biases = [rng.normal(0, 0.1, n) for n, _ in shape.layers]
    return FixedNetwork.from_float(shape, weights, biases)


def share_within(original: np.ndarray, decoded: np.ndarray, relative: float = 0.2) -> float:
    """Share of the voxels above 0.1 of the largest density whose relative error is at most 20 %."""
    high = original > 0.1 * original.max()
    error = np.abs(decoded.astype(float) - original)[high] / original[high]
    return float(np.mean(error <= relative))


def three_maps(folder: Path) -> list[Path]:
    """Three maps of other shapes, scales and kinds, one of them compressed, one with an extended header."""
    import mrcfile

    paths = [folder / name for name in ("a.mrc", "b.map.gz", "c.mrc")]
    for i, (path, shape) in enumerate(zip(paths, SHAPES, strict=True)):
        data = 10.0**i * smooth_map(i, shape)
        kind = "gzip" if i == 1 else None
        with mrcfile.new(path, data.astype("f4" if i < 2 else "i2"), compression=kind) as mrc:
            mrc.voxel_size = 2.0
    with mrcfile.open(paths[2], "r+") as mrc:
        mrc.set_extended_header(np.arange(20, dtype="u4"))
        mrc.add_label("kept")
    return paths


def assert_headers_are_kept(sources: list[Path], written: list[Path]) -> None:
    from inrcodec.mrc import open_volume

    for source, path in zip(sources, written, strict=True):
        one, other = open_volume(source), open_volume(path)
        assert path.name == source.name
        assert (one.header, one.extended_header) == (other.header, other.extended_header)
        assert (one.data.shape, one.data.dtype) == (other.data.shape, other.data.dtype)
