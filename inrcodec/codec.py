"""The numcodecs codec: zarr format 2, and anything else that speaks numcodecs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_contiguous_ndarray, ndarray_copy

from inrcodec.config import (
    check_chunk,
    parse_device,
    parse_settings,
    settings_from_config,
    settings_repr,
    settings_to_config,
)
from inrcodec.core import PayloadError, Settings, VolumeModel, decode_many, encode_many, fit, inspect

if TYPE_CHECKING:
    from inrcodec.zarr_v3 import INRSerializer

Array = np.ndarray[Any, Any]

_DEFAULT_CHUNK = 64  # voxels per axis, where neither the caller nor the array says


class INRCodec(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Stores each chunk of density as an implicit neural representation: weights, latents, occupancy.

    Lossy, to exactly one stated quality target. Without any, ``snr=30.0`` holds.

    Args:
        snr: signal-to-noise ratio in dB: variance of the represented voxels over mean squared error, per
            chunk. Default 30.0.
        max_error: largest error of any voxel, in density units, after the cast to the chunk's dtype.
        ratio: original bytes over payload bytes, per chunk.
        threshold: densities at or below it are not represented and decode to 0; None represents every voxel.
        effort: 0 to 9. 0 is feed-forward with the built-in prior and needs no PyTorch, 3 trains networks for
            every chunk in about a second per 64^3 voxels, 9 is the best the codec can do.
        device: where encoding runs: ``"auto"`` (CUDA where PyTorch finds it), ``"cpu"``, ``"cuda"``,
            ``"cuda:N"``. A runtime setting: it is not stored with the array.
        decode_device: where decoding runs: ``"numpy"``, or ``"cpu"``, ``"cuda"``, ``"cuda:N"`` for PyTorch.
            The voxels are the same on all. Not stored either.
        block: block length of the local-Fourier field in voxels, 4 to 64; None chooses per chunk.
        volume: the networks and the quantiser step of a whole volume; comes from :meth:`fit`.

    Raises:
        ValueError: two targets at once, or a value out of its range.
        TypeError: an argument is not a number.

    Chunks are arrays of 1 to 4 dimensions of float16, float32, float64, int8, uint8, int16 or uint16, in
    either byte order, and come back in their own dtype; integers are rounded and clipped to their range. NaN
    and infinities come back exactly. The target holds for each chunk; with :meth:`fit` the quantiser step is
    fixed for the whole volume, so that background is not coded at the fidelity of the particle.

    A chunk comes back in the memory order it was given in, C or Fortran (``order="F"`` arrays of zarr format
    2).

    Writing a part of a chunk makes zarr decode the whole chunk, change it, and encode it again, which trains
    it again and loses a little more: write whole chunks. Codecs may be shared between threads.

    Example:
        >>> import numpy as np
        >>> codec = INRCodec(max_error=0.05, effort=0)
        >>> chunk = np.random.default_rng(0).normal(size=(16, 16, 16)).astype("f4")
        >>> decoded = codec.decode(codec.encode(chunk))
        >>> bool(np.abs(decoded - chunk).max() <= 0.05)
        True
    """

    codec_id = "inr"

    def __init__(
        self,
        snr: float | None = None,
        *,
        max_error: float | None = None,
        ratio: float | None = None,
        threshold: float | None = None,
        effort: int = 3,
        device: str = "auto",
        decode_device: str = "numpy",
        block: int | None = None,
        volume: VolumeModel | Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = parse_settings(snr, max_error, ratio, threshold, effort, block, volume)
        self._device = parse_device("device", device, "auto")
        self._decode_device = parse_device("decode_device", decode_device, "numpy")

    @property
    def settings(self) -> Settings:
        """What is asked of the encoder."""
        return self._settings

    @property
    def volume(self) -> VolumeModel | None:
        """The volume's shared networks (volume scope), or None (chunk scope)."""
        return self._settings.volume

    def encode(self, buf: Any) -> bytes:
        """Encode one chunk.

        Args:
            buf: array with a shape, 1 to 4 dimensions, any strides.

        Raises:
            TypeError: raw bytes, or a dtype that is not supported (its name is in the message).
            ValueError: no voxels, or no or too many dimensions.
        """
        return encode_many([_as_chunk(buf)], self._settings, device=self._device)[0]

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode one payload.

        Args:
            buf: the payload, bytes-like.
            out: writeable buffer of exactly the chunk's bytes; filled and returned when given.

        Returns:
            The chunk, in its own shape, dtype, byte order and memory order.

        Raises:
            PayloadError: the payload is damaged, is not of this codec's volume, or does not fill ``out``.
        """
        payload = ensure_bytes(buf)
        if out is not None:
            _check_out(payload, out)
        chunk = decode_many([payload], volume=self.volume, device=self._decode_device)[0]
        return ndarray_copy(chunk, out)

    @classmethod
    def fit(
        cls,
        volume: Any,
        snr: float | None = None,
        *,
        chunks: int | Sequence[int] | None = None,
        progress: Callable[[float], None] | None = None,
        **settings: Any,
    ) -> INRCodec:
        """Train the networks once for a whole volume and fix its quantiser step.

        Chunks written with the returned codec carry latents and occupancy only; the networks are in the
        codec's configuration (at most 4 kB of JSON), so in the array's metadata.

        Args:
            volume: NumPy array, zarr array, or path of an MRC file. Read by slices, not modified.
            snr: as for the class, and relative to the variance of the whole volume.
            chunks: shape of the chunks to be written, or one length for every axis. Default: the chunks of
                a zarr array, otherwise 64 per axis.
            progress: called with the fraction done, 0 to 1.
            **settings: the other arguments of the class.

        Raises:
            TypeError, ValueError: as for the class and :meth:`encode`; ``chunks`` does not fit the volume.
        """
        if "volume" in settings:
            raise TypeError("the volume to fit is given once, as the first argument")
        unfitted = cls(snr, **settings)
        source = _open_volume(volume)
        chunk_shape = _chunk_shape(source, chunks)
        check_chunk(chunk_shape, np.dtype(source.dtype))
        model = fit(source, unfitted._settings, chunk_shape, device=unfitted._device, progress=progress)
        return cls(snr, **{**settings, "volume": model})

    def serializer(self) -> INRSerializer:
        """The zarr v3 codec with the same settings; it writes the same payload bytes.

        Raises:
            ImportError: zarr 3 is not installed.
        """
        from inrcodec.zarr_v3 import INRSerializer

        return INRSerializer.from_settings(
            self._settings, device=self._device, decode_device=self._decode_device
        )

    def get_config(self) -> dict[str, Any]:
        """Plain JSON; ``INRCodec.from_config`` of it is equal to the codec."""
        return {"id": self.codec_id, **settings_to_config(self._settings)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> INRCodec:
        """The codec of a stored configuration.

        Raises:
            ValueError: a key is unknown.
        """
        codec = cls()
        codec._settings = settings_from_config({key: config[key] for key in config if key != "id"})
        return codec

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_repr(self._settings)})"


def _as_chunk(buf: Any) -> Array:
    """The array that ``buf`` is; whatever has lost its shape or has an unsupported dtype is refused."""
    if not hasattr(buf, "__array__"):
        raise TypeError(
            f"INRCodec needs an array with a shape, got {type(buf).__name__}; it must come before any codec "
            "that turns the chunk into bytes"
        )
    chunk = np.asarray(buf)
    check_chunk(chunk.shape, chunk.dtype)
    return chunk


def _check_out(payload: bytes, out: Any) -> None:
    info = inspect(payload)
    needed = int(np.prod(info.shape, dtype=np.int64)) * info.dtype.itemsize
    given = ensure_contiguous_ndarray(out).nbytes
    if needed != given:
        raise PayloadError(
            f"payload of shape {info.shape} {info.dtype} needs {needed} bytes, out has {given}"
        )


def _open_volume(volume: Any) -> Any:
    """Something with ``shape``, ``dtype`` and NumPy slicing."""
    if isinstance(volume, str | os.PathLike):
        from inrcodec import mrc

        return mrc.open_volume(volume).data
    if not (hasattr(volume, "shape") and hasattr(volume, "dtype") and hasattr(volume, "__getitem__")):
        raise TypeError(f"volume must be an array or the path of an MRC file, got {type(volume).__name__}")
    return volume


def _chunk_shape(volume: Any, chunks: int | Sequence[int] | None) -> tuple[int, ...]:
    """Chunk shape for a volume, clipped to it."""
    shape = tuple(int(n) for n in volume.shape)
    if chunks is None:
        chunks = getattr(volume, "chunks", None) or _DEFAULT_CHUNK
    lengths = (chunks,) * len(shape) if isinstance(chunks, int | np.integer) else tuple(chunks)
    if len(lengths) != len(shape) or any(length < 1 for length in lengths):
        raise ValueError(f"chunks {chunks} do not fit a volume of shape {shape}")
    return tuple(min(int(length), n) for length, n in zip(lengths, shape, strict=True))
