"""Point groups and helices as whole numbers, so that every machine turns a volume in the same way.

Axis conventions (all matrices act on column vectors ``(z, y, x)``; rotations are right-handed: a positive one
about z takes x towards y):

=========  ==========================================================================================
C<n>       n-fold axis on z
D<n>       n-fold axis on z, a two-fold axis on x
T          a three-fold axis on z, a two-fold axis in the yz plane at (0, 0.816, 0.577) in (x, y, z)
T222       two-fold axes on x, y and z
O          four-fold axes on x, y and z
I, I2      two-fold axes on x, y and z, the five-fold axes nearest to z in the xz plane (Crowther)
I1         two-fold axes on x, y and z, the five-fold axes nearest to z in the yz plane
I3, I4     a five-fold axis on z, a two-fold axis at (-0.526, 0, 0.851) or (0.526, 0, 0.851)
=========  ==========================================================================================

C, D, O and I1 are the conventions of Heymann, Chagoyen and Belnap (J. Struct. Biol. 151, 196-207, 2005),
which the EMDB uses. T and I follow RELION and Xmipp (the generators in RELION's ``src/symmetries.cpp``); T222
and I1 are what Heymann et al. call T and I.

The centre of a box of N voxels is the voxel of index ``N // 2`` (RELION's and Xmipp's origin, 50 for N = 100
and for N = 101), where ``fftshift`` puts the origin too.

Helices follow RELION (He and Scheres, J. Struct. Biol. 198, 163-176, 2017): the density at a point is that at
the point turned by the twist about z and moved up z by the rise; a positive twist makes a right-handed helix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from inrcodec.core.symmetry import rotations
from inrcodec.core.symmetry.rotations import DECIMAL, Axis, about_z, generated, is_rotation, root, rounded
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]

UNIT = rotations.UNIT  # rotation matrices are whole numbers of 2**-30
CENTRE_UNIT = 2**POSITION_BITS  # centres are positions
RISE_UNIT = 2**20  # rises are whole numbers of 2**-20 voxel
TURN = 2**32  # twists are whole numbers of 2**-32 turns
MAX_FOLD = 99
MAX_RISE = 2**40
LEAST_RISE = RISE_UNIT // 8  # of a helix that volumes are stored with: copies stay in proportion to planes
MAX_CENTRE = 2**40

_VARIANTS = {"T": (0, 2), "O": (0,), "I": (0, 1, 3, 4)}
_SYMBOLS = {"T": ("T", 0), "T222": ("T", 2), "O": ("O", 0), "I": ("I", 0), "I2": ("I", 0)}
_SYMBOLS |= {"I1": ("I", 1), "I3": ("I", 3), "I4": ("I", 4)}
_NUMBER = r"([+-]?[0-9]{1,9}(?:\.[0-9]{0,15})?)"
_HELICAL = re.compile(rf"HELICAL:\s*{_NUMBER}\s*,\s*{_NUMBER}\s*(?:,\s*C([0-9]{{1,2}})\s*)?")
_EXPECTED = "C2 to C99, D2 to D99, T, T222, O, I, I1 to I4 or helical:RISE,TWIST[,Cn]"


@dataclass(frozen=True)
class PointGroup:
    """A point group of rotations in its standard orientation.

    Args:
        family: ``C``, ``D``, ``T``, ``O`` or ``I``.
        n: order of the main axis of C and D, 2 to 99; 0 for T, O and I; 2 for T222; 1, 3, 4 for I1, I3, I4.

    Raises:
        ValueError: no such group.
    """

    family: str
    n: int = 0

    def __post_init__(self) -> None:
        allowed: Sequence[int] = range(2, MAX_FOLD + 1)
        if self.family not in ("C", "D"):
            allowed = _VARIANTS.get(self.family, ())
        if self.n not in allowed:
            raise ValueError(f"no point group of family {self.family!r} and n {self.n!r}")

    @property
    def symbol(self) -> str:
        """The name that :func:`parse_symmetry` reads."""
        if self.family in ("C", "D"):
            return f"{self.family}{self.n}"
        return next(symbol for symbol, key in _SYMBOLS.items() if key == (self.family, self.n))

    @property
    def order(self) -> int:
        """Number of operations, the identity among them."""
        return {"C": self.n, "D": 2 * self.n, "T": 12, "O": 24, "I": 60}[self.family]

    def operations(self) -> Array:
        """Rotation matrices ``(order, 3, 3)``, int64 in units of 2**-30, read-only, the identity first.

        C: by 0, 1, ..., n - 1 times 1/n turn about z. D: those of C, then each of those after the half turn
        about x. T, O, I: after the identity in ascending order of the nine entries, row by row.
        """
        return _operations(self)


@dataclass(frozen=True)
class Helix:
    """A helix about z, with rotational symmetry about it if n > 1.

    Args:
        rise: along z from one subunit to the next, in units of 2**-20 voxel, positive.
        twist: about z from one subunit to the next, in units of 2**-32 turns, from -2**31 to 2**31;
            positive is right-handed.
        n: order of the rotational symmetry about z, 1 for none.

    Raises:
        ValueError: a number out of range.
    """

    rise: int
    twist: int
    n: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.rise <= MAX_RISE:
            raise ValueError(
                f"the rise of a helix must be from 1 to {MAX_RISE} 2**-20 voxel, got {self.rise}"
            )
        if abs(self.twist) > TURN // 2:
            raise ValueError(
                f"the twist of a helix must be within half a turn, got {self.twist} 2**-32 turns"
            )
        if not 1 <= self.n <= MAX_FOLD:
            raise ValueError(f"the rotational symmetry of a helix must be C1 to C{MAX_FOLD}, got {self.n}")

    @property
    def symbol(self) -> str:
        """``helical:RISE,TWIST[,Cn]`` with the rise in voxels and the twist in degrees.

        Enough digits for ``parse_symmetry(symbol, 1.0)`` to give the same helix.
        """
        rise = _plain(DECIMAL.divide(Decimal(self.rise), Decimal(RISE_UNIT)), 7)
        twist = _plain(DECIMAL.divide(Decimal(360 * self.twist), Decimal(TURN)), 8)
        return f"helical:{rise},{twist}" + (f",C{self.n}" if self.n > 1 else "")

    def rotation(self, k: int, j: int = 0) -> Array:
        """Rotation ``(3, 3)``, int64 in units of 2**-30: k twists and j/n of a turn, about z."""
        return about_z(k * self.twist * self.n + j * TURN, self.n * TURN)

    def shift(self, k: int) -> int:
        """k rises along z, in units of 2**-20 voxel, exact."""
        return k * self.rise


@dataclass(frozen=True)
class Symmetry:
    """A group with its place in a volume.

    Args:
        group: a point group or a helix.
        centre: ``(z, y, x)`` of the fixed point (for C and helices, any point of the axis), in units of
            2**-10 voxel.
        orientation: nine whole numbers of 2**-30, row by row: the rotation Q that takes the standard
            orientation to the volume's. None is the standard orientation.

    Raises:
        ValueError: the orientation is not a rotation, or the centre is out of range.
    """

    group: PointGroup | Helix
    centre: tuple[int, int, int]
    orientation: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.centre) != 3 or max(abs(int(c)) for c in self.centre) > MAX_CENTRE:
            raise ValueError(f"centre of a symmetry out of range: {self.centre}")
        if self.orientation is not None and not is_rotation(self.orientation):
            raise ValueError(f"orientation of a symmetry is not a rotation: {self.orientation}")

    @classmethod
    def standard(cls, group: PointGroup | Helix, shape: Sequence[int]) -> Symmetry:
        """The group in its standard orientation, about the voxel ``N // 2`` of a volume's shape."""
        z, y, x = (int(n) // 2 * CENTRE_UNIT for n in shape)
        return cls(group, (z, y, x))

    def operations(self) -> Array:
        """Rotations about the centre, ``(order, 3, 3)``, int64 in units of 2**-30, the identity first.

        Each is Q R Q^T of the group's R; each of the two products is a sum of whole numbers, rounded by
        ``(sum + 2**29) >> 30``.

        Raises:
            ValueError: a helix, whose operations are not finitely many (see :meth:`operation`).
        """
        if isinstance(self.group, Helix):
            raise ValueError(f"{self.group.symbol} has no finite list of operations")
        return self._turned(self.group.operations())

    def operation(self, k: int, j: int = 0) -> tuple[Array, tuple[int, int, int]]:
        """One operation of a helix: k twists and rises, then j/n of a turn.

        Returns:
            The rotation about the centre as in :meth:`operations`, ``(3, 3)``, and the shift ``(z, y, x)``
            after it in units of 2**-20 voxel (Q's first column times k rises, rounded in the same way).

        Raises:
            ValueError: a point group.
        """
        if isinstance(self.group, PointGroup):
            raise ValueError(f"{self.group.symbol} is no helix")
        along = self.group.shift(k)
        if self.orientation is None:
            return self.group.rotation(k, j), (along, 0, 0)
        z, y, x = (int(q) * along + UNIT // 2 >> 30 for q in self.orientation[::3])
        return self._turned(self.group.rotation(k, j)), (z, y, x)

    def lattice(self) -> Array:
        """Which :meth:`operations` map voxels to voxels exactly, ``(order,)`` bool."""
        operations = self.operations()
        whole = np.asarray(np.isin(operations, (0, UNIT, -UNIT)).all(axis=(1, 2)))
        centre = np.array(self.centre, np.int64)
        moved = np.where(whole[:, None], centre - (operations // UNIT) @ centre, 1)
        return np.asarray(whole & (moved % CENTRE_UNIT == 0).all(axis=1))

    def _turned(self, rotations: Array) -> Array:
        if self.orientation is None:
            return rotations
        q = np.array(self.orientation, np.int64).reshape(3, 3)
        half = (q @ rotations + UNIT // 2) >> 30
        turned = np.asarray((half @ q.T + UNIT // 2) >> 30)
        if turned.ndim == 3:
            turned[0] = np.eye(3, dtype=np.int64) * UNIT  # rounding may leave it a unit off
        turned.setflags(write=False)
        return turned


def is_auto(text: str) -> bool:
    """Whether a text asks for whatever symmetry a volume has, rather than to name one."""
    return text.strip().lower() == "auto"


def is_helical(text: str) -> bool:
    """Whether a text is meant to name a helix."""
    return text.strip().lower().startswith("helical:")


def parse_symmetry(text: str, voxel_size: float = 1.0) -> PointGroup | Helix:
    """The group that a text names, in upper or lower case.

    Args:
        text: ``C<n>`` and ``D<n>`` with n from 2 to 99, ``T``, ``T222``, ``O``, ``I``, ``I1`` to ``I4``, or
            ``helical:RISE,TWIST[,Cn]`` with the rise in A and the twist in degrees from -360 to 360.
        voxel_size: A per voxel along the helical axis; 1.0 reads the rise in voxels.

    Raises:
        ValueError: no such symmetry; C1 and D1 are none. The text is in the message.
    """
    name = text.strip().upper()
    if name in _SYMBOLS:
        return PointGroup(*_SYMBOLS[name])
    if match := re.fullmatch(r"([CD])([0-9]{1,2})", name):
        if int(match[2]) < 2:
            raise ValueError(f"{text!r} is not a symmetry; expected {_EXPECTED}")
        return PointGroup(match[1], int(match[2]))
    if not (match := _HELICAL.fullmatch(name)):
        raise ValueError(f"{text!r} is not a symmetry; expected {_EXPECTED}")
    if not (np.isfinite(voxel_size) and voxel_size > 0):
        raise ValueError(f"voxel_size must be positive, got {voxel_size} for {text!r}")
    rise = DECIMAL.multiply(DECIMAL.divide(Decimal(match[1]), Decimal(float(voxel_size))), Decimal(RISE_UNIT))
    degrees = Decimal(match[2])
    if not 1 <= rise <= MAX_RISE:
        raise ValueError(f"{text!r}: the rise must be positive and at most {MAX_RISE // RISE_UNIT} voxels")
    if abs(degrees) > 360:
        raise ValueError(f"{text!r}: the twist must be within 360 degrees")
    twist = rounded(DECIMAL.divide(DECIMAL.multiply(degrees, Decimal(TURN)), Decimal(360)))
    twist -= TURN * ((twist + TURN // 2) // TURN)
    try:
        return Helix(rounded(rise), twist, int(match[3] or 1))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


@cache
def _operations(group: PointGroup) -> Array:
    if group.family == "C":
        rotations = _cyclic(group)
    elif group.family == "D":
        rotations = _dihedral(group)
    else:
        rotations = generated(_generators(group))
    rotations.setflags(write=False)
    return rotations


def _cyclic(group: PointGroup) -> Array:
    return np.stack([about_z(k, group.n) for k in range(group.n)])


def _dihedral(group: PointGroup) -> Array:
    about_z = _cyclic(group)
    # A half turn about x changes the signs of z and y.
    return np.concatenate([about_z, about_z * np.array([-1, -1, 1])])


def _generators(group: PointGroup) -> tuple[tuple[int, Axis], ...]:
    """Folds and axes ``(x, y, z)`` of any length; the axes are those of the table above."""
    golden = DECIMAL.divide(DECIMAL.add(root(5), Decimal(1)), Decimal(2))
    table: dict[str, tuple[tuple[int, Axis], ...]] = {
        "T": ((3, (0, 0, 1)), (2, (0, root(2), 1))),
        "T222": ((2, (0, 0, 1)), (3, (1, 1, 1))),
        "O": ((4, (0, 0, 1)), (3, (1, 1, 1))),
        "I": ((2, (0, 0, 1)), (5, (1, 0, golden))),
        "I1": ((2, (0, 0, 1)), (5, (0, 1, golden))),
        "I3": ((5, (0, 0, 1)), (2, (-1, 0, golden))),
        "I4": ((5, (0, 0, 1)), (2, (1, 0, golden))),
    }
    return table[group.symbol]


def _plain(x: Decimal, digits: int) -> str:
    """Without an exponent or trailing zeros."""
    return f"{x:.{digits}f}".rstrip("0").rstrip(".")
