"""What volume fits share: the occupancy cell, and one network for all parts."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core.backend import NUMPY
from inrcodec.core.block_search import search_blocks
from inrcodec.core.fields.basis import with_edges
from inrcodec.core.prepare import prepare
from inrcodec.core.presets import EFFORTS
from inrcodec.core.prior import prior
from inrcodec.core.shells import MAX_NODES, ShellTable
from inrcodec.core.volume_sample import make_parts
from inrcodec.core.volume_training import (
    block_choices,
    cheaper_network,
    choose_cell,
    nearby_block,
    train_once,
    training_steps,
)


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
    assert chosen.value in (1, 2, 4)
    assert chosen.figures[str(chosen.value)] == min(chosen.figures.values()) < chosen.figures["none"] == 1
    plain = [prepare(blobs((16, 16, 16)).astype(np.float32), None)]
    assert plain[0] is not None
    none = choose_cell(NUMPY, plain, plain[0].scale, 8, 0.1, EFFORTS[5], shells)
    assert (none.value, none.reason) == (None, "none: no background to leave out")


@pytest.mark.needs_torch
def test_training_saves_bits() -> None:
    ready = prepare(blobs((32, 32, 32), noise=0.1).astype(np.float32), None)
    assert ready is not None
    parts = make_parts(NUMPY, [ready], ready.scale, 8, None, ShellTable(bytes(range(MAX_NODES))))
    step = np.array([0.05])
    latents = parts[0].latents
    q = latents.plain(step)
    network = train_once([latents], [q], prior(), 150, 0, 1.0, lambda _: None)
    assert latents.cost(q, [network]).bits[0] < latents.cost(q, [prior()]).bits[0]


def test_nothing_to_train_on() -> None:
    ready = prepare(blobs((16, 16, 16)).astype(np.float32), None)
    assert ready is not None
    (part,) = make_parts(NUMPY, [ready], ready.scale, 8, None)
    q = part.latents.plain(np.array([1e6]))
    assert train_once([part.latents], [q], prior(), 150, 0, 1.0, lambda _: None) is prior()


def quantised(noise: float, size: int = 24) -> tuple[list, list]:
    """Latents of one noisy chunk, and the same quantised."""
    ready = prepare(blobs((size,) * 3, noise=noise).astype(np.float32), None)
    assert ready is not None
    (part,) = make_parts(NUMPY, [ready], ready.scale, 8, None)
    return [part.latents], [part.latents.plain(np.array([0.2]))]


def test_more_bytes_repay_more_training() -> None:
    few, many = (training_steps(*quantised(0.1), share, EFFORTS[3]) for share in (1.0, 1e-3))
    assert 0 < int(few.value or 0) < int(many.value or 0) == EFFORTS[3].fit_steps
    assert "bytes estimated under the prior, 400 at most" in few.why
    assert training_steps(*quantised(0.1), 1.0, EFFORTS[0]).value == 0


@pytest.mark.needs_torch
def test_own_weights_where_the_volume_is_large_enough() -> None:
    fitted, chosen = quantised(0.5)
    # trained as for a large volume: many weights change
    network = train_once(fitted, chosen, prior(), 60, 0, 1e-4, lambda _: None)
    kept, large = cheaper_network(fitted, chosen, network, 1e-4)
    assert (kept is network, large.value) == (True, "own")
    kept, small = cheaper_network(fitted, chosen, network, 1.0)
    assert (kept is prior(), small.value) == (True, "prior")
    assert small.figures["prior"] < small.figures["own"]
    assert cheaper_network(fitted, chosen, prior(), 1.0)[1].reason == "prior: training changed no weight"


@pytest.mark.needs_torch
def test_few_weights_change_for_a_small_volume() -> None:
    fitted, chosen = quantised(0.5)
    changed = [
        len(train_once(fitted, chosen, prior(), 60, 0, share, lambda _: None).to_bytes(prior()))
        for share in (1.0, 1e-4)
    ]
    assert changed[0] < 0.3 * changed[1]


def test_the_search_of_block_lengths() -> None:
    tried = search_blocks((64, 64, 64), None, EFFORTS[5], lambda block: abs(block - 13))
    best, (length, edges) = block_choices(tried, None, "off", 0.5)
    assert best == length.value == min(tried, key=lambda b: tried[b]) == 13
    assert len(length.figures) == EFFORTS[5].blocks
    assert length.figures["16"] == 1.5
    assert edges.value == "8/64"
    assert edges.figures == {"8/64": 0.0, "13/64": 32.0, "cosines": 64.0, "5/64": 96.0}
    best, (length, edges) = block_choices({7: 7.0, 71: 6.0, 135: 6.5}, 7, "bits")
    assert best == with_edges(7, 1)
    assert length.reason == "7: as asked"
    assert edges.reason == "13/64: 6 bits; cosines: 6.5, 8/64: 7"


def test_the_best_block_length_near_another() -> None:
    figures = {7: 7.0, with_edges(7, 0): 6.0, with_edges(7, 3): 5.0}
    best, (choice, edges) = nearby_block(
        (64, 64, 64), 16, None, lambda block: 2.0 * abs(block - 20) + 2, "times"
    )
    assert best == choice.value == 20
    assert edges.value == "8/64"
    assert choice.figures["20"] == 1
    assert choice.figures["16"] == 5
    _, (nothing, _) = nearby_block((64, 64, 64), 16, None, lambda block: 0.0, "times")
    assert set(nothing.figures.values()) == {0.0}
    best, (choice, edges) = nearby_block((64, 64, 64), 16 + 64, 7, lambda b: figures.get(b, 9.0), "times")
    assert best == with_edges(7, 3)
    assert choice.reason == "7: as asked"
    assert edges.reason == "5/64: 1 times; 8/64: 1.2, 13/64: 1.8, cosines: 1.8"


def test_no_cell_where_nothing_is_coded() -> None:
    """A bound or a ratio so wide that all latents are zero."""
    chunk = np.where(blobs((16, 16, 16)) > 0.3, blobs((16, 16, 16)), 0.0).astype(np.float32)
    ready = prepare(chunk, None)
    assert ready is not None
    assert ready.background == 0
    choice = choose_cell(NUMPY, [ready], 1.0, 8, 1e6, EFFORTS[3])
    assert choice.value is None
    assert "nothing is coded" in choice.reason
