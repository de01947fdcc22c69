"""What an effort buys."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """The knobs an effort turns.

    Attributes:
        blocks: how many block lengths are tried by estimate.
        finalists: how many of them are compared as they will be coded.
        rounds: times the latents are chosen by rate and distortion, before the last.
        volume_rounds: the same where the volume's networks and step are given.
        steps: of training, after each of the first ``trainings`` rounds; 0 trains nothing.
        trainings: how often a network is trained.
        sample: latents per training step.
        fills: iterations of the fit that does not care for unrepresented voxels.
        masks: how many occupancy cell sizes are tried; 0 stores a mask only where a threshold demands it.
        fit_steps: of training in volume scope.
        latents: coded ones, about, that volume scope chooses block length and networks on.
    """

    blocks: int
    finalists: int
    rounds: int
    volume_rounds: int
    steps: int
    trainings: int
    sample: int
    fills: int
    masks: int
    fit_steps: int
    latents: int


EFFORTS = tuple(
    Preset(*knobs)
    for knobs in (
        # blocks, finalists, rounds, volume_rounds, steps, trainings, sample, fills, masks, fit_steps, latents
        (3, 1, 1, 0, 0, 0, 0, 8, 1, 0, 2**17),
        (5, 1, 2, 1, 0, 0, 0, 10, 2, 60, 2**20),
        (6, 2, 2, 2, 30, 1, 4096, 12, 2, 150, 2**20),
        (6, 2, 2, 2, 50, 1, 8192, 16, 2, 400, 2**20),
        (7, 2, 3, 3, 80, 2, 8192, 16, 3, 800, 2**20),
        (7, 2, 3, 3, 150, 2, 8192, 25, 3, 1200, 2**20),
        (8, 2, 4, 4, 250, 2, 16384, 25, 4, 1600, 2**20),
        (8, 3, 4, 4, 400, 3, 16384, 25, 4, 2400, 2**20),
        (9, 3, 4, 4, 700, 3, 16384, 25, 4, 4000, 2**20),
        (9, 3, 5, 5, 1000, 4, 16384, 25, 4, 6000, 2**20),
    )
)

BLOCK_LENGTHS = (6, 8, 10, 13, 16, 20, 25, 32, 40)
FIRST_BLOCKS = (8, 16, 32)
