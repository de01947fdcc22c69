"""Volume scope: what all chunks of a volume share, carried by the codec's configuration."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class VolumeModel:
    """Networks and quantiser step shared by the chunks of one volume.

    Attributes:
        step: quantiser step in density units, the same for every chunk.
        block: block length in voxels.
        weights: the quantised context network (section format of ``docs/format.md``).
    """

    step: float
    block: int
    weights: bytes

    @property
    def digest(self) -> int:
        """32 bits that a payload carries, so that the wrong networks are noticed."""
        return zlib.crc32(self.weights)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON, at most 4 kB."""
        return {
            "step": self.step,
            "block": self.block,
            "weights": base64.b64encode(self.weights).decode("ascii"),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VolumeModel:
        """The inverse of :meth:`to_config`; unknown keys are an error."""
        unknown = set(config) - {"step", "block", "weights"}
        if unknown:
            raise ValueError(f"unknown volume settings: {', '.join(sorted(unknown))}")
        return cls(
            float(config["step"]), int(config["block"]), base64.b64decode(config["weights"], validate=True)
        )
