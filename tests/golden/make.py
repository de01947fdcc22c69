"""Writes the golden files beside this one: ``python tests/golden/make.py``.

Each case is a payload (``NAME.inr``), the SHA-256 of the decoded chunk's bytes in C order
(``NAME.sha256``) and, in volume scope, the networks it needs (``NAME.json``). They guard what old payloads
decode to, on every device.

Before format 1.0 a change of the format bumps its version and all files are made anew by this command.
Afterwards files are only added: give this script a list of names (``python tests/golden/make.py NAME ...``).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inrcodec import core
from inrcodec.core import Settings, Target, VolumeModel
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.prior import prior
from inrcodec.core.shell_loop import fit_fsc
from inrcodec.core.symmetry.groups import RISE_UNIT, UNIT, Helix, Symmetry, parse_symmetry
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.synthetic import generate

HERE = Path(__file__).resolve().parent
MOST = 10_000  # bytes of a golden file

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A chunk, how it is encoded, and what the payload must hold to be worth keeping.

    Attributes:
        chunk: makes the chunk.
        settings: of the encoder.
        field: the field's name, as ``core.inspect`` gives it.
        sections: sections besides ``field`` and ``latents`` (or the one of a chunk without a field).
        fit: makes the volume and its settings (volume scope).
    """

    chunk: Callable[[], Array]
    settings: Settings
    field: str = "local-fourier"
    sections: tuple[str, ...] = ()
    fit: Callable[[], VolumeModel] | None = None


def sha256(chunk: Array) -> str:
    """Of the voxels in C order, in the dtype and byte order they decode to."""
    return hashlib.sha256(np.ascontiguousarray(chunk).tobytes()).hexdigest()


def particle(shape: Sequence[int] = (24, 24, 24), seed: int = 0, **options: Any) -> Array:
    return generate(shape, noise=0.05, seed=seed, **options)


def integers(dtype: str, shape: Sequence[int], seed: int) -> Array:
    """A particle that fills half the range of an integer dtype."""
    *lead, height, width = (1, 1, *shape)
    density = particle((int(np.prod(lead)), height, width), seed).reshape(shape)
    limits = np.iinfo(dtype)
    scaled = (density - density.min()) / np.ptp(density) * 0.5 + 0.25
    return np.rint(limits.min + scaled * (float(limits.max) - limits.min)).astype(dtype)


def specials() -> Array:
    """float32 with NaN of two payloads, both infinities and a plane of NaN."""
    density = particle((16, 17, 18), seed=4)
    density[3] = np.nan
    density[8, 8, 8:10] = np.inf, -np.inf
    density.view(np.uint32)[9, 9, 9] = 0x7FC01234
    return density


def stripes() -> Array:
    """Density whose spectrum is unlike any particle's, which a network of its own learns."""
    rng = np.random.default_rng(7)
    spectrum = np.fft.rfftn(rng.standard_normal((32, 32, 32)))
    z, y, x = np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), np.fft.rfftfreq(32), indexing="ij")
    band = (np.abs(np.abs(x) - 0.35) < 0.05) & (np.abs(y) < 0.2) & (np.abs(z) < 0.1)
    return np.fft.irfftn(spectrum * band, s=(32, 32, 32), axes=(0, 1, 2)).astype(np.float32)


def hard_mask() -> Array:
    """A particle in a level of solvent, exactly 0 outside a ball."""
    grid = np.indices((32, 32, 32)) - 15.5
    inside = (grid**2).sum(axis=0) < 13**2
    return np.where(inside, particle((32, 32, 32), seed=3) + 4, 0).astype(np.float32)


def spectral_peak() -> Array:
    """float64 big-endian in two dimensions, large values on a large offset."""
    return (1e6 * particle((1, 36, 41), seed=9)[0].astype(np.float64) - 3e7).astype(">f8")


def noisy() -> Array:
    """A particle under as much white noise."""
    density = particle((20, 19, 18), seed=14)
    noise = np.random.default_rng(14).normal(0, density.std(), density.shape)
    return (density + noise).astype(np.float32)


def volume() -> Array:
    return particle((32, 32, 32), seed=5, mask="soft")


