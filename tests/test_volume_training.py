"""What volume fits share: the occupancy cell, and one network for all parts."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core.backend import NUMPY
from inrcodec.core.prepare import prepare
from inrcodec.core.presets import EFFORTS
from inrcodec.core.prior import prior
from inrcodec.core.shells import MAX_NODES, ShellTable
from inrcodec.core.volume_sample import make_parts
from inrcodec.core.volume_training import choose_cell, train_once


def hard_masked() -> np.ndarray:
    """float32, noisy density in a ball, exactly 0 outside."""
    volume = blobs((32, 32, 32), noise=0.3) + 1
    z, y, x = np.ogrid[-16:16, -16:16, -16:16]
    return np.where(z**2 + y**2 + x**2 < 80, volume, 0).astype(np.float32)


@pytest.mark.parametrize("shells", [None, ShellTable(bytes(MAX_NODES))])
def test_a_mask_where_it_pays(shells: ShellTable | None) -> None:
    sample = [prepare(hard_masked(), None)]
    assert sample[0] is not None
    chosen = choose_cell(NUMPY, sample, sample[0].scale, 8, 0.3, EFFORTS[5], shells)
    assert chosen in (1, 2, 4)
    plain = [prepare(blobs((16, 16, 16)).astype(np.float32), None)]
    assert plain[0] is not None
    assert choose_cell(NUMPY, plain, plain[0].scale, 8, 0.1, EFFORTS[5], shells) is None


@pytest.mark.needs_torch
def test_training_saves_bits() -> None:
    ready = prepare(blobs((32, 32, 32), noise=0.1).astype(np.float32), None)
    assert ready is not None
    parts = make_parts(NUMPY, [ready], ready.scale, 8, None, ShellTable(bytes(range(MAX_NODES))))
    step = np.array([0.05])
    latents = parts[0].latents
    q = latents.plain(step)
    network = train_once([latents], [q], prior(), EFFORTS[2], 0, lambda _: None)
    assert latents.cost(q, [network]).bits[0] < latents.cost(q, [prior()]).bits[0]


def test_nothing_to_train_on() -> None:
    ready = prepare(blobs((16, 16, 16)).astype(np.float32), None)
    assert ready is not None
    (part,) = make_parts(NUMPY, [ready], ready.scale, 8, None)
    q = part.latents.plain(np.array([1e6]))
    assert train_once([part.latents], [q], prior(), EFFORTS[2], 0, lambda _: None) is prior()
