"""What is printed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inrcodec import report
from inrcodec.core import Target
from inrcodec.maps import Result
from inrcodec.quality import Quality
from inrcodec.store import Sizes

SIZES = Sizes(voxels=1000, original=4000, chunks=40, total=50)


def result(**changes):
    fields = {
        "target": Target("snr", 27.0),
        "sizes": SIZES,
        "quality": Quality(27.012, 0.125, None, True),
        "met": True,
        **changes,
    }
    return Result(**fields)


def test_figures():
    lines = "\n".join(report.lines(result()))
    assert "snr 27 dB: met" in lines
    assert "27.01 dB" in lines
    assert "bits per voxel  0.4000" in lines
    assert "ratio           80.00, chunks alone 100.00" in lines
    assert "FSC" not in lines


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"met": False}, "NOT MET"),
        ({"quality": Quality(math.inf, 0.0, 0.5, True)}, "equal to 0.5 left out"),
        ({"quality": Quality(9.0, 1.0, None, False)}, "DIFFER"),
        ({"rewrites": 1}, "corrected once"),
        ({"rewrites": 2}, "corrected 2 times"),
        ({"sizes": Sizes(8, 32, 0, 9)}, "without bound"),
    ],
)
def test_what_is_said(changes, said):
    assert said in "\n".join(report.lines(result(**changes)))


def test_fsc():
    frequency = np.arange(1, 21) / 40
    correlation = np.linspace(1, 0.4, 20)
    correlation[10:] = correlation[10:][::-1]  # it need not fall all the way
    lines = report.lines(result(fsc=(frequency, correlation)))
    assert "FSC             at least 0.4 (0.2750 1/A, 3.64 A), mean 0.7" in lines
    assert "FSC < 0.999     from 0.0500 1/A, 20.00 A" in lines
    assert "FSC < 0.5       from 0.2750 1/A, 3.64 A" in lines
    assert sum("." in line and line.startswith(" 0.") for line in lines) == 20


def test_crossing():
    assert report.fsc_crossing(np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.4, 0.6]), 0.5) == 0.2
    assert report.fsc_crossing(np.array([0.1, 0.2]), np.array([1.0, 0.6]), 0.5) is None
