"""States of a training on disk: NumPy archives, without pickle, replaced as a whole."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.training import State, initial_parameters
from inrcodec.replacing import replacing

_GROUPS = ("parameters", "best", "first", "second")


def fingerprint(settings: NetworkSettings, weight_bits: int, **others: Any) -> str:
    """What must be the same for a training to be taken up again, as JSON text."""
    return json.dumps({"network": settings.to_config(), "weight_bits": weight_bits, **others}, sort_keys=True)


def save_state(path: str | os.PathLike[str], state: State, mark: str) -> None:
    """Write a state beside its final name, and rename it: an interruption leaves the one before.

    Args:
        mark: the :func:`fingerprint` of the training.
    """
    path = Path(path)
    arrays: dict[str, Any] = {
        "mark": np.frombuffer(mark.encode(), np.uint8),
        "numbers": np.array([state.step, state.stale], np.int64),
        "loss": np.array([state.loss]),
    }
    for group in _GROUPS:
        arrays |= {f"{group}_{i}": array for i, array in enumerate(getattr(state, group))}
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())


def load_state(path: str | os.PathLike[str], settings: NetworkSettings, files: int, mark: str) -> State:
    """Read a state.

    Args:
        settings: of the network, widths known.
        files: number of identifiers.
        mark: the fingerprint it must have been saved with.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or of another training.
    """
    shapes = [array.shape for array in initial_parameters(settings, files)]
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            found = archive["mark"].tobytes().decode(errors="replace")
            step, stale = (int(n) for n in archive["numbers"])
            loss = float(archive["loss"][0])
            groups = [[archive[f"{group}_{i}"] for i in range(len(shapes))] for group in _GROUPS]
    except KeyError as error:
        raise ValueError(f"{path} is not a checkpoint of this network: {error}") from error
    except (ValueError, IndexError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is not a checkpoint, or damaged: {error}") from error
    if found != mark:
        raise ValueError(f"{path} is of a training with other files or settings")
    for group in groups:
        if [array.shape for array in group] != shapes or any(array.dtype != np.float32 for array in group):
            raise ValueError(f"{path} holds arrays of other shapes than the network's")
    if step < 0 or stale < 0:
        raise ValueError(f"{path} is damaged: {step} steps done, {stale} looks since")
    return State(step, loss, stale, *groups)
