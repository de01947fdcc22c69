"""The zarr v3 codec: array to bytes, batched, with partial decoding."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inrcodec.config import (
    check_chunk,
    parse_device,
    parse_settings,
    settings_from_config,
    settings_repr,
    settings_to_config,
)
from inrcodec.core import (
    PayloadError,
    Settings,
    VolumeModel,
    decode_many,
    decode_region,
    encode_many,
    inspect,
)

try:
    from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
except ImportError as error:
    raise ImportError(
        "inrcodec.INRSerializer needs zarr 3 or newer; with zarr 2.18 write arrays of format 2 through "
        "zarr.open(..., compressor=inrcodec.INRCodec())"
    ) from error

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class INRSerializer(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):  # type: ignore[misc]  # zarr is untyped here
    """Stores each chunk of a zarr format 3 array as an implicit neural representation.

    The arguments, the dtypes and the payload bytes are those of :class:`inrcodec.INRCodec`, whose
    documentation is the manual; ``INRCodec(...).serializer()`` makes one from a codec.

    Use it with ``zarr.create_array(..., serializer=INRSerializer(), compressors=None)`` or
    ``zarr.open(..., codecs=[INRSerializer()])``, and as an inner codec of sharding. Without
    ``compressors=None`` zarr adds Zstandard, which gains nothing and loses partial decoding: reading a slice
    then decodes whole chunks.

    Chunks that zarr hands over together are trained and decoded together. zarr's default is one at a time;
    ``zarr.config.set({"codec_pipeline.batch_size": 64})`` before the array is opened hands over 64.

    Format 3 does not store a byte order: arrays come back in the byte order that zarr asks for.

    Attributes:
        settings: what is asked of the encoder; the stored configuration. ``field="mlp"`` with ``network`` and
            ``weight_bits`` is the seed paper's network, as for :class:`inrcodec.INRCodec`.
        device, decode_device: runtime settings, not stored and not compared.

    Raises:
        TypeError: the array's dtype is not supported; raised before the array is created.
        ValueError: chunks of none or more than four dimensions, two quality targets, a value out of range.
        PayloadError: reading a payload that is damaged, or that does not have the chunk's shape and dtype.
    """

    settings: Settings
    device: str = field(default="auto", compare=False)
    decode_device: str = field(default="numpy", compare=False)

    name = "inrcodec.inr"
    is_fixed_size = False

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
        self._set(
            parse_settings(
                snr, max_error, ratio, threshold, effort, block, volume, fsc, field, network, weight_bits
            ),
            device,
            decode_device,
        )

    def _set(self, settings: Settings, device: str, decode_device: str) -> None:
        object.__setattr__(self, "settings", settings)
        object.__setattr__(self, "device", parse_device("device", device, "auto"))
        object.__setattr__(self, "decode_device", parse_device("decode_device", decode_device, "numpy"))

    @classmethod
    def from_settings(
        cls, settings: Settings, *, device: str = "auto", decode_device: str = "numpy"
    ) -> INRSerializer:
        """The codec with settings that are parsed already."""
        codec = cls()
        codec._set(settings, device, decode_device)
        return codec

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> INRSerializer:
        """The codec of the array's metadata.

        Raises:
            ValueError: the name is another codec's, or a setting is unknown.
        """
        if data.get("name") != cls.name:
            raise ValueError(f"expected codec {cls.name!r}, got {data.get('name')!r}")
        return cls.from_settings(settings_from_config(data.get("configuration") or {}))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for the array's metadata."""
        return {"name": self.name, "configuration": settings_to_config(self.settings)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({settings_repr(self.settings)})"

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse an array that the format cannot hold, before its metadata is written."""
        # Sizes of chunks are checked when they are written: the grid's interface differs between releases.
        check_chunk((1,) * len(shape), _native_dtype(dtype))
        chunk_shape = getattr(chunk_grid, "chunk_shape", None)
        if self.settings.volume is not None and isinstance(chunk_shape, tuple):
            self.settings.volume.check_chunk(chunk_shape)

    def evolve_from_array_spec(self, array_spec: Any) -> INRSerializer:
        """Refuse an unsupported chunk: of a shape that :meth:`validate` is not told, or inside shards."""
        check_chunk(array_spec.shape, _native_dtype(array_spec.dtype))
        if self.settings.volume is not None:
            self.settings.volume.check_chunk(array_spec.shape)
        return self

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Payloads have no fixed size."""
        raise NotImplementedError

    async def encode(self, chunks_and_specs: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Encode a batch of chunks (``NDBuffer`` or None) into payloads (``Buffer`` or None)."""
        batch = list(chunks_and_specs)
        chunks = [buffer.as_numpy_array() for buffer, _ in batch if buffer is not None]
        payloads = iter(await asyncio.to_thread(self._encode, chunks))
        return [
            None if buffer is None else spec.prototype.buffer.from_bytes(next(payloads))
            for buffer, spec in batch
        ]

    async def decode(self, chunks_and_specs: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Decode a batch of payloads (``Buffer`` or None) into chunks (``NDBuffer`` or None)."""
        return await self._decode_batch([(buffer, spec, None) for buffer, spec in chunks_and_specs])

    async def decode_partial(self, batch_info: Iterable[tuple[Any, Any, Any]]) -> list[Any]:
        """Decode what is selected of a batch of chunks, evaluating only the blocks it touches."""
        batch = list(batch_info)
        buffers = await asyncio.gather(*(getter.get(prototype=spec.prototype) for getter, _, spec in batch))
        return await self._decode_batch(
            [(buffer, spec, selection) for buffer, (_, selection, spec) in zip(buffers, batch, strict=True)]
        )

    def _encode(self, chunks: list[Array]) -> list[bytes]:
        """Encode chunks of any strides."""
        for chunk in chunks:
            check_chunk(chunk.shape, chunk.dtype)
        ordered = [np.ascontiguousarray(chunk) for chunk in chunks]
        return encode_many(ordered, self.settings, device=self.device) if ordered else []

    async def _decode_batch(self, batch: list[tuple[Any, Any, Any]]) -> list[Any]:
        """Decode (payload or None, spec, selection or None for all) triples."""
        wanted = [
            (buffer.to_bytes(), spec.shape, _native_dtype(spec.dtype), selection)
            for buffer, spec, selection in batch
            if buffer is not None
        ]
        arrays = iter(await asyncio.to_thread(self._decode, wanted))
        return [
            None if buffer is None else spec.prototype.nd_buffer.from_numpy_array(next(arrays))
            for buffer, spec, _ in batch
        ]

    def _decode(self, batch: list[tuple[bytes, tuple[int, ...], np.dtype[Any], Any]]) -> list[Array]:
        """Decode whole chunks together, and the others region by region."""
        for payload, shape, dtype, _ in batch:
            _check_payload(payload, shape, dtype)
        regions = [_region(selection, shape) for _, shape, _, selection in batch]
        whole = [item[0] for item, region in zip(batch, regions, strict=True) if region is None]
        volume = self.settings.volume
        decoded = iter(decode_many(whole, volume=volume, device=self.decode_device) if whole else [])
        out = []
        for (payload, _, dtype, selection), region in zip(batch, regions, strict=True):
            if region is None:
                array = next(decoded)
                array = array if selection is None else array[selection]
            else:
                box, rest = region
                array = decode_region(payload, box, volume=volume)[rest]
            out.append(np.asarray(array).astype(dtype, copy=False))
        return out


def _native_dtype(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype of zarr's: zarr 3.0 hands NumPy's own, later releases wrap it."""
    native: np.dtype[Any] = dtype.to_native_dtype() if hasattr(dtype, "to_native_dtype") else np.dtype(dtype)
    return native


def _check_payload(payload: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """A payload that claims another chunk than the array has is refused before any of it is decoded."""
    info = inspect(payload)
    if info.shape != tuple(shape) or info.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise PayloadError(f"payload holds {info.shape} {info.dtype}, the array's chunk is {shape} {dtype}")


def _region(selection: Any, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[Any, ...]] | None:
    """Split a selection into a box to decode and what to select of that box; None decodes everything.

    Integers and integer arrays become the box around them, so a few neighbouring voxels decode a few blocks.
    A box of more than half of the chunk is not worth cutting out.
    """
    if selection is None:
        return None
    parts = selection if isinstance(selection, tuple) else (selection,)
    if len(parts) != len(shape):
        return None
    box: list[slice] = []
    rest: list[Any] = []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            span = range(*part.indices(n))
            if not span or span.step < 0:
                return None
            box.append(slice(span.start, span.stop, span.step))
            rest.append(slice(None))
        else:
            index = np.asarray(part)
            if index.dtype.kind not in "iu" or index.size == 0 or index.min() < 0 or index.max() >= n:
                return None
            low = int(index.min())
            box.append(slice(low, int(index.max()) + 1))
            rest.append(index - low if index.ndim else int(index) - low)
    # The blocks that half of a chunk touches are most of its blocks, and whole chunks decode in one batch.
    if 2 * math.prod(cut.stop - cut.start for cut in box) > math.prod(shape):
        return None
    return tuple(box), tuple(rest)
