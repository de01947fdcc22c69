"""Writes the golden containers in ``packs``: ``PYTHONPATH=tests python tests/golden/make_packs.py``.

Each is a file of ``inrcodec pack`` (``NAME.inr``) with the SHA-256 of each map's decoded voxels, in the
container's order (``NAME.sha256``). As for the payloads beside this file: made anew with a format's version
before 1.0, kept afterwards.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import mrcfile
import numpy as np
from golden.make import sha256

from inrcodec.container import Container
from inrcodec.pack import pack
from inrcodec.synthetic_half_maps import half_maps
from inrcodec.unpack import decode_map

HERE = Path(__file__).resolve().parent / "packs"
MOST = 20_000  # bytes of a golden container


def half_map_pack(path: Path) -> None:
    """Two halves, a masked map made of both, and integers: predicted one from the other."""
    maps = half_maps(32, voxel_size=1.5, resolution=5.0, b_factor=150.0, regularised=True, seed=1)
    full = maps.wiener[:28]
    integers = np.rint(full / np.abs(full).max() * 30000).astype(np.int16)
    arrays = {
        "half1": maps.half1[:28],
        "half2": maps.half2[:28],
        "masked": maps.masked[:28],
        "full": integers,
    }
    with tempfile.TemporaryDirectory() as directory:
        sources = [Path(directory) / f"{name}.mrc" for name in arrays]
        for source, data in zip(sources, arrays.values(), strict=True):
            mrcfile.write(source, data, voxel_size=1.5)
        pack(
            sources, path, field="local-fourier", snr=25, effort=0, chunks=32, device="numpy", overwrite=True
        )


PACKS = {"half-maps": half_map_pack}


def make(name: str, folder: Path = HERE) -> int:
    """Write one container and its sums; returns its bytes.

    Raises:
        ValueError: it is not small.
    """
    path = folder / f"{name}.inr"
    PACKS[name](path)
    data = path.read_bytes()
    if len(data) > MOST:
        raise ValueError(f"{name}: {len(data)} bytes, at most {MOST}")
    container = Container.from_bytes(data)
    sums = [sha256(decode_map(container, i)) for i in range(len(container.maps))]
    (folder / f"{name}.sha256").write_text("\n".join(sums) + "\n", encoding="ascii")
    return len(data)


if __name__ == "__main__":
    for name in PACKS:
        print(name, make(name))
