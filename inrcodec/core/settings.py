"""What the caller asks for: one quality target, an effort, and the field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import field as _field
from typing import TYPE_CHECKING, Literal

from inrcodec.core.mlp.network import WEIGHT_BITS, NetworkSettings

if TYPE_CHECKING:
    from inrcodec.core.volume import VolumeModel

TargetKind = Literal["none", "snr", "max_error", "ratio", "fsc"]
FieldName = Literal["local-fourier", "mlp"]
FIELDS = ("local-fourier", "mlp")
TARGET_NAMES = ("snr", "max_error", "ratio", "fsc")


@dataclass(frozen=True)
class Target:
    """One quality target.

    ``snr``: dB, variance of the represented voxels over mean squared error, the error of all voxels summed
    and divided by the number of represented ones (those that differ from a background as common as 5 % of
    the voxels, or lie above the threshold). ``max_error``: density units, every voxel, in the output dtype.
    ``ratio``: original bytes over payload bytes. ``fsc``: correlation with the original in every Fourier
    shell up to a resolution; of a volume, never of a chunk alone. ``none``: of the ``mlp`` field, whose
    quality follows from its network.
    """

    kind: TargetKind = "snr"
    value: float = 30.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.kind} must be finite, got {self.value}")
        if self.kind == "max_error" and self.value <= 0:
            raise ValueError(f"max_error must be positive, got {self.value}")
        if self.kind == "ratio" and self.value < 1:
            raise ValueError(f"ratio must be at least 1, got {self.value}")
        if self.kind == "snr" and not -20 <= self.value <= 200:
            raise ValueError(f"snr must be between -20 and 200 dB, got {self.value}")
        if self.kind == "fsc" and not 0.1 <= self.value <= 0.9999999:
            raise ValueError(f"fsc must be between 0.1 and 0.9999999, got {self.value}")


def parse_target(
    snr: float | None = None,
    max_error: float | None = None,
    ratio: float | None = None,
    fsc: float | None = None,
) -> Target:
    """The one target given; ``snr=30`` when none is.

    Raises:
        ValueError: more than one is given, or the value makes no sense.
    """
    given: dict[TargetKind, float | None] = {"snr": snr, "max_error": max_error, "ratio": ratio, "fsc": fsc}
    named = [Target(kind, float(value)) for kind, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(
            "give one quality target, not " + " and ".join(f"{t.kind}={t.value:g}" for t in named)
        )
    return named[0] if named else Target()


@dataclass(frozen=True)
class Settings:
    """How chunks are encoded.

    Attributes:
        target: the quality target.
        threshold: densities at or below it are not represented and decode to 0 (the seed paper's
            threshold, arXiv 2512.12975); None represents every voxel, with the ``mlp`` field it is 0.
        effort: 0 (feed-forward with the built-in prior, needs no PyTorch) to 9 (the best).
        block: block length in voxels; None lets the encoder choose.
        volume: the volume's shared networks and step (volume scope); None is chunk scope.
        field: ``"local-fourier"``, or ``"mlp"``, the network of the seed paper.
        network: shape and training of that network; None is all defaults.
        weight_bits: 8, 16 or 32 bits that its weights are stored with.
    """

    target: Target = _field(default_factory=Target)
    threshold: float | None = None
    effort: int = 3
    block: int | None = None
    volume: VolumeModel | None = None
    field: FieldName = "local-fourier"
    network: NetworkSettings | None = None
    weight_bits: int = 32

    def __post_init__(self) -> None:
        if isinstance(self.effort, bool) or not isinstance(self.effort, int) or not 0 <= self.effort <= 9:
            raise ValueError(f"effort must be an integer from 0 to 9, got {self.effort!r}")
        if self.block is not None and not 4 <= self.block <= 64:
            raise ValueError(f"block must be between 4 and 64 voxels, got {self.block}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}")
        if self.field == "mlp" and self.threshold is None:
            object.__setattr__(self, "threshold", 0.0)
        if self.field not in FIELDS:
            raise ValueError(f"field must be one of {', '.join(FIELDS)}, got {self.field!r}")
        if self.weight_bits not in WEIGHT_BITS:
            raise ValueError(f"weight_bits must be 8, 16 or 32, got {self.weight_bits!r}")
        if (self.field == "mlp") != (self.target.kind == "none"):
            raise ValueError(f"a target of {self.target.kind} does not go with field={self.field!r}")
        if self.field == "mlp" and self.volume is not None:
            raise ValueError("field='mlp' trains a network for each chunk: it has no volume scope")
