"""fsspec: compression ``"inr"`` and filesystem ``inr://`` for ``.mrc.inr`` files.

    fsspec.open("inr://map.mrc::s3://bucket/map.mrc.inr")         # found without an import
    fsspec.open("s3://bucket/map.mrc.inr", compression="infer")   # after ``import inrcodec.fsspec_mrc``

Both are the bytes of the MRC map. fsspec finds filesystems by entry points and compressions only where they
are registered, so the second needs the import, or the first to have been used. Needs the ``fsspec`` extra;
the file's layout is in ``docs/mrc-inr.md``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fsspec import config, filesystem
from fsspec.archive import AbstractArchiveFileSystem
from fsspec.compression import register_compression
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from inrcodec.mrc_reader import FileSource, MRCReader
from inrcodec.mrc_writer import MRCWriter
from inrcodec.options import MapOptions
from inrcodec.replacing import replacing

PROTOCOL = "inr"
SUFFIX = ".inr"


class RangeSource:
    """A source of exact byte ranges: no read-ahead, and all ranges of a read at once."""

    def __init__(self, fs: Any, path: str, size: int | None = None) -> None:
        self._fs, self._path = fs, path
        self._size = int(fs.info(path)["size"]) if size is None else size

    @property
    def size(self) -> int:
        return self._size

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
        # an empty range is no valid request
        if any(start == stop for start, stop in ranges):
            return [b"" if start == stop else self.read([(start, stop)])[0] for start, stop in ranges]
        return list(self._fs.cat_ranges([self._path] * len(ranges), starts, stops, on_error="raise"))


def open_compressed(file: Any, mode: str = "r", **options: Any) -> MRCReader | MRCWriter:
    """The callback behind ``compression="inr"``.

    Args:
        file: the ``.mrc.inr`` file, open in binary mode; closed with the stream.
        mode: ``"r"`` or ``"w"``.
        **options: how a map is compressed, see :meth:`inrcodec.options.MapOptions.from_mapping`. fsspec
            hands none over: what is not given is taken from its configuration of ``inr``, that is from
            ``fsspec.config.conf["inr"]``, its files and the environment: ``FSSPEC_INR='{"snr": 25}'`` or
            ``FSSPEC_INR_SNR=25``. Without any, the SNR is 30 dB.

    Raises:
        ContainerError: reading what is no ``.mrc.inr`` file.
        ValueError: another mode, or options that make no sense.
    """
    kind = mode.replace("b", "")
    if kind == "r":
        return _ClosingReader(file)
    if kind != "w":
        raise ValueError(f"compression 'inr' reads (r) and writes (w) whole maps, got mode {mode!r}")

    def deliver(data: bytes) -> None:
        try:
            file.write(data)
        except BaseException:
            abandon()
            raise
        file.close()

    def abandon() -> None:
        # Objects appear when their file is closed: without that, an older one stays what it was.
        if isinstance(file, AbstractBufferedFile):
            file.discard()
            file.closed = True
        else:
            file.close()

    try:
        return MRCWriter(MapOptions.from_mapping(_configured(options)), deliver, abandon)
    except BaseException:
        abandon()
        raise


class _ClosingReader(MRCReader):
    """A reader that closes its file, as fsspec expects of compressions."""

    def __init__(self, file: Any) -> None:
        self._inner = file
        try:
            exact = isinstance(file, AbstractBufferedFile)
            super().__init__(RangeSource(file.fs, file.path, file.size) if exact else FileSource(file))
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        super().close()
        self._inner.close()


class INRFileSystem(AbstractArchiveFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The map of one ``.mrc.inr`` file, as a filesystem with one file.

    The file is called like the ``.mrc.inr`` file without ``.inr``: ``inr://map.mrc::s3://bucket/map.mrc.inr``.
    Reading fetches the head in one or two requests, and then the payloads of the chunks that are read;
    neighbours in one request. Writing replaces the ``.mrc.inr`` file once the new one is complete.

    Args:
        fo: path or URL of the ``.mrc.inr`` file.
        target_protocol, target_options: the filesystem it is on; from the chained URL.
        fs: that filesystem itself, instead.
        cache_bytes: see :class:`inrcodec.mrc_reader.MRCReader`.
        **options: how a map is compressed: ``snr`` (default 30), ``max_error``, ``ratio``, ``fsc``,
            ``resolution``, ``chunks``, ``symmetry``, ``effort``, ``threshold``, ``device`` and
            ``permissive``; also from fsspec's configuration of ``inr``.

    Raises:
        ValueError: options that make no sense, or a ``fo`` that does not end in ``.inr``.
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = False  # files change behind it

    def __init__(
        self,
        fo: str = "",
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        fs: Any = None,
        cache_bytes: int | None = None,
        **options: Any,
    ) -> None:
        own = {key: options.pop(key) for key in list(options) if key in _FSSPEC_OPTIONS}
        super().__init__(**own)
        self._options = MapOptions.from_mapping(options)
        self.fo = fo
        self._target = (
            fs if fs is not None else filesystem(target_protocol or "file", **(target_options or {}))
        )
        self._path = self._target._strip_protocol(fo)
        self._name = os.path.basename(str(self._path).rstrip("/")).removesuffix(SUFFIX)
        if not str(self._path).endswith(SUFFIX) or not self._name:
            raise ValueError(f"inr:// is for files whose names end in {SUFFIX}, got {fo!r}")
        self._cache_bytes = None if cache_bytes is None else int(cache_bytes)
        self.dir_cache: dict[str, dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        # Archives have no absolute paths.
        return super()._strip_protocol(path).lstrip("/")

    def _get_dirs(self) -> None:
        self.dir_cache = {}
        if self._target.exists(self._path):
            with self._reader() as reader:
                size = reader.head.map_bytes
            self.dir_cache = {self._name: {"name": self._name, "size": size, "type": "file"}}

    def _reader(self) -> MRCReader:
        return MRCReader(RangeSource(self._target, self._path), cache_bytes=self._cache_bytes)

    def _check_name(self, path: str) -> None:
        if self._strip_protocol(path) != self._name:
            raise FileNotFoundError(f"{path!r}: {self.fo} holds {self._name!r}")

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> MRCReader | MRCWriter:
        self._check_name(path)
        if mode == "rb":
            return self._reader()
        if mode != "wb":
            raise ValueError(f"inr:// reads (rb) and writes (wb) whole maps, got mode {mode!r}")
        return MRCWriter(self._options, self._replace, lambda: None)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Bytes of the map, from ``start`` to ``end``; negative ones count from its end."""
        self._check_name(path)
        with self._reader() as reader:
            size = reader.head.map_bytes
            low, high, _ = slice(start, end).indices(size)
            reader.seek(low)
            return bytes(reader.read(max(0, high - low)))

    def _replace(self, data: bytes) -> None:
        """Put a whole file in place of the old one; on object stores a put does that by itself."""
        if isinstance(self._target, LocalFileSystem):
            with replacing(self._path) as partial:
                partial.write_bytes(data)
        else:
            self._target.pipe_file(self._path, data)


_FSSPEC_OPTIONS = ("skip_instance_cache", "use_listings_cache", "asynchronous", "loop", "batch_size")


def _configured(options: dict[str, Any]) -> dict[str, Any]:
    """Options, and fsspec's configuration where they say nothing."""
    own = {key: value for key, value in config.conf.get(PROTOCOL, {}).items() if key != "cache_bytes"}
    return {**own, **options}


register_compression(PROTOCOL, open_compressed, [SUFFIX.removeprefix(".")], force=True)
