"""Volume scope: what all chunks of a volume share, carried by the codec's configuration."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from inrcodec.core.choices import Choices
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.basis import MAX_BLOCK, block_length, edge_kind, with_edges
from inrcodec.core.fields.edges import EDGES
from inrcodec.core.occupancy import CELLS
from inrcodec.core.prepare import as_volume_shape
from inrcodec.core.prior import CURRENT, prior
from inrcodec.core.shells import ShellTable
from inrcodec.core.symmetry.model import SymmetryModel

_KEYS = frozenset(
    {
        "step",
        "block",
        "edges",
        "prior",
        "cell",
        "weights",
        "shells",
        "shell_ends",
        "resolution",
        "voxel_size",
        "symmetry",
    }
)


@cache
def unchanged_weights() -> bytes:
    """The weights of a prior itself: no difference."""
    return prior().to_bytes(prior())


def short_step(step: float) -> float:
    """A step of five decimal digits, not above the one given: in a configuration every digit is a byte."""
    if not 0 < step < math.inf:
        return step
    rounded = float(f"{step:.4e}")
    # up to one digit too large, and a larger step might miss the target
    return rounded if rounded <= step else float(f"{step * (1 - 5e-5):.4e}")


@dataclass(frozen=True)
class VolumeModel:
    """Networks and quantiser step shared by the chunks of one volume.

    Attributes:
        step: quantiser step in density units, the same for every chunk.
        block: number of the block (:mod:`inrcodec.core.fields.basis`): nominal length and kind of edges.
        weights: the quantised context network (section format of ``docs/format.md``).
        prior: number of the built-in prior the weights refer to.
        cell: occupancy cell size in voxels; None where no mask pays.
        shells: with a Fourier-shell target, the steps of radial shells; ``step`` is then the smallest.
        resolution: angstrom up to which the Fourier-shell target holds.
        voxel_size: angstrom per voxel and axis that ``resolution`` was given with.
        symmetry: of the volume, where it saves bytes; the volume is one chunk then. Only encoding needs it.
        choices: what was chosen and why, where the model comes from a fit. Not part of the configuration.
    """

    step: float
    block: int
    weights: bytes
    prior: int = CURRENT
    cell: int | None = None
    shells: ShellTable | None = None
    resolution: float | None = None
    voxel_size: tuple[float, ...] | None = None
    symmetry: SymmetryModel | None = None
    choices: Choices | None = field(default=None, compare=False, repr=False)

    @cached_property
    def network(self) -> ContextNetwork:
        """The context network itself."""
        return ContextNetwork.from_bytes(self.weights, prior(self.prior))

    @property
    def changed(self) -> bool:
        """Whether the networks are others than the prior's."""
        return self.weights != unchanged_weights()

    @property
    def digest(self) -> int:
        """32 bits that a payload carries, so that another volume's networks, step or blocks are noticed."""
        weights = self.weights if self.changed else b""
        digest = zlib.crc32(struct.pack("<dB", self.step, self.block - 1) + weights, self.prior)
        return digest if self.shells is None else zlib.crc32(self.shells.exponents + self.shells.ends, digest)

    def check_chunk(self, shape: tuple[int, ...]) -> None:
        """Refuse to encode a part of a volume whose symmetry is used: it is one chunk.

        Raises:
            ValueError: ``shape`` is not the volume's.
        """
        model = self.symmetry
        if model is not None and as_volume_shape(shape) != model.shape:
            raise ValueError(
                f"a volume of symmetry {model.symmetry.group.symbol} is one chunk of {model.shape}, got "
                f"a chunk of shape {shape}: give the array that chunk shape, or fit without symmetry"
            )

    def to_config(self) -> dict[str, Any]:
        """Plain JSON, at most 4 kB; what has its default is left out."""
        config: dict[str, Any] = {"step": self.step, "block": block_length(self.block), "prior": self.prior}
        if edge_kind(self.block):
            config["edges"] = edge_kind(self.block)
        if self.cell is not None:
            config["cell"] = self.cell
        if self.changed:
            config["weights"] = base64.b64encode(self.weights).decode("ascii")
        if self.shells is not None:
            config |= self.shells.to_config()
        if self.resolution is not None:
            config["resolution"] = self.resolution
        if self.voxel_size is not None:
            config["voxel_size"] = list(self.voxel_size)
        if self.symmetry is not None:
            config["symmetry"] = self.symmetry.to_config()
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VolumeModel:
        """The inverse of :meth:`to_config`; unknown keys are an error."""
        unknown = set(config) - _KEYS
        if unknown:
            raise ValueError(f"unknown volume settings: {', '.join(sorted(unknown))}")
        weights, resolution, sizes, symmetry = (
            config.get(key) for key in ("weights", "resolution", "voxel_size", "symmetry")
        )
        block, edges = int(config["block"]), int(config.get("edges", 0))
        if not 1 <= block <= MAX_BLOCK:
            raise ValueError(f"block of the volume must be between 1 and {MAX_BLOCK}, got {block}")
        if not 0 <= edges < len(EDGES):
            raise ValueError(f"edges of the volume must be between 0 and {len(EDGES) - 1}, got {edges}")
        model = cls(
            step=float(config["step"]),
            block=with_edges(block, edges),
            weights=unchanged_weights() if weights is None else base64.b64decode(weights, validate=True),
            prior=int(config["prior"]),
            cell=config.get("cell"),
            shells=ShellTable.from_config(config),
            resolution=None if resolution is None else float(resolution),
            voxel_size=None if sizes is None else tuple(float(size) for size in sizes),
            symmetry=None if symmetry is None else SymmetryModel.from_config(symmetry),
        )
        if not 0 < model.step < math.inf:
            raise ValueError(f"step of the volume must be positive and finite, got {model.step}")
        if model.cell is not None and model.cell not in CELLS:
            raise ValueError(f"cell of the volume must be None or one of {CELLS}, got {model.cell}")
        if model.resolution is not None and not 0 < model.resolution < math.inf:
            raise ValueError(f"resolution of the volume must be positive and finite, got {model.resolution}")
        if model.voxel_size is not None and not all(0 < size < math.inf for size in model.voxel_size):
            raise ValueError(f"voxel_size of the volume must be positive and finite, got {model.voxel_size}")
        return model
