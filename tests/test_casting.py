"""The cast from decoded densities to the dtype of a chunk."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core.casting import before_rounding, to_dtype


@pytest.mark.parametrize(
    ("dtype", "densities", "expected"),
    [
        ("int8", [-200, -0.5, 0.5, 1.5, 126.6, 300], [-128, 0, 0, 2, 127, 127]),
        ("uint8", [-3, 0.49, 254.5, 255.5], [0, 0, 254, 255]),
        ("uint16", [-1, 65535.4, 1e9], [0, 65535, 65535]),
        ("float16", [-1e6, 1e6, 65504.0], [-65504, 65504, 65504]),
        ("float32", [1e300, -1e300], [np.finfo("f4").max, -np.finfo("f4").max]),
        (">f8", [1e300, -0.1], [1e300, -0.1]),
    ],
)
def test_densities_are_rounded_and_clipped(dtype: str, densities: list[float], expected: list[float]) -> None:
    out = to_dtype(np.array(densities, float), np.dtype(dtype))
    assert out.dtype == np.dtype(dtype)
    assert out.tolist() == expected


@pytest.mark.parametrize("deviation", [0.2, 0.35, 0.5, 1.0, 1.9, 2.2, 30.0])
def test_errors_before_rounding(deviation: float) -> None:
    errors = np.random.default_rng(0).normal(0, deviation, 2_000_000)
    rounded = float(np.mean(np.rint(errors) ** 2))
    assert before_rounding(rounded) == pytest.approx(deviation**2, rel=0.02)


def test_no_error_before_rounding_allows_some() -> None:
    assert 0 < before_rounding(0.0) < before_rounding(1e-9) < 0.25
