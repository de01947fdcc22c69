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
from inrcodec.core.shells import ShellTable

_KEYS = frozenset({"step", "block", "prior", "cell", "weights", "shells", "resolution", "voxel_size"})


@dataclass(frozen=True)
class VolumeModel:
    """Networks and quantiser step shared by the chunks of one volume.

    Attributes:
        step: quantiser step in density units, the same for every chunk.
        block: block length in voxels.
        weights: the quantised context network (section format of ``docs/format.md``).
        prior: number of the built-in prior the weights refer to.
        cell: occupancy cell size in voxels; None where no mask pays.
        shells: with a Fourier-shell target, the steps of radial shells; ``step`` is then the smallest.
        resolution: angstrom up to which the Fourier-shell target holds.
        voxel_size: angstrom per voxel and axis that ``resolution`` was given with.
    """

    step: float
    block: int
    weights: bytes
    prior: int = CURRENT
    cell: int | None = None
    shells: ShellTable | None = None
    resolution: float | None = None
    voxel_size: tuple[float, ...] | None = None

    @cached_property
    def network(self) -> ContextNetwork:
        """The context network itself."""
        return ContextNetwork.from_bytes(self.weights, prior(self.prior))

    @property
    def digest(self) -> int:
        """32 bits that a payload carries, so that the wrong networks or steps are noticed."""
        digest = zlib.crc32(self.weights, self.prior)
        return digest if self.shells is None else zlib.crc32(self.shells.exponents, digest)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON, at most 4 kB."""
        config: dict[str, Any] = {
            "step": self.step,
            "block": self.block,
            "prior": self.prior,
            "cell": self.cell,
            "weights": base64.b64encode(self.weights).decode("ascii"),
        }
        if self.shells is not None:
            config["shells"] = self.shells.to_config()
        if self.resolution is not None:
            config["resolution"] = self.resolution
        if self.voxel_size is not None:
            config["voxel_size"] = list(self.voxel_size)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VolumeModel:
        """The inverse of :meth:`to_config`; unknown keys are an error."""
        unknown = set(config) - _KEYS
        if unknown:
            raise ValueError(f"unknown volume settings: {', '.join(sorted(unknown))}")
        shells, resolution, sizes = (config.get(key) for key in ("shells", "resolution", "voxel_size"))
        model = cls(
            step=float(config["step"]),
            block=int(config["block"]),
            weights=base64.b64decode(config["weights"], validate=True),
            prior=int(config["prior"]),
            cell=config.get("cell"),
            shells=None if shells is None else ShellTable.from_config(shells),
            resolution=None if resolution is None else float(resolution),
            voxel_size=None if sizes is None else tuple(float(size) for size in sizes),
        )
        if not 0 < model.step < math.inf:
            raise ValueError(f"step of the volume must be positive and finite, got {model.step}")
        if not 1 <= model.block <= MAX_BLOCK:
            raise ValueError(f"block of the volume must be between 1 and {MAX_BLOCK}, got {model.block}")
        if model.cell is not None and model.cell not in CELLS:
            raise ValueError(f"cell of the volume must be None or one of {CELLS}, got {model.cell}")
        if model.resolution is not None and not 0 < model.resolution < math.inf:
            raise ValueError(f"resolution of the volume must be positive and finite, got {model.resolution}")
        if model.voxel_size is not None and not all(0 < size < math.inf for size in model.voxel_size):
            raise ValueError(f"voxel_size of the volume must be positive and finite, got {model.voxel_size}")
        return model
