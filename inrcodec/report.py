"""What the commands print: results as lines of text, and progress bars."""

from __future__ import annotations

import importlib
import math
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from inrcodec.core import Target
from inrcodec.core.fields.basis import block_length
from inrcodec.maps import Result
from inrcodec.store import Description, Sizes
from inrcodec.symmetry_report import SymmetryReport

Array = np.ndarray[Any, Any]

_LEVELS = (0.999, 0.99, 0.5)


class Bars:
    """Progress bars on the standard error, one per stage, when it is a terminal.

    An instance is the ``progress`` argument of :mod:`inrcodec.maps`.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, stage: str, fraction: float) -> None:
        if self._bar is None or stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            # disable=None: only where the standard error is a terminal
            self._bar = tqdm(
                total=100, desc=stage, disable=None, bar_format="{desc}: {percentage:3.0f}%|{bar}|"
            )
            self._stage = stage
        self._bar.update(round(100 * fraction) - self._bar.n)


def lines(result: Result) -> list[str]:
    """A result in words, the target first."""
    quality = result.quality
    background = (
        f"; voxels equal to {quality.background:g} left out" if quality.background is not None else ""
    )
    out = [
        f"target          {target_words(result.target)}: {'met' if result.met else 'NOT MET'}",
        *_resolution_lines(result.resolution, result.estimated),
        f"SNR             {quality.snr:.2f} dB (of the represented voxels{background})",
        f"largest error   {quality.max_error:.6g}",
        *_size_lines(result.sizes),
        *(result.symmetry.lines if result.symmetry is not None else []),
    ]
    if not quality.exact_specials:
        out.append("NaN, infinities DIFFER from the original's")
    if result.rewrites:
        times = "once" if result.rewrites == 1 else f"{result.rewrites} times"
        out.append(f"step            corrected {times}, the array written again")
    return out + (_fsc_lines(*result.fsc, result.resolution) if result.fsc is not None else [])


def description(found: Description) -> list[str]:
    """A store in words."""
    settings = found.settings
    out = [f"source          {found.source}"] if found.source else []
    out += [
        f"shape           {_by(found.shape)} {found.dtype}, zarr format {found.zarr_format}",
        f"chunks          {_by(found.chunk_shape)}, {sum(found.fields.values())} of {found.chunks} stored",
        *(f"level           {_by(shape)}" for shape in found.levels),
        f"target          {target_words(settings.target)}"
        + (f", effort {settings.effort}" if settings.field != "mlp" else ""),
    ]
    if settings.threshold is not None:
        out.append(f"threshold       {settings.threshold:g}")
    if settings.volume is None:
        out.append("scope           chunk")
    else:
        model = settings.volume
        cell = "no occupancy mask" if model.cell is None else f"occupancy cells of {model.cell} voxels"
        out.append(
            f"scope           volume: step {model.step:.6g}, block {block_length(model.block)}, {cell}"
        )
        out += _resolution_lines(model.resolution, found.estimated)
        if model.shells is not None:
            out.append(
                f"shells          steps at {len(model.shells.exponents)} nodes, "
                f"none beyond {model.shells.cutoff:.3f} of the Nyquist frequency"
            )
        own = f"{len(model.weights)} bytes, in the array's metadata"
        out.append(f"weights         {own if model.changed else f'those of prior {model.prior}'}")
    symmetry = SymmetryReport.of(settings.volume, found.choices, found.sections.get("symmetry"))
    out += symmetry.lines if symmetry is not None else []
    out += found.choices.lines if found.choices is not None else []
    out += _size_lines(found.sizes)
    out += [f"field           {name}: {count} chunks" for name, count in found.fields.items()]
    out += [f"network         {name}: {count} chunks" for name, count in found.networks.items()]
    out += [f"section         {name}: {size:,} bytes" for name, size in found.sections.items()]
    return out


def target_words(target: Target) -> str:
    if target.kind == "none":
        return "none"
    unit = {"snr": " dB", "max_error": "", "ratio": "", "fsc": ""}[target.kind]
    return f"{target.kind} {target.value:g}{unit}"


def fsc_crossing(frequency: Array, correlation: Array, level: float) -> float | None:
    """The frequency of the first shell below ``level``, or None."""
    below = np.flatnonzero(correlation < level)
    return float(frequency[below[0]]) if below.size else None


def _size_lines(sizes: Sizes) -> list[str]:
    return [
        f"bytes           {sizes.total:,} in all, chunks {sizes.chunks:,}, original {sizes.original:,}",
        f"bits per voxel  {sizes.bits_per_voxel:.4f}",
        f"ratio           {sizes.total_ratio:.2f}, chunks alone "
        + (f"{sizes.ratio:.2f}" if math.isfinite(sizes.ratio) else "without bound"),
    ]


def _resolution_lines(resolution: float | None, estimated: bool) -> list[str]:
    if resolution is None:
        return []
    how = "estimated from the map's spectrum" if estimated else "as given"
    return [f"resolution      {resolution:.3f} A, {how}"]


def _fsc_lines(frequency: Array, correlation: Array, resolution: float | None = None) -> list[str]:
    """Summary up to the resolution, or of all shells where none is known, and the curve."""
    count = len(frequency)
    if resolution is not None:
        count = int(np.count_nonzero(frequency * resolution <= 1 + 1e-4))
    worst = int(np.argmin(correlation[:count]))
    out = [
        f"FSC             at least {correlation[worst]:.6g} ({_shell(frequency[worst])}), "
        f"mean {correlation[:count].mean():.6g}" + (" up to the resolution" if resolution else "")
    ]
    for level in _LEVELS:
        crossing = fsc_crossing(frequency, correlation, level)
        where = f"from {_shell(crossing)}" if crossing is not None else "nowhere"
        out.append(f"FSC < {level:<9} {where}")
    out.append("    1/A         A     FSC")
    return out + [f"{f:7.4f}  {1 / f:8.2f}  {c:.6f}" for f, c in zip(frequency, correlation, strict=True)]


def _shell(frequency: float) -> str:
    return f"{frequency:.4f} 1/A, {1 / frequency:.2f} A"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def plot_fsc(result: Result, path: str) -> None:
    """Save the Fourier shell correlation of a result as a picture.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: the result has no curve, or the picture's kind is unknown.
    """
    if result.fsc is None:
        raise ValueError("there is no Fourier shell correlation to plot: stack, or a box without shells")
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    frequency, correlation = result.fsc
    axes.plot(frequency, correlation, label="original against decoded")
    if result.target.kind == "fsc":
        axes.axhline(result.target.value, color="grey", lw=0.8, ls="--", label="target")
    if result.resolution is not None:
        axes.axvline(1 / result.resolution, color="grey", lw=0.8, ls=":", label="resolution")
    axes.set(xlabel="spatial frequency, 1/A", ylabel="Fourier shell correlation", ylim=(None, 1.02))
    axes.legend()
    figure.savefig(path, dpi=150)
