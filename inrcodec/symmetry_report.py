"""What is known of a volume's symmetry, in words: for ``inrcodec compress``, ``info`` and ``verify``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inrcodec.core import VolumeModel
from inrcodec.core.choices import Choice, Choices
from inrcodec.core.inspection import copies
from inrcodec.core.symmetry.groups import CENTRE_UNIT, UNIT, Helix, Symmetry
from inrcodec.core.symmetry.model import SymmetryModel

_NAME = "symmetry"  # of the choice, and of what a line speaks of
_NONE = "none"


@dataclass(frozen=True)
class SymmetryReport:
    """The symmetry a volume is stored with, or why it is stored with none.

    Attributes:
        model: the group and its place; None where it is not used.
        choice: what was found and compared when the volume was fitted; None where that is not known.
        section: bytes of the payload's symmetry section; None where that is not known.
    """

    model: SymmetryModel | None
    choice: Choice | None
    section: int | None = None

    @classmethod
    def of(
        cls, volume: VolumeModel | None, choices: Choices | None, section: int | None = None
    ) -> SymmetryReport | None:
        """The report on a volume; None where no symmetry was asked for."""
        model = None if volume is None else volume.symmetry
        choice = None
        if choices is not None and any(made.name == _NAME for made in choices.made):
            choice = choices[_NAME]
        return None if model is None and choice is None else cls(model, choice, section)

    @property
    def bytes_without(self) -> int | None:
        """Bytes that all payloads and the configuration took without symmetry, where that is recorded."""
        return self._figure(_NONE)

    @property
    def bytes_with(self) -> int | None:
        """Bytes that they took with the symmetry that was found, where that is recorded."""
        others = [] if self.choice is None else [name for name in self.choice.figures if name != _NONE]
        return self._figure(others[0]) if others else None

    @property
    def lines(self) -> list[str]:
        """In words, each line with what it speaks of in the first 16 characters."""
        return [f"{_NAME:<16}{text}" for text in self._texts()]

    def _figure(self, name: str) -> int | None:
        if self.choice is None or name not in self.choice.figures:
            return None
        figure = self.choice.figures[name]
        return round(figure) if math.isfinite(figure) else None

    def _texts(self) -> list[str]:
        why = "" if self.choice is None else self.choice.why.removeprefix("bytes; ")
        with_, without = self.bytes_with, self.bytes_without
        if self.model is None:
            if with_ is None or without is None:
                return [f"none: {why}"]
            (name,) = [name for name in (self.choice.figures if self.choice else ()) if name != _NONE][:1]
            name = name if name.startswith("helical") else name.upper()
            return [f"none: {name} takes {with_:,} bytes, {without:,} without; {why}"]
        symmetry = self.model.symmetry
        out = [f"{_words(self.model)}" + (f"; {why}" if why else "")]
        if with_ is not None and without is not None:
            out.append(f"{without:,} -> {with_:,} bytes, configuration and all payloads counted")
        if self.section is not None:
            out.append(f"asymmetric unit of {self.section:,} bytes")
        if symmetry.centre != Symmetry.standard(symmetry.group, self.model.shape).centre:
            z, y, x = (c / CENTRE_UNIT for c in symmetry.centre)
            out.append(f"centre at voxel {z:.2f}, {y:.2f}, {x:.2f} (z, y, x)")
        if symmetry.orientation is not None:
            out.append(_turn(np.array(symmetry.orientation).reshape(3, 3) / UNIT))
        if self.model.radius is not None:
            centre = "axis" if self.model.images.axial else "centre"
            out.append(f"within {self.model.radius} voxels of the {centre}")
        return out


def _words(model: SymmetryModel) -> str:
    group = model.symmetry.group
    count = copies(group, model.shape[0])
    many = f"{count:,} {'copy' if count == 1 else 'copies'}"
    return f"{group.symbol} ({many}{' in the box, rise in voxels' if isinstance(group, Helix) else ''})"


def _turn(rotation: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    """A rotation of column vectors (z, y, x) as its angle and axis."""
    angle = math.acos(min(1.0, max(-1.0, (float(np.trace(rotation)) - 1) / 2)))
    # the axis is the rotation's fixed vector, whatever the angle
    _, _, vectors = np.linalg.svd(rotation - np.eye(3))
    axis = vectors[-1]
    # its sense: a positive turn about z takes x towards y
    odd = rotation.T - rotation
    if float(np.array([odd[1, 2], odd[2, 0], odd[0, 1]]) @ axis) > 0:
        axis = -axis
    z, y, x = (round(float(v), 3) + 0.0 for v in axis)  # no minus before a zero
    return f"turned by {math.degrees(angle):.1f} degrees about {z:.3f}, {y:.3f}, {x:.3f} (z, y, x)"
