"""The closed loop of a Fourier-shell target: encode the volume, decode it, measure each shell, correct.

What is measured is what a store will hold: payloads of all chunks through the decoder's own arithmetic, cast
to the volume's dtype.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from inrcodec.core.decoder import decode_many
from inrcodec.core.encoder import encode_many
from inrcodec.core.settings import Settings
from inrcodec.core.shell_balance import ShellFit, moved
from inrcodec.core.shell_fit import fit_shells
from inrcodec.core.shells import MAX_NODES
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.core.volume import VolumeModel, short_step, unchanged_weights
from inrcodec.core.volume_sample import chunk_boxes
from inrcodec.core.volume_training import Progress
from inrcodec.fourier_shell import FourierShells, ShellReference, relative_error

Array = np.ndarray[Any, Any]

_TURNS = 8  # of the loop; each encodes the whole volume
_BALANCED = 3  # turns in which all weights move; later only those of shells that miss the target move much
_AIM = 0.985  # of the error allowed: shells answer a changed step with a little noise
_STRICTER = 0.99  # times the aim, after each turn that misses once shells are balanced
_ENOUGH = 0.9  # mean of the shells' relative errors at which the loop has no more to gain
_JUMPS = 0.5  # standard deviations of a shell's error that are kept in hand
_HASTE = 1.5  # power of a missing shell's change: what leaks into it from others does not follow its weight
_SPENT = 0.965  # largest of the shells' relative errors that leaves too little over for another turn
_TIGHTENINGS = 40  # uniform, where the loop has not met the target; in the end chunks are stored losslessly
_HAIR = 1e-9  # of the correlation: sums in another order are no miss


def fit_fsc(
    volume: Array,
    settings: Settings,
    chunk_shape: tuple[int, ...],
    *,
    resolution: float,
    voxel_size: tuple[float, ...],
    symmetry: SymmetryModel | None = None,
    padded: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
) -> VolumeModel:
    """Networks and steps by radial shell that meet a Fourier-shell target with little to spare.

    Args:
        volume: (d, h, w).
        settings: with an ``fsc`` target.
        chunk_shape: voxels per axis of the chunks that will be encoded.
        resolution: angstrom; shells up to it have at least the correlation asked for.
        voxel_size: (3,) angstrom per voxel.
        symmetry: of the volume, which is then encoded as one chunk; ``chunk_shape`` is that of the sample.
        padded: whether chunks at the volume's far ends are padded with zeros, as a store with that fill value
            pads them, or cut.
        device: as for :func:`encode_many`.
        progress: called with the fraction done.

    Raises:
        ValueError: a volume that is not 3-D or has no shell up to the resolution, or a shell that cannot be
            brought to the target (it is named).
    """
    if volume.ndim != 3:
        raise ValueError(f"fsc needs a volume of three axes, got shape {volume.shape}")
    report = progress or (lambda _: None)
    shells = FourierShells(volume.shape, voxel_size)
    reference = ShellReference(volume, shells, shells.up_to(resolution))
    padding = [(0, padded * (-n % c)) for n, c in zip(volume.shape, chunk_shape, strict=True)]
    written = np.pad(volume, padding) if any(end for _, end in padding) else volume
    d, h, w = chunk_shape
    # a symmetric volume is one chunk in the end, whose faces lie in solvent
    alone = symmetry is None
    found = fit_shells(written, settings, (d, h, w), reference, device=device, report=report, ends=alone)
    if not found:
        plain = VolumeModel(1.0, settings.block or 16, unchanged_weights())
        return replace(plain, resolution=resolution, voxel_size=voxel_size)
    if symmetry is not None:
        written, chunk_shape = volume, volume.shape
    loop = _Loop(written, volume.shape, chunk_shape, settings, reference, device)

    def run(at: int) -> tuple[int, VolumeModel]:
        model = replace(found[at].model, resolution=resolution, voxel_size=voxel_size, symmetry=symmetry)
        fit = replace(found[at], model=model)
        return loop.run(fit, lambda done: report(0.6 + 0.4 * (at + done) / len(found)))

    made = [run(at) for at in range(len(found))]
    report(1.0)
    return min(made, key=lambda m: m[0] + len(m[1].weights))[1]


class _Loop:
    def __init__(
        self,
        written: Array,
        shape: tuple[int, ...],
        chunk_shape: tuple[int, ...],
        settings: Settings,
        reference: ShellReference,
        device: str,
    ) -> None:
        self.written = written
        self.inside = tuple(slice(0, n) for n in shape)
        self.boxes = list(chunk_boxes(written.shape, chunk_shape))
        self.settings = settings
        self.reference = reference
        self.device = device

    def run(self, fit: ShellFit, report: Progress) -> tuple[int, VolumeModel]:
        """Correct the weights until every shell meets the target with little to spare.

        Returns:
            Bytes of all payloads, and the model they are written with.
        """
        best: tuple[int, VolumeModel] | None = None
        nearest: tuple[float, VolumeModel] = (np.inf, fit.model)
        # few coefficients have errors that jump from turn to turn, and cost little where they are coded finer
        aim = _AIM / (1 + _JUMPS * np.sqrt(2 / self.reference.shells.coefficients[: self.reference.limit]))
        for turn in range(_TURNS):
            nbytes, relative = self.measure(fit.model)
            report((turn + 1) / _TURNS)
            met = relative.max() <= 1
            if met and (best is None or nbytes < best[0]):
                best = (nbytes, fit.model)
            # once balanced, more turns are worth less than the time they take
            if met and (relative.mean() >= _ENOUGH or (turn > _BALANCED and relative.max() >= _SPENT)):
                break
            if turn >= _BALANCED and not met:
                aim = _STRICTER * aim
            if relative.max() < nearest[0]:
                nearest = (float(relative.max()), fit.model)
            worst = fit.budget.worst(relative)
            # power that bands beyond the table would have to mend shows at its end
            cutoff = min(MAX_NODES, fit.cutoff + (2 if turn and worst[-2:].max() > 1.05 else 0))
            change = fit.budget.worst(relative / aim)
            if turn > _BALANCED and met:
                change[:] = change.max()  # what is left over is spent in all shells alike
            elif turn >= _BALANCED:
                change = np.where(change > 1, change**_HASTE, np.maximum(change, 0.8) ** 0.25)
            fit = fit.with_weight(moved(fit.weight, change), cutoff)
        return best or self._tightened(*nearest)

    def measure(self, model: VolumeModel) -> tuple[int, Array]:
        """Bytes of all payloads, and each shell's error over what the target allows."""
        settings = replace(self.settings, volume=model)
        payloads = encode_many([self.written[box] for box in self.boxes], settings, device=self.device)
        decoded = np.empty(self.written.shape, self.written.dtype)
        for box, chunk in zip(self.boxes, decode_many(payloads, volume=model), strict=True):
            decoded[box] = chunk
        correlation = self.reference.correlation(decoded[self.inside])
        return sum(map(len, payloads)), relative_error(correlation - _HAIR, self.settings.target.value)

    def _tightened(self, worst: float, model: VolumeModel) -> tuple[int, VolumeModel]:
        """Smaller steps for all shells alike until the target is met."""
        for _ in range(_TIGHTENINGS):
            step = model.step * float(np.clip(0.997 * worst**-0.6, 0.25, 0.997))
            model = replace(model, step=short_step(step))
            nbytes, relative = self.measure(model)
            worst = float(relative.max())
            if worst <= 1:
                return nbytes, model
        shell = int(relative.argmax())
        frequency = self.reference.shells.frequency[shell]
        raise ValueError(
            f"fsc {self.settings.target.value:g} cannot be reached in shell {shell + 1}, "
            f"{1 / frequency:.4g} angstrom, for dtype {self.written.dtype}"
        )
