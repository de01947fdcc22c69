"""The list of what an archive holds: a JSON file beside it.

``{"version": 1, "maps": [record, ...]}``, a record per source, sorted by target. :mod:`inrcodec.archive` says
what a record holds. The file is replaced as a whole, so that a reader never finds half of it. It is called
like the archive with ``.manifest.json`` behind: inside, it would be no part of a zarr hierarchy.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from inrcodec import urls
from inrcodec.urls import PathLike

SUFFIX = ".manifest.json"
VERSION = 1
Record = dict[str, Any]

_PAUSE = 20  # times as long as a save took: with many maps, saves would take longer than the work


class Manifest:
    """The records of an archive.

    Args:
        archive: directory or URL of the archive; its manifest is read where there is one.

    Attributes:
        place: path or URL of the manifest.
        records: by source.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or of another version.
    """

    def __init__(self, archive: PathLike) -> None:
        self.place = os.fspath(archive).rstrip("/") + SUFFIX
        self.records: dict[str, Record] = {}
        self._due = 0.0
        self._saved = False
        if not urls.exists(self.place):
            return
        with urls.local_copy(self.place) as path:
            data = path.read_bytes()
        try:
            content = json.loads(data)
            version = content["version"]
            self.records = {record["source"]: dict(record) for record in content["maps"]}
            good = all(
                isinstance(r["source"], str) and isinstance(r["target"], str) for r in self.records.values()
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{urls.public(self.place)} is no manifest of an archive: {error!r}") from error
        if version != VERSION or not good:
            raise ValueError(f"{urls.public(self.place)} is a manifest of version {version!r}, not {VERSION}")

    def known(self, source: str) -> Record | None:
        """What is known of a source's map: its record, or the one that a failure left."""
        record = self.records.get(source)
        kept = None if record is None else record.get("kept")
        return kept if isinstance(kept, dict) else record

    def put(self, record: Record) -> None:
        """Add a record, in place of an older one of the same source, and save now and then."""
        self.records[record["source"]] = record
        self._saved = False
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Write the file, unless it is as the records are."""
        if self._saved:
            return
        start = time.monotonic()
        content = {
            "version": VERSION,
            "maps": sorted(self.records.values(), key=lambda record: str(record["target"])),
        }
        urls.write(self.place, json.dumps(content, indent=1, allow_nan=False).encode("ascii"))
        self._saved = True
        self._due = time.monotonic() + _PAUSE * (time.monotonic() - start)
