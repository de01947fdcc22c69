"""The network in whole numbers: as it is stored, and as it is evaluated.

Float weights become whole numbers of 8, 16 or 32 bits with one float32 scale for every unit of a layer;
inputs, activations and biases are whole numbers of 2^-14. All products and sums of a layer then stay below
2^53, so a float64 matrix product is exact in any order: NumPy and PyTorch, on a CPU or a GPU, give the same
densities. Weights of 32 bits are taken in two halves of 16.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.mlp.encoding import UNIT_BITS, axis_table
from inrcodec.core.mlp.network import has_skip
from inrcodec.core.mlp.section import OUTPUT_BITS, Shape
from inrcodec.core.payload import PayloadError

ACTIVATION_MAX = 2.0**24  # 1024 in the network's own units
OUTPUT_MAX = 2.0**30  # 64 times the largest density that was trained on
_ZLIB_MOST = 1040  # zlib shrinks nothing by more than this
_TILE = {"numpy": 2**20, "cpu": 2**20, "cuda": 2**27}  # activations of one layer held at once

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class FixedNetwork:
    """A trained network in whole numbers.

    Attributes:
        shape: of the network.
        weights: (outputs, inputs) int32 of every layer.
        biases: (outputs,) int32 of every layer, in units of 2^-14, the output's in 2^-24.
        scales: (outputs,) float32 of every layer: units of the sum for each unit of weight times input.
    """

    shape: Shape
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    scales: tuple[Array, ...]

    @classmethod
    def from_float(cls, shape: Shape, weights: list[Array], biases: list[Array]) -> FixedNetwork:
        """Round float weights (outputs, inputs) and biases (outputs,) of every layer.

        Raises:
            ValueError: a weight is not finite, as after a training that diverged.
        """
        top = 2 ** (shape.weight_bits - 1) - 1
        whole, rounded, scales = [], [], []
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            if not (np.isfinite(w).all() and np.isfinite(b).all()):
                raise ValueError("the network has weights that are not finite: training diverged")
            last = layer == len(weights) - 1
            unit = np.maximum(np.abs(w).max(axis=1, initial=0).astype(np.float64), 1e-30) / top
            unit = np.nextafter(unit.astype(np.float32), np.float32(np.inf))
            values = np.rint(w.astype(np.float64) / unit.astype(np.float64)[:, None])
            whole.append(np.clip(values, -top, top).astype(np.int32))
            gain = 2.0 ** (OUTPUT_BITS - UNIT_BITS) if last else 1.0
            scales.append((unit * np.float32(gain)).astype(np.float32))
            bias = np.rint(b.astype(np.float64) * 2.0 ** (OUTPUT_BITS if last else UNIT_BITS))
            rounded.append(np.clip(bias, -(2**31) + 1, 2**31 - 1).astype(np.int32))
        return cls(shape, tuple(whole), tuple(rounded), tuple(scales))

    @cached_property
    def data(self) -> bytes:
        """The weights section."""
        out = bytearray()
        for scale, bias in zip(self.scales, self.biases, strict=True):
            out += scale.astype("<f4").tobytes() + bias.astype("<i4").tobytes()
        flat = np.concatenate([w.reshape(-1) for w in self.weights])
        size = self.shape.weight_bits // 8
        planes = flat.astype(f"<i{size}").view(np.uint8).reshape(-1, size)
        return zlib.compress(bytes(out) + np.ascontiguousarray(planes.T).tobytes(), 9)

    @cached_property
    def digest(self) -> int:
        """CRC-32 of the weights section, which payloads of volume scope carry."""
        return zlib.crc32(self.data)

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> FixedNetwork:
        """Parse and check a weights section.

        Raises:
            PayloadError: it is damaged, or does not hold a network of this shape.
        """
        size = shape.weight_bits // 8
        units = sum(shape.widths)
        count = shape.parameters - units
        raw = inflated(data, 8 * units + size * count, "weights")
        at, scales, biases = 0, [], []
        for width in shape.widths:
            scales.append(np.frombuffer(raw, "<f4", width, at).astype(np.float32))
            biases.append(np.frombuffer(raw, "<i4", width, at + 4 * width).astype(np.int32))
            at += 8 * width
        if not all(np.isfinite(scale).all() and (scale >= 0).all() for scale in scales):
            raise PayloadError("the network has scales that are negative or not finite")
        planes = np.frombuffer(raw, np.uint8, size * count, at).reshape(size, count)
        flat = np.ascontiguousarray(planes.T).view(f"<i{size}")[:, 0].astype(np.int32)
        weights, start = [], 0
        for n, m in shape.layers:
            weights.append(flat[start : start + n * m].reshape(n, m))
            start += n * m
        network = cls(shape, tuple(weights), tuple(biases), tuple(scales))
        network.__dict__["data"] = bytes(data)  # as it came: its digest is of these bytes
        return network

    def evaluate(
        self,
        backend: Backend,
        grid: tuple[int, int, int],
        voxels: tuple[Array, Array, Array],
        identifier: Array,
    ) -> Array:
        """The network's output at voxels of a volume.

        Args:
            backend: where to compute; the result is the same on all.
            grid: (d, h, w) of the volume whose faces are at -1 and 1.
            voxels: indices along z, y and x, (n,) each.
            identifier: (identifier,) whole numbers of 2^-14.

        Returns:
            (n,) float64 whole numbers of 2^-24.
        """
        layers = self._layers(backend)
        tables = [backend.asarray(axis_table(n, self.shape.frequencies)) for n in reversed(grid)]
        code = backend.asarray(np.clip(identifier.astype(np.float64), -ACTIVATION_MAX, ACTIVATION_MAX))
        out = np.empty(len(voxels[0]))
        most = max(*self.shape.widths, self.shape.inputs)
        tile = max(64, _TILE[backend.device.partition(":")[0]] // most)
        for start in range(0, len(out), tile):
            part = slice(start, start + tile)
            index = [backend.asarray(axis[part]) for axis in reversed(voxels)]
            encoded = [table[i] for table, i in zip(tables, index, strict=True)]
            shared = backend.xp.broadcast_to(code, (len(index[0]), len(code)))
            out[part] = backend.to_numpy(self._forward(backend, layers, [*encoded, shared]))
        return out

    def _layers(self, backend: Backend) -> list[tuple[list[Any], Any, Any]]:
        """Transposed weights (in halves where they have 32 bits), scales and biases on a device."""
        out = []
        for w, scale, bias in zip(self.weights, self.scales, self.biases, strict=True):
            halves = [w] if self.shape.weight_bits < 32 else [w >> 16, w & 0xFFFF]
            out.append(
                (
                    [backend.asarray(np.ascontiguousarray(half.T, np.float64)) for half in halves],
                    backend.asarray(scale.astype(np.float64)),
                    backend.asarray(bias.astype(np.float64)),
                )
            )
        return out

    def _forward(self, backend: Backend, layers: list[Any], encoded: list[Any]) -> Any:
        value = backend.xp.concat(encoded, axis=1)
        for i, (halves, scale, bias) in enumerate(layers):
            total = value @ halves[0]
            if len(halves) == 2:
                total *= 65536.0  # exact; the sum with the lower half is rounded once
                total += value @ halves[1]
            total *= scale
            total = backend.round_clip(total, -(2.0**52), 2.0**52)
            total += bias
            if has_skip(self.shape.residual, i, len(layers)):
                both = min(value.shape[1], total.shape[1])
                total[:, :both] += value[:, :both]
            last = i == len(layers) - 1
            low, high = (-OUTPUT_MAX, OUTPUT_MAX) if last else (0.0, ACTIVATION_MAX)
            value = backend.round_clip(total, low, high)
        return value[:, 0]


def inflated(data: bytes, expected: int, what: str, wbits: int = zlib.MAX_WBITS) -> bytes:
    """A zlib (or gzip, ``wbits=31``) stream of exactly so many bytes; no more memory is taken than that.

    Raises:
        PayloadError: it is damaged, or holds another number of bytes.
    """
    if expected > _ZLIB_MOST * len(data) + _ZLIB_MOST:
        raise PayloadError(f"{what} of {expected} bytes claimed in {len(data)}")
    inflate = zlib.decompressobj(wbits)
    try:
        raw = inflate.decompress(data, expected + 1)
    except zlib.error as error:
        raise PayloadError(f"{what} do not decompress: {error}") from error
    if len(raw) != expected or not inflate.eof or inflate.unused_data:
        raise PayloadError(f"{what} take {len(raw)} bytes, {expected} expected")
    return raw
