"""What an effort buys."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """The knobs an effort turns.

    Attributes:
        blocks: how many block lengths are tried.
        rounds: times the latents are chosen by rate and distortion.
        steps: of training, after each of the first ``trainings`` rounds; 0 trains nothing.
        trainings: how often a network is trained.
        sample: latents per training step.
        fills: iterations of the fit that does not care for unrepresented voxels.
        masks: how many occupancy cell sizes are tried; 0 stores a mask only where a threshold demands it.
        fit_steps: of training in volume scope.
    """

    blocks: int
    rounds: int
    steps: int
    trainings: int
    sample: int
    fills: int
    masks: int
    fit_steps: int


EFFORTS = (
    Preset(blocks=4, rounds=1, steps=0, trainings=0, sample=0, fills=4, masks=1, fit_steps=0),
    Preset(blocks=5, rounds=2, steps=0, trainings=0, sample=0, fills=6, masks=2, fit_steps=60),
    Preset(blocks=5, rounds=2, steps=30, trainings=1, sample=4096, fills=6, masks=2, fit_steps=150),
    Preset(blocks=5, rounds=2, steps=50, trainings=1, sample=8192, fills=10, masks=2, fit_steps=400),
    Preset(blocks=6, rounds=3, steps=80, trainings=2, sample=8192, fills=15, masks=3, fit_steps=800),
    Preset(blocks=6, rounds=3, steps=150, trainings=2, sample=8192, fills=25, masks=3, fit_steps=1200),
    Preset(blocks=7, rounds=4, steps=250, trainings=2, sample=16384, fills=25, masks=4, fit_steps=1600),
    Preset(blocks=7, rounds=4, steps=400, trainings=3, sample=16384, fills=25, masks=4, fit_steps=2400),
    Preset(blocks=8, rounds=4, steps=700, trainings=3, sample=16384, fills=25, masks=4, fit_steps=4000),
    Preset(blocks=9, rounds=5, steps=1000, trainings=4, sample=16384, fills=25, masks=4, fit_steps=6000),
)

BLOCK_LENGTHS = (6, 8, 10, 13, 16, 20, 25, 32, 40)
FIRST_BLOCKS = (8, 16, 32)
