"""What the seed paper's network looks like and how it is trained: settings without arrays.

Source: arXiv:2512.12975. What it leaves open, and how it is read here:

* *Nine layers of widths 2048, 1024, 512, 256, 1.* Nine linear layers: two of each width, one after the other,
  and the one of width 1 that gives the density. From 127 inputs that is 8,591,105 weights and biases.
* *Residual connections.* A layer's input is added to its sum, before the activation. ``"alternate"``: at
  every second hidden layer, which is the second of each width, so shapes agree. ``"full"``: at every hidden
  layer but the first; where widths differ, as many units as both have are added (option A of He et al.
  2016, "Deep residual learning for image recognition"). ``"none"``: nowhere.
* *Activation.* Rectified linear units in hidden layers, none at the output.
* *Coordinates.* From -1 at the first voxel of each axis to 1 at its last. The encoding is sin(2^k pi x) and
  cos(2^k pi x), as Mildenhall et al. 2020 (NeRF) define it.
* *Densities* are divided by the largest magnitude in their file, so the network's own range is 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

RESIDUALS = ("none", "alternate", "full")
LOSSES = ("weighted", "plain")
WEIGHT_BITS = (8, 16, 32)

MAX_WIDTH = 4096  # these limits keep every sum of the exact evaluation below 2^53
MAX_LAYERS = 64
MAX_FREQUENCIES = 16
MAX_IDENTIFIER = 1024

_PAPER: dict[str, Any] = {"widths": (2048, 1024, 512, 256), "steps": 20_000, "batch": 8192}
_REDUCED: dict[str, Any] = {"widths": (128, 64, 32, 16), "steps": 3000, "batch": 4096}


@dataclass(frozen=True)
class NetworkSettings:
    """Shape and training of the network; the argument ``network`` of a codec, key by key.

    Attributes:
        widths: of the hidden layers, from first to last; each is repeated until there are ``layers``. None is
            the paper's 2048, 1024, 512, 256 on a GPU and 128, 64, 32, 16 on a CPU.
        layers: linear layers, with the one of width 1 at the end.
        frequencies: L of the positional encoding, 2^0 to 2^(L-1); 0 leaves the three coordinates alone.
        identifier: length of the learned identifier of a file.
        residual: ``"none"``, ``"alternate"`` or ``"full"``, see the module.
        loss: ``"weighted"`` or ``"plain"`` (mean squared error), see :mod:`inrcodec.core.mlp.training`.
        floor: weight of a point of density 0 in the weighted loss; one of the largest density has 1 more.
        steps: of Adam at most. None is 20,000 on a GPU, 3,000 on a CPU.
        batch: points per step. None is 8192 on a GPU, 4096 on a CPU.
        learning_rate: of Adam at the start; it falls along a cosine to a hundredth at the last step.
        validation: share of the points that are not trained on, at most 2^16 of them.
        interval: steps between two looks at the validation loss; each writes a checkpoint where there is one.
        patience: looks without a better loss after which training stops.
        seed: of weights and of the order of points.

    Raises:
        ValueError: a value out of its range.
        TypeError: a value of the wrong kind.
    """

    widths: tuple[int, ...] | None = None
    layers: int = 9
    frequencies: int = 10
    identifier: int = 64
    residual: Literal["none", "alternate", "full"] = "alternate"
    loss: Literal["weighted", "plain"] = "weighted"
    floor: float = 0.1
    steps: int | None = None
    batch: int | None = None
    learning_rate: float = 1e-3
    validation: float = 0.1
    interval: int = 100
    patience: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.widths is not None:
            _check("widths", len(self.widths), 1, MAX_LAYERS - 1)
            for width in self.widths:
                _check("widths", width, 1, MAX_WIDTH)
            _check("layers", self.layers, len(self.widths) + 1, MAX_LAYERS)
        _check("layers", self.layers, 2, MAX_LAYERS)
        _check("frequencies", self.frequencies, 0, MAX_FREQUENCIES)
        _check("identifier", self.identifier, 0, MAX_IDENTIFIER)
        for name, value, known in (("residual", self.residual, RESIDUALS), ("loss", self.loss, LOSSES)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        for name, low, high in (("steps", 1, 10**9), ("batch", 1, 2**24)):
            if (value := getattr(self, name)) is not None:
                _check(name, value, low, high)
        _check("interval", self.interval, 1, 10**9)
        _check("patience", self.patience, 1, 10**9)
        _check("seed", self.seed, 0, 2**32 - 1)
        _check_real("floor", self.floor, 0.0, 1e6)
        _check_real("learning_rate", self.learning_rate, 1e-12, 1e3)
        _check_real("validation", self.validation, 0.0, 0.5)

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> NetworkSettings:
        """Settings of a mapping with some of the attributes as keys; NumPy scalars become Python numbers.

        Raises:
            ValueError: an unknown key, or a value out of its range.
            TypeError: not a mapping, or a value of the wrong kind.
        """
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"network must be a mapping of settings, got {config!r}")
        known = {field.name for field in fields(cls)}
        given = dict(config or {})
        if unknown := set(given) - known:
            raise ValueError(
                f"unknown network settings: {', '.join(sorted(map(str, unknown)))}; known are "
                f"{', '.join(sorted(known))}"
            )
        for name, value in given.items():
            if value is None and name in ("widths", "steps", "batch"):
                continue
            if name == "widths":
                if isinstance(value, str) or not hasattr(value, "__iter__"):
                    raise TypeError(f"widths must be a list of whole numbers, got {value!r}")
                given[name] = tuple(_whole(name, width) for width in value)
            elif name in ("floor", "learning_rate", "validation"):
                given[name] = _real(name, value)
            elif name not in ("residual", "loss"):
                given[name] = _whole(name, value)
        return cls(**given)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON of what is not the default; :meth:`from_config` is its inverse."""
        default = asdict(NetworkSettings())
        config = {name: value for name, value in asdict(self).items() if value != default[name]}
        if "widths" in config:
            config["widths"] = list(config["widths"])
        return config

    def resolved(self, device: str) -> NetworkSettings:
        """The same with what is left open filled in for a device (``"cpu"``, ``"cuda"``, ...)."""
        chosen = _PAPER if device.startswith("cuda") else _REDUCED
        missing = {name: value for name, value in chosen.items() if getattr(self, name) is None}
        if "widths" in missing:
            missing["widths"] = missing["widths"][: self.layers - 1]
        return replace(self, **missing)

    @property
    def reduced(self) -> bool:
        """Whether the hidden widths are others than the paper's."""
        return self.widths != _PAPER["widths"]

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Width of every linear layer, output last: (2048, 2048, 1024, 1024, ..., 256, 256, 1)."""
        if self.widths is None:
            raise ValueError("widths are left open: resolve the settings for a device first")
        each, more = divmod(self.layers - 1, len(self.widths))
        hidden = [width for i, width in enumerate(self.widths) for _ in range(each + (i < more))]
        return (*hidden, 1)


def inputs(frequencies: int, identifier: int) -> int:
    """Inputs of the first layer: 127 for ten frequencies and an identifier of 64."""
    return 3 * (1 + 2 * frequencies) + identifier


def parameters(widths: tuple[int, ...], first: int) -> int:
    """Weights and biases of layers of these widths behind ``first`` inputs."""
    return sum(n * (m + 1) for m, n in zip((first, *widths[:-1]), widths, strict=True))


def has_skip(residual: str, layer: int, layers: int) -> bool:
    """Whether a layer (counted from 0) has its input added to its sum."""
    if not 0 < layer < layers - 1:
        return False
    return residual == "full" or (residual == "alternate" and layer % 2 == 1)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def _real(name: str, value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")


def _check_real(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value}")
