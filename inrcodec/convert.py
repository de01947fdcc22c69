"""From zarr format 2, zarr format 3 or HDF5 to any other, chunk bytes copied as they are.

Nothing is decoded and nothing is lost again: a payload is the same in all of them. Groups, attributes (the
MRC headers among them), names of dimensions and the networks of volume scope go along; OME-Zarr metadata
change their version with the zarr format. Arrays of other codecs are copied by value. Needs zarr 3, and h5py
for HDF5.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import zarr

from inrcodec.containers import Index, Node, Source, Target, checked
from inrcodec.replacing import partial_path
from inrcodec.store import check_destination, move_into_place
from inrcodec.urls import PathLike
from inrcodec.zarr_container import ZarrSource, ZarrTarget

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")


def convert(
    source: PathLike,
    target: PathLike,
    *,
    zarr_format: int | None = None,
    shard: int | None = None,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Copy a zarr store or an HDF5 file into another container.

    The target appears under its name when it is complete.

    Args:
        source: directory of a zarr group or array, or HDF5 file. A single array becomes the array ``"0"``
            of a group.
        target: what to make. A name ending in ``.h5``, ``.hdf5`` or ``.hdf`` makes an HDF5 file, any other a
            zarr group.
        zarr_format: 2 or 3; None is 3.
        shard: chunks per shard along each axis; None makes no shards.
        overwrite: replace a zarr store or HDF5 file, once the new one is complete.
        progress: called with the fraction done, 0 to 1.

    Returns:
        How many payloads were copied.

    Raises:
        FileNotFoundError, FileExistsError: the source is missing, or the target exists.
        ValueError: the source is neither, an array's chunks are no payloads alone, an array or an attribute
            does not go into the target, or a format that does not fit it.
        PayloadError: a chunk is damaged or not of its array.
    """
    source, target = Path(source), Path(target)
    to_hdf5 = target.suffix.lower() in HDF5_SUFFIXES
    if to_hdf5 and (zarr_format is not None or shard is not None):
        raise ValueError(f"{target} is to be an HDF5 file: it has no zarr format and no shards")
    if zarr_format not in (None, 2, 3):
        raise ValueError(f"zarr_format must be 2 or 3, got {zarr_format}")
    if source.exists() and source.resolve() in (target.resolve(), *target.resolve().parents):
        raise ValueError(f"{target} lies in its own source {source}")
    _check_target(target, to_hdf5, overwrite)
    partial = partial_path(target)
    try:
        with ExitStack() as stack:
            reader = _open_source(source, stack)
            nodes = list(reader.nodes())
            writer: Target
            if to_hdf5:
                from inrcodec.hdf5_container import HDF5Target

                writer = stack.enter_context(HDF5Target(partial))
            else:
                writer = ZarrTarget(partial, zarr_format or 3, shard)
            count = _copy(reader, nodes, writer, progress or (lambda fraction: None))
        if to_hdf5:
            partial.replace(target)
        else:
            move_into_place(partial, target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
    return count


def _copy(reader: Source, nodes: list[Node], writer: Target, progress: Callable[[float], None]) -> int:
    total = sum(math.prod(node.layout.counts) for node in nodes if node.layout is not None)
    passed = copied = 0

    def watched(node: Node) -> Iterator[tuple[Index, bytes]]:
        nonlocal copied
        for index, payload in checked(node, reader.payloads(node)):
            copied += 1
            progress(min(1.0, (passed + math.prod(index) + 1) / total) if total else 1.0)
            yield index, payload

    for node in nodes:
        if node.layout is None:
            writer.add_group(node)
            continue
        if node.layout.codec is None:
            writer.add_values(node, reader.values(node))
        else:
            writer.add_payloads(node, watched(node))
        passed += math.prod(node.layout.counts)
        progress(passed / total)
    return copied


def _open_source(path: Path, stack: ExitStack) -> Source:
    if path.is_file():
        from inrcodec.hdf5_container import HDF5Source

        return stack.enter_context(HDF5Source(path))
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is neither a file nor a directory")
    try:
        return ZarrSource(zarr.open(str(path), mode="r"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is not a zarr store") from error


def _check_target(target: Path, to_hdf5: bool, overwrite: bool) -> None:
    if not to_hdf5:
        check_destination(target, overwrite)
        return
    from inrcodec.hdf5_container import is_hdf5

    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent} is not a directory")
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise FileExistsError(f"{target} exists; --overwrite (overwrite=True) replaces it")
    if target.is_symlink() or not is_hdf5(target):
        raise FileExistsError(f"{target} is not an HDF5 file and is not replaced")
