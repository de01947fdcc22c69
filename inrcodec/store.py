"""Zarr stores of maps: how a volume is laid out in one, written, read and weighed.

A store is an OME-Zarr group: array ``"0"`` holds the densities, ``"1"``, ``"2"`` ... coarser levels of a
pyramid, the group's attribute ``"inrcodec"`` the MRC headers and what was asked. Any zarr reader reads it.
Needs zarr 3 (the ``mrc`` extra).
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from inrcodec import urls
from inrcodec.codec import INRCodec
from inrcodec.core import Settings, inspect
from inrcodec.core.choices import Choices
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.replacing import partial_path
from inrcodec.symmetry_report import SymmetryReport
from inrcodec.urls import PathLike

Array = np.ndarray[Any, Any]

LEVEL = "0"
ATTRIBUTE = "inrcodec"
METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}
_BATCH_VOXELS = 2**23  # handed to zarr at once: enough chunks to train together, few enough for memory
# zarr runs ten chunks at a time, each with as many BLAS threads as there are cores: twice as slow as one
# chunk after the other on two cores.
_AT_ONCE = max(1, (os.cpu_count() or 1) // 4)


@dataclass(frozen=True)
class Sizes:
    """Bytes of a volume and of its store.

    Attributes:
        voxels: number of voxels.
        original: bytes of the densities as they were.
        chunks: bytes of all payloads at full resolution.
        total: bytes of the whole store, with coarser levels, the networks and the MRC headers.
    """

    voxels: int
    original: int
    chunks: int
    total: int

    @property
    def ratio(self) -> float:
        """Original bytes over payload bytes; infinite when zarr had no chunk to store."""
        return self.original / self.chunks if self.chunks else math.inf

    @property
    def total_ratio(self) -> float:
        """Original bytes over all bytes of the store."""
        return self.original / self.total

    @property
    def bits_per_voxel(self) -> float:
        """Bits of the whole store per voxel."""
        return 8 * self.total / self.voxels


@dataclass(frozen=True)
class Description:
    """What a store says of itself; ``fields`` counts its chunks, ``sections`` their bytes.

    ``networks`` counts the chunks of the ``mlp`` field by what their network looks like.

    ``levels`` are the shapes of coarser levels. ``estimated`` says that the resolution of an ``fsc`` target
    is an estimate from the map's spectrum; ``choices`` what was measured and chosen when it was made, where
    that is recorded.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    zarr_format: int
    settings: Settings
    sizes: Sizes
    source: str | None
    chunks: int
    fields: dict[str, int]
    sections: dict[str, int]
    estimated: bool = False
    choices: Choices | None = None
    levels: tuple[tuple[int, ...], ...] = ()
    networks: dict[str, int] = field(default_factory=dict)


def open_store(store: PathLike) -> tuple[Any, dict[str, Any]]:
    """The array of a store (directory or URL, group or array), and the group's ``"inrcodec"`` attributes.

    Raises:
        FileNotFoundError: there is no such directory, or it is no zarr store.
        OSError: the URL cannot be read.
        ValueError: a group without an array ``"0"``.
    """
    if not (urls.is_url(store) or Path(store).is_dir()):
        raise FileNotFoundError(f"{store} is not a directory")
    try:
        with urls.reported(store):
            node = zarr.open(str(store), mode="r")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{urls.public(store)} is not a zarr store") from error
    if not isinstance(node, zarr.Group):
        return node, {}
    if LEVEL not in node:
        raise ValueError(f"{store} holds no array {LEVEL!r}")
    return node[LEVEL], dict(node.attrs.get(ATTRIBUTE, {}))


def settings_of(array: Any) -> Settings:
    """The settings an array was written with.

    Raises:
        ValueError: its codec is not this one.
    """
    codec = array.serializer if array.metadata.zarr_format == 3 else next(iter(array.compressors), None)
    settings = getattr(codec, "settings", None)
    if not isinstance(settings, Settings):
        raise ValueError(f"the array is written with {type(codec).__name__}, not with inrcodec")
    return settings


