"""A point of the rate benchmark for its tests."""

from __future__ import annotations

from typing import Any


def point(**figures: Any) -> Any:
    from benchmarks.rate.records import Point

    given = {
        "map": "m",
        "crop": 0,
        "chunk": 64,
        "codec": "sperr",
        "mode": "psnr",
        "knob": 10.0,
        "effort": -1,
        "version": "1",
        "shape": "8x8x8",
        "voxel_size": 1.0,
        "resolution": 4.0,
        "status": "ok",
    }
    return Point(**(given | figures))
