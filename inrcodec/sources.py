"""Which maps an archive is made of, and what each is called in it."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inrcodec import urls

_MAP_NAME = re.compile(r"\.(mrcs?|map|ccp4|rec|st)(\.(gz|bz2))?$", re.IGNORECASE)
_RESERVED = {"manifest.json", "zarr.json"}


@dataclass(frozen=True)
class Source:
    """A map to archive: absolute path or URL, and the bytes of its file (0 where it cannot be told)."""

    place: str
    nbytes: int

    @property
    def public(self) -> str:
        """The place as it may be stored: without credentials."""
        return urls.public(self.place)


def expand(arguments: Sequence[str]) -> list[Source]:
    """Maps among files, folders, glob patterns and URLs of each; folders are searched to the bottom.

    In folders and behind patterns files count that are called like maps (``.mrc``, ``.map``, ``.ccp4``,
    ``.rec``, ``.st``, also with ``.gz`` or ``.bz2``) and are not hidden; a file that is named counts whatever
    it is called. What does not exist stays in the list, for its failure to be recorded.

    Raises:
        ValueError: a folder or a pattern gives no map.
        OSError: a URL cannot be listed.
    """
    found: dict[str, Source] = {}
    for argument in arguments:
        listed = _expand_url(argument) if urls.is_url(argument) else _expand_path(argument)
        if not listed:
            raise ValueError(f"there is no map in {urls.public(argument)}")
        for source in listed:
            found.setdefault(source.public, source)
    return list(found.values())


def names(sources: Sequence[Source], known: Mapping[str, str]) -> list[str]:
    """What each map is called in the archive: its file's name without the suffix.

    Maps of equal names get a part of the SHA-256 of their source's place behind them. The names follow from
    the sources and from what is in the archive, not from their order: a second run finds what a first made.

    Args:
        sources: all maps of this run.
        known: names that sources (:attr:`Source.public`) have in the archive already.
    """
    plain = [_plain(source.place) for source in sources]
    count = Counter(plain)
    taken = set(known.values())
    out = []
    for source, name in zip(sources, plain, strict=True):
        if source.public in known:
            out.append(known[source.public])
        elif count[name] == 1 and name not in taken:
            out.append(name)
        else:
            out.append(f"{name}-{hashlib.sha256(source.public.encode()).hexdigest()[:12]}")
    return out


def _plain(place: str) -> str:
    name = re.sub(r"[^\w.+-]+", "_", _MAP_NAME.sub("", urls.name_of(place))).lstrip("._")
    return "map" if not name or name in _RESERVED else name


def _expand_path(argument: str) -> list[Source]:
    path = Path(os.path.abspath(argument))
    if path.is_dir():
        inside = (Path(folder) / name for folder, _, files in os.walk(path) for name in files)
        return [_file(p) for p in sorted(inside) if _is_map(p.relative_to(path).parts)]
    if not path.exists() and glob.has_magic(argument):
        matches = (Path(os.path.abspath(match)) for match in glob.glob(argument, recursive=True))
        return [_file(p) for p in sorted(matches) if p.is_file() and _is_map((p.name,))]
    return [_file(path)]


def _expand_url(url: str) -> list[Source]:
    fs, path = urls.open_filesystem(url)
    with urls.reported(url):
        if re.search(r"[*[]", path) and not fs.exists(path):  # a question mark begins a query
            found = {
                name: item for name, item in fs.glob(path, detail=True).items() if item["type"] == "file"
            }
        elif fs.isdir(path):
            found = fs.find(path, detail=True)
        else:
            size = fs.info(path).get("size") if fs.exists(path) else None
            return [Source(url, int(size or 0))]
    root = fs._strip_protocol(path).rstrip("/")
    return [
        Source(urls.with_path(url, path, name), int(item.get("size") or 0))
        for name, item in sorted(found.items())
        if _is_map(tuple(name.removeprefix(root).strip("/").split("/")))
    ]


def _is_map(parts: Sequence[str]) -> bool:
    return bool(_MAP_NAME.search(parts[-1])) and not any(part.startswith(".") for part in parts)


def _file(path: Path) -> Source:
    return Source(str(path), path.stat().st_size if path.is_file() else 0)
