"""A ``.mrc.inr`` file from the bytes of an MRC map. Needs the ``mrc`` extra."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inrcodec import mrc_container
from inrcodec.options import MapOptions

_CONTENT = "compression 'inr' holds uncompressed MRC maps of modes 0, 1, 2, 6 and 12 and nothing else"


class MRCWriter(io.RawIOBase):
    """A binary stream for an MRC map; closing it compresses what was written.

    The map is kept in a temporary file until then, because a volume is fitted as a whole. The stream is
    seekable and readable, so that ``mrcfile`` can write through it.

    Args:
        options: what the map is compressed with.
        deliver: called once with the bytes of the whole ``.mrc.inr`` file.
        abandon: called instead when there is nothing to deliver.
    """

    def __init__(
        self, options: MapOptions, deliver: Callable[[bytes], None], abandon: Callable[[], None]
    ) -> None:
        super().__init__()
        self._options, self._deliver, self._abandon = options, deliver, abandon
        self._folder = tempfile.TemporaryDirectory(prefix="inrcodec-")
        self._path = Path(self._folder.name) / "map.mrc"
        self._file = open(self._path, "w+b")  # noqa: SIM115  # closed with the stream

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

    def readinto(self, buffer: Any) -> int | None:
        return self._file.readinto(buffer)

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def close(self) -> None:
        """Compress the map and hand it over.

        Raises:
            ValueError, TypeError: what was written is no whole MRC map, or the options do not fit it.
                Nothing is handed over then.
        """
        if self.closed:
            return
        try:
            self._file.close()
            data = compress_map(self._path, self._options)
        except BaseException:
            self._abandon()
            raise
        else:
            self._deliver(data)
        finally:
            self._folder.cleanup()
            super().close()

    def discard(self) -> None:
        """Close the stream without handing anything over."""
        if not self.closed:
            self._file.close()
            self._folder.cleanup()
            super().close()
            self._abandon()

    def __del__(self) -> None:
        # A stream that nobody closed was not finished: it must not appear as if it were.
        if hasattr(self, "_folder"):
            self.discard()


def compress_map(path: Path, options: MapOptions) -> bytes:
    """The ``.mrc.inr`` file of an uncompressed map.

    The payloads are those of :func:`inrcodec.maps.compress`. A target that is missed is a ``RuntimeWarning``.

    Raises:
        ValueError: the file is no whole MRC map of a supported mode, or holds more than one.
        TypeError, ModuleNotFoundError: as for :func:`inrcodec.maps.compress`.
    """
    from inrcodec import maps, mrc

    voxels = _check_map(path, options.permissive)
    if options.symmetry is not None and voxels > mrc_container.MAX_CHUNK_VOXELS:
        raise ValueError(
            f"symmetry {options.symmetry} needs the volume as one chunk: it has {voxels} voxels, a chunk of "
            f"a .mrc.inr file {mrc_container.MAX_CHUNK_VOXELS} at most"
        )
    with tempfile.TemporaryDirectory(prefix="inrcodec-") as folder:
        store = Path(folder) / "map.zarr"
        result = maps.compress(path, store, **options.arguments())
        if not result.met:
            warnings.warn(
                f"{result.target.kind} {result.target.value:g} is not met: SNR {result.quality.snr:.2f} dB, "
                f"largest error {result.quality.max_error:.6g}, ratio {result.sizes.ratio:.2f}",
                RuntimeWarning,
                stacklevel=3,
            )
        return from_store(store, mrc.open_volume(path, permissive=options.permissive))


def from_store(store: Path, volume: Any) -> bytes:
    """The ``.mrc.inr`` file with the payloads of a store that was made from a map.

    Args:
        store: directory of an OME-Zarr group as :func:`inrcodec.maps.compress` makes it.
        volume: the :class:`inrcodec.mrc.MRCVolume` it was made from; its headers are kept.
    """
    from inrcodec import store as stores

    array, _ = stores.open_store(store)
    places = np.ndindex(*mrc_container.grid_of(array.shape, array.chunks))
    files = [store / stores.LEVEL / array.metadata.encode_chunk_key(place) for place in places]
    return mrc_container.pack(
        volume.header,
        volume.extended_header,
        stores.settings_of(array),
        array.shape,
        volume.data.dtype,
        array.chunks,
        [file.read_bytes() if file.exists() else b"" for file in files],  # zarr stores no chunk of zeros
    )


def _check_map(path: Path, permissive: bool) -> int:
    """Refuse what would not come back byte for byte: no map, a compressed one, one with bytes behind it.

    Returns:
        Its number of voxels.
    """
    from inrcodec import mrc

    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(mrc_container.MRC_HEADER_BYTES)
    if start[:2] in (b"\x1f\x8b", b"BZ") and start[208:212] != b"MAP ":
        raise ValueError(f"{_CONTENT}; this is compressed already (starts with {start[:4]!r})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a length that is an error here
            volume = mrc.open_volume(path, permissive=permissive)
    except ValueError as error:
        raise ValueError(f"{_CONTENT}: {str(error).replace(str(path), 'the stream')}") from error
    extra = size - len(volume.header) - len(volume.extended_header) - volume.data.nbytes
    if extra:
        raise ValueError(f"{_CONTENT}; there are {extra} bytes behind the densities, which would be lost")
    return int(volume.data.size)
