"""The effort ladder: ten rungs, each buying no less than the one below."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import pytest

from inrcodec.core import Settings
from inrcodec.core.occupancy import CELLS
from inrcodec.core.presets import BLOCK_LENGTHS, EFFORTS, FIRST_BLOCKS


def test_ten_efforts() -> None:
    assert len(EFFORTS) == 10
    for effort in range(10):
        Settings(effort=effort)


def test_the_lowest_effort_trains_nothing() -> None:
    assert EFFORTS[0].steps == EFFORTS[0].trainings == EFFORTS[0].fit_steps == 0


@pytest.mark.parametrize("effort", range(10))
def test_training_is_whole(effort: int) -> None:
    preset = EFFORTS[effort]
    assert (preset.trainings > 0) == (preset.steps > 0) == (preset.sample > 0)
    assert preset.rounds >= preset.trainings
    assert preset.blocks <= len(BLOCK_LENGTHS)
    assert preset.masks <= len(CELLS)


def test_no_knob_falls_with_effort() -> None:
    for low, high in pairwise(EFFORTS):
        assert all(a <= b for a, b in zip(astuple(low), astuple(high), strict=True))
        assert low != high


def test_block_lengths() -> None:
    assert list(BLOCK_LENGTHS) == sorted(set(BLOCK_LENGTHS))
    assert set(FIRST_BLOCKS) <= set(BLOCK_LENGTHS)
    for block in BLOCK_LENGTHS:
        Settings(block=block)
