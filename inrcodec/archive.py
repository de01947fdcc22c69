"""Many maps into one zarr group: each as ``inrcodec compress`` writes it, and a manifest of all beside it.

Work stops and goes on anywhere, see :mod:`inrcodec.archive_task`. The manifest of ``maps.zarr`` is
``maps.zarr.manifest.json``; it has a record for each source::

    {"source": "/data/emd_11007.map", "sha256": "...", "target": "emd_11007", "status": "verified",
     "shape": [240, 240, 240], "dtype": "float32", "mrc_header": "(zlib, base64)",
     "asked": {"snr": 30.0, "chunks": 64, "effort": 3, "zarr_format": 3}, "met": true,
     "snr": 30.02, "max_error": 0.004, "fsc": {"min": 0.98, "mean": 0.999}, "ratio": 82.1,
     "bytes": {"source": 55297024, "densities": 55296000, "payloads": 670000, "stored": 673400}}

``status`` is ``archived`` (the target was met when it was written), ``verified`` (read back from where it is,
decoded, and compared with its source: headers byte for byte, the target on all voxels), or ``failed``, with
the ``reason``; the other keys may be missing then, and ``kept`` is the record of an earlier run whose map is
still there. Numbers that are not finite are null: no error at all has an infinite SNR.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import zarr

from inrcodec import executors, sources, urls
from inrcodec.archive_task import Task, archive_one, failure, staging_of
from inrcodec.executors import Executor
from inrcodec.manifest import Manifest, Record
from inrcodec.options import MapOptions
from inrcodec.urls import PathLike

_MARKS = {2: ".zgroup", 3: "zarr.json"}


def run(
    arguments: Sequence[str],
    destination: PathLike,
    *,
    options: MapOptions | None = None,
    zarr_format: int = 3,
    verify: bool = False,
    overwrite: bool = False,
    executor: Executor = executors.here,
    progress: Callable[[int, int, int, int], None] = lambda maps, of, nbytes, total: None,
) -> list[Record]:
    """Archive maps; what is archived already is recognised and skipped.

    Args:
        arguments: files, folders, glob patterns and URLs, see :func:`inrcodec.sources.expand`.
        destination: directory or URL of a zarr group; made where it is not there. One run at a time. Not the
            root of a bucket: the manifest lies beside it.
        options, zarr_format: how maps are compressed.
        verify: read every map back and compare it with its source.
        overwrite: replace maps that are there under the same name, but of another source file or compressed
            with other options. Without it they are failures.
        executor: where the work is done, see :mod:`inrcodec.executors`.
        progress: called with maps done, their number, bytes of sources done, and all of them.

    Returns:
        The records of these sources, as in the manifest.

    Raises:
        ValueError: there is no map, or the destination holds something else.
        OSError: the destination cannot be written.
        ModuleNotFoundError: the effort needs PyTorch, which is not installed.
    """
    options = MapOptions() if options is None else options
    if options.effort > 0 and importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    found = sources.expand(arguments)
    place = str(destination) if urls.is_url(destination) else str(Path(destination).absolute())
    _open_group(place, zarr_format)
    manifest = Manifest(place)
    manifest.save()  # before any work: whether it can be written at all
    names = sources.names(found, {source: r["target"] for source, r in manifest.records.items()})
    tasks = [
        Task(
            source.place,
            place,
            name,
            options,
            zarr_format,
            verify,
            overwrite,
            manifest.known(source.public),
        )
        for source, name in zip(found, names, strict=True)
    ]
    size = {
        task: max(1, source.nbytes) for task, source in zip((t.target for t in tasks), found, strict=True)
    }
    records, done = [], 0
    progress(0, len(tasks), 0, sum(size.values()))
    try:
        for task, result in executor(archive_one, tasks):
            if isinstance(result, BaseException):
                result = {
                    "source": urls.public(task.source),
                    "target": task.name,
                    "asked": task.asked,
                    **failure(result, task.source),
                }
            manifest.put(result)
            records.append(result)
            done += size[task.target]
            progress(len(records), len(tasks), done, sum(size.values()))
    finally:
        manifest.save()
    if not urls.is_url(place):
        shutil.rmtree(staging_of(place), ignore_errors=True)
    return records


def _open_group(place: str, zarr_format: int) -> None:
    """Make the archive's group where it is not there.

    Raises:
        FileNotFoundError: there is no directory to make it in.
        FileExistsError: something else is there, or a group of the other zarr format.
    """
    marks = {number: urls.exists(f"{place.rstrip('/')}/{mark}") for number, mark in _MARKS.items()}
    if marks[zarr_format]:
        return
    if any(marks.values()):
        raise FileExistsError(f"{urls.public(place)} is a zarr group of another format than {zarr_format}")
    if urls.is_url(place):
        if urls.files(place):
            raise FileExistsError(f"{urls.public(place)} is not a zarr group and is not written to")
    elif not Path(place).parent.is_dir():
        raise FileNotFoundError(f"{Path(place).parent} is not a directory")
    elif Path(place).exists() and (not Path(place).is_dir() or any(Path(place).iterdir())):
        raise FileExistsError(f"{place} is not a zarr group and is not written to")
    with urls.reported(place):
        zarr.open_group(place, mode="a", zarr_format=zarr_format)
