"""HDF5 datasets of density: a filter for h5py, and whole volumes written and read in batches.

Importing the module registers the filter. Chunks hold the same payload bytes as those of zarr arrays.
``docs/hdf5.md`` says how programs without Python read them.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import h5py
import numpy as np

from inrcodec.codec import INRCodec
from inrcodec.config import parse_settings, settings_repr
from inrcodec.core import Settings, VolumeModel, decode_many, decode_region, encode_many, inspect
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.hdf5_client_data import FILTER_ID, ClientData, check_payload
from inrcodec.hdf5_filter import client_data, filters, register

__all__ = ["ATTRIBUTE", "FILTER_ID", "INRFilter", "codec_of", "read", "write"]

ATTRIBUTE = "inrcodec"
"""Name of the attribute beside a dataset that holds the codec's configuration, networks included, as JSON."""

_BATCH_VOXELS = 2**23  # encoded or decoded at once: enough chunks to train together, few enough for memory

Array = np.ndarray[Any, Any]
Progress = Callable[[float], None]

register()


class INRFilter(h5py.filters.FilterRefBase):  # type: ignore[misc]  # h5py is untyped
    """The filter and its settings, for ``create_dataset``.

    The arguments are those of :class:`inrcodec.INRCodec`, whose documentation is the manual, without the
    devices: the filter encodes on CUDA where PyTorch finds it, and decodes on NumPy.

    HDF5 refuses to create a dataset of a dtype that the codec does not hold, or with a filter before this
    one. It encodes a chunk when it evicts it from its cache, at the latest when the file is closed. A chunk
    that cannot be encoded there is stored losslessly, with a warning that says why; with :func:`write` an
    error is raised at once, and chunks are trained together.

    Raises:
        ValueError: two targets at once, a value out of its range, or ``fsc`` without a fitted volume.
        TypeError: an argument is not a number.

    Example:
        >>> density = np.random.default_rng(0).normal(size=(16, 16, 16)).astype("f4")
        >>> with h5py.File("map.h5", "w", driver="core", backing_store=False) as file:
        ...     dataset = file.create_dataset(
        ...         "map", data=density, chunks=(16, 16, 16), **INRFilter(max_error=0.1, effort=0)
        ...     )
        ...     bool(np.abs(dataset[...] - density).max() <= 0.1)
        True
    """

    filter_id = FILTER_ID

    def __init__(
        self,
        snr: float | None = None,
        *,
        max_error: float | None = None,
        ratio: float | None = None,
        threshold: float | None = None,
        effort: int = 3,
        block: int | None = None,
        volume: VolumeModel | Mapping[str, Any] | None = None,
        fsc: float | None = None,
    ) -> None:
        self._set(parse_settings(snr, max_error, ratio, threshold, effort, block, volume, fsc))

    def _set(self, settings: Settings) -> None:
        self.settings = settings
        self.filter_options = ClientData(settings).to_options()

    @classmethod
    def of(cls, codec: INRCodec) -> INRFilter:
        """The filter with the settings of a codec, networks of :meth:`INRCodec.fit` included."""
        out = cls()
        out._set(codec.settings)
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_repr(self.settings)})"


def codec_of(dataset: h5py.Dataset) -> INRCodec:
    """The codec of a dataset's filter, networks included.

    Raises:
        ValueError: the dataset does not have the filter, or its client data are damaged.
    """
    return _codec(_client_data(dataset, alone=False).settings)


