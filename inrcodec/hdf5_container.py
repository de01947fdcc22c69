"""HDF5 files read and written chunk by chunk as bytes. Needs h5py."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from inrcodec import hdf5
from inrcodec.containers import Index, Layout, Node, check_plain, copy_values
from inrcodec.hdf5_filter import copying

JSON_NAMES = "inrcodec_json"
"""Attribute that names those whose values are JSON text, because HDF5 has no type for them."""

_SCALES = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"}  # HDF5's own bookkeeping
_MOST = 1000  # entries of a list that is stored as numbers: an attribute has at most 64 KiB
_INT64 = range(-(2**63), 2**63)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an HDF5 file."""
    return bool(h5py.is_hdf5(os.fspath(path)))


class _File:
    """A file that is closed at the end of a ``with`` block."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file = h5py.File(path, mode)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class HDF5Source(_File):
    """A file whose groups and datasets are read; links that are not hard are not followed.

    Raises:
        ValueError: it is not an HDF5 file.
    """

    def __init__(self, path: Path) -> None:
        if not is_hdf5(path):
            raise ValueError(f"{path} is not an HDF5 file")
        super().__init__(path, "r")

    def __enter__(self) -> HDF5Source:
        return self

    def nodes(self) -> Iterable[Node]:
        """All groups and datasets, parents first.

        Raises:
            ValueError: a dataset whose chunks are payloads behind another filter, or an attribute that is
                neither text nor numbers.
        """
        found: list[tuple[str, Any]] = [("", self._file)]
        self._file.visititems(lambda name, item: found.append((name, item)))
        for path, item in sorted(found, key=lambda pair: pair[0]):
            attributes = read_attributes(item)
            if isinstance(item, h5py.Dataset):
                yield Node(path, attributes, _layout(item))
            elif isinstance(item, h5py.Group):
                yield Node(path, attributes)

    def payloads(self, node: Node) -> Iterator[tuple[Index, bytes]]:
        """The stored chunks of a dataset, in the order of the file's index.

        Raises:
            ValueError: a chunk was stored without the filter.
        """
        dataset = self._file[node.path]
        for number in range(dataset.id.get_num_chunks()):
            corner = dataset.id.get_chunk_info(number).chunk_offset
            index = tuple(start // length for start, length in zip(corner, dataset.chunks, strict=True))
            skipped, payload = dataset.id.read_direct_chunk(corner)
            if skipped:
                raise ValueError(f"chunk {index} of {node.path} was stored without its filter")
            yield index, payload

    def values(self, node: Node) -> Any:
        """The dataset itself."""
        return self._file[node.path]


class HDF5Target(_File):
    """A new file.

    Args:
        path: must not exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x")

    def __enter__(self) -> HDF5Target:
        return self

    def add_group(self, node: Node) -> None:
        """Make a group with its attributes."""
        write_attributes(self._file.require_group(node.path or "/"), node.attributes)

    def add_payloads(self, node: Node, payloads: Iterator[tuple[Index, bytes]]) -> None:
        """Make a dataset of chunks as they are.

        PyTorch is not needed, whatever the effort.
        """
        layout = node.layout
        if layout is None or layout.codec is None:
            raise ValueError(f"{node.path} holds no payloads")
        with copying():
            dataset = self._create(node, layout, dict(hdf5.INRFilter.of(layout.codec)))
        if layout.codec.volume is not None:
            dataset.attrs[hdf5.ATTRIBUTE] = json.dumps(layout.codec.get_config())
        for index, payload in payloads:
            corner = tuple(i * n for i, n in zip(index, layout.chunk_shape, strict=True))
            dataset.id.write_direct_chunk(corner, payload)

    def add_values(self, node: Node, values: Any) -> None:
        """Make a dataset of the same values, compressed with gzip.

        Raises:
            ValueError: an array of text, objects or records.
        """
        check_plain(node)
        if node.layout is None:
            raise ValueError(f"{node.path} is a group")
        scalar = not node.layout.shape
        dataset = self._create(node, node.layout, {} if scalar else {"compression": "gzip"})
        copy_values(values, dataset, node.layout.chunk_shape)

    def _create(self, node: Node, layout: Layout, options: dict[str, Any]) -> Any:
        if layout.shape:
            options["chunks"] = layout.chunk_shape
            # HDF5 refuses chunks longer than an axis that cannot grow
            options["maxshape"] = tuple(
                max(n, c) for n, c in zip(layout.shape, layout.chunk_shape, strict=True)
            )
            options["fillvalue"] = layout.fill_value
        dataset = self._file.create_dataset(node.path, layout.shape, layout.dtype, **options)
        write_attributes(dataset, node.attributes)
        for dimension, name in zip(dataset.dims, layout.dimension_names or (), strict=False):
            dimension.label = name or ""
        return dataset


