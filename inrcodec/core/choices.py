"""What a volume's fit chose, and why: for whoever asks ``inrcodec info``.

A record of hyperparameters, never a part of the codec's configuration: decoding does not need it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inrcodec.core.traits import Traits

_SHOWN = 4  # candidates in a sentence, the best ones
_MOST = 2**20  # bytes of a record, unpacked


@dataclass(frozen=True)
class Choice:
    """One hyperparameter.

    Attributes:
        name: of the hyperparameter.
        value: what it was set to.
        figures: what each candidate was judged by, smaller being better; empty where there was one only.
        why: what the figures are, or the reason where there are none.
    """

    name: str
    value: int | str | None
    why: str
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why, in words: ``20: 0.352 bit per voxel estimated; 16: 0.371, 25: 0.36``."""
        chosen = str(self.value).lower()
        if chosen not in self.figures:
            shown = f"{self.value:,}" if isinstance(self.value, int) else chosen
            return f"{shown}: {self.why}"
        others = sorted((figure, name) for name, figure in self.figures.items() if name != chosen)
        listed = ", ".join(f"{name}: {_short(figure)}" for figure, name in others[:_SHOWN])
        return f"{chosen}: {_short(self.figures[chosen])} {self.why}" + (f"; {listed}" if listed else "")


def _short(figure: float) -> str:
    """Three digits, or all before the point: bytes in thousands read badly with an exponent."""
    return f"{figure:,.0f}" if 1000 <= abs(figure) < 1e15 else f"{figure:.3g}"


@dataclass(frozen=True)
class Choices:
    """All that was chosen for a volume.

    Attributes:
        traits: of the volume.
        made: the choices, in the order they were made.
    """

    traits: Traits
    made: tuple[Choice, ...] = ()

    def __getitem__(self, name: str) -> Choice:
        """The last choice of a hyperparameter.

        Raises:
            KeyError: it was not chosen.
        """
        for choice in reversed(self.made):
            if choice.name == name:
                return choice
        raise KeyError(name)

    @property
    def lines(self) -> list[str]:
        """Traits and choices in words, each with what it speaks of in the first 16 characters."""
        return [f"{'traits':<16}{line}" for line in self.traits.lines] + [
            f"{'chosen':<16}{choice.name} {choice.reason}" for choice in self.made
        ]

    def to_text(self) -> str:
        """The record as array metadata hold it: deflated JSON in base64."""
        # metadata are written indented, a line for each number: twice as long as all of this
        made = [
            [c.name, c.value, c.why, {key: float(f"{figure:.4g}") for key, figure in c.figures.items()}]
            for c in self.made
        ]
        plain = json.dumps({"traits": self.traits.to_config(), "made": made}, separators=(",", ":"))
        return base64.b64encode(zlib.compress(plain.encode(), 9)).decode("ascii")

    @classmethod
    def from_text(cls, text: Any) -> Choices:
        """The inverse of :meth:`to_text`, but for the digits it leaves out.

        Raises:
            ValueError: the text is no record of choices.
        """
        try:
            unpacked = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MOST)
            record = json.loads(unpacked)
            made = tuple(
                Choice(name, value, why, dict(figures)) for name, value, why, figures in record["made"]
            )
            return cls(Traits.from_config(record["traits"]), made)
        except (ValueError, TypeError, KeyError, zlib.error) as error:
            raise ValueError(f"the record of what was chosen is damaged: {error}") from error
