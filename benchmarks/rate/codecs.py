"""The peers: what turns their knob, and over which values it goes.

Knobs, chosen so that they mean the same on every map and a larger index gives more quality:

=========  ==================================================================================================
mode       knob
=========  ==================================================================================================
psnr       dB of the volume's variance over the squared error asked for; each chunk is asked for the same
           squared error (SPERR takes a ratio to the peak, which would differ from chunk to chunk)
rate       bits per voxel
max_error  largest error, in standard deviations of the volume
bits       EMAN2: bits of the integers that the volume's range is divided into
round      mantissa bits kept (to nearest) before lossless compression
lossless   nothing; the knob is 0, and integers are compressed as the integers they are
features   Fourier features of the network, one network per chunk
=========  ==================================================================================================
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hdf5plugin
import numpy as np

from benchmarks import peers
from benchmarks.rate.quality import Reference
from benchmarks.rate.written import Written, through_bytes, through_hdf5

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scale:
    """The values of a knob: ``knob(i)`` for whole numbers ``least`` to ``most``, starting at ``first``."""

    knob: Callable[[int], float]
    first: int = 0
    least: int = 0
    most: int = 0


Write = Callable[[Reference, int, float, Path], Written]
"""``(reference, chunk, knob, folder)``: write the reference's volume and read it back."""


@dataclass(frozen=True)
class Codec:
    """A codec with its modes: for each the scale of its knob and what writes.

    ``package`` and ``module`` name where it comes from; ``max_error`` is the mode with a bound on the error;
    ``search`` the mode whose knob is searched for a least Fourier shell correlation. An ``optional`` codec
    takes part only when it is asked for by name.
    """

    package: str
    module: str
    modes: dict[str, tuple[Scale, Write]]
    search: str | None = None
    optional: bool = False

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    @property
    def version(self) -> str:
        return f"{self.package} {importlib.metadata.version(self.package)}"


DECIBEL = Scale(lambda i: 10.0 + 4.0 * i, 0, -6, 12)
RATE = Scale(lambda i: float(f"{0.06 * 1.6**i:.4g}"), 0, -3, 13)
BOUND = Scale(lambda i: float(f"{10 ** (-(6.0 + 4.0 * i) / 20):.4g}"), 0, -3, 12)
HALVES = Scale(lambda i: float(f"{2.0 ** (2 - i):.6g}"), 0, -2, 12)  # ZFP rounds down to powers of two
ONCE = Scale(lambda i: 0.0)


def voxels(reference: Reference) -> Array:
    """What lossy peers are given: float32 (float64 stays)."""
    return peers.as_float(reference.data)


