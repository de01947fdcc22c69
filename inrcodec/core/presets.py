"""What an effort buys."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """The knobs an effort turns.

    Attributes:
        blocks: how many block lengths are tried by estimate.
        finalists: how many of them are compared as they will be coded.
        rounds: times the latents are chosen by rate and distortion.
        steps: of training, after each of the first ``trainings`` rounds; 0 trains nothing.
        trainings: how often a network is trained.
        sample: latents per training step.
        fills: iterations of the fit that does not care for unrepresented voxels.
        masks: how many occupancy cell sizes are tried; 0 stores a mask only where a threshold demands it.
        fit_steps: of training in volume scope.
    """

    blocks: int
    finalists: int
    rounds: int
    steps: int
    trainings: int
    sample: int
    fills: int
    masks: int
    fit_steps: int


EFFORTS = tuple(
    Preset(*knobs)
    for knobs in (
        # blocks, finalists, rounds, steps, trainings, sample, fills, masks, fit_steps
        (3, 1, 1, 0, 0, 0, 8, 1, 0),
        (5, 1, 2, 0, 0, 0, 10, 2, 60),
        (6, 2, 2, 30, 1, 4096, 12, 2, 150),
        (6, 2, 2, 50, 1, 8192, 16, 2, 400),
        (7, 2, 3, 80, 2, 8192, 16, 3, 800),
        (7, 2, 3, 150, 2, 8192, 25, 3, 1200),
        (8, 2, 4, 250, 2, 16384, 25, 4, 1600),
        (8, 3, 4, 400, 3, 16384, 25, 4, 2400),
        (9, 3, 4, 700, 3, 16384, 25, 4, 4000),
        (9, 3, 5, 1000, 4, 16384, 25, 4, 6000),
    )
)

BLOCK_LENGTHS = (6, 8, 10, 13, 16, 20, 25, 32, 40)
FIRST_BLOCKS = (8, 16, 32)