def write_array(
    root: Any,
    data: Array,
    codec: INRCodec,
    chunk_shape: tuple[int, ...],
    axes: tuple[str, ...],
    progress: Callable[[float], None],
    level: str = LEVEL,
) -> Array:
    """Write ``data`` as an array of a group, whole chunks at a time, and return what is read back.

    An array that is there is replaced. zarr stores no byte order in format 3: the array has the native one.
    """
    dtype = data.dtype.newbyteorder("=")
    options: dict[str, Any] = {"chunks": chunk_shape, "fill_value": 0, "overwrite": True}
    if root.metadata.zarr_format == 3:
        options |= {"serializer": codec.serializer(), "compressors": None, "dimension_names": axes}
    else:
        # NGFF wants nested keys, 0/1/2 instead of 0.1.2.
        options |= {"compressors": codec, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    limit = max(1, _BATCH_VOXELS // math.prod(chunk_shape))
    decoded = np.empty(data.shape, dtype)
    with zarr.config.set({"codec_pipeline.batch_size": limit, "async.concurrency": _AT_ONCE}):
        array = root.create_array(level, shape=data.shape, dtype=dtype, **options)
        for box, fraction in _boxes(data.shape, chunk_shape, limit):
            array[box] = np.ascontiguousarray(data[box], dtype=dtype)
            decoded[box] = array[box]
            progress(fraction)
    return decoded


def read_array(array: Any, progress: Callable[[float], None]) -> Array:
    """The whole array, whole chunks at a time."""
    data = np.empty(array.shape, array.dtype)
    limit = max(1, _BATCH_VOXELS // math.prod(array.chunks))
    with zarr.config.set({"async.concurrency": _AT_ONCE}):
        for box, fraction in _boxes(array.shape, array.chunks, limit):
            data[box] = array[box]
            progress(fraction)
    return data


def sizes(data: Any, store: PathLike) -> Sizes:
    """Bytes of a volume (anything with ``size`` and ``dtype``) and of its store."""
    found = urls.files(store)
    chunks = sum(found[name] for name in chunk_names(found))
    return Sizes(int(data.size), int(data.size) * data.dtype.itemsize, chunks, sum(found.values()))


def array_digest(store: PathLike) -> str:
    """SHA-256 of the files of a store's arrays, their names included: it changes with any stored byte."""
    digest = hashlib.sha256()
    for name, data in urls.read(store, sorted(n for n in urls.files(store) if "/" in n)):
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def chunk_names(names: Iterable[str]) -> list[str]:
    """The names of chunks at full resolution among those of a store's files (a group or an array), sorted."""
    held = set(names)
    root = f"{LEVEL}/" if any(f"{LEVEL}/{name}" in held for name in METADATA) else ""
    return sorted(n for n in held if n.startswith(root) and n.rsplit("/", 1)[-1] not in METADATA)


def describe(store: PathLike) -> Description:
    """Read the payloads of a store without decoding them.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not written with inrcodec, is sharded, or a chunk is damaged (PayloadError), or
            the record of what was chosen.
    """
    array, attributes = open_store(store)
    settings = settings_of(array)
    if array.shards is not None:
        raise ValueError(f"{store} is sharded: its chunks are not files of their own")
    sections: Counter[str] = Counter()
    fields: Counter[str] = Counter()
    networks: Counter[str] = Counter()
    for _, payload in urls.read(store, chunk_names(urls.files(store))):
        info = inspect(payload)
        fields[info.field] += 1
        sections.update(info.sections)
        sections["header and checksum"] += info.nbytes - sum(info.sections.values())
        if info.field == "mlp":
            networks[info.details["networks"]] += 1
    return Description(
        array.shape,
        array.dtype,
        array.chunks,
        array.metadata.zarr_format,
        settings,
        sizes(array, store),
        attributes.get("source"),
        math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)),
        dict(fields.most_common()),
        dict(sections.most_common()),
        bool(attributes.get("resolution_estimated", False)),
        choices_of(attributes),
        _coarser_shapes(store),
        dict(networks.most_common()),
    )


def choices_of(attributes: dict[str, Any]) -> Choices | None:
    """What was measured and chosen when a store was made, where its attributes say so.

    Raises:
        ValueError: the record is damaged.
    """
    return Choices.from_text(attributes["choices"]) if "choices" in attributes else None


def symmetry_of(store: PathLike, settings: Settings, choices: Choices | None) -> SymmetryReport | None:
    """What is known of the symmetry of a store's volume; None where it was not asked for."""
    section = None
    if settings.volume is not None and settings.volume.symmetry is not None:
        payloads = urls.read(store, chunk_names(urls.files(store)))
        section = sum(inspect(payload).sections.get("symmetry", 0) for _, payload in payloads)
    return SymmetryReport.of(settings.volume, choices, section)


def even_chunks(shape: tuple[int, ...], spatial: int, longest: int) -> tuple[int, ...]:
    """Even chunks no longer than ``longest``: 240 voxels make four of 60, not three of 64 and a rest.

    What is left over in the last chunk would be padded, and its padding coded. Only the last ``spatial`` axes
    are axes of space: a stack's volumes are never in one chunk.
    """
    lead = len(shape) - spatial
    return (1,) * lead + tuple(-(-n // -(-n // longest)) for n in shape[lead:])


def check_destination(store: Path, overwrite: bool) -> None:
    """Refuse to write where something is that must not be replaced.

    Raises:
        FileExistsError: the store exists and ``overwrite`` is not asked for, or is no zarr store.
        FileNotFoundError: there is no directory to make it in.
    """
    if not store.parent.is_dir():
        raise FileNotFoundError(f"{store.parent} is not a directory")
    if not (store.exists() or store.is_symlink()):
        return
    if not overwrite:
        raise FileExistsError(f"{store} exists; --overwrite (overwrite=True) replaces it")
    if store.is_symlink() or not any((store / name).is_file() for name in METADATA):
        raise FileExistsError(f"{store} is not a zarr store and is not replaced")


def move_into_place(partial: Path, store: Path) -> None:
    """Rename a complete store to its name; one that is there is removed once the new one has its name."""
    if not store.exists():
        partial.rename(store)
        return
    old = partial_path(partial.with_name(store.name))  # where nobody looks for stores, as the new one was
    store.rename(old)
    try:
        partial.rename(store)
    except BaseException:
        old.rename(store)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _coarser_shapes(store: PathLike) -> tuple[tuple[int, ...], ...]:
    """Shapes of the arrays ``"1"``, ``"2"`` ... of a group."""
    node = zarr.open(str(store), mode="r")
    shapes: list[tuple[int, ...]] = []
    while isinstance(node, zarr.Group) and (name := str(len(shapes) + 1)) in node:
        shapes.append(node[name].shape)
    return tuple(shapes)


def _boxes(
    shape: tuple[int, ...], chunk_shape: tuple[int, ...], limit: int
) -> Iterator[tuple[tuple[slice, ...], float]]:
    """Boxes of at most ``limit`` whole chunks that cover a volume, and the fraction covered after each."""
    lengths = []
    for n, c in zip(reversed(shape), reversed(chunk_shape), strict=True):
        count = max(1, min(limit, -(-n // c)))
        lengths.append(count * c)
        limit //= count
    lengths.reverse()
    boxes = list(chunk_boxes(shape, tuple(lengths)))
    for done, box in enumerate(boxes, 1):
        yield box, done / len(boxes)