def _psnr(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
    rms = reference.unit * 10 ** (-knob / 20)

    def pack(part: Array) -> tuple[Array, Any]:
        peak = float(np.ptp(part)) or reference.unit
        return part, peers.sperr(peak_signal_to_noise_ratio=max(0.1, 20 * math.log10(peak / rms)))

    return through_hdf5(voxels(reference), chunk, folder, pack, None)


def _rate(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
    options = peers.sperr(rate=knob)
    return through_hdf5(voxels(reference), chunk, folder, lambda part: (part, options), None)


def _bound(name: str) -> Write:
    def write(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
        make = peers.CODECS[name].bound
        assert make is not None
        options = make(knob * reference.unit)
        return through_hdf5(voxels(reference), chunk, folder, lambda part: (part, options), None)

    return write


def _lossless(options: Any) -> Write:
    def write(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
        return through_hdf5(reference.data, chunk, folder, lambda part: (part, options), None)

    return write


def _round(options: Any) -> Write:
    def write(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
        def pack(part: Array) -> tuple[Array, Any]:
            return peers.round_bits(part, int(knob)), options

        return through_hdf5(voxels(reference), chunk, folder, pack, None)

    return write


def _eman2(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
    """Bit truncation as EMAN2 stores HDF5 (Ludtke et al. 2022, "Compression of cryo-EM data").

    The range of the whole volume becomes ``2**bits`` equal integers, rounded to nearest, in 8 or 16 bits,
    with HDF5's zlib. Where the range spans zero the grid is shifted so that zero is one of its values and
    comes back as zero. EMAN2's zlib level is 1 by default; here it is 6, which is smaller.
    """
    levels = 2 ** int(knob)
    low, high = reference.low, reference.high
    step = (high - low) / (levels - 1) or 1.0
    if low < 0 < high:
        step = (high - low) / (levels - 2)
        low = math.floor(low / step) * step
    kind = np.uint8 if knob <= 8 else np.uint16
    options = {"compression": "gzip", "compression_opts": 6}

    def pack(part: Array) -> tuple[Array, Any]:
        integers = np.rint((part.astype(np.float64) - low) / step)
        return np.clip(integers, 0, levels - 1).astype(kind), options

    def unpack(stored: Array) -> Array:
        return (stored * step + low).astype(np.float32)

    return through_hdf5(voxels(reference), chunk, folder, pack, unpack)


def _float16(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
    """Half precision, in units of a power of two near the standard deviation, and Blosc."""
    unit = 2.0 ** round(math.log2(reference.unit))

    def pack(part: Array) -> tuple[Array, Any]:
        return (part / unit).astype(np.float16), peers.BLOSC

    def unpack(stored: Array) -> Array:
        return stored.astype(np.float32) * np.float32(unit)

    return through_hdf5(voxels(reference), chunk, folder, pack, unpack)


def _jpeg2000(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
    """Each slice of a chunk as its own irreversible JPEG 2000 codestream, 16 bits over the volume's range."""
    import imagecodecs

    low, extent = reference.low, (reference.high - reference.low) or 1.0
    rms = reference.unit * 10 ** (-knob / 20)
    level = max(1, round(20 * math.log10(extent / rms)))  # its ratio is to the largest 16-bit value

    def encode(part: Array) -> bytes:
        integers = np.rint((part.astype(np.float64) - low) * (65535 / extent)).astype(np.uint16)
        slices = [
            imagecodecs.jpeg2k_encode(
                plane, level=level, codecformat="j2k", reversible=False, numthreads=1, mct=False
            )
            for plane in integers
        ]
        return b"".join([np.array([len(s) for s in slices], "<u4").tobytes(), *slices])

    def decode(data: bytes, shape: tuple[int, ...]) -> Array:
        ends = np.cumsum(np.frombuffer(data, "<u4", shape[0]), dtype=np.int64) + 4 * shape[0]
        starts = np.concatenate([[4 * shape[0]], ends[:-1]])
        planes = [
            imagecodecs.jpeg2k_decode(data[a:b], numthreads=1).reshape(shape[1:])
            for a, b in zip(starts, ends, strict=True)
        ]
        return (np.stack(planes) * (extent / 65535) + low).astype(np.float32)

    return through_bytes(voxels(reference), chunk, folder, encode, decode)


def _pcodec(rounded: bool) -> Write:
    def write(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
        from numcodecs.pcodec import PCodec

        codec = PCodec()
        data = voxels(reference) if rounded else reference.data
        if data.dtype.itemsize == 1:
            data = data.astype(np.int16)  # the least that it takes

        def encode(part: Array) -> bytes:
            return bytes(codec.encode((peers.round_bits(part, int(knob)) if rounded else part).ravel()))

        def decode(payload: bytes, shape: tuple[int, ...]) -> Array:
            return np.frombuffer(codec.decode(payload), data.dtype).reshape(shape)

        return through_bytes(data, chunk, folder, encode, decode)

    return write


def _network(reference: Reference, chunk: int, knob: float, folder: Path) -> Written:
    """One Fourier-feature network per chunk, as ``numcodecs-wasm-fourier-network`` trains it."""
    network: Any = importlib.import_module("numcodecs_wasm_fourier_network")
    codec = network.FourierNetwork(
        fourier_features=int(knob),
        fourier_scale=4.0,
        num_blocks=2,
        learning_rate=1e-3,
        num_epochs=10,
        mini_batch_size=1024,
        seed=0,
    )
    unit = np.float32(reference.unit)

    def decode(payload: bytes, shape: tuple[int, ...]) -> Array:
        out = np.empty(shape, np.float32)
        codec.decode(np.frombuffer(payload, np.uint8), out=out)
        return out * unit

    data = voxels(reference).astype(np.float32)
    return through_bytes(data, chunk, folder, lambda part: bytes(codec.encode(part / unit)), decode)


_GZIP = {"compression": "gzip", "compression_opts": 6, "shuffle": True}
_BITSHUFFLE = hdf5plugin.Bitshuffle(cname="zstd", clevel=9)
_MANTISSA = Scale(float, 0, 0, 9)

CODECS: dict[str, Codec] = {
    "sperr": Codec(
        "hdf5plugin",
        "hdf5plugin",
        {"psnr": (DECIBEL, _psnr), "rate": (RATE, _rate), "max_error": (BOUND, _bound("sperr"))},
        search="psnr",
    ),
    "sz3": Codec("hdf5plugin", "hdf5plugin", {"max_error": (BOUND, _bound("sz3"))}, search="max_error"),
    "zfp": Codec("hdf5plugin", "hdf5plugin", {"max_error": (HALVES, _bound("zfp"))}),
    "jpeg2000": Codec("imagecodecs", "imagecodecs", {"psnr": (DECIBEL, _jpeg2000)}),
    "eman2": Codec("h5py", "h5py", {"bits": (Scale(float, 5, 5, 12), _eman2)}),
    "blosc": Codec(
        "hdf5plugin",
        "hdf5plugin",
        {"lossless": (ONCE, _lossless(peers.BLOSC)), "round": (_MANTISSA, _round(peers.BLOSC))},
    ),
    "pcodec": Codec(
        "pcodec", "pcodec", {"lossless": (ONCE, _pcodec(False)), "round": (_MANTISSA, _pcodec(True))}
    ),
    "float16": Codec("hdf5plugin", "hdf5plugin", {"half": (ONCE, _float16)}),
    "bitshuffle": Codec("hdf5plugin", "hdf5plugin", {"lossless": (ONCE, _lossless(_BITSHUFFLE))}),
    "gzip": Codec("h5py", "h5py", {"lossless": (ONCE, _lossless(_GZIP))}),
    "fourier-network": Codec(
        "numcodecs-wasm-fourier-network",
        "numcodecs_wasm_fourier_network",
        {"features": (Scale(lambda i: 8.0 * 2**i, 0, 0, 3), _network)},
        optional=True,
    ),
}
