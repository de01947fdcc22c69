"""``inrcodec demo``: a generated map through this codec and others, as a table.

Needs zarr 3. SPERR (Li, Lindstrom & Clyne 2023, IPDPS) runs through ``hdf5plugin`` and h5py and is left out
where they are missing; the picture needs matplotlib.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from inrcodec import metrics, synthetic
from inrcodec.codec import INRCodec

Array = np.ndarray[Any, Any]

VOXEL_SIZE = 1.0  # angstrom
RESOLUTION = 3.0  # angstrom: the band limit
_TRIES = 16  # SPERR runs per mode: the search halves 1 dB down to 0.001 dB


@dataclass(frozen=True)
class Row:
    """One codec's figures; ``note`` stands in their place when it did not run."""

    codec: str
    nbytes: int = 0
    decoded: Array | None = None
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    note: str = ""


def run(
    size: int = 96,
    snr: float = 30.0,
    effort: int = 3,
    picture: str | None = None,
    say: Callable[[str], None] = print,
) -> bool:
    """Compress a generated map, read it back, and print how it compares.

    Args:
        size: voxels per axis, 16 to 512.
        snr: quality target in dB.
        effort: 0 to 9; without PyTorch it is 0.
        picture: PNG file for central slices and Fourier shell correlations, or None.
        say: called with each line.

    Returns:
        Whether the target is met.

    Raises:
        ValueError: ``size`` is out of its range, or a picture is asked for and matplotlib is missing.
    """
    if not 16 <= size <= 512:
        raise ValueError(f"size must be 16 to 512, got {size}")
    if picture is not None and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--picture needs matplotlib")
    if effort > 0 and importlib.util.find_spec("torch") is None:
        say("PyTorch is not installed: effort 0, nothing is trained")
        effort = 0
    volume = synthetic.generate(
        (size,) * 3, voxel_size=VOXEL_SIZE, resolution=RESOLUTION, noise=0.1, seed=11007
    )
    say(f"generated map: {size}^3 float32, {volume.nbytes:,} bytes, band limit {RESOLUTION:g} A")
    ours = _inrcodec(volume, snr, effort)
    decoded = ours.decoded if ours.decoded is not None else volume
    reached = metrics.represented_snr(volume, decoded, background=metrics.find_background(volume))
    step = math.sqrt(12 * float(np.mean(np.square(volume - decoded, dtype=np.float64))))
    rows = [ours, _zlib(volume), _rounded_zlib(volume, step), _sperr(volume, metrics.snr(volume, decoded))]
    say("codec            bytes    ratio   SNR dB      FSC   encode s  decode s")
    for row in rows:
        say(_line(volume, row))
    say(
        f"FSC: least of the shells within the band limit, with the original. Target snr {snr:g} dB: "
        + ("met" if reached >= snr else f"NOT MET ({reached:.2f} dB)")
    )
    if picture is not None:
        _draw(picture, volume, decoded)
        say(f"picture: {picture}")
    return reached >= snr


def _line(volume: Array, row: Row) -> str:
    if row.decoded is None:
        return f"{row.codec:<13} {row.note}"
    quality = metrics.snr(volume, row.decoded)
    frequency, correlation = metrics.fsc(volume, row.decoded, VOXEL_SIZE)
    least = float(correlation[frequency <= 1 / RESOLUTION].min())
    return (
        f"{row.codec:<13} {row.nbytes:>8,} {volume.nbytes / row.nbytes:>8.2f} {quality:>8.2f} {least:>8.5f}"
        f" {row.encode_seconds:>10.3f} {row.decode_seconds:>9.3f}"
    )


def _inrcodec(volume: Array, snr: float, effort: int) -> Row:
    """Into a zarr array of one chunk in a temporary directory, and back from it opened anew."""
    codec = INRCodec(snr=snr, effort=effort)
    warm_up = synthetic.generate((16, 16, 16), seed=1)
    codec.decode(codec.encode(warm_up))  # so that loading PyTorch is not counted as encoding
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        array = zarr.create_array(
            store=directory,
            shape=volume.shape,
            chunks=volume.shape,
            dtype=volume.dtype,
            serializer=codec.serializer(),
            compressors=None,
            fill_value=0,
        )
        array[...] = volume
        written = time.perf_counter() - start
        nbytes = array.nbytes_stored()
        start = time.perf_counter()
        decoded = np.asarray(zarr.open_array(directory, mode="r")[...])
        read = time.perf_counter() - start
    return Row("inrcodec", int(nbytes), decoded, written, read)


