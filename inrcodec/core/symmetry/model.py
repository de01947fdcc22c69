"""The symmetry of a volume, as the configuration of its codec carries it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inrcodec.core.symmetry.groups import LEAST_RISE, Helix, Symmetry, parse_symmetry
from inrcodec.core.symmetry.images import Images

MAX_MARGIN = 8
_KEYS = frozenset({"group", "shape", "centre", "orientation", "direction", "radius", "margin"})


@dataclass(frozen=True)
class SymmetryModel:
    """The group of a volume and where its asymmetric unit lies.

    An encoder needs it; a payload says the same of itself.

    Attributes:
        symmetry: the group and its place.
        direction: (3,) along z, y, x, from -127 to 127, of the asymmetric unit.
        shape: (d, h, w) of the volume, which is one chunk.
        radius: voxels from the centre, or from the axis of C, D and helices, beyond which symmetry says
            nothing; None is no limit.
        margin: voxels around those nearest to images that the field is fitted to as well.

    Raises:
        ValueError: a direction or margin out of range, a helix whose axis is not z or whose rise is below 1/8
            voxel.
    """

    symmetry: Symmetry
    direction: tuple[int, int, int]
    shape: tuple[int, int, int]
    radius: int | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        if len(self.direction) != 3 or not any(self.direction) or max(map(abs, self.direction)) > 127:
            raise ValueError(f"direction of an asymmetric unit out of range: {self.direction}")
        if not 0 <= self.margin <= MAX_MARGIN:
            raise ValueError(f"margin of an asymmetric unit must be 0 to {MAX_MARGIN}, got {self.margin}")
        group = self.symmetry.group
        if isinstance(group, Helix) and self.symmetry.orientation is not None:
            raise ValueError("the axis of a helix must be z")
        if isinstance(group, Helix) and group.rise < LEAST_RISE:
            raise ValueError(f"the rise of a helix must be at least 1/8 voxel, got {group.symbol}")

    @cached_property
    def images(self) -> Images:
        """Of the volume's voxels in the asymmetric unit."""
        return Images(self.symmetry, self.direction, self.radius)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON; what is standard is left out."""
        symmetry = self.symmetry
        config: dict[str, Any] = {
            "group": symmetry.group.symbol,
            "shape": list(self.shape),
            "direction": list(self.direction),
        }
        if symmetry.centre != Symmetry.standard(symmetry.group, self.shape).centre:
            config["centre"] = list(symmetry.centre)
        if symmetry.orientation is not None:
            config["orientation"] = list(symmetry.orientation)
        if self.radius is not None:
            config["radius"] = self.radius
        if self.margin:
            config["margin"] = self.margin
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SymmetryModel:
        """The inverse of :meth:`to_config`.

        Raises:
            ValueError: unknown keys, or values that make no symmetry.
        """
        unknown = set(config) - _KEYS
        if unknown:
            raise ValueError(f"unknown symmetry settings: {', '.join(sorted(unknown))}")
        group = parse_symmetry(str(config["group"]))
        d, h, w = (int(n) for n in config["shape"])
        standard = Symmetry.standard(group, (d, h, w))
        cz, cy, cx = (int(c) for c in config.get("centre", standard.centre))
        turned = config.get("orientation")
        orientation = None if turned is None else tuple(int(q) for q in turned)
        dz, dy, dx = (int(c) for c in config["direction"])
        radius = config.get("radius")
        place = Symmetry(group, (cz, cy, cx), orientation)
        return cls(
            place,
            (dz, dy, dx),
            (d, h, w),
            None if radius is None else int(radius),
            int(config.get("margin", 0)),
        )
