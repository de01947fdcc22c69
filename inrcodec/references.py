"""HDF5 files seen as zarr groups, without a byte of them rewritten: reference files for fsspec.

A reference file names, for every key of a zarr store, a range of bytes in another file, or the bytes
themselves. Format: version 1 of the reference file system (https://fsspec.github.io/kerchunk/spec.html).
kerchunk makes such files too, but knows a fixed list of HDF5 filters; this module knows ours.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import zarr
from zarr.storage import MemoryStore

from inrcodec import ngff
from inrcodec.containers import Index, Node, check_plain, checked, copy_values
from inrcodec.hdf5_container import HDF5Source
from inrcodec.zarr_container import create_array, one_order

_INLINE = 2**20  # bytes of an array of another filter that go into the references themselves


def hdf5_references(
    path: str | os.PathLike[str], *, url: str | None = None, zarr_format: int = 3
) -> dict[str, Any]:
    """References that make an HDF5 file a zarr group.

    Args:
        path: file with datasets of :class:`inrcodec.hdf5.INRFilter`. It must not change afterwards.
        url: where readers find the file, in fsspec's notation; None is ``path``, made absolute.
        zarr_format: 3, which decodes only what a slice touches, or 2, which zarr 2.18 reads too.

    Returns:
        A JSON object, the argument ``fo`` of fsspec's ``reference`` file system. Networks of volume scope are
        in it, as metadata. Datasets without the filter are in it by value.

    Raises:
        ValueError: not an HDF5 file, another zarr format, or a dataset without the filter of more than 1 MiB.
        PayloadError: a chunk is damaged.

    Example:
        >>> import fsspec, zarr  # doctest: +SKIP
        >>> references = hdf5_references("map.h5", url="s3://bucket/map.h5")  # doctest: +SKIP
        >>> zarr.open_group("reference://", storage_options={"fo": references, "remote_protocol": "s3"})
        ... # doctest: +SKIP
    """
    path = Path(path)
    if zarr_format not in (2, 3):
        raise ValueError(f"zarr_format must be 2 or 3, got {zarr_format}")
    place = url if url is not None else str(path.resolve())
    stored: dict[str, Any] = {}
    ranges: dict[str, list[Any]] = {}
    root = zarr.open_group(MemoryStore(stored), mode="w", zarr_format=zarr_format)
    with HDF5Source(path) as source, path.open("rb") as raw:
        for node in source.nodes():
            if node.layout is None:
                group = root.require_group(node.path) if node.path else root
                group.attrs.update(ngff.converted(node.attributes, zarr_format))
            elif node.layout.codec is None:
                _add_values(root, node, source.values(node))
            else:
                _add_chunks(root, node, source.values(node), raw, place, ranges)
    refs: dict[str, Any] = {key: _inline(buffer.to_bytes()) for key, buffer in stored.items()}
    return {"version": 1, "refs": {**refs, **ranges}}


def _add_chunks(
    root: Any, node: Node, dataset: h5py.Dataset, raw: Any, place: str, ranges: dict[str, list[Any]]
) -> None:
    """An array of an HDF5 dataset: metadata, and where its chunks are."""
    layout = node.layout
    if layout is None or layout.codec is None:
        raise ValueError(f"{node.path} holds no payloads")
    found: dict[Index, tuple[int, int]] = {}

    def payloads() -> Iterator[tuple[Index, bytes]]:
        for number in range(dataset.id.get_num_chunks()):
            info = dataset.id.get_chunk_info(number)
            index = tuple(n // c for n, c in zip(info.chunk_offset, layout.chunk_shape, strict=True))
            if info.filter_mask:
                raise ValueError(f"chunk {index} of {node.path} was stored without its filter")
            found[index] = info.byte_offset, info.size
            # read as a reader of the references will
            raw.seek(info.byte_offset)
            yield index, raw.read(info.size)

    chunks = checked(node, payloads())
    options: dict[str, Any]
    if root.metadata.zarr_format == 2:
        dtype, order, chunks = one_order(node.path, layout, chunks)
        options = {"compressors": layout.codec, "order": order}
    else:
        dtype = layout.dtype.newbyteorder("=")
        options = {"serializer": layout.codec.serializer(), "compressors": None}
    for _ in chunks:  # one after the other, so that no more than one is in memory
        pass
    array = create_array(root, node, dtype, **options)
    for index, (offset, size) in found.items():
        ranges[f"{node.path}/{array.metadata.encode_chunk_key(index)}"] = [place, offset, size]


def _add_values(root: Any, node: Node, dataset: h5py.Dataset) -> None:
    """An array of an HDF5 dataset, by value."""
    check_plain(node)
    if node.layout is None:
        raise ValueError(f"{node.path} is a group")
    if dataset.nbytes > _INLINE:
        raise ValueError(
            f"dataset {node.path} has {dataset.nbytes} bytes and not our filter: references hold such "
            f"datasets by value, up to {_INLINE} bytes"
        )
    copy_values(dataset, create_array(root, node, node.layout.dtype), node.layout.chunk_shape)


def _inline(data: bytes) -> str:
    """Bytes as references hold them: text as it is, unless it could be taken for something else."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        text = "base64:"
    if text.startswith("base64:"):
        return "base64:" + base64.b64encode(data).decode("ascii")
    return text