def _zlib(volume: Array) -> Row:
    start = time.perf_counter()
    data = zlib.compress(volume.tobytes(), 6)
    written = time.perf_counter() - start
    start = time.perf_counter()
    decoded = np.frombuffer(zlib.decompress(data), volume.dtype).reshape(volume.shape)
    return Row("zlib", len(data), decoded, written, time.perf_counter() - start)


def _rounded_zlib(volume: Array, step: float) -> Row:
    """zlib of the densities rounded to integers of a uniform step: noise of step^2 / 12."""
    name = "rounded, zlib"
    if step == 0:
        return Row(name, note="nothing to round: the result is exact")
    start = time.perf_counter()
    levels = np.rint(volume / step)
    dtype = np.min_scalar_type(-int(np.abs(levels).max()) - 1)
    data = zlib.compress(levels.astype(dtype).tobytes(), 6)
    written = time.perf_counter() - start
    start = time.perf_counter()
    decoded = np.frombuffer(zlib.decompress(data), dtype).reshape(volume.shape) * np.float32(step)
    return Row(name, len(data), decoded.astype(volume.dtype), written, time.perf_counter() - start)


def _sperr(volume: Array, snr: float) -> Row:
    """SPERR at the lowest rate that reaches ``snr``, in the better of its two quality modes."""
    missing = [name for name in ("hdf5plugin", "h5py") if importlib.util.find_spec(name) is None]
    if missing:
        return Row("SPERR", note=f"skipped: {' and '.join(missing)} not installed")
    if not math.isfinite(snr):
        return Row("SPERR", note="skipped: nothing lossy to compare with")
    import hdf5plugin

    # Peak SNR is relative to the range, SNR to the variance.
    peak = snr + 20 * math.log10(float(np.ptp(volume)) / float(volume.std()))
    modes: dict[str, tuple[Callable[[float], Any], float, float]] = {
        "psnr": (lambda v: hdf5plugin.Sperr(peak_signal_to_noise_ratio=v), peak - 3, peak + 3),
        "rate": (lambda v: hdf5plugin.Sperr(rate=v), 0.01, 16.0),
    }
    best: Row | None = None
    for options, low, high in modes.values():
        for _ in range(_TRIES):
            middle = (low + high) / 2
            row = _hdf5("SPERR", volume, options(middle))
            if row.decoded is not None and metrics.snr(volume, row.decoded) >= snr:
                high = middle
                best = row if best is None or row.nbytes < best.nbytes else best
            else:
                low = middle
    return best if best is not None else Row("SPERR", note="did not reach the same SNR")


def _hdf5(name: str, volume: Array, options: Any) -> Row:
    import h5py

    with h5py.File(uuid.uuid4().hex, "w", driver="core", backing_store=False, rdcc_nbytes=0) as file:
        start = time.perf_counter()
        dataset = file.create_dataset("map", data=volume, chunks=volume.shape, **options)
        file.flush()
        written = time.perf_counter() - start
        start = time.perf_counter()
        decoded = np.asarray(dataset[...])
        return Row(name, dataset.id.get_storage_size(), decoded, written, time.perf_counter() - start)


def _draw(path: str, volume: Array, decoded: Array) -> None:
    """Central slices of original, decoded map and error, and the Fourier shell correlation."""
    # pyplot would choose a window system; a bare figure needs none.
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(14, 3.6), layout="constrained")
    panels = figure.subplots(1, 4)
    middle = volume.shape[0] // 2
    error = decoded[middle] - volume[middle]
    reach = float(np.abs(error).max()) or 1.0
    low, high = float(volume.min()), float(volume.max())
    slices = (
        (volume[middle], "original", low, high),
        (decoded[middle], "decoded", low, high),
        (error, f"error (black and white: {reach:.2g})", -reach, reach),
    )
    for panel, (image, title, dark, bright) in zip(panels, slices, strict=False):
        panel.imshow(image, cmap="gray", vmin=dark, vmax=bright)
        panel.set_title(title)
        panel.set_axis_off()
    frequency, correlation = metrics.fsc(volume, decoded, VOXEL_SIZE)
    panels[3].plot(frequency, correlation)
    panels[3].axvline(1 / RESOLUTION, color="gray", linestyle=":")
    panels[3].set(xlabel="spatial frequency, 1/A", title="FSC with the original", ylim=(0, 1.02))
    figure.savefig(path, dpi=100)
