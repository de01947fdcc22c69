"""Zarr stores of formats 2 and 3, sharded or not, read and written chunk by chunk as bytes. Needs zarr 3."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import zarr

try:
    from zarr.codecs import ShardingCodec
    from zarr.core.sync import sync
except ImportError as error:
    raise ImportError(f"inrcodec convert needs zarr 3.1 or newer, installed is {zarr.__version__}") from error

from inrcodec import ngff, shards
from inrcodec.codec import INRCodec
from inrcodec.containers import Index, Layout, Node, check_plain, copy_values
from inrcodec.core import Settings
from inrcodec.core.payload import Payload
from inrcodec.zarr_v3 import INRSerializer

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""Attribute in which xarray keeps the names of dimensions where format 2 has no place for them."""


class ZarrSource:
    """A group with all below it, or a single array, which becomes the array ``"0"`` of a group.

    Args:
        root: a group or array opened for reading.
    """

    def __init__(self, root: Any) -> None:
        self._root = root

    def nodes(self) -> Iterable[Node]:
        """All groups and arrays, parents first.

        Raises:
            ValueError: an array whose chunks are payloads behind another codec.
        """
        if not isinstance(self._root, zarr.Group):
            yield Node("")
            yield self._array_node("0", self._root)
            return
        yield Node("", dict(self._root.attrs))
        members = self._root.members(max_depth=None)
        for path, member in sorted(members, key=lambda item: item[0]):
            if isinstance(member, zarr.Group):
                yield Node(path, dict(member.attrs))
            else:
                yield self._array_node(path, member)

    def payloads(self, node: Node) -> Iterator[tuple[Index, bytes]]:
        """The stored chunks of an array, those inside shards too.

        Raises:
            ValueError: a shard is damaged.
        """
        array = self._array(node)
        sharding = _sharding(array)
        step = array.chunks if sharding is None else array.shards
        counts = tuple(-(-n // c) for n, c in zip(array.shape, step, strict=True))
        for index in np.ndindex(counts):
            key = array.metadata.encode_chunk_key(index)
            buffer = sync((array.store_path / key).get())
            if buffer is None:
                continue
            if sharding is None:
                yield index, buffer.to_bytes()
            else:
                yield from self._shard(array, index, buffer.to_bytes(), sharding)

    def values(self, node: Node) -> Any:
        """The array itself."""
        return self._array(node)

    def _shard(self, array: Any, index: Index, data: bytes, codec: Any) -> Iterator[tuple[Index, bytes]]:
        counts = tuple(n // c for n, c in zip(array.shards, array.chunks, strict=True))
        at_end = getattr(codec.index_location, "value", codec.index_location) == "end"
        try:
            for position, payload in shards.split(data, counts, index_at_end=at_end):
                yield tuple(i * n + p for i, n, p in zip(index, counts, position, strict=True)), payload
        except ValueError as error:
            raise ValueError(f"shard {index} of {array.path or '/'}: {error}") from error

    def _array(self, node: Node) -> Any:
        return self._root[node.path] if isinstance(self._root, zarr.Group) else self._root

    def _array_node(self, path: str, array: Any) -> Node:
        attributes = dict(array.attrs)
        names = attributes.pop(DIMENSIONS, None)
        names = getattr(array.metadata, "dimension_names", None) or names
        fill = array.fill_value
        codec = _codec(array)
        layout = Layout(
            tuple(array.shape),
            np.dtype(array.dtype),
            tuple(array.chunks),
            codec,
            None if fill is None else np.asarray(fill, array.dtype)[()],
            None if names is None else tuple(names),
        )
        return Node(path, attributes, layout)


class ZarrTarget:
    """A new group in a directory.

    Args:
        path: the directory, which must not exist.
        zarr_format: 2 or 3.
        shard: chunks per shard along each axis, in format 3; None puts each chunk into a file.
    """

    def __init__(self, path: Path, zarr_format: int, shard: int | None = None) -> None:
        if shard is not None and zarr_format != 3:
            raise ValueError(f"shards need zarr format 3, got format {zarr_format}")
        if shard is not None and shard < 1:
            raise ValueError(f"a shard has at least 1 chunk along each axis, got {shard}")
        self._path, self._format, self._shard = path, zarr_format, shard
        self._root = zarr.open_group(str(path), mode="w-", zarr_format=zarr_format)

    def add_group(self, node: Node) -> None:
        """Make a group; OME-Zarr metadata become those of the format."""
        group = self._root.require_group(node.path) if node.path else self._root
        group.attrs.update(ngff.converted(node.attributes, self._format))

    def add_payloads(self, node: Node, payloads: Iterator[tuple[Index, bytes]]) -> None:
        """Make an array of chunks as they are.

        Raises:
            ValueError: format 2, whose arrays have one byte order and one memory order, and chunks differ.
        """
        layout = node.layout
        if layout is None or layout.codec is None:
            raise ValueError(f"{node.path} holds no payloads")
        codec, dtype = layout.codec, layout.dtype.newbyteorder("=")
        options: dict[str, Any] = {}
        if self._format == 2:
            dtype, order, payloads = one_order(node.path, layout, payloads)
            options = {"compressors": codec, "order": order}
        elif self._shard is None:
            options = {"serializer": codec.serializer(), "compressors": None}
        else:
            counts = tuple(min(self._shard, n) for n in layout.counts)
            lengths = tuple(n * c for n, c in zip(counts, layout.chunk_shape, strict=True))
            options = {"serializer": codec.serializer(), "compressors": None, "shards": lengths}
            payloads = _sharded(payloads, counts)
        array = create_array(self._root, node, dtype, **options)
        written = 0
        for index, data in payloads:
            file = self._path / node.path / array.metadata.encode_chunk_key(index)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            written += 1
        if self._format == 2 and written == math.prod(layout.counts) and layout.dimension_names is not None:
            self._drop_fill_value(node)

    def _drop_fill_value(self, node: Node) -> None:
        """Take the fill value from an array that has all its chunks and names of dimensions.

        It is not needed, and xarray takes the fill value of format 2, not that of format 3, for a mark of
        missing voxels: voxels of that value would read as NaN.
        """
        file = self._path / node.path / ".zarray"
        metadata = json.loads(file.read_text())
        file.write_text(json.dumps({**metadata, "fill_value": None}, indent=2))

    def add_values(self, node: Node, values: Any) -> None:
        """Make an array of the same values, compressed as zarr does by default.

        Raises:
            ValueError: an array of text, objects or records.
        """
        check_plain(node)
        if node.layout is None:
            raise ValueError(f"{node.path} is a group")
        array = create_array(self._root, node, node.layout.dtype)
        copy_values(values, array, node.layout.chunk_shape)


def create_array(root: Any, node: Node, dtype: np.dtype[Any], **options: Any) -> Any:
    """An array without chunks in a group: metadata, attributes, names of dimensions.

    Args:
        root: the group.
        node: an array.
        dtype: of the array.
        **options: of ``create_array``: codecs, shards, order.
    """
    layout = node.layout
    if layout is None:
        raise ValueError(f"{node.path} is a group")
    attributes, names = dict(node.attributes), layout.dimension_names
    if root.metadata.zarr_format == 2:
        # NGFF wants nested keys, 0/1/2 instead of 0.1.2
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        if names is not None:
            attributes[DIMENSIONS] = list(names)
    else:
        options["dimension_names"] = names
    fill = layout.fill_value
    if fill is None and root.metadata.zarr_format == 3:
        fill = 0  # format 3 has always one
    return root.create_array(
        node.path,
        shape=layout.shape,
        chunks=layout.chunk_shape,
        dtype=dtype,
        fill_value=fill,
        attributes=attributes,
        **options,
    )


def _codec(array: Any) -> INRCodec | None:
    """The codec of an array's chunks, None if they are of another; payloads behind others are refused."""
    if array.metadata.zarr_format == 2:
        codecs = [*(array.metadata.filters or ()), array.metadata.compressor]
        found = [codec for codec in codecs if isinstance(codec, INRCodec)]
        alone = len([codec for codec in codecs if codec is not None]) == 1
    else:
        sharding = _sharding(array)
        codecs = list(array.metadata.codecs if sharding is None else sharding.codecs)
        found = [codec for codec in codecs if isinstance(codec, INRSerializer)]
        alone = len(codecs) == 1
    if not found:
        return None
    if not alone:
        names = ", ".join(type(codec).__name__ for codec in codecs if codec is not None)
        raise ValueError(f"chunks of {array.path or '/'} are no payloads alone, their codecs are {names}")
    return _from_settings(found[0].settings)


def _from_settings(settings: Settings) -> INRCodec:
    codec = INRCodec()
    codec._settings = settings
    return codec


def _sharding(array: Any) -> Any:
    """The sharding codec of an array, or None.

    Raises:
        ValueError: its shards are not as every writer makes them.
    """
    if array.metadata.zarr_format == 2:
        return None
    codecs = array.metadata.codecs
    found = [codec for codec in codecs if isinstance(codec, ShardingCodec)]
    if not found:
        return None
    index = [codec.to_dict()["name"] for codec in found[0].index_codecs]
    if len(codecs) != 1 or index != ["bytes", "crc32c"]:
        names = ", ".join(type(codec).__name__ for codec in (*codecs, *found[0].index_codecs))
        raise ValueError(f"shards of {array.path or '/'} are coded in a way that is not known: {names}")
    return found[0]


def one_order(
    path: str, layout: Layout, payloads: Iterator[tuple[Index, bytes]]
) -> tuple[np.dtype[Any], str, Iterator[tuple[Index, bytes]]]:
    """Dtype and memory order that format 2 must have for its chunks: it takes them as they are decoded."""
    first = next(payloads, None)
    if first is None:
        return layout.dtype, "C", iter(())
    known = _orders(first[1])

    def rest() -> Iterator[tuple[Index, bytes]]:
        for index, payload in payloads:
            if (other := _orders(payload)) != known:
                raise ValueError(
                    f"chunk {index} of {path} is {other[0].str} in order {other[1]}, others are "
                    f"{known[0].str} in order {known[1]}: "
                    "an array of zarr format 2 has one byte order and one memory order"
                )
            yield index, payload

    return *known, chain([first], rest())


def _orders(payload: bytes) -> tuple[np.dtype[Any], str]:
    parsed = Payload.from_bytes(payload)
    return parsed.dtype, "F" if parsed.fortran else "C"


def _sharded(payloads: Iterator[tuple[Index, bytes]], counts: Index) -> Iterator[tuple[Index, bytes]]:
    """Shards of ``counts`` chunks: their index in the grid of shards, and their bytes."""

    def shard_of(item: tuple[Index, bytes]) -> Index:
        return tuple(i // n for i, n in zip(item[0], counts, strict=True))

    # Payloads come in any order; a shard is complete when all have come.
    for index, members in groupby(sorted(payloads, key=shard_of), key=shard_of):
        chunks = {tuple(i % n for i, n in zip(at, counts, strict=True)): data for at, data in members}
        yield index, shards.join(chunks, counts)
