"""The field section of an ``mlp`` payload: the shape of the network and the unit of its output."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from inrcodec.core.mlp.network import (
    MAX_FREQUENCIES,
    MAX_IDENTIFIER,
    MAX_LAYERS,
    MAX_WIDTH,
    RESIDUALS,
    WEIGHT_BITS,
    NetworkSettings,
    inputs,
    parameters,
)
from inrcodec.core.payload import MAX_DENSITY, PayloadError, Reader, pack_varint

OUTPUT_BITS = 24  # the network's output is a whole number of 2^-24 of the file's largest density


@dataclass(frozen=True)
class Shape:
    """The shape of a network, as a decoder needs it.

    Attributes:
        widths: of every linear layer; the last is 1.
        frequencies, identifier, residual: as in :class:`NetworkSettings`.
        weight_bits: 8, 16 or 32 bits that a weight is stored with.
    """

    widths: tuple[int, ...]
    frequencies: int
    identifier: int
    residual: str
    weight_bits: int

    @classmethod
    def of(cls, settings: NetworkSettings, weight_bits: int) -> Shape:
        """The shape of settings whose widths are known."""
        return cls(
            settings.layer_widths, settings.frequencies, settings.identifier, settings.residual, weight_bits
        )

    @property
    def inputs(self) -> int:
        """Inputs of the first layer: encoding and identifier."""
        return inputs(self.frequencies, self.identifier)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of every layer."""
        return [(n, m) for m, n in pairwise((self.inputs, *self.widths))]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return parameters(self.widths, self.inputs)

    def __str__(self) -> str:
        widths = ", ".join(map(str, self.widths))
        return (
            f"layers of {widths}, {self.inputs} inputs, residual {self.residual}, "
            f"{self.parameters:,} parameters of {self.weight_bits} bits"
        )

    def to_bytes(self) -> bytes:
        out = bytearray([len(self.widths)])
        for width in self.widths:
            out += pack_varint(width)
        out.append(self.frequencies)
        out += pack_varint(self.identifier)
        out.append(RESIDUALS.index(self.residual))
        out.append(self.weight_bits)
        return bytes(out)

    @classmethod
    def read(cls, reader: Reader) -> Shape:
        """Parse and check what :meth:`to_bytes` wrote.

        Raises:
            PayloadError: it is cut short, or beyond a limit of the format.
        """
        layers = reader.u8()
        if not 2 <= layers <= MAX_LAYERS:
            raise PayloadError(f"a network of {layers} layers, the format holds 2 to {MAX_LAYERS}")
        widths = tuple(reader.varint() for _ in range(layers))
        if widths[-1] != 1 or not all(1 <= width <= MAX_WIDTH for width in widths):
            raise PayloadError(f"layers of widths {widths}: each is 1 to {MAX_WIDTH}, the last 1")
        frequencies, identifier = reader.u8(), reader.varint()
        if frequencies > MAX_FREQUENCIES or identifier > MAX_IDENTIFIER:
            raise PayloadError(
                f"{frequencies} frequencies and an identifier of {identifier}, at most {MAX_FREQUENCIES} "
                f"and {MAX_IDENTIFIER}"
            )
        residual, weight_bits = reader.u8(), reader.u8()
        if residual >= len(RESIDUALS) or weight_bits not in WEIGHT_BITS:
            raise PayloadError(f"unknown residual pattern {residual} or weights of {weight_bits} bits")
        return cls(widths, frequencies, identifier, RESIDUALS[residual], weight_bits)


@dataclass(frozen=True)
class MLPSection:
    """Parameters of an ``mlp`` field.

    Attributes:
        shape: of the network.
        unit: density of one unit of the network's output.
        digest: CRC-32 of the weights section that the payload needs (volume scope); None where the payload
            has its own (chunk scope).
    """

    shape: Shape
    unit: float
    digest: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.unit <= MAX_DENSITY * 2.0**-OUTPUT_BITS:  # written so that NaN fails
            raise PayloadError(f"density unit {self.unit} makes no sense")

    def to_bytes(self) -> bytes:
        digest = b"" if self.digest is None else struct.pack("<I", self.digest)
        return self.shape.to_bytes() + struct.pack("<d", self.unit) + digest

    @classmethod
    def from_bytes(cls, data: bytes, scope: str) -> MLPSection:
        """Parse and check the section of a payload of ``"chunk"`` or ``"volume"`` scope."""
        reader = Reader(data)
        shape, unit = Shape.read(reader), reader.f64()
        digest = int(struct.unpack("<I", reader.take(4))[0]) if scope == "volume" else None
        reader.end()
        return cls(shape, unit, digest)
