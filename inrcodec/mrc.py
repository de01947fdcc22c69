"""MRC/CCP4 maps in and out, headers kept byte for byte.

Format: Cheng et al. 2015, "MRC2014: Extensions to the MRC format header for electron cryo-microscopy and
tomography", J. Struct. Biol. 192, 146-150. Files are told by their content, so ``.mrc``, ``.map``, ``.ccp4``,
``.rec``, ``.st`` and gzip or bzip2 of them are all read alike. Needs the ``mrc`` extra.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import byte_order_from_machine_stamp, data_shape_from_header

from inrcodec.replacing import replacing

Array = np.ndarray[Any, Any]

HEADER_BYTES = 1024
MODES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16"}
_OTHER_MODES = {3: "complex int16", 4: "complex float32", 16: "RGB", 101: "4-bit integers"}


@dataclass(frozen=True, eq=False)
class MRCVolume:
    """A map as its file holds it.

    Attributes:
        data: densities, ``(sections, rows, columns)``; one axis fewer for a single image, one more, in
            front, for a stack of volumes. In the file's dtype and byte order.
        header: the 1024 bytes of the main header.
        extended_header: the bytes between main header and densities; may be empty.
        axes: name of each axis of ``data``, by the header's MAPS, MAPR and MAPC: usually ``("z", "y", "x")``.
        voxel_size: angstrom, one value per spatial axis of ``data``, in array order; 0 where the header has
            none.
        origin: angstrom, position of the first voxel, likewise: the ORIGIN words where any is set, else the
            grid's start times the voxel size.
    """

    data: Array
    header: bytes
    extended_header: bytes
    axes: tuple[str, ...]
    voxel_size: tuple[float, ...]
    origin: tuple[float, ...]


def open_volume(path: str | os.PathLike[str], *, permissive: bool = False) -> MRCVolume:
    """Read a map; an uncompressed one is mapped into memory, not read.

    Args:
        path: MRC or CCP4 file, as it is or compressed with gzip or bzip2.
        permissive: read files that break the standard (no ``MAP`` mark, wrong machine stamp or length) as
            far as they make sense, with a warning for each breach.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a whole MRC file, or of a mode that is not supported (complex, RGB, 4-bit).
    """
    path = Path(path)
    compression = _compression_of(path)
    try:
        with _open(path, "rb", compression) as file:
            header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            raise ValueError(f"{path} is not an MRC file: its header ends after {len(header)} bytes")
        parse = parse_header(header)
        # A file that is no map has any number there: leave it to mrcfile to say so.
        if permissive or bytes(parse["map"])[:3] == b"MAP":
            _dtype(parse)
        reader = mrcfile.open if compression else mrcfile.mmap
        with reader(path, permissive=permissive) as mrc:
            data, extension = mrc.data, mrc.extended_header
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    except (ValueError, OverflowError) as error:  # the latter from a memory map of a negative length
        prefix = "" if str(path) in str(error) else f"{path}: "
        hint = "" if permissive else " (permissive reading may help)"
        raise ValueError(f"{prefix}{error}{hint}") from error
    if data is None or data.size == 0:
        raise ValueError(f"{path} holds no densities")
    extended_header = b"" if extension is None else extension.tobytes()
    axes, voxel_size, origin = _geometry(parse, data.ndim)
    return MRCVolume(data, header, extended_header, axes, voxel_size, origin)


def write_mrc(path: str | os.PathLike[str], data: Array, header: bytes, extended_header: bytes = b"") -> None:
    """Write a map whose headers are given as bytes; they are written as they are.

    A name ending in ``.gz`` or ``.bz2`` is compressed. The file appears under its name when it is complete.

    Args:
        path: the file; replaced when it exists.
        data: densities; their shape must be the header's and their dtype its mode's, in any byte order.
        header: 1024 bytes; they also say in which byte order the densities are written.
        extended_header: as many bytes as the header says.

    Raises:
        ValueError: the header does not describe the data.
    """
    path = Path(path)
    if len(header) != HEADER_BYTES:
        raise ValueError(f"an MRC header has {HEADER_BYTES} bytes, got {len(header)}")
    parsed = parse_header(header)
    dtype, shape = _dtype(parsed), data_shape_from_header(parsed)
    if data.shape != shape or data.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise ValueError(f"header describes {shape} {dtype}, the data are {data.shape} {data.dtype}")
    if len(extended_header) != max(0, int(parsed["nsymbt"])):
        raise ValueError(
            f"header announces {parsed['nsymbt']} bytes of extended header, got {len(extended_header)}"
        )
    compression = {".gz": "gzip", ".bz2": "bzip2"}.get(path.suffix.lower())
    with replacing(path) as partial, _open(partial, "wb", compression) as file:
        file.write(header)
        file.write(extended_header)
        file.write(np.ascontiguousarray(data, dtype=dtype).data)


def packed_header(header: bytes) -> str:
    """Header bytes as JSON can hold them; headers are mostly zeros and blanks."""
    return base64.b64encode(zlib.compress(header, 9)).decode("ascii")


def unpacked_header(text: str) -> bytes:
    """The inverse of :func:`packed_header`.

    Raises:
        ValueError: the text is none of its results.
    """
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"the stored MRC header is damaged: {error}") from error


def parse_header(header: bytes) -> Any:
    """The 1024 header bytes as a NumPy record in the file's byte order (field names as in mrcfile).

    The machine stamp says the order; where it is wrong or contradicts the mode, the order that gives a known
    mode is taken.
    """
    record = np.frombuffer(header, dtype=HEADER_DTYPE)[0]
    try:
        order = byte_order_from_machine_stamp(record["machst"])
    except ValueError:
        order = "<"
    for candidate in (order, "<" if order == ">" else ">"):
        parsed = np.frombuffer(header, dtype=HEADER_DTYPE.newbyteorder(candidate)).view(np.recarray)[0]
        if int(parsed["mode"]) in MODES.keys() | _OTHER_MODES.keys():
            return parsed
    return np.frombuffer(header, dtype=HEADER_DTYPE.newbyteorder(order)).view(np.recarray)[0]


def _dtype(parsed: Any) -> np.dtype[Any]:
    """The dtype of the densities, byte order included."""
    mode = int(parsed["mode"])
    if mode not in MODES:
        what = f" ({_OTHER_MODES[mode]})" if mode in _OTHER_MODES else ""
        supported = ", ".join(f"{m} ({name})" for m, name in MODES.items())
        raise ValueError(f"MRC mode {mode}{what} is not supported; supported are {supported}")
    order = parsed.dtype["mode"].byteorder
    return np.dtype(MODES[mode]).newbyteorder(order)


def _geometry(parsed: Any, ndim: int) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """Names, voxel sizes and origins of the axes of an array of ``ndim`` axes, in array order."""
    order = [int(parsed[word]) for word in ("maps", "mapr", "mapc")]
    if sorted(order) != [1, 2, 3]:
        order = [3, 2, 1]  # old files leave the words empty
    spatial = ["xyz"[i - 1] for i in order]
    size = {a: _decimal(parsed["cella"][a]) / n if (n := int(parsed[f"m{a}"])) > 0 else 0.0 for a in "xyz"}
    size = {a: _decimal(d) if np.isfinite(d) and d > 0 else 0.0 for a, d in size.items()}
    origin = {a: _decimal(parsed["origin"][a]) for a in "xyz"}
    if not any(origin.values()) or not np.all(np.isfinite(list(origin.values()))):
        # NXSTART to NZSTART count along columns, rows and sections, not along x, y and z.
        starts = dict(zip(spatial, (int(parsed[f"n{a}start"]) for a in "zyx"), strict=True))
        origin = {a: _decimal(starts[a] * size[a]) for a in "xyz"}
    kept = spatial[max(0, 3 - ndim) :]
    names = (*(["volume"] if ndim == 4 else []), *kept)
    return names, tuple(size[a] for a in kept), tuple(origin[a] for a in kept)


def _decimal(value: float) -> float:
    """The number to the seven digits that a header's float32 holds: 1.05, not 1.0499999523."""
    return float(f"{float(value):.7g}")


def _compression_of(path: Path) -> str | None:
    """gzip, bzip2 or none, as mrcfile tells them: by the first bytes, unless the map mark is there."""
    with open(path, "rb") as file:
        start = file.read(212)
    if start[208:212] == b"MAP ":
        return None
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    return "bzip2" if start[:2] == b"BZ" else None


def _open(path: Path, mode: str, compression: str | None) -> IO[bytes]:
    if compression == "gzip":
        return gzip.open(path, mode)  # type: ignore[return-value]
    if compression == "bzip2":
        return bz2.open(path, mode)  # type: ignore[return-value]
    return open(path, mode)