def shells_model() -> VolumeModel:
    """Steps by radial shell, with others at the ends of axes."""
    scale = {"resolution": 4.0, "voxel_size": (1.0, 1.0, 1.0)}
    return fit_fsc(volume(), Settings(Target("fsc", 0.99), effort=0, block=6), (20, 20, 20), **scale)


def volume_model() -> VolumeModel:
    return core.fit(volume(), Settings(Target("snr", 25), effort=2), (16, 16, 16), device="cpu")


def tiny_network() -> NetworkSettings:
    """A network of the seed paper's kind that fits into a golden file."""
    return NetworkSettings(
        widths=(20, 12), layers=5, frequencies=3, identifier=4, steps=200, batch=256, learning_rate=0.01
    )


def symmetric(symbol: str, ligand: float = 0.0) -> Array:
    """Blobs and their images under a group, and one that only one of the asymmetric units has."""
    rng = np.random.default_rng(16)
    symmetry = Symmetry.standard(parse_symmetry(symbol), (24, 24, 24))
    if isinstance(symmetry.group, Helix):
        found = [symmetry.operation(k, j) for k in range(-6, 7) for j in range(symmetry.group.n)]
        moves = [(m / UNIT, np.array(shift) / RISE_UNIT) for m, shift in found]
    else:
        moves = [(m / UNIT, np.zeros(3)) for m in symmetry.operations()]
    grid = np.indices((24, 24, 24)) - 12.0
    density = ligand * np.exp(-((grid - np.array([3, -4, 1])[:, None, None, None]) ** 2).sum(axis=0) / 6)
    for _ in range(4):
        at, width = rng.normal(0, 4.5, 3), rng.uniform(3, 6)
        for matrix, shift in moves:
            offsets = grid - (matrix @ at + shift)[:, None, None, None]
            density += np.exp(-(offsets**2).sum(axis=0) / width)
    return density.astype(np.float32)


def symmetric_model(
    symbol: str, direction: tuple[int, int, int], radius: int | None = None, off: int = 0
) -> VolumeModel:
    """As a fit makes them; the centre lies so many 2**-10 voxel from the middle voxel along each axis."""
    standard = Symmetry.standard(parse_symmetry(symbol), (24, 24, 24))
    z, y, x = (c + off for c in standard.centre)
    place = replace(standard, centre=(z, y, x))
    symmetry = SymmetryModel(place, direction, (24, 24, 24), radius)
    return VolumeModel(0.1, 8, prior().to_bytes(prior()), symmetry=symmetry)


