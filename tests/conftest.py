"""What several test modules share: small generated volumes and the measures they are judged by."""

from __future__ import annotations

import os
from importlib.util import find_spec

if "PYTEST_XDIST_WORKER" in os.environ:  # a process for every core: more threads would only get in the way
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_torch: skipped where PyTorch is not installed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_torch") and find_spec("torch") is None:
        pytest.skip("torch is not installed")


def blobs(shape: tuple[int, ...], noise: float = 0.01, seed: int = 0) -> np.ndarray:
    """Gaussian blobs two to four voxels wide and a little white noise, float64, peak about 1."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij", sparse=True)
    volume = rng.normal(0, noise, shape)
    for _ in range(12):
        width = rng.uniform(2, 4)
        square = sum((axis - rng.uniform(0, n)) ** 2 for axis, n in zip(grid, shape, strict=True))
        volume += np.exp(-square / (2 * width**2))
    return volume


def snr_of(original: np.ndarray, decoded: np.ndarray) -> float:
    """Variance of the original over mean squared error, in dB."""
    error = np.mean((decoded.astype(np.float64) - original.astype(np.float64)) ** 2)
    return np.inf if error == 0 else float(10 * np.log10(np.var(original.astype(np.float64)) / error))


@pytest.fixture(scope="session")
def volume() -> np.ndarray:
    """float32, 28 x 26 x 24 voxels: no axis is a multiple of the chunks the tests use."""
    return blobs((28, 26, 24)).astype(np.float32)


@pytest.fixture(scope="session")
def chunk() -> np.ndarray:
    """float32, 24^3 voxels."""
    return blobs((24, 24, 24), seed=1).astype(np.float32)
