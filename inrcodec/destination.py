"""Where a store is going to be: built out of sight, and under its name only when it is complete.

A directory gets its name by renaming. Objects cannot be renamed: they are put under their names with the
metadata last, so that zarr finds no array before its chunks are there.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from inrcodec import urls
from inrcodec.replacing import partial_path
from inrcodec.store import METADATA, check_destination, move_into_place
from inrcodec.urls import PathLike


class Destination:
    """A store that is being made; a context manager that leaves nothing behind where it is not committed.

    Args:
        store: directory or URL.
        overwrite: replace a zarr store that is there.
        staging: directory on the same filesystem to build in; None builds beside the store, and stores at
            URLs in a temporary folder.

    Attributes:
        partial: directory to build in; does not exist yet.

    Raises:
        FileExistsError: something is there that must not be replaced.
        FileNotFoundError: there is no directory to make it in.
    """

    def __init__(self, store: PathLike, *, overwrite: bool = False, staging: Path | None = None) -> None:
        self._store = store
        self._folder: Path | None = None
        if urls.is_url(store):
            _check_prefix(str(store), overwrite)
            self._folder = Path(tempfile.mkdtemp(prefix="inrcodec-"))
            self.partial = self._folder / "store"
        else:
            path = Path(store)
            check_destination(path, overwrite)
            self.partial = partial_path(path if staging is None else staging / path.name)

    def __enter__(self) -> Destination:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder or self.partial, ignore_errors=True)

    def commit(self) -> None:
        """Give the complete store its name."""
        if not urls.is_url(self._store):
            move_into_place(self.partial, Path(self._store))
            return
        url = str(self._store)
        old = urls.files(url)
        urls.remove(url, _metadata(old)[::-1])  # from here on there is no array
        urls.remove(url, [name for name in old if name not in _metadata(old)])
        urls.upload(self.partial, url, _metadata(urls.files(self.partial)))


def _metadata(names: dict[str, int]) -> list[str]:
    """Metadata files in the order in which they may appear: the array's, then the group's; marks last."""
    attributes = (".zattrs", ".zmetadata")
    found = [name for name in names if name.rsplit("/", 1)[-1] in METADATA]
    return sorted(found, key=lambda name: (-name.count("/"), not name.endswith(attributes), name))


def _is_level(name: str) -> bool:
    """Whether an object belongs to the array of a resolution level."""
    level, slash, _ = name.partition("/")
    return bool(slash) and level.isdigit()


def _check_prefix(url: str, overwrite: bool) -> None:
    """Refuse to write where objects are that must not be replaced; what a killed writer left may be."""
    found = urls.files(url)
    if not found or all(_is_level(name) for name in found):
        return
    if not overwrite:
        raise FileExistsError(f"{urls.public(url)} exists; --overwrite (overwrite=True) replaces it")
    if not any(name in METADATA for name in found):
        raise FileExistsError(f"{urls.public(url)} is not a zarr store and is not replaced")
