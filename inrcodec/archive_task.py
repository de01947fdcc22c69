"""One map into an archive: a piece of work that any process can do.

A map appears under its name when it is complete, and one that is there is recognised by checksums, of the
source's file and of the stored array. No source is ever changed or deleted.
"""

from __future__ import annotations

import glob
import hashlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inrcodec import maps, urls
from inrcodec import store as stores
from inrcodec.manifest import Record
from inrcodec.maps import Result
from inrcodec.mrc import open_volume, unpacked_header
from inrcodec.options import MapOptions


@dataclass(frozen=True)
class Task:
    """One map to archive.

    Attributes:
        source: path or URL of the map.
        destination: directory or URL of the archive.
        name: what the map is called in it.
        options, zarr_format: how it is compressed.
        verify: read it back and compare.
        overwrite: replace what is there under its name.
        known: the manifest's record of the source, where it has one.
    """

    source: str
    destination: str
    name: str
    options: MapOptions = field(default_factory=MapOptions)
    zarr_format: int = 3
    verify: bool = False
    overwrite: bool = False
    known: Mapping[str, Any] | None = None

    @property
    def target(self) -> str:
        """Directory or URL of the map's store."""
        return f"{self.destination.rstrip('/')}/{self.name}"

    @property
    def staging(self) -> Path | None:
        """Where the map's store is built: beside the archive, so that zarr sees nothing of it."""
        return None if urls.is_url(self.destination) else staging_of(self.destination)

    @property
    def asked(self) -> dict[str, Any]:
        """What decides the result, as plain JSON."""
        return {**self.options.to_json(), "zarr_format": self.zarr_format}


def archive_one(task: Task) -> Record:
    """Archive one map, unless it is in the archive already.

    A function of its argument alone, for any executor; it writes below the task's name only.

    Returns:
        The manifest's record. Whatever goes wrong is in it; nothing is raised but interruptions.
    """
    record: Record = {"source": urls.public(task.source), "target": task.name, "asked": task.asked}
    try:
        with urls.local_copy(task.source) as path:
            record["sha256"] = file_sha256(path)
            record |= _archive(task, path, record["sha256"])
    except Exception as error:
        record |= failure(error, task.source)
        if _is_kept(task):
            record["kept"] = dict(task.known or {})
    return record


def staging_of(archive: str) -> Path:
    """The directory in which the stores of an archive that is a directory are built."""
    return Path(archive).with_name(f".{Path(archive).name}.partial")


def failure(error: BaseException, source: str = "") -> Record:
    """The part of a record that says why a map is not archived, without credentials."""
    text = " ".join(str(error).split()) or type(error).__name__
    return {"status": "failed", "reason": urls.redacted(text, source)}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as it is."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _archive(task: Task, path: Path, sha256: str) -> Record:
    """Make the store of a map where it is not there, and say how good it is."""
    known = task.known or {}
    finished = _finished(task, sha256)
    trusted = finished is True and known.get("sha256") == sha256 and known.get("asked") == task.asked
    enough = ("verified",) if task.verify else ("verified", "archived")
    if not finished:
        result = _compress(task, path, sha256, damaged=finished is None)
    elif trusted and known.get("status") in enough:
        return dict(known)
    else:  # archived by a run that did not live to say so, or to be verified
        result = maps.verify(path, task.target, permissive=task.options.permissive)
    if task.verify:
        _check_headers(task, path)
        if not finished:
            result = maps.verify(path, task.target, permissive=task.options.permissive)
    measured = _measured(result, task, path)
    if not result.met:
        return {**measured, "status": "failed", "reason": f"the target is missed: {_achieved(result)}"}
    return {**measured, "status": "verified" if task.verify else "archived"}


def _is_kept(task: Task) -> bool:
    """Whether the map that the manifest knows is still there, whole: a failure loses nothing."""
    known = task.known or {}
    if known.get("status") not in ("archived", "verified"):
        return False
    try:
        _, attributes = stores.open_store(task.target)
        digest = stores.array_digest(task.target)
    except (OSError, ValueError):
        return False
    return attributes.get("source_sha256") == known.get("sha256") and attributes.get("array_sha256") == digest


def _finished(task: Task, sha256: str) -> bool | None:
    """Whether the map is archived; None where it is, but what is stored is damaged.

    Raises:
        FileExistsError: something else is there under its name.
    """
    try:
        _, attributes = stores.open_store(task.target)
    except FileNotFoundError:
        return False
    if attributes.get("source_sha256") != sha256 or attributes.get("asked") != task.asked:
        if task.overwrite:
            return False
        raise FileExistsError(
            f"{task.name} is in the archive already, from another file or with other options; "
            "--overwrite (overwrite=True) replaces it"
        )
    return True if stores.array_digest(task.target) == attributes.get("array_sha256") else None


def _compress(task: Task, path: Path, sha256: str, *, damaged: bool) -> Result:
    if task.staging is not None:
        task.staging.mkdir(exist_ok=True)
        for left in task.staging.glob(f".{glob.escape(task.name)}.????????.partial"):
            shutil.rmtree(left, ignore_errors=True)  # by a run that was killed
    return maps.compress(
        path,
        task.target,
        **task.options.arguments(),
        zarr_format=task.zarr_format,
        overwrite=task.overwrite or damaged,
        staging=task.staging,
        record={"source_sha256": sha256, "asked": task.asked},
    )


def _check_headers(task: Task, path: Path) -> None:
    """Headers as they are stored against those of the source, byte for byte."""
    volume = open_volume(path, permissive=task.options.permissive)
    _, attributes = stores.open_store(task.target)
    for name, header in (("header", volume.header), ("extended_header", volume.extended_header)):
        if unpacked_header(attributes["mrc"][name]) != header:
            raise ValueError(f"the {name.replace('_', ' ')} that is stored is not that of the map")


def _measured(result: Result, task: Task, path: Path) -> Record:
    array, attributes = stores.open_store(task.target)
    quality, sizes = result.quality, result.sizes
    curve = None
    if result.fsc is not None:
        correlation = result.fsc[1]
        if result.resolution is not None:
            correlation = correlation[result.fsc[0] * result.resolution <= 1 + 1e-4]
        curve = {"min": _finite(correlation.min()), "mean": _finite(correlation.mean())}
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "mrc_header": attributes["mrc"]["header"],
        "met": result.met,
        "snr": _finite(quality.snr),
        "max_error": _finite(quality.max_error),
        "fsc": curve,
        "ratio": _finite(sizes.total_ratio),
        "bytes": {
            "source": path.stat().st_size,
            "densities": sizes.original,
            "payloads": sizes.chunks,
            "stored": sizes.total,
        },
    }


def _achieved(result: Result) -> str:
    quality = result.quality
    value = {
        "snr": quality.snr,
        "max_error": quality.max_error,
        "ratio": result.sizes.ratio,
        "fsc": quality.min_fsc,
    }[result.target.kind]
    return f"{result.target.kind} {value:.6g}, asked for {result.target.value:g}"


def _finite(value: float) -> float | None:
    return float(f"{float(value):.7g}") if math.isfinite(value) else None
