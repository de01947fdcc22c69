"""Errors by node, and weights that answer them."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec.core.backend import NUMPY
from inrcodec.core.fields.layout import get_layout
from inrcodec.core.fields.local_fourier import analyse
from inrcodec.core.latents import Latents
from inrcodec.core.leakage import nodes
from inrcodec.core.shell_balance import moved, node_error
from inrcodec.core.shells import MAX_NODES, ShellTable


def test_weights_move_with_errors() -> None:
    weight = moved(np.ones(3), np.array([1.0, 2.0, 100.0]))
    np.testing.assert_allclose(weight, [1, 2, 2.5])


@pytest.mark.parametrize(
    ("exponents", "ends"),
    [
        (bytes(MAX_NODES), b""),
        (bytes(range(0, 226, 2)), b""),
        (bytes([9] * 30), b""),
        (bytes([9] * 30), bytes([8] * 5 + [7] * 5 + [1] * 5)),
    ],
)
def test_errors_by_node(exponents: bytes, ends: bytes) -> None:
    layout = get_layout((16, 24, 32), 8)
    volume = np.random.default_rng(0).normal(size=(1, *layout.shape)).astype("f4")
    shells = ShellTable(exponents, ends)
    latents = Latents(NUMPY, layout, analyse(NUMPY, volume, layout), shells)
    step = np.array([0.5])
    q = latents.plain(step)
    offsets = latents.offsets(q, step)
    # bands that a table leaves out have no latents to err in: what they lose is in the total alone
    coded = shells.coded(layout)
    lost = analyse(NUMPY, volume, layout)[~coded]
    total = float(latents.squared_error(q, step, offsets)[0])
    error = node_error(latents, q, step)
    assert error.sum() + float((lost**2).sum()) == pytest.approx(total, rel=1e-4)
    assert np.all(error[:, np.setdiff1d(np.arange(MAX_NODES), nodes(layout))] == 0)
    assert np.all((error.sum(axis=1) > 0) == np.isin(np.arange(4), layout.ends))
