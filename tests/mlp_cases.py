"""What the tests of the mlp field share: small networks, trained and untrained, and a map they can learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core.mlp.fixed import FixedNetwork
from inrcodec.core.mlp.section import Shape
from inrcodec.synthetic import generate

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
