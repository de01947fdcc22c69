"""Fitting the field of an asymmetric unit to the mean of its copies in a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inrcodec.core.backend import Backend
from inrcodec.core.fitting import Voxels, fit_latents
from inrcodec.core.latent_coding import encode_latents
from inrcodec.core.payload import short
from inrcodec.core.prepare import Prepared
from inrcodec.core.presets import Preset
from inrcodec.core.symmetry.asymmetric_unit import average, find_unit
from inrcodec.core.symmetry.field import SymmetricField
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.core.symmetry.section import SymmetrySection

if TYPE_CHECKING:
    from inrcodec.core.volume import VolumeModel

Array = np.ndarray[Any, Any]


def unit_voxels(
    backend: Backend, model: SymmetryModel, chunk: Prepared, occupied: Array | None, shells: Any
) -> tuple[Any, Voxels]:
    """Voxels of the asymmetric unit in units of the chunk's scale, and where they lie."""
    key = (model, backend, None if occupied is None else int(np.count_nonzero(occupied)))
    before = chunk.known.get("asymmetric unit")
    if before is not None and before[0] == key:
        spans, values, care = before[1:]
        return spans, Voxels(backend, values, care, shells)
    shift_offset(model, chunk)
    represented = np.zeros(model.shape, bool)
    represented[chunk.box] = True if occupied is None else occupied
    density = np.zeros(model.shape)
    density[chunk.box] = (chunk.values - chunk.offset) / chunk.scale
    spans, care = find_unit(model.images, represented, model.margin)
    values, care = average(model.images, density, spans, care)
    chunk.known["asymmetric unit"] = (key, spans, values[None], care[None])
    return spans, Voxels(backend, values[None], care[None], shells)


def shift_offset(model: SymmetryModel, chunk: Prepared) -> None:
    """Move a chunk's offset to its density beyond the radius, which symmetry does not speak of."""
    if model.radius is not None and not chunk.masked:
        beyond = (model.images.distance(model.shape) > model.radius)[chunk.box]
        if beyond.any():
            chunk.offset = short(float(chunk.values[beyond].mean()))


def fit_symmetric(
    backend: Backend, chunk: Prepared, occupied: Array | None, volume: VolumeModel, preset: Preset
) -> SymmetricField:
    """The field of a chunk's asymmetric unit, with the volume's step, block length and network.

    Args:
        chunk: the whole volume.
        occupied: (d, h, w) mask of its box, of the voxels that are represented; None is all.
    """
    model = volume.symmetry
    assert model is not None
    spans, voxels = unit_voxels(backend, model, chunk, occupied, volume.shells)
    step = np.array([volume.step / chunk.scale])
    latents = voxels.analyse(volume.block)
    fit = fit_latents(voxels, latents, step, preset, budget=None, networks=[volume.network])
    q = fit.quantised
    envelope = q.envelope[0]
    offsets = fit.latents.offsets(q, step)[0]
    section = SymmetrySection(model.images, offsets, envelope, spans, b"")
    out = SymmetricField(section, volume.block, np.zeros((0, 0), np.int32), volume.shells)
    kept = envelope[out.layout.bin[q.bands]] > 0
    out.latents = backend.to_numpy(q.values[:, 0])[kept].astype(np.int32)
    section.latents = encode_latents(out.latents, out.layout, envelope, out.active, volume.network)
    return out
