"""What a zarr store and an HDF5 file have in common: groups, and arrays whose chunks are payloads.

:mod:`inrcodec.zarr_container` and :mod:`inrcodec.hdf5_container` read and write them in these terms, so that
chunks can be copied from any to any other without being decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from inrcodec.codec import INRCodec
from inrcodec.core import PayloadError, inspect
from inrcodec.core.volume_sample import chunk_boxes

Index = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """An array without its voxels.

    Attributes:
        shape, dtype: of the array.
        chunk_shape: voxels per axis of a payload; edge chunks are payloads of this shape too.
        codec: what wrote the payloads, networks included. None for arrays of other codecs, such as the
            coordinates of an xarray dataset: their values are copied, not their chunks.
        fill_value: of chunks that are not stored; None where the container says nothing.
        dimension_names: None where there are none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    codec: INRCodec | None
    fill_value: Any = None
    dimension_names: tuple[str | None, ...] | None = None

    @property
    def counts(self) -> Index:
        """Chunks per axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape, strict=True))


@dataclass(frozen=True)
class Node:
    """A group, or an array if there is a layout; ``path`` is empty for the root, ``a/b`` below it."""

    path: str
    attributes: dict[str, Any] = field(default_factory=dict)
    layout: Layout | None = None


class Source(Protocol):
    """A container that is read."""

    def nodes(self) -> Iterable[Node]:
        """All groups and arrays, parents first."""

    def payloads(self, node: Node) -> Iterator[tuple[Index, bytes]]:
        """The stored chunks of an array: their index in the grid of chunks, and their bytes."""

    def values(self, node: Node) -> Any:
        """An array of another codec, as something with NumPy slicing."""


class Target(Protocol):
    """A container that is written."""

    def add_group(self, node: Node) -> None:
        """Make a group with its attributes."""

    def add_payloads(self, node: Node, payloads: Iterator[tuple[Index, bytes]]) -> None:
        """Make an array of chunks as they are."""

    def add_values(self, node: Node, values: Any) -> None:
        """Make an array of the same values, losslessly compressed as the container does by default."""


def checked(node: Node, payloads: Iterable[tuple[Index, bytes]]) -> Iterator[tuple[Index, bytes]]:
    """Payloads as they come, each of them seen to be whole and of its array.

    Raises:
        PayloadError: one is damaged, of another shape or dtype, or of other networks. Array and index are in
            the text.
    """
    layout = node.layout
    if layout is None or layout.codec is None:
        raise ValueError(f"{node.path or '/'} holds no payloads")
    volume = layout.codec.volume
    for index, payload in payloads:
        try:
            info = inspect(payload)
            if info.shape != layout.chunk_shape or _native(info.dtype) != _native(layout.dtype):
                raise PayloadError(
                    f"payload holds {info.shape} {info.dtype}, the array's chunk is {layout.chunk_shape} "
                    f"{layout.dtype}"
                )
            networks = info.details.get("networks")  # there is none in constant chunks
            if info.scope == "volume" and networks is not None:
                known = "none" if volume is None else f"volume {volume.digest:08x}"
                if networks != known:
                    raise PayloadError(f"payload of volume scope needs networks {networks}, not {known}")
        except PayloadError as error:
            raise PayloadError(f"chunk {index} of {node.path or '/'}: {error}") from error
        yield index, payload


def copy_values(source: Any, target: Any, chunk_shape: tuple[int, ...]) -> None:
    """Copy an array by boxes of chunks."""
    for box in chunk_boxes(tuple(source.shape), chunk_shape):
        target[box] = source[box]


def check_plain(node: Node) -> None:
    """Refuse values that not every container holds.

    Raises:
        ValueError: an array of text, objects or records.
    """
    if node.layout is not None and node.layout.dtype.kind not in "biufc":
        raise ValueError(f"array {node.path} is of dtype {node.layout.dtype}: only numbers are carried over")


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=")
