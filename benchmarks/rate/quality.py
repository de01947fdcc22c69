"""How well a volume came back: SNR, largest error, Fourier shell correlation, correlation inside a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from inrcodec import metrics
from inrcodec.fourier_shell import FourierShells

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Quality:
    """Figures of one decoded volume.

    Attributes:
        snr: dB, variance of all voxels over mean squared error; infinite where nothing differs.
        max_error: largest error of a voxel, in standard deviations of the original.
        fsc_loss: one minus the Fourier shell correlation with the original, per shell to the Nyquist limit.
        judged: number of shells up to the resolution.
        correlation: Pearson correlation inside the mask; NaN where it is not defined.
        violations: voxels whose error exceeds the bound that was asked for; 0 where there was none.
    """

    snr: float
    max_error: float
    fsc_loss: Array
    judged: int
    correlation: float
    violations: int

    @property
    def fsc_min(self) -> float:
        """The least correlation of any shell to the resolution."""
        return float(1 - self.fsc_loss[: self.judged].max())

    @property
    def fsc_mean(self) -> float:
        """The mean correlation of the shells to the resolution."""
        return float(1 - self.fsc_loss[: self.judged].mean())


class Reference:
    """An original volume with what every comparison with it needs, computed once.

    Args:
        data: ``(d, h, w)``, finite.
        voxel_size, resolution: angstrom; shells up to the resolution are judged.

    The mask for the correlation is the voxels that differ from the background where one value repeats in at
    least 5 % of a float volume (``inrcodec.metrics.find_background``), else those above mean plus one
    standard deviation; ``mask_kind`` says which.
    """

    def __init__(self, data: Array, voxel_size: float, resolution: float) -> None:
        self.data = data
        self.mean = float(np.mean(data, dtype=np.float64))
        self.std = float(np.std(data, dtype=np.float64))
        self.low, self.high = float(data.min()), float(data.max())
        self.unit = self.std or 1.0
        self.shells = FourierShells(data.shape, voxel_size)
        self.judged = self.shells.up_to(resolution)
        self._spectrum = self._transform((data.astype(np.float64) - self.mean) / self.unit)
        self._power = self._per_shell(self._spectrum, self._spectrum)
        background = metrics.find_background(data)
        self.mask_kind = "above mean + std" if background is None else f"not {background:g}"
        self.mask = data > self.mean + self.std if background is None else data != background

    def judge(self, back: Array, bound: float | None = None) -> Quality:
        """Compare a decoded volume, of any real dtype; ``bound`` in density units."""
        error = back.astype(np.float64)
        error -= self.data
        squared = float(np.vdot(error, error)) / error.size
        magnitude = np.abs(error)
        violations = 0 if bound is None else int(np.count_nonzero(magnitude > bound))
        snr = math.inf if squared == 0 else -math.inf
        if squared and self.std:
            snr = 10 * math.log10(self.std**2 / squared)
        correlation = math.nan
        if self.mask.any():
            correlation = _pearson(self.data[self.mask], error[self.mask])
        return Quality(
            snr,
            float(magnitude.max()) / self.unit,
            self._fsc_loss(error),
            self.judged,
            correlation,
            violations,
        )

    def _fsc_loss(self, error: Array) -> Array:
        """``1 - FSC`` from the spectrum of the error, so that it keeps its digits where it is tiny.

        With ``a = <F E*> / <F F*>`` and ``b = <E E*> / <F F*>`` of a shell, the correlation of F with F + E
        is ``(1 + a) / q`` with ``q = sqrt(1 + 2 a + b)``, and one minus it ``(b - a^2) / (q (q + 1 + a))``.
        """
        spectrum = self._transform(error / self.unit)
        cross, power = self._per_shell(self._spectrum, spectrum), self._per_shell(spectrum, spectrum)
        signal = np.where(self._power > 0, self._power, 1.0)
        a, b = cross / signal, power / signal
        q = np.sqrt(np.maximum(1 + 2 * a + b, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = np.where(1 + a > 0, (b - a * a) / (q * (q + 1 + a)), 1 - (1 + a) / q)
        loss = np.where(q == 0, 1.0, loss)  # nothing came back in this shell
        loss = np.where(self._power > 0, loss, np.where(power > 0, 1.0, 0.0))
        return np.clip(loss, 0.0, 2.0)

    def _transform(self, values: Array) -> Array:
        return fft.rfftn(values.astype(np.float32), workers=1)

    def _per_shell(self, x: Array, y: Array) -> Array:
        return self.shells.sum(x.real * y.real + x.imag * y.imag)


def _pearson(original: Array, error: Array) -> float:
    x = original.astype(np.float64) - np.mean(original, dtype=np.float64)
    y = x + error - error.mean()
    norm = math.sqrt(float(np.vdot(x, x)) * float(np.vdot(y, y)))
    return float(np.vdot(x, y)) / norm if norm else math.nan
