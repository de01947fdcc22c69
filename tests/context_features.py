"""How large what the context network is told can be."""

from __future__ import annotations

import numpy as np

from inrcodec.core import context


def largest_features() -> np.ndarray:
    """Upper bounds of the features, from their definitions."""
    log = int(context.log_magnitudes().max())
    size = round(8 * np.log2(95**3))
    constant = [63, 63, 63, 110, size, 24, 16]
    return np.array([log, log, log, 6 * log >> 2, 3 * log, log, 32, 255, *constant, 9 * log >> 3])
