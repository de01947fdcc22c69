"""The client data of the HDF5 filter: what HDF5 stores with a dataset and hands to the filter each time.

A filter sees nothing else of its dataset, no shape and no attribute, so all that chunks need to be coded and
decoded is here: the settings as JSON, the chunk's shape and dtype, and in volume scope the networks. They are
unsigned 32-bit words, described in ``docs/hdf5.md``.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from inrcodec.config import settings_from_config, settings_to_config
from inrcodec.core import PayloadError, Settings, VolumeModel
from inrcodec.core.payload import MAX_NDIM, dtype_code, dtype_from_code

FILTER_ID = 38274
"""The filter's number: 32768 to 65535 is what HDF5 leaves to filters that are not registered with it."""

MAGIC = (0x43524E49, 0x4345444F)  # "INRC", "ODEC"
VERSION = 1
_COUNTS = 3  # lengths in bytes of JSON, weights and shells: the last is nodes + 256 * limits at the ends
_VOLUME = 4  # number of the prior, block length (0: chunk scope), step in two words
_CHUNK = 2 + MAX_NDIM  # dtype, number of axes, shape
HEADER = len(MAGIC) + 3 + _COUNTS + _VOLUME + _CHUNK  # words
_MOST = 2**14  # words: HDF5 stores at most 64 KiB of them
_MOST_OPTIONS = 256  # words: HDF5 hands out no more, and h5py creates no dataset with more
_REFERENCE = 0  # in the place of the version: the client data are in this process, under a number
_CHECKSUM = 4  # its place

_referred: dict[int, ClientData] = {}


@dataclass(frozen=True)
class ClientData:
    """What the filter knows of its dataset.

    Attributes:
        settings: how chunks are encoded, and in volume scope the networks.
        shape: of a chunk, in voxels; empty until HDF5 has created the dataset.
        dtype: of a chunk, with its byte order; None until then.
    """

    settings: Settings
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None

    def to_words(self) -> tuple[int, ...]:
        """Unsigned 32-bit words, as HDF5 stores them."""
        config = settings_to_config(self.settings)
        volume = self.settings.volume
        weights = shells = ends = b""
        if volume is not None:
            # as bytes: a native decoder reads no JSON and no base64, and they are a quarter shorter
            weights = volume.weights if volume.changed else b""
            if volume.shells is not None:
                shells, ends = volume.shells.exponents, volume.shells.ends
            for key in ("weights", "shells", "shell_ends"):
                config["volume"].pop(key, None)
        text = json.dumps(config, separators=(",", ":")).encode("ascii")
        body = text + weights + shells + ends
        body += bytes(-len(body) % 4)
        code = 0 if self.dtype is None else dtype_code(self.dtype)
        shape = self.shape + (0,) * (MAX_NDIM - len(self.shape))
        lengths = (len(text), len(weights), len(shells) + 256 * len(ends))
        rest = (*lengths, *_shared(volume), code, len(self.shape), *shape)
        rest += struct.unpack(f"<{len(body) // 4}I", body)
        total = len(MAGIC) + 3 + len(rest)
        if total > _MOST:
            raise ValueError(f"client data of {total} words, HDF5 stores at most {_MOST}")
        return (*MAGIC, VERSION, total, _checksum(rest), *rest)

    def to_options(self) -> tuple[int, ...]:
        """Words to create a dataset with: the client data, or a reference where they are too long.

        The filter puts the client data in the place of the reference when the dataset is created.
        """
        words = self.to_words()
        if len(words) <= _MOST_OPTIONS:
            return words
        _referred[words[_CHECKSUM]] = self
        return (*MAGIC, _REFERENCE, _CHECKSUM + 1, words[_CHECKSUM])


@lru_cache(maxsize=16)
def parse(words: tuple[int, ...]) -> ClientData:
    """The inverse of :meth:`ClientData.to_words`; without words, the settings of ``INRFilter()``.

    Raises:
        ValueError: the words are not ours, damaged, or of another version; what they hold makes no sense.
    """
    if not words:
        return ClientData(settings_from_config({}))
    if words[:3] == (*MAGIC, _REFERENCE):
        if words[-1] not in _referred:
            raise ValueError(f"client data refer to networks {words[-1]:08x} of another process")
        return _referred[words[-1]]
    if len(words) < HEADER or words[:2] != MAGIC:
        raise ValueError(f"client data of {len(words)} words are not those of the inrcodec filter")
    version, total, checksum = words[2:5]
    if version != VERSION:
        raise ValueError(f"client data of version {version}, this release reads version {VERSION}")
    if total != len(words) or checksum != _checksum(words[5:]):
        raise ValueError(f"client data of the inrcodec filter are damaged: {len(words)} words, not {total}")
    length, weights, both, prior, block, *step, code, ndim = words[5 : HEADER - MAX_NDIM]
    ends, shells = divmod(both, 256)
    shape = words[HEADER - MAX_NDIM : HEADER]
    body = struct.pack(f"<{len(words) - HEADER}I", *words[HEADER:])
    claimed = (length, weights, shells, ends)
    if sum(claimed) > len(body) or ndim > MAX_NDIM:
        raise ValueError(f"client data claim {claimed} bytes, they have {len(body)}")
    try:
        config = json.loads(body[:length])
        if weights:
            config["volume"]["weights"] = _base64(body[length : length + weights])
        if shells:
            config["volume"]["shells"] = _base64(body[length + weights :][:shells])
        if ends:
            config["volume"]["shell_ends"] = _base64(body[length + weights + shells :][:ends])
        settings = settings_from_config(config)
        if (prior, block, *step) != _shared(settings.volume):
            raise ValueError(f"words {prior}, {block} and {step} beside {settings.volume}")
        dtype = dtype_from_code(code) if ndim else None
    except (LookupError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ValueError(f"client data of the inrcodec filter make no sense: {error!r}") from error
    return ClientData(settings, tuple(shape[:ndim]), dtype)


def find(encoded: bytes) -> ClientData | None:
    """The client data inside an encoded list of dataset creation properties, or None.

    HDF5 hands out at most 256 words of client data, of which networks may need more, but encodes all.
    """
    start = encoded.find(struct.pack("<2I", *MAGIC))
    if start < 0:
        return None
    if start + 4 * (_CHECKSUM + 1) > len(encoded):
        raise ValueError("client data of the inrcodec filter are cut short")
    (total,) = struct.unpack_from("<I", encoded, start + 12)
    if not _CHECKSUM < total <= (len(encoded) - start) // 4:
        raise ValueError(f"client data of the inrcodec filter claim {total} words")
    return parse(struct.unpack_from(f"<{total}I", encoded, start))


def check_payload(data: ClientData, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse a payload of another chunk than the dataset's: HDF5 trusts a filter's length.

    Its byte order may be another: zarr format 3 has none, and payloads are copied from there.
    """
    if (
        data.dtype is None
        or tuple(shape) != data.shape
        or dtype.newbyteorder("=") != data.dtype.newbyteorder("=")
    ):
        raise PayloadError(
            f"payload holds {tuple(shape)} {dtype.str}, the dataset's chunk is {data.shape} "
            f"{None if data.dtype is None else data.dtype.str}"
        )


def _shared(volume: VolumeModel | None) -> tuple[int, ...]:
    """What a native decoder needs of a volume, and would have to find in JSON: prior, block, step."""
    values = (0, 0, 0.0) if volume is None else (volume.prior, volume.block, volume.step)
    return struct.unpack("<4I", struct.pack("<IId", *values))


def _checksum(words: Sequence[int]) -> int:
    return zlib.crc32(struct.pack(f"<{len(words)}I", *words))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
