"""The list of what an archive holds: ``manifest.json`` beside its maps.

``{"version": 1, "maps": [record, ...]}``, a record per source, sorted by target. :mod:`inrcodec.archive` says
what a record holds. The file is replaced as a whole, so that a reader never finds half of it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from inrcodec import urls
from inrcodec.urls import PathLike

NAME = "manifest.json"
VERSION = 1
Record = dict[str, Any]

_PAUSE = 20  # times as long as a save took: with many maps, saves would take longer than the work


class Manifest:
    """The records of an archive.

    Args:
        destination: directory or URL of the archive; its manifest is read where there is one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or of another version.
    """

    def __init__(self, destination: PathLike) -> None:
        self._destination = destination
        self.records: dict[str, Record] = {}
        self._due = 0.0
        self._saved = True
        place = f"{str(destination).rstrip('/')}/{NAME}"
        if not urls.exists(place):
            return
        ((_, data),) = urls.read(destination, [NAME])
        try:
            content = json.loads(data)
            version = content["version"]
            self.records = {record["source"]: dict(record) for record in content["maps"]}
            good = all(
                isinstance(r["source"], str) and isinstance(r["target"], str) for r in self.records.values()
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{urls.public(place)} is no manifest of an archive: {error!r}") from error
        if version != VERSION or not good:
            raise ValueError(f"{urls.public(place)} is a manifest of version {version!r}, not {VERSION}")

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
        """Write the file, where anything is new."""
        if self._saved:
            return
        start = time.monotonic()
        content = {
            "version": VERSION,
            "maps": sorted(self.records.values(), key=lambda record: str(record["target"])),
        }
        urls.write(self._destination, NAME, json.dumps(content, indent=1, allow_nan=False).encode("ascii"))
        self._saved = True
        self._due = time.monotonic() + _PAUSE * (time.monotonic() - start)
