"""The pictures of ``docs/symmetry.md``: ``python -m benchmarks.symmetry_pictures --out docs/symmetry``.

For each kind of group a generated map, its asymmetric unit as it is stored, and what decodes from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from inrcodec import INRCodec
from inrcodec.core.symmetry.asymmetric_unit import find_unit
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.synthetic_symmetry import symmetric_map

Array = np.ndarray[Any, Any]

GROUPS = {"C": "C7", "D": "D3", "T": "T", "O": "O", "I": "I", "helical": "helical:9.6,28"}
_SNR = 25.0


def unit_of(volume: Array, model: SymmetryModel) -> Array:
    """The volume where it lies in the asymmetric unit, 0 elsewhere."""
    spans, mask = find_unit(model.images, np.ones(volume.shape, bool))
    inside = [slice(max(a, 0), min(b, n)) for (a, b), n in zip(spans, volume.shape, strict=True)]
    cut = tuple(slice(s.start - a, s.stop - a) for s, (a, _) in zip(inside, spans, strict=True))
    out = np.zeros_like(volume)
    out[tuple(inside)] = np.where(mask[cut], volume[tuple(inside)], 0)
    return out


def picture(symmetry: str, size: int, path: Path) -> None:
    """Projections of a map, of its asymmetric unit and of what decodes from it."""
    volume = symmetric_map(symmetry, size)
    codec = INRCodec.fit(volume, _SNR, symmetry=symmetry, effort=0)
    choices = codec.choices
    if choices is None or codec.volume is None or codec.volume.symmetry is None:
        raise RuntimeError(f"{symmetry} saves no bytes at {size} voxels")
    payload = codec.encode(volume)
    alone = choices["symmetry"].figures["none"]
    axis = 1 if symmetry.startswith("helical") else 0
    shown = {
        f"{symmetry.split(':')[0]}, {size}³ voxels": volume,
        "asymmetric unit": unit_of(volume, codec.volume.symmetry),
        f"decoded at {_SNR:g} dB: {alone:,.0f} → {len(payload):,} bytes": codec.decode(payload),
    }
    figure, panels = plt.subplots(1, len(shown), figsize=(9, 3.3), layout="constrained")
    most = float(volume.sum(axis=axis).max())
    for panel, (title, density) in zip(panels, shown.items(), strict=True):
        panel.imshow(density.sum(axis=axis), cmap="magma", vmin=0, vmax=most, origin="lower")
        panel.set_title(title, fontsize=9)
        panel.set_axis_off()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.symmetry_pictures", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--size", type=int, default=96, help="voxels a side (default: 96)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, symmetry in GROUPS.items():
        picture(symmetry, options.size, options.out / f"{name}.png")
        print(options.out / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