def write(
    dataset: h5py.Dataset, volume: Any, codec: INRCodec | None = None, *, progress: Progress | None = None
) -> None:
    """Write a whole volume, many chunks encoded together, each put into the file as soon as it is ready.

    Args:
        dataset: created with :class:`INRFilter`.
        volume: anything with ``shape``, ``dtype`` and NumPy slicing; read by slices, not modified. It is
            cast to the dataset's dtype where that keeps its kind.
        codec: how to encode, and on which device. None is the codec of the dataset's filter. A codec of
            volume scope must be the one the filter was made of: readers find networks nowhere else.
        progress: called with the fraction done, 0 to 1.

    Chunks at the far ends are padded with the dataset's fill value, as HDF5 does. In volume scope the codec's
    configuration is stored as JSON in the dataset's attribute ``inrcodec``, for programs that read attributes
    but not a filter's client data.

    Raises:
        TypeError: the volume's dtype does not go into the dataset's.
        ValueError: the shapes differ, the dataset has other filters, or the networks are not its filter's.

    Chunks that were written before an error stay as they are.
    """
    data = _client_data(dataset)
    settings, device = (data.settings, "auto") if codec is None else (codec.settings, codec._device)
    volume = volume if hasattr(volume, "dtype") else np.asarray(volume)
    if tuple(volume.shape) != dataset.shape:
        raise ValueError(f"volume of shape {tuple(volume.shape)} for a dataset of shape {dataset.shape}")
    if not np.can_cast(volume.dtype, dataset.dtype, "same_kind"):
        raise TypeError(f"volume of dtype {volume.dtype} does not go into a dataset of {dataset.dtype}")
    known = None if data.settings.volume is None else data.settings.volume.digest
    if settings.volume is not None and settings.volume.digest != known:
        raise ValueError(
            f"the codec's networks are {settings.volume.digest:08x}, the dataset's filter has "
            f"{'none' if known is None else f'{known:08x}'}: create the dataset with INRFilter.of(codec)"
        )
    if settings.volume is not None:
        dataset.attrs[ATTRIBUTE] = json.dumps(_codec(settings).get_config())
    boxes = list(chunk_boxes(dataset.shape, dataset.chunks))
    done = 0
    for members in _batches(boxes, dataset):
        chunks = [_padded(volume[box], dataset) for box in members]
        for box, payload in zip(members, encode_many(chunks, settings, device=device), strict=True):
            dataset.id.write_direct_chunk(tuple(s.start for s in box), payload)
        done += len(members)
        if progress is not None:
            progress(done / len(boxes))


def read(dataset: h5py.Dataset, selection: Any = ..., *, progress: Progress | None = None) -> Array:
    """Read a dataset or a part of it, many chunks decoded together; of a chunk, only the blocks it takes.

    Args:
        dataset: created with :class:`INRFilter`.
        selection: integers, slices with positive steps, and an ellipsis, as h5py takes them.
        progress: called with the fraction done, 0 to 1.

    Raises:
        TypeError, IndexError: the selection is another, or lies outside.
        PayloadError: a payload is damaged, or of another chunk's shape or dtype.
        ValueError: other filters lie around this one; ``dataset[...]`` reads such datasets.
    """
    data = _client_data(dataset)
    wanted, dropped = _ranges(selection, dataset.shape)
    out = np.empty([len(r) for r in wanted], dataset.dtype)
    if out.size:
        if dataset.file.mode != "r":
            dataset.flush()  # chunks in HDF5's cache are not in the file yet
        parts = list(_parts(wanted, dataset.chunks))
        done = 0
        for members in _batches(parts, dataset):
            _read_parts(dataset, data, members, out)
            done += len(members)
            if progress is not None:
                progress(done / len(parts))
    return out[tuple(0 if drop else slice(None) for drop in dropped)]


def _read_parts(dataset: h5py.Dataset, data: ClientData, parts: Any, out: Array) -> None:
    """Decode the wanted part of each chunk into its place."""
    whole: list[tuple[Any, Any, bytes]] = []
    for corner, inside, place in parts:
        stored = dataset.id.get_chunk_info_by_coord(corner)
        if stored.byte_offset is None:
            out[place] = dataset.fillvalue
            continue
        if stored.filter_mask:  # HDF5 2.0 does not hand it out with the chunk
            raise ValueError(f"the chunk at {corner} was stored without its filter")
        _, payload = dataset.id.read_direct_chunk(corner)
        info = inspect(payload)
        check_payload(data, info.shape, info.dtype)
        voxels = math.prod(len(range(*s.indices(n))) for s, n in zip(inside, info.shape, strict=True))
        if 2 * voxels > math.prod(info.shape):
            whole.append((inside, place, payload))
        else:
            out[place] = decode_region(payload, inside, volume=data.settings.volume)
    decoded = decode_many([payload for *_, payload in whole], volume=data.settings.volume) if whole else []
    for (inside, place, _), chunk in zip(whole, decoded, strict=True):
        out[place] = chunk[inside]