CASES: dict[str, Case] = {
    "constant-f4-big-endian": Case(
        lambda: np.full((3, 4, 5, 6), -1.25, ">f4"), Settings(effort=0), "constant", ("constant",)
    ),
    "lossless-f8": Case(
        lambda: np.random.default_rng(0).normal(size=(5, 6, 7)),
        Settings(Target("snr", 200), effort=0),
        "lossless",
        ("lossless",),
    ),
    "prior-f4": Case(particle, Settings(effort=0)),
    "uneven-axes-f2": Case(
        lambda: particle((19, 23, 30), seed=1).astype(np.float16), Settings(effort=0, block=8)
    ),
    "max-error-f4": Case(
        lambda: particle(seed=2),
        Settings(Target("max_error", 0.1), effort=0, block=8),
        sections=("corrections",),
    ),
    "noise-max-error-f4": Case(
        noisy,
        Settings(Target("max_error", 0.1), effort=0),
        sections=("corrections",),
    ),
    "occupancy-f4": Case(hard_mask, Settings(Target("snr", 20), effort=1), sections=("occupancy",)),
    "threshold-f4-max-error": Case(
        lambda: particle((24, 20, 22), seed=6),
        Settings(Target("max_error", 0.05), threshold=0.5, effort=0),
        sections=("occupancy", "corrections"),
    ),
    "specials-f4": Case(specials, Settings(effort=0), sections=("verbatim",)),
    "own-weights-f4": Case(stripes, Settings(Target("snr", 12), effort=5), sections=("weights",)),
    "volume-scope-f4": Case(
        lambda: volume()[:16, 16:, 8:24], Settings(Target("snr", 25), effort=2), fit=volume_model
    ),
    "shells-f4": Case(
        lambda: volume()[:20, 12:, 6:26], Settings(Target("fsc", 0.99), effort=0), fit=shells_model
    ),
    "fortran-i2": Case(
        lambda: np.asfortranarray(integers("int16", (22, 20, 18), 8)), Settings(Target("snr", 35), effort=0)
    ),
    "ratio-u1": Case(lambda: integers("uint8", (24, 24, 24), 10), Settings(Target("ratio", 20), effort=0)),
    "big-endian-f8-2d": Case(spectral_peak, Settings(Target("snr", 60), effort=0)),
    "four-dimensions-u2": Case(
        lambda: integers("uint16", (2, 10, 12, 14), 11).astype(">u2"), Settings(Target("snr", 25), effort=0)
    ),
    "high-snr-f8": Case(
        lambda: particle((10, 11, 12), seed=12).astype(np.float64), Settings(Target("snr", 100), effort=0)
    ),
    "mlp-f4": Case(
        lambda: particle((12, 13, 14), seed=15, mask="soft"),
        Settings(Target("none", 0.0), field="mlp", network=tiny_network(), weight_bits=16),
        "mlp",
        ("field", "weights", "latents", "occupancy"),
    ),
    "symmetry-d2-ligand-f4": Case(
        lambda: symmetric("D2", ligand=2.0),
        Settings(Target("snr", 25), effort=0),
        sections=("symmetry",),
        fit=lambda: symmetric_model("D2", (0, 0, 1)),
    ),
    "symmetry-icosahedral-f4": Case(
        lambda: symmetric("I"),
        Settings(Target("snr", 25), effort=0),
        sections=("symmetry",),
        fit=lambda: replace(symmetric_model("I", (6, 3, 1), radius=15, off=1), step=0.5),
    ),
    "symmetry-helix-i2": Case(
        lambda: np.rint(50 * symmetric("helical:4.3,62.5,C2")).astype(np.int16),
        Settings(Target("snr", 25), effort=0),
        sections=("symmetry",),
        fit=lambda: replace(symmetric_model("helical:4.3,62.5,C2", (0, 1, 1)), step=5.0),
    ),
    "levels-f4": Case(
        lambda: (np.rint(12 * particle((20, 19, 18), seed=16)) * 0.0375).astype(np.float32),
        Settings(Target("max_error", 0.01), effort=0),
        sections=("levels",),
    ),
    "line-i1": Case(lambda: integers("int8", (900,), 13), Settings(Target("snr", 15), effort=0)),
}


def make(name: str, folder: Path = HERE) -> int:
    """Write one case's files; returns the payload's bytes."""
    case = CASES[name]
    chunk = case.chunk()
    model = None if case.fit is None else case.fit()
    settings = replace(case.settings, volume=model)
    (payload,) = core.encode_many([chunk], settings, device="numpy" if settings.effort < 2 else "cpu")
    check(name, payload, chunk)
    (decoded,) = core.decode_many([payload], volume=model)
    (folder / f"{name}.inr").write_bytes(payload)
    (folder / f"{name}.sha256").write_text(sha256(decoded) + "\n", encoding="ascii")
    if model is not None:
        (folder / f"{name}.json").write_text(json.dumps(model.to_config()) + "\n", encoding="ascii")
    return len(payload)


def check(name: str, payload: bytes, chunk: Array) -> None:
    """That a payload holds what its case is there for.

    Raises:
        ValueError: it does not, or is too large to keep.
    """
    case, info = CASES[name], core.inspect(payload)
    plain = {"field", "latents"} if case.field == "local-fourier" else set()
    missing = (plain | set(case.sections)) - set(info.sections)
    if info.field != case.field or missing or info.scope != ("chunk" if case.fit is None else "volume"):
        raise ValueError(f"{name} is {info.field} of {info.scope} scope with {info.sections}")
    if (info.shape, info.dtype) != (chunk.shape, chunk.dtype):
        raise ValueError(f"{name} has shape {info.shape} {info.dtype}")
    if len(payload) >= MOST:
        raise ValueError(f"{name} takes {len(payload)} bytes")


def main(names: Sequence[str]) -> None:
    for name in names or CASES:
        print(f"{name}: {make(name)} bytes")
    for path in HERE.iterdir():
        if path.suffix in (".inr", ".sha256", ".json") and path.stem not in CASES:
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
