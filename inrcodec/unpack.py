"""The maps of a file that :mod:`inrcodec.pack` has made. Needs the ``mrc`` extra; evaluation is on NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial as bind
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.utils import data_shape_from_header

from inrcodec.container import Container, PackedMap
from inrcodec.core import decode_many
from inrcodec.core.backend import get_backend
from inrcodec.core.mlp import chunks as mlp_chunks
from inrcodec.core.payload import Field, Payload, PayloadError
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.mrc import parse_header, write_mrc

Array = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]
Progress = Callable[[str, float], None]


def _silent(stage: str, fraction: float) -> None:
    pass


def unpack(
    source: PathLike,
    directory: PathLike,
    *,
    overwrite: bool = False,
    device: str = "numpy",
    progress: Progress = _silent,
) -> list[Path]:
    """Write the maps of a container, with the headers they came with.

    Args:
        source: file that :func:`pack` made.
        directory: made where it is missing.
        overwrite: replace maps that are there.
        device: where networks are evaluated: ``"numpy"``, ``"cpu"`` or ``"cuda"``; the voxels are the same.

    Returns:
        The files written.

    Raises:
        OSError: the file cannot be read, or a map is there already.
        PayloadError: the file is damaged.
    """
    container = Container.from_bytes(Path(source).read_bytes())
    directory = Path(directory)
    paths = [directory / packed.name for packed in container.maps]
    taken = [path for path in paths if path.exists()]
    if taken and not overwrite:
        raise FileExistsError(f"{taken[0]} exists; --overwrite (overwrite=True) replaces it")
    directory.mkdir(parents=True, exist_ok=True)
    for path, packed in zip(paths, container.maps, strict=True):
        data = decode_map(container, packed, device, bind(progress, packed.name))
        write_mrc(path, data, packed.header, packed.extended_header)
    return paths


def decode_map(
    container: Container,
    packed: PackedMap,
    device: str = "numpy",
    progress: Callable[[float], None] = lambda _: None,
) -> Array:
    """The densities of one map of a container, in its shape, dtype and byte order.

    Raises:
        PayloadError: a payload is damaged or does not fit the map.
    """
    described = tuple(data_shape_from_header(parse_header(packed.header)))
    if described != packed.shape:
        raise PayloadError(f"{packed.name}: shape {packed.shape}, its MRC header says {described}")
    network = container.network if container.field == Field.MLP else None
    model = container.model(packed) if container.field == Field.LOCAL_FOURIER else None
    boxes = list(chunk_boxes(packed.shape, packed.chunk_shape))
    parsed = [Payload.from_bytes(data) for data in packed.payloads]
    for payload, box in zip(parsed, boxes, strict=True):
        expected = tuple(s.stop - s.start for s in box)
        if payload.shape != expected or payload.dtype != packed.dtype:
            raise PayloadError(
                f"{packed.name}: a payload of {payload.shape} {payload.dtype} for a chunk of {expected} "
                f"{packed.dtype}"
            )
    out = np.empty(packed.shape, packed.dtype)
    backend = get_backend(device)
    for done, (payload, data, box) in enumerate(zip(parsed, packed.payloads, boxes, strict=True), 1):
        if payload.field == Field.MLP:
            out[box] = mlp_chunks.decode(payload, backend, None, network).reshape(payload.shape)
        else:
            out[box] = decode_many([data], volume=model, device=device)[0]
        progress(done / len(boxes))
    return out


def shared_words(container: Container) -> str:
    """The shared network in words."""
    if container.field == Field.MLP:
        return str(container.network.shape)
    model = container.model(container.maps[0])
    return f"{len(model.weights)} bytes" if model.changed else f"that of prior {model.prior}"
