"""Other codecs on the paper's task: gzip, JPEG 2000 slice by slice, and the local-Fourier field.

All get the thresholded map (voxels at or below the threshold are 0) and are judged at the voxels above.
Knobs are searched over whole dB: quality rises and the ratio falls with them.
"""

from __future__ import annotations

import gzip
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rate.codecs import CODECS
from benchmarks.rate.quality import Reference
from benchmarks.seed_paper import errors
from inrcodec import INRCodec, metrics

LEAST, MOST = -10, 110  # dB that a knob is searched over

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Stored:
    """A map as a codec stored it.

    Attributes:
        nbytes: of the payload; ``ratio`` of the map's bytes to them.
        knob: dB that was asked for; infinite where the codec is lossless.
        errors: of the voxels above the threshold; ``snr`` in dB over all voxels of what the codec got.
        encode_s, decode_s: wall-clock seconds.
    """

    nbytes: int
    ratio: float
    knob: float
    errors: errors.Errors
    snr: float
    encode_s: float
    decode_s: float


class Case:
    """One map with a threshold, and what every codec made of it so far.

    Args:
        volume: (d, h, w).
        threshold: shares of the largest density; None keeps the whole map, negative densities too, and the
            errors are of the voxels above 0.
        effort: of the local-Fourier field.
    """

    def __init__(self, volume: Array, threshold: float | None = 0.0, effort: int = 0) -> None:
        self.volume, self.threshold, self.effort = volume, threshold, effort
        self._seen: dict[tuple[str, int], Stored] = {}

    @cached_property
    def given(self) -> Array:
        """What the codecs get."""
        if self.threshold is None:
            return np.ascontiguousarray(self.volume)
        return np.ascontiguousarray(errors.thresholded(self.volume, self.threshold))

    def gzip(self) -> Stored:
        """gzip of level 9, without loss."""
        start = time.perf_counter()
        data = gzip.compress(self.given.tobytes(), 9, mtime=0)
        encode_s = time.perf_counter() - start
        start = time.perf_counter()
        back = np.frombuffer(gzip.decompress(data), self.given.dtype).reshape(self.given.shape)
        return self._stored(len(data), math.inf, back, encode_s, time.perf_counter() - start)

    def at(self, codec: str, knob: int) -> Stored:
        """``local-fourier`` or ``jpeg2000`` asked for a number of dB."""
        if (codec, knob) not in self._seen:
            self._seen[codec, knob] = (self._jpeg2000 if codec == "jpeg2000" else self._ours)(knob)
        return self._seen[codec, knob]

    def best(self, codec: str, good: Callable[[Stored], bool], rising: bool = True) -> Stored | None:
        """The point of a codec nearest to a bound that still keeps it.

        Args:
            good: holds from some knob on upwards (``rising``: the least such knob is returned), or up to some
                knob (the largest is).

        Returns:
            None where none does.
        """
        return search(lambda knob: self.at(codec, knob), good, rising)

    def at_ratio(self, codec: str, ratio: float) -> Stored | None:
        """The best quality of a codec at no fewer than ``ratio`` bytes of the map to one stored."""
        return self.best(codec, lambda stored: stored.ratio >= ratio, rising=False)

    def _ours(self, knob: int) -> Stored:
        threshold = None if self.threshold is None else self.threshold * errors.peak(self.volume)
        codec = INRCodec(snr=float(knob), threshold=threshold, effort=self.effort)
        start = time.perf_counter()
        data = codec.encode(self.volume)
        encode_s = time.perf_counter() - start
        start = time.perf_counter()
        back = codec.decode(data)
        return self._stored(len(data), knob, back, encode_s, time.perf_counter() - start)

    def _jpeg2000(self, knob: int) -> Stored:
        with tempfile.TemporaryDirectory() as folder:
            written = CODECS["jpeg2000"].modes["psnr"][1](
                self._reference, max(self.volume.shape), float(knob), Path(folder)
            )
        return self._stored(written.nbytes, knob, written.back, written.encode_s, written.decode_s)

    @cached_property
    def _reference(self) -> Reference:
        return Reference(self.given.astype(np.float32), 1.0, 3.0)

    def _stored(self, nbytes: int, knob: float, back: Array, encode_s: float, decode_s: float) -> Stored:
        found = errors.measure(self.volume, back, self.threshold or 0.0)
        snr = metrics.snr(self.given, back)
        return Stored(nbytes, self.volume.nbytes / nbytes, knob, found, snr, encode_s, decode_s)


def search(
    at: Callable[[int], Stored],
    good: Callable[[Stored], bool],
    rising: bool,
    low: int = LEAST,
    high: int = MOST,
) -> Stored | None:
    """Bisect whole dB from ``low`` to ``high`` for the border of ``good``; see :meth:`Case.best`."""
    # Both ends start just outside, so that none is measured in vain.
    bad_end, good_end = (low - 1, high + 1) if rising else (high + 1, low - 1)
    while abs(good_end - bad_end) > 1:
        middle = (good_end + bad_end) // 2
        if good(at(middle)):
            good_end = middle
        else:
            bad_end = middle
    return at(good_end) if low <= good_end <= high else None
