"""Volume scope: what all chunks of a volume share, carried by the codec's configuration."""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.layout import MAX_BLOCK
from inrcodec.core.occupancy import CELLS
from inrcodec.core.prior import CURRENT, prior


@dataclass(frozen=True)
class VolumeModel:
    """Networks and quantiser step shared by the chunks of one volume.

    Attributes:
        step: quantiser step in density units, the same for every chunk.
        block: block length in voxels.
        weights: the quantised context network (section format of ``docs/format.md``).
        prior: number of the built-in prior the weights refer to.
        cell: occupancy cell size in voxels; None where no mask pays.
    """

    step: float
    block: int
    weights: bytes
    prior: int = CURRENT
    cell: int | None = None

    @cached_property
    def network(self) -> ContextNetwork:
        """The context network itself."""
        return ContextNetwork.from_bytes(self.weights, prior(self.prior))

    @property
    def digest(self) -> int:
        """32 bits that a payload carries, so that the wrong networks are noticed."""
        return zlib.crc32(self.weights, self.prior)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON, at most 4 kB."""
        return {
            "step": self.step,
            "block": self.block,
            "prior": self.prior,
            "cell": self.cell,
            "weights": base64.b64encode(self.weights).decode("ascii"),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VolumeModel:
        """The inverse of :meth:`to_config`; unknown keys are an error."""
        unknown = set(config) - {"step", "block", "prior", "cell", "weights"}
        if unknown:
            raise ValueError(f"unknown volume settings: {', '.join(sorted(unknown))}")
        weights = base64.b64decode(config["weights"], validate=True)
        model = cls(
            float(config["step"]), int(config["block"]), weights, int(config["prior"]), config.get("cell")
        )
        if not 0 < model.step < math.inf:
            raise ValueError(f"step of the volume must be positive and finite, got {model.step}")
        if not 1 <= model.block <= MAX_BLOCK:
            raise ValueError(f"block of the volume must be between 1 and {MAX_BLOCK}, got {model.block}")
        if model.cell is not None and model.cell not in CELLS:
            raise ValueError(f"cell of the volume must be None or one of {CELLS}, got {model.cell}")
        return model
