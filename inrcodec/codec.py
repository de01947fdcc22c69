"""The numcodecs codec: zarr format 2, and anything else that speaks numcodecs."""

from __future__ import annotations

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
from inrcodec.core import PayloadError, Settings, VolumeModel, decode_many, encode_many, inspect
from inrcodec.core.choices import Choices

if TYPE_CHECKING:
    from inrcodec.zarr_v3 import INRSerializer

Array = np.ndarray[Any, Any]


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
        fsc: Fourier shell correlation with the original in every shell up to a resolution. A target of a
            volume: codecs with it come from :meth:`fit`.
        field: ``"local-fourier"``, or ``"mlp"``: the coordinate network of the seed paper (arXiv:2512.12975),
            for comparison. It trains one network for each chunk and has no quality target: any of ``snr``,
            ``max_error``, ``ratio`` and ``fsc`` is an error, and so are ``effort``, ``block`` and ``volume``.
            Its ``threshold`` is 0 unless given, so negative densities are dropped: they decode to 0.
        network: of the ``mlp`` field only: a mapping with any of the attributes of
            :class:`inrcodec.core.mlp.network.NetworkSettings` (widths, layers, frequencies, identifier,
            residual, loss, steps, batch, learning_rate, ...). What is not given is the paper's; but without
            a GPU the hidden widths are 128, 64, 32, 16, which is logged as a warning, and shown by
            ``inrcodec info``.
        weight_bits: of the ``mlp`` field only: 32 (default), 16 or 8 bits that a weight is stored with.

    Raises:
        ValueError: two targets at once, a value out of its range, ``fsc`` without a fitted volume, or an
            argument that does not belong to the field.
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
        fsc: float | None = None,
        field: str = "local-fourier",
        network: Mapping[str, Any] | None = None,
        weight_bits: int | None = None,
    ) -> None:
        self._settings = parse_settings(
            snr, max_error, ratio, threshold, effort, block, volume, fsc, field, network, weight_bits
        )
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

    @property
    def choices(self) -> Choices | None:
        """What :meth:`fit` measured and chose, and why; None for codecs from elsewhere.

        Not part of the configuration: ``codec.choices.lines`` says it in words.
        """
        return None if self.volume is None else self.volume.choices

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
        symmetry: str | None = None,
        resolution: float | None = None,
        voxel_size: float | Sequence[float] | None = None,
        padded: bool = True,
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
            symmetry: store the asymmetric unit once: ``"auto"`` looks for a point group, ``"C7"``, ``"D2"``,
                ``"T"``, ``"O"``, ``"I"`` or ``"helical:RISE,TWIST[,Cn]"`` (angstrom, degrees) names it, None
                does without (conventions: :mod:`inrcodec.core.symmetry.groups`). It is used only where it
                saves bytes; ``codec.volume.symmetry`` is not None then, and the volume has to be written as
                one chunk, of shape ``codec.volume.symmetry.shape``: encoding any other is an error. With
                ``"auto"``, ``chunks`` are for the volume without symmetry. ``codec.choices["symmetry"]`` says
                what was found. Holds the volume in memory.
            resolution: angstrom, with ``fsc`` only: the target holds in all Fourier shells (one Fourier
                voxel wide, without the zero frequency) up to it, and nothing is spent beyond. None estimates
                it from the volume's spectrum (:func:`inrcodec.fourier_shell.estimate_resolution`);
                ``codec.volume.resolution`` says what it is.
            voxel_size: angstrom per voxel, one or one per axis, with ``fsc`` or a helix only. None is that of
                the MRC file; for an array, 1, so that resolutions and rises are in voxels.
            padded: whether chunks at the far ends will be padded with zeros to the full shape, as zarr and
                HDF5 pad them where the ``fill_value`` is 0, or encoded as they are; only ``fsc`` needs to
                know.
            progress: called with the fraction done, 0 to 1.
            **settings: the other arguments of the class.

        With ``fsc`` the volume is held in memory, encoded, decoded and measured several times.

        Raises:
            TypeError, ValueError: as for the class and :meth:`encode`; ``chunks`` does not fit the volume;
                ``symmetry`` names none, or one for a volume that is not 3-D or in more than one chunk; with
                ``fsc``, a volume that is not 3-D, a resolution coarser than its first shell, or one given for
                an array without its voxel size.

        Example:
            >>> volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype("f4")
            >>> codec = INRCodec.fit(volume, fsc=0.9, resolution=4.0, voxel_size=1.0, effort=0)
            >>> codec.volume.resolution
            4.0
        """
        from inrcodec.volume_scope import fit_volume  # readers do without it

        if "volume" in settings:
            raise TypeError("the volume to fit is given once, as the first argument")
        if settings.get("field", "local-fourier") != "local-fourier":
            raise ValueError(
                f"field={settings['field']!r} has no volume scope: it trains a network for each chunk; "
                "inrcodec pack trains one for many files"
            )
        device = parse_device("device", settings.pop("device", "auto"), "auto")
        decode_device = settings.pop("decode_device", "numpy")
        wanted = parse_settings(snr, **settings, fitted=False)
        model = fit_volume(
            volume,
            wanted,
            chunks=chunks,
            symmetry=symmetry,
            resolution=resolution,
            voxel_size=voxel_size,
            padded=padded,
            device=device,
            progress=progress,
        )
        return cls(snr, **{**settings, "volume": model}, device=device, decode_device=decode_device)

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
