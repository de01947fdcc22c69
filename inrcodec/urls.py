"""Places that are paths or fsspec URLs: what lies there, and how it gets there and back.

A URL has ``://`` or ``::`` in it and needs the ``fsspec`` extra; everything else is a path. Keys come from
where the filesystem looks for them (for S3: the environment, ``~/.aws``, or fsspec's configuration), so that
they need not be in the URL.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

PathLike = str | os.PathLike[str]

_AT_ONCE = 256  # objects fetched together


def is_url(place: PathLike) -> bool:
    """Whether a place is a URL of fsspec's."""
    return isinstance(place, str) and ("://" in place or "::" in place)


def public(place: PathLike) -> str:
    """A place as it may be shown and stored: without user names, passwords, signatures and other queries."""
    if not is_url(place):
        return str(place)
    text = re.sub(r"(://)[^/@:]*(:[^/@]*)?@", r"\1", str(place))
    return re.sub(r"[?#].*?(?=::|$)", "", text)


def redacted(text: str, place: PathLike) -> str:
    """A message about a place, without what :func:`public` leaves out of it."""
    if not is_url(place):
        return text
    for part in sorted({str(place), *str(place).split("::")}, key=len, reverse=True):
        text = text.replace(part, public(part))
    secrets = re.findall(r"://([^/@]+)@", str(place)) + re.findall(r"[?#](.+?)(?=::|$)", str(place))
    pieces = {piece for part in secrets for piece in (part, *re.split(r"[:&=]", part)) if len(piece) > 3}
    for piece in sorted(pieces, key=len, reverse=True):
        text = text.replace(piece, "...")
    return text


def name_of(place: PathLike) -> str:
    """The last part of a place's path: a file's name. Of chained URLs it is that of the first path."""
    if not is_url(place):
        return Path(place).name
    links = public(place).split("::")
    return PurePosixPath(next((link for link in links if "://" in link), links[0])).name


def with_path(url: str, old: str, new: str) -> str:
    """The URL of another file on the filesystem of a URL, whose own path is ``old``; chains stay chained."""
    at = url.find(old, url.find("://") + 1) if old else -1
    if at < 0:
        raise ValueError(f"{public(url)} does not have {old!r} in it")
    return (url[:at] + new + url[at + len(old) :]).rstrip("/")


def open_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem of a URL and the path on it.

    Raises:
        OSError: fsspec or what it needs for the URL is not installed.
        ValueError: there is no such kind of URL.
    """
    with reported(url):
        from fsspec.core import url_to_fs

        fs, path = url_to_fs(url)
        return fs, str(path)


def files(place: PathLike) -> dict[str, int]:
    """The names of all files below a directory or prefix, relative to it, and their bytes."""
    if not is_url(place):
        root = Path(place)
        return {p.relative_to(root).as_posix(): p.stat().st_size for p in root.rglob("*") if p.is_file()}
    fs, path = open_filesystem(str(place))
    with reported(place):
        fs.invalidate_cache()
        found = fs.find(path, detail=True)
        root = fs._strip_protocol(path).rstrip("/") + "/"
        return {name.removeprefix(root): int(item["size"]) for name, item in found.items()}


def read(place: PathLike, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The bytes of files below a directory or prefix, in the order of the names; some hundred at once."""
    wanted = list(names)
    if not is_url(place):
        for name in wanted:
            yield name, (Path(place) / name).read_bytes()
        return
    fs, path = open_filesystem(str(place))
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        with reported(place):
            paths = [_join(path, name) for name in part]
            found = fs.cat_ranges(paths, [None] * len(paths), [None] * len(paths), on_error="raise")
        yield from zip(part, found, strict=True)


def write(place: PathLike, data: bytes) -> None:
    """Write one file; what is there is replaced as a whole."""
    if is_url(place):
        fs, path = open_filesystem(str(place))
        with reported(place):
            fs.pipe_file(path, data)
        return
    partial = Path(place).with_name(f".{Path(place).name}.partial")
    partial.write_bytes(data)
    os.replace(partial, place)


def upload(directory: Path, url: str, last: Sequence[str]) -> None:
    """Put all files of a directory below a prefix, those named in ``last`` at the end and in this order."""
    fs, path = open_filesystem(url)
    names = sorted(set(files(directory)) - set(last))
    with reported(url):
        if not fs.async_impl:  # object stores have no directories, and s3fs would make a bucket
            fs.makedirs(path, exist_ok=True)
        fs.put([str(directory / name) for name in names], [_join(path, name) for name in names])
        for name in last:
            fs.pipe_file(_join(path, name), (directory / name).read_bytes())


def remove(url: str, names: Sequence[str]) -> None:
    """Remove files below a prefix."""
    fs, path = open_filesystem(url)
    with reported(url):
        if names:
            fs.rm([_join(path, name) for name in names])


@contextmanager
def local_copy(place: PathLike) -> Iterator[Path]:
    """The path of a file; one at a URL is copied to a temporary folder for as long as it is needed.

    Raises:
        OSError: it cannot be fetched.
    """
    if not is_url(place):
        yield Path(place)
        return
    fs, path = open_filesystem(str(place))
    with tempfile.TemporaryDirectory(prefix="inrcodec-") as folder:
        copy = Path(folder) / (name_of(place) or "map.mrc")
        with reported(place):
            if not fs.isfile(path):
                raise FileNotFoundError(f"{public(place)} does not exist or is no file")
            fs.get_file(path, str(copy))
        yield copy


@contextmanager
def local_target(place: PathLike) -> Iterator[Path]:
    """A path to write a file to; one for a URL is a temporary file that is put there when it is complete."""
    if not is_url(place):
        yield Path(place)
        return
    fs, path = open_filesystem(str(place))
    with tempfile.TemporaryDirectory(prefix="inrcodec-") as folder:
        local = Path(folder) / (name_of(place) or "map.mrc")
        yield local
        with reported(place):
            fs.put_file(str(local), path)


def exists(place: PathLike) -> bool:
    """Whether there is a file or directory."""
    if not is_url(place):
        return Path(place).exists()
    fs, path = open_filesystem(str(place))
    with reported(place):
        return bool(fs.exists(path))


def _join(path: str, name: str) -> str:
    return f"{path.rstrip('/')}/{name}"


@contextmanager
def reported(place: PathLike) -> Iterator[None]:
    """Filesystems raise errors of libraries of their own: whatever is no known kind becomes an OSError."""
    try:
        yield
    except (OSError, ValueError, TypeError):
        raise
    except Exception as error:
        raise OSError(f"{public(place)}: {redacted(str(error), place)}") from error
