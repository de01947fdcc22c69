"""Other codecs at a chosen quality: SPERR, SZ3, ZFP, zlib and Blosc through HDF5 filters.

Every codec writes one dataset of one chunk into an HDF5 file in memory; its size is what HDF5 stores of that
dataset, without the file's own structures. Error-bounded codecs have one knob, and the search in
:func:`at_snr` turns it until the squared error over all voxels is just within the one asked for. zlib and
Blosc are lossless: their knob is the number of mantissa bits kept before them (bit rounding).
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import hdf5plugin
import numpy as np

Array = np.ndarray[Any, Any]

MANTISSA = {"float32": 23, "float64": 52}


@dataclass(frozen=True)
class Measurement:
    """One volume through one codec.

    ``squared_error`` is the sum over all voxels; ``snr`` the volume's variance over the mean of that, in dB;
    ``max_error`` in density units; times in seconds, of the one run that gave these bytes.
    """

    codec: str
    mode: str
    knob: float
    nbytes: int
    squared_error: float
    snr: float
    max_error: float
    encode_s: float
    decode_s: float


Options = Callable[[float], Mapping[str, Any]]


@dataclass(frozen=True)
class Codec:
    """A peer: HDF5 dataset options for a value of its knob.

    ``quality`` holds the modes that :func:`at_snr` searches, of which the better counts; ``bound`` takes a
    largest error and is None where the codec has no such mode. A lossless codec has the mode ``bits``.
    """

    quality: Mapping[str, Options]
    bound: Options | None

    @property
    def is_lossless(self) -> bool:
        return "bits" in self.quality


def _sz3(bound: float) -> Mapping[str, Any]:
    return dict(hdf5plugin.SZ3(absolute=bound))


def _zfp(bound: float) -> Mapping[str, Any]:
    return dict(hdf5plugin.Zfp(accuracy=bound))


def sperr(**target: float) -> Mapping[str, Any]:
    """Options of the SPERR filter for arrays in C order.

    Without ``swap`` the filter takes the first axis for the fastest, which scrambles every chunk whose shape
    is not the same backwards: some 8 to 12 dB less at the same bytes.
    """
    return dict(hdf5plugin.Sperr(swap=True, **target))


BLOSC = hdf5plugin.Blosc(cname="zstd", clevel=7, shuffle=hdf5plugin.Blosc.BITSHUFFLE)

CODECS: dict[str, Codec] = {
    "sperr": Codec(
        {
            "psnr": lambda psnr: sperr(peak_signal_to_noise_ratio=psnr),
            "rate": lambda rate: sperr(rate=rate),
        },
        lambda bound: sperr(absolute=bound),
    ),
    "sz3": Codec({"absolute": _sz3}, _sz3),
    "zfp": Codec({"absolute": _zfp}, _zfp),
    "zlib": Codec({"bits": lambda _: {"compression": "gzip", "compression_opts": 6, "shuffle": True}}, None),
    "blosc": Codec({"bits": lambda _: BLOSC}, None),
}


def as_float(volume: Array) -> Array:
    """The volume as native float32 or float64, the dtypes these codecs share; integers become float32."""
    kind = np.float64 if volume.dtype.name == "float64" else np.float32
    return np.ascontiguousarray(volume, kind)


def store(volume: Array, options: Mapping[str, Any]) -> tuple[int, Array, float, float]:
    """Write a volume as one chunk and read it back: bytes, voxels, seconds to write, seconds to read.

    Raises:
        ValueError: the filter refused the chunk (SPERR needs two or three axes of some length), so HDF5
            stored it as it is.
    """
    # Without a chunk cache every write encodes and every read decodes.
    with h5py.File(uuid.uuid4().hex, "w", driver="core", backing_store=False, rdcc_nbytes=0) as file:
        start = time.perf_counter()
        data = file.create_dataset("volume", data=volume, chunks=volume.shape, **options)
        file.flush()
        written = time.perf_counter() - start
        nbytes = int(data.id.get_storage_size())
        if data.id.get_chunk_info(0).filter_mask:
            raise ValueError(f"the filter {options} refused a chunk of shape {volume.shape} {volume.dtype}")
        start = time.perf_counter()
        back = data[...]
        return nbytes, back, written, time.perf_counter() - start


def round_bits(volume: Array, bits: int) -> Array:
    """Keep ``bits`` mantissa bits of a float volume, rounding to nearest, ties to even."""
    width = MANTISSA[volume.dtype.name]
    if bits >= width:
        return volume
    integers = volume.view(f"u{volume.dtype.itemsize}").copy()
    drop = integers.dtype.type(width - bits)
    one = integers.dtype.type(1)
    integers += (one << (drop - one)) - one + ((integers >> drop) & one)
    integers &= ~((one << drop) - one)
    return integers.view(volume.dtype)


def measure(codec: str, volume: Array, mode: str, knob: float) -> Measurement:
    """One write and read; the error is against ``volume`` as float, before any cast to integers."""
    options = CODECS[codec].bound if mode == "bound" else CODECS[codec].quality[mode]
    if options is None:
        raise ValueError(f"{codec} has no bound on the error")
    given = round_bits(volume, int(knob)) if mode == "bits" else volume
    nbytes, back, encode_s, decode_s = store(given, options(knob))
    error = back.astype(np.float64)
    error -= volume
    total, largest = float(np.vdot(error, error)), float(np.abs(error).max())
    return Measurement(codec, mode, knob, nbytes, total, snr_db(volume, total), largest, encode_s, decode_s)


def snr_db(volume: Array, squared_error: float) -> float:
    """Variance of all voxels over the mean squared error, in dB."""
    signal = float(np.var(volume, dtype=np.float64)) * volume.size
    if squared_error == 0:
        return math.inf
    return 10 * math.log10(signal / squared_error) if signal else -math.inf


def at_snr(
    codec: str, volume: Array, snr: float | None = None, *, squared_error: float | None = None
) -> Measurement:
    """The fewest bytes of a codec whose squared error is at most the one given.

    Args:
        codec: a key of :data:`CODECS`.
        volume: one chunk.
        snr: dB over all voxels, or
        squared_error: sum over all voxels.

    The search stops within 0.005 dB below the target, or after 18 runs of a mode.
    """
    volume = as_float(volume)
    if squared_error is None:
        if snr is None:
            raise ValueError("give snr or squared_error")
        squared_error = float(np.var(volume, dtype=np.float64)) * volume.size / 10 ** (snr / 10)
    squared_error *= 1 + 1e-9  # sums in another order are not more error
    if CODECS[codec].is_lossless:
        return _fewest_bits(codec, volume, squared_error)
    found = [_search(codec, volume, squared_error, mode) for mode in CODECS[codec].quality]
    return min(found, key=lambda m: m.nbytes)


def at_max_error(codec: str, volume: Array, bound: float) -> Measurement:
    """A codec asked for a largest error; the result says which one it kept.

    Raises:
        ValueError: the codec has no such mode.
    """
    return measure(codec, as_float(volume), "bound", bound)


def lossless(codec: str, volume: Array) -> Measurement:
    """zlib or Blosc of the volume as it is, integers included."""
    if not CODECS[codec].is_lossless:
        raise ValueError(f"{codec} is not lossless")
    nbytes, back, encode_s, decode_s = store(volume, CODECS[codec].quality["bits"](0))
    if not np.array_equal(back, volume, equal_nan=volume.dtype.kind == "f"):
        raise RuntimeError(f"{codec} did not return the volume")
    return Measurement(codec, "bits", math.inf, nbytes, 0.0, math.inf, 0.0, encode_s, decode_s)


def _fewest_bits(codec: str, volume: Array, squared_error: float) -> Measurement:
    bits = next(
        (
            b
            for b in range(MANTISSA[volume.dtype.name])
            if float(np.sum((round_bits(volume, b).astype(np.float64) - volume) ** 2)) <= squared_error
        ),
        MANTISSA[volume.dtype.name],
    )
    return measure(codec, volume, "bits", bits)


def _search(codec: str, volume: Array, squared_error: float, mode: str) -> Measurement:
    """False position on the error in dB over the knob in dB, inside a bracket once there is one."""
    rms = max(math.sqrt(squared_error / volume.size), float(np.ptp(volume)) * 1e-9)
    # Knobs in dB, more is better; the error follows them with a slope of 1 or a little more.
    if mode == "psnr":
        knob = 20 * math.log10((float(np.ptp(volume)) or 1.0) / rms)
    elif mode == "absolute":
        knob = -20 * math.log10(1.7 * rms)
    else:
        knob = 20 * math.log10(0.5)
    low: tuple[float, float] | None = None  # too much error
    high: tuple[float, float] | None = None  # within the target
    best: Measurement | None = None
    for _ in range(18):
        value = {"psnr": knob, "absolute": 10 ** (-knob / 20), "rate": 10 ** (knob / 20)}[mode]
        result = measure(codec, volume, mode, value)
        # How far below the target the error is; no error at all counts as 40 dB.
        excess = 10 * math.log10(squared_error / max(result.squared_error, squared_error * 1e-4))
        if excess >= 0:
            if best is None or result.nbytes < best.nbytes:
                best = result
            high = (knob, excess)
            if excess < 0.005:
                break
        else:
            low = (knob, excess)
        if low is None or high is None:
            knob -= excess + math.copysign(0.2, excess)
            continue
        if abs(high[0] - low[0]) < 1e-4:
            break
        # Aim just inside the target, but keep away from the bracket's ends so that it shrinks from both.
        at = (0.0025 - low[1]) / (high[1] - low[1])
        knob = low[0] + (high[0] - low[0]) * min(max(at, 0.03), 0.97)
    if best is None:
        raise ValueError(f"{codec} does not reach a squared error of {squared_error:g}")
    return best