def _layout(dataset: h5py.Dataset) -> Layout:
    if dataset.shape is None:
        raise ValueError(f"dataset {dataset.name} has no shape, not even that of a single number")
    filters = _filters(dataset)
    codec = hdf5.codec_of(dataset) if hdf5.FILTER_ID in filters else None
    if codec is not None and len(filters) > 1:
        raise ValueError(f"chunks of {dataset.name} are no payloads alone, their filters are {filters}")
    names = tuple(dimension.label or None for dimension in dataset.dims) if dataset.shape else ()
    return Layout(
        dataset.shape,
        dataset.dtype,
        dataset.chunks or tuple(max(1, n) for n in dataset.shape),
        codec,
        dataset.fillvalue,
        names if any(names) else None,
    )


def _filters(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]


def write_attributes(item: Any, attributes: dict[str, Any]) -> None:
    """Attributes of JSON values: text, numbers and lists of one kind as HDF5 has them, all else as JSON text.

    What has the name of one of HDF5's or the filter's own attributes is held inside the list of JSON texts.

    Raises:
        ValueError: HDF5 cannot hold a name.
    """
    taken = _taken(item)
    as_json: list[Any] = []
    for name, value in attributes.items():
        if name in taken:
            as_json.append([name, value])
        elif _native(value):
            item.attrs[name] = value
        else:
            item.attrs[name] = json.dumps(value)
            as_json.append(name)
    if as_json:
        item.attrs[JSON_NAMES] = json.dumps(as_json)


def read_attributes(item: Any) -> dict[str, Any]:
    """The inverse of :func:`write_attributes`; HDF5's own and the filter's attributes are left out.

    Raises:
        ValueError: an attribute is neither text nor numbers.
    """
    as_json, out = _json_names(item)
    taken = _taken(item)
    for name in item.attrs:
        if name in taken:
            continue
        value = item.attrs[name]
        if name in as_json:
            out[name] = _parsed(item, name)
        elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufSUO":
            out[name] = _plain(value.tolist())
        elif isinstance(value, str | bytes):
            out[name] = _plain(value)
        else:
            raise ValueError(f"attribute {name!r} of {item.name} is neither text nor numbers: {value!r}")
    return out


def _taken(item: Any) -> set[str]:
    """Names of attributes that are HDF5's, the filter's or this module's own."""
    return {JSON_NAMES} | (_SCALES | {hdf5.ATTRIBUTE} if isinstance(item, h5py.Dataset) else set())


def _json_names(item: Any) -> tuple[set[str], dict[str, Any]]:
    """Names of the attributes that are JSON text, and the attributes whose names are taken."""
    if JSON_NAMES not in item.attrs:
        return set(), {}
    entries = _parsed(item, JSON_NAMES)
    names, held = set(), {}
    for entry in entries if isinstance(entries, list) else [None]:
        match entry:
            case str():
                names.add(entry)
            case [str() as name, value]:
                held[name] = value
            case _:
                raise ValueError(f"attribute {JSON_NAMES!r} of {item.name} is no list of names: {entries!r}")
    return names, held


def _parsed(item: Any, name: str) -> Any:
    try:
        return json.loads(item.attrs[name])
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"attribute {name!r} of {item.name} is to be JSON text: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float | bool):
        raise ValueError(f"an attribute's value is neither text nor a number: {value!r}")
    return value


def _native(value: Any) -> bool:
    """Whether HDF5 gives the value back as it was."""
    if isinstance(value, str):
        return "\0" not in value and value.isprintable()
    if isinstance(value, bool | float):
        return True
    if isinstance(value, int):
        return value in _INT64
    if isinstance(value, list) and 0 < len(value) <= _MOST:
        kind = type(value[0])
        if kind in (int, float, bool):
            return all(type(entry) is kind and _native(entry) for entry in value)
    return False
