"""What a map is compressed with, as one value that can be stored, compared and sent to another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inrcodec.core import Target, parse_target

_TARGETS = ("snr", "max_error", "ratio", "fsc")
_NUMBERS = {"resolution": float, "chunks": int, "effort": int, "threshold": float}
_TEXTS = ("device", "symmetry")

CHUNK = 64
"""Longest chunk edge in voxels, where nothing is said."""


@dataclass(frozen=True)
class MapOptions:
    """The arguments of :func:`inrcodec.maps.compress` that say how, not what.

    Attributes:
        target: the quality target; SNR of 30 dB by default.
        resolution: angstrom up to which an ``fsc`` target holds; None estimates it.
        chunks: longest chunk edge in voxels; None is :data:`CHUNK`.
        effort, threshold, device: as for :class:`inrcodec.INRCodec`.
        permissive: read maps that break the MRC standard.
        symmetry: as for :meth:`inrcodec.INRCodec.fit`, rises in angstrom; None does without.

    Raises:
        ValueError: ``symmetry`` names none.
    """

    target: Target = field(default_factory=Target)
    resolution: float | None = None
    chunks: int | None = None
    effort: int = 3
    threshold: float | None = None
    device: str = "auto"
    permissive: bool = False
    symmetry: str | None = None

    def __post_init__(self) -> None:
        if self.symmetry is not None:
            check_symmetry(self.symmetry)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> MapOptions:
        """Options from keyword arguments or a configuration file, where numbers may be text.

        Keys are ``snr``, ``max_error``, ``ratio`` or ``fsc``, and the attributes but ``target``.

        Raises:
            ValueError: a key is unknown, a value no number, or two targets are given.
        """
        known = {*_TARGETS, *_NUMBERS, *_TEXTS, "permissive"}
        if unknown := set(values) - known:
            raise ValueError(
                f"unknown options: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
            )
        given = {key: value for key, value in values.items() if value is not None}
        target = parse_target(**{key: _number(key, given[key], float) for key in _TARGETS if key in given})
        numbers = {key: _number(key, given[key], kind) for key, kind in _NUMBERS.items() if key in given}
        rest: dict[str, Any] = {key: given[key] for key in _TEXTS if key in given}
        if "permissive" in given:
            rest["permissive"] = _truth(given["permissive"])
        return cls(target=target, **numbers, **rest)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`inrcodec.maps.compress`."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON of what decides the result: what has its default is left out, and so is the device."""
        out: dict[str, Any] = {self.target.kind: self.target.value}
        out["chunks"] = CHUNK if self.chunks is None else self.chunks
        out["effort"] = self.effort
        for name in ("resolution", "threshold", "symmetry"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        return out


def check_symmetry(symmetry: str) -> None:
    """Refuse, before any map is read, what is neither ``auto`` nor the name of a symmetry.

    Raises:
        ValueError: it names none.
    """
    from inrcodec.core.symmetry.groups import is_auto, parse_symmetry

    if not isinstance(symmetry, str):
        raise ValueError(f"symmetry must be a name, got {symmetry!r}")
    if not is_auto(symmetry):
        parse_symmetry(symmetry)


def _number(key: str, value: Any, kind: type) -> Any:
    try:
        number = kind(value)
        exact = isinstance(value, str) or number == value
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or isinstance(value, bool):
        raise ValueError(f"{key} must be {'an integer' if kind is int else 'a number'}, got {value!r}")
    return number


def _truth(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if (text := str(value).lower()) not in words:
        raise ValueError(f"permissive must be true or false, got {value!r}")
    return words[text]
