"""Checkpoints: what is written comes back, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlp_cases import QUICK

pytest.importorskip("torch")

from inrcodec import checkpoints
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.training import State, initial_parameters

SETTINGS = NetworkSettings.from_config(QUICK)
MARK = checkpoints.fingerprint(SETTINGS, 16, files=["é"])


def state_of(seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    groups = [
        [rng.normal(size=p.shape).astype(np.float32) for p in initial_parameters(SETTINGS, 2)]
        for _ in range(4)
    ]
    return State(1234, 0.125, 3, *groups)


def test_round_trip(tmp_path: Path) -> None:
    state = state_of()
    checkpoints.save_state(tmp_path / "c.npz", state, MARK)
    back = checkpoints.load_state(tmp_path / "c.npz", SETTINGS, 2, MARK)
    assert (back.step, back.loss, back.stale) == (1234, 0.125, 3)
    for group in ("parameters", "best", "first", "second"):
        for one, other in zip(getattr(state, group), getattr(back, group), strict=True):
            np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_an_interrupted_write_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.save_state(tmp_path / "c.npz", state_of(), MARK)

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save_state(tmp_path / "c.npz", state_of(1), MARK)
    back = checkpoints.load_state(tmp_path / "c.npz", SETTINGS, 2, MARK)
    np.testing.assert_array_equal(back.best[0], state_of().best[0])
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_of_another_training(tmp_path: Path) -> None:
    checkpoints.save_state(tmp_path / "c.npz", state_of(), MARK)
    other = checkpoints.fingerprint(SETTINGS, 8, files=["é"])
    with pytest.raises(ValueError, match="other files or settings"):
        checkpoints.load_state(tmp_path / "c.npz", SETTINGS, 2, other)
    with pytest.raises(ValueError, match="other shapes"):
        checkpoints.load_state(tmp_path / "c.npz", SETTINGS, 3, MARK)


@pytest.mark.parametrize("cut", [0, 10, 300, -30])
def test_damage(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "c.npz"
    checkpoints.save_state(path, state_of(), MARK)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"not a checkpoint"):
        checkpoints.load_state(path, SETTINGS, 2, MARK)


@pytest.mark.parametrize(
    "change", [{"numbers": np.array([-1, 0])}, {"mark": None}, {"best_0": None}, {"best_0": np.zeros((2, 2))}]
)
def test_other_contents(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "c.npz"
    checkpoints.save_state(path, state_of(), MARK)
    with np.load(path) as archive:
        arrays = {**archive, **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=r"c\.npz"):
        checkpoints.load_state(path, SETTINGS, 2, MARK)


def test_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, mark=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"c\.npz"):
        checkpoints.load_state(path, SETTINGS, 2, MARK)