def _parts(wanted: list[range], chunks: tuple[int, ...]) -> Iterator[tuple[Any, Any, Any]]:
    """For each chunk that holds wanted voxels: its corner, what to take of it, and where that goes."""
    axes = []
    for r, length in zip(wanted, chunks, strict=True):
        axis = []
        for start in range(r[0] // length * length, r[-1] + 1, length):
            first = max(0, -(-(start - r.start) // r.step))  # number of the first wanted voxel in the chunk
            end = min(len(r), -(-(start + length - r.start) // r.step))
            if first < end:
                inside = slice(r[first] - start, r[end - 1] - start + 1, r.step)
                axis.append((start, inside, slice(first, end)))
        axes.append(axis)
    for chosen in product(*axes):
        corner, inside, place = zip(*chosen, strict=True)
        yield corner, inside, place


def _ranges(selection: Any, shape: tuple[int, ...]) -> tuple[list[range], list[bool]]:
    """The wanted indices of each axis, and which axes an integer takes away."""
    parts = list(selection) if isinstance(selection, tuple) else [selection]
    if sum(part is Ellipsis for part in parts) > 1:
        raise TypeError("a selection has one ellipsis at most")
    if not any(part is Ellipsis for part in parts):
        parts.append(...)
    at = next(i for i, part in enumerate(parts) if part is Ellipsis)
    missing = len(shape) - (len(parts) - 1)
    if missing < 0:
        raise IndexError(f"selection {selection!r} of a dataset with {len(shape)} dimensions")
    parts[at : at + 1] = [slice(None)] * missing
    ranges, dropped = [], []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            if part.step is not None and part.step < 1:
                raise TypeError(f"steps of a selection are positive, got {part.step}")
            ranges.append(range(n)[part])
        else:
            try:
                index = operator.index(part)
            except TypeError:
                raise TypeError(f"a selection holds integers and slices, got {part!r}") from None
            if not -n <= index < n:
                raise IndexError(f"index {index} of an axis of {n} voxels")
            ranges.append(range(n)[index % n : index % n + 1])
        dropped.append(not isinstance(part, slice))
    return ranges, dropped


def _padded(part: Any, dataset: h5py.Dataset) -> Array:
    """One chunk at its full shape, in the dataset's dtype."""
    array = np.asarray(part)
    if array.shape == dataset.chunks:
        return np.ascontiguousarray(array, dataset.dtype)
    out = np.full(dataset.chunks, dataset.fillvalue, dataset.dtype)
    out[tuple(slice(0, n) for n in array.shape)] = array
    return out


def _batches(chunks: list[Any], dataset: h5py.Dataset) -> Iterator[list[Any]]:
    """As many chunks as are coded at once."""
    count = max(1, _BATCH_VOXELS // math.prod(dataset.chunks))
    return (chunks[i : i + count] for i in range(0, len(chunks), count))


def _codec(settings: Settings) -> INRCodec:
    codec = INRCodec()
    codec._settings = settings
    return codec


def _client_data(dataset: h5py.Dataset, *, alone: bool = True) -> ClientData:
    """The client data of a dataset's filter; ``alone`` wants it to be the only one."""
    properties = dataset.id.get_create_plist()
    numbers = filters(properties.id)
    if FILTER_ID not in numbers:
        raise ValueError(f"dataset {dataset.name} was not created with INRFilter: its filters are {numbers}")
    if alone and len(numbers) > 1:
        raise ValueError(
            f"dataset {dataset.name} has filters beside INRFilter, {numbers}: its chunks are no payloads"
        )
    data = client_data(properties.id)
    if data.shape != dataset.chunks or data.dtype != dataset.dtype:
        raise ValueError(
            f"dataset {dataset.name} has chunks of {dataset.chunks} {dataset.dtype}, the client data of its "
            f"filter say {data.shape} {data.dtype}"
        )
    return data
