"""What a volume is like, measured once, for the hyperparameters that follow from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inrcodec.core.prepare import prepare
from inrcodec.core.settings import Target
from inrcodec.fourier_shell import FourierShells, floor_power, signal_shells

Array = np.ndarray[Any, Any]

_SPAN = (
    256  # voxels of each axis, its middle: enough for a spectrum, and in memory whatever the volume's size
)
_NO_NOISE = 200.0  # dB: float64 transforms have no lower floor


@dataclass(frozen=True)
class Traits:
    """A volume's measured traits.

    Volumes longer than 256 voxels are measured in the middle 256 voxels of an axis, a stack in its middle
    volume.

    Attributes:
        shape: voxels per axis of the whole volume.
        represented: share of the voxels that a target speaks of, 0 to 1.
        background: the value of the others; None where all are represented.
        band_limit: spatial frequency up to which the power spectrum holds signal
            (:func:`inrcodec.fourier_shell.estimate_resolution`), in units of the Nyquist frequency.
        noise_floor: dB from the variance of the represented voxels down to that of white noise as strong as
            the outermost Fourier shells: the signal-to-noise ratio above which a target codes noise. None
            where a volume is too small for shells, or holds nothing.
        faces: root mean square deviation of the outermost voxels from the background, or the mean, over the
            represented voxels' standard deviation: near 0 for a particle in an empty box, near 1
            for a part cut from a larger map.
    """

    shape: tuple[int, ...]
    represented: float
    background: float | None
    band_limit: float
    noise_floor: float | None
    faces: float

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def cubic(self) -> bool:
        """Whether the last three axes (all, of fewer) have one length."""
        return len(set(self.shape[-3:])) == 1

    def coded_share(self, target: Target) -> float:
        """Share of the latents that are expected to be coded: those of represented voxels inside the band.

        Above the noise floor an SNR has to be paid for in all of them.
        """
        noisy = target.kind == "snr" and self.noise_floor is not None and target.value > self.noise_floor
        sphere = math.pi / 6 * self.band_limit**3  # of the cube of all frequencies
        return self.represented * (1.0 if noisy else sphere)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON with the digits that mean something."""
        rounded = {
            key: float(f"{value:.4g}") if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }
        return {**rounded, "shape": list(self.shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Traits:
        """The inverse of :meth:`to_config`, but for the digits it leaves out."""
        return cls(**{**config, "shape": tuple(config["shape"])})

    @property
    def lines(self) -> list[str]:
        """The traits in words."""
        size = "cube" if self.cubic else "box"
        held = "all voxels represented"
        if self.background is not None:
            held = f"{self.represented:.1%} of the voxels represented, background {self.background + 0.0:g}"
        noise = "no spectrum"
        if self.noise_floor is not None:
            noise = f"signal up to {self.band_limit:.2f} of the Nyquist frequency, "
            noise += f"outermost shells {self.noise_floor:.1f} dB below it"
        return [
            f"{size} of {self.voxels:,} voxels, {held}",
            noise,
            f"standard deviation at the faces {self.faces:.2f} of that inside",
        ]


def measure_traits(volume: Any, threshold: float | None = None) -> Traits:
    """Measure a volume.

    Args:
        volume: anything with ``shape``, ``dtype`` and NumPy slicing, 1 to 4 axes.
        threshold: densities at or below it are not represented.
    """
    shape = tuple(int(n) for n in volume.shape)
    middle = _middle(volume)
    ready = prepare(middle, threshold)
    if ready is None:
        return Traits(shape, 0.0, None, 1.0, None, 0.0)
    deviation = np.zeros(ready.chunk.shape)
    deviation[ready.box] = np.where(ready.represented, (ready.values - ready.offset) / ready.scale, 0.0)
    deviation = deviation.reshape(middle.shape)
    band_limit, noise_floor = _spectrum(deviation)
    represented = np.count_nonzero(ready.represented) / middle.size
    return Traits(shape, represented, ready.background, band_limit, noise_floor, _faces(deviation))


def _middle(volume: Any) -> Array:
    starts = [max(0, (n - _SPAN) // 2) for n in volume.shape]
    box = tuple(slice(a, min(a + _SPAN, n)) for a, n in zip(starts, volume.shape, strict=True))
    if len(box) == 4:
        at = volume.shape[0] // 2
        return np.ascontiguousarray(volume[(slice(at, at + 1), *box[1:])])[0]
    return np.ascontiguousarray(volume[box])


def _spectrum(deviation: Array) -> tuple[float, float | None]:
    """Band limit and noise floor; a volume without a Fourier shell has all of its band and no floor."""
    try:
        shells = FourierShells(deviation.shape)
    except ValueError:
        return 1.0, None
    power = shells.power(deviation) / shells.coefficients
    noise = floor_power(power) / deviation.size
    return signal_shells(power) / shells.count, -10 * math.log10(max(noise, 10 ** (-_NO_NOISE / 10)))


def _faces(deviation: Array) -> float:
    """Root mean square of the outermost voxels."""
    faces = [np.take(deviation, at, axis).ravel() for axis in range(deviation.ndim) for at in (0, -1)]
    return float(np.sqrt(np.mean(np.concatenate(faces) ** 2)))
