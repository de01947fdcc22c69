"""The field of an asymmetric unit, fitted to a volume: it says most, and targets hold with what it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import snr_of
from symmetric_payloads import place, whole_field
from test_symmetry_expansion import grid, symmetric_density

from inrcodec.core import Settings, Target, VolumeModel, decode_many, encode_many
from inrcodec.core.backend import NUMPY
from inrcodec.core.payload import Payload, Section
from inrcodec.core.prepare import prepare
from inrcodec.core.presets import EFFORTS
from inrcodec.core.prior import prior
from inrcodec.core.symmetric_fit import placed
from inrcodec.core.symmetry.field import UNIT_STEP
from inrcodec.core.symmetry.fitting import fit_symmetric
from inrcodec.core.symmetry.groups import Symmetry, parse_symmetry
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.synthetic_symmetry import symmetric_map

Array = np.ndarray[Any, Any]
SHAPE = (24, 24, 24)
GROUPS = [("C7", (0, 1, 3)), ("D2", (0, 0, 1)), ("O", (6, 3, 1)), ("helical:4.3,50,C2", (0, 0, 1))]


def density(symbol: str) -> Array:
    volume = symmetric_density(place(symbol, SHAPE), grid(whole_field(SHAPE)), width=1.6)
    return (volume / volume.std()).astype(np.float32)


def model(symbol: str, direction: tuple[int, int, int], step: float = 0.1) -> VolumeModel:
    symmetry = SymmetryModel(place(symbol, SHAPE), direction, SHAPE)
    return VolumeModel(step, 8, prior().to_bytes(prior()), symmetry=symmetry)


@pytest.mark.parametrize(("symbol", "direction"), GROUPS)
def test_the_field_says_most_of_a_symmetric_volume(symbol: str, direction: tuple[int, int, int]) -> None:
    volume, shared = density(symbol), model(symbol, direction)
    ready = prepare(volume, 0.0)
    assert ready is not None
    fitted = fit_symmetric(NUMPY, ready, None, shared, EFFORTS[0])
    units = fitted.units(NUMPY, (slice(0, 24), slice(0, 24), slice(0, 24)))
    found = units * (shared.step * UNIT_STEP) + ready.offset
    inner = (slice(2, -2),) * 3
    # near its axis, where seven copies meet, C7's asymmetric unit is too narrow to be interpolated well
    assert snr_of(volume[inner], found[inner]) > (15 if symbol == "C7" else 25)


@pytest.mark.parametrize(("symbol", "direction"), GROUPS[1:])
def test_payloads_are_smaller_and_as_good(symbol: str, direction: tuple[int, int, int]) -> None:
    volume, shared = density(symbol), model(symbol, direction)
    plain = replace(shared, symmetry=None)
    found = {}
    for name, one in (("with", shared), ("without", plain)):
        settings = Settings(Target("snr", 25.0), effort=0, volume=one)
        (payload,) = encode_many([volume], settings, device="numpy")
        (decoded,) = decode_many([payload], volume=one)
        found[name] = len(payload), snr_of(volume, decoded)
    assert found["with"][0] < found["without"][0]
    # latents within half a step of their field's would leave 30.8 dB; fewer bits cost some of that
    assert min(found["with"][1], found["without"][1]) > 28


@pytest.mark.parametrize(("symbol", "direction"), GROUPS)
def test_an_asymmetric_ligand_survives(symbol: str, direction: tuple[int, int, int]) -> None:
    """The bound holds at every voxel, those of a blob among them that only one copy has."""
    volume = density(symbol)
    blob = 3 * np.exp(
        -((np.indices(SHAPE) - np.array([14, 8, 13])[:, None, None, None]) ** 2).sum(axis=0) / 4
    )
    volume = (volume + blob).astype(np.float32)
    shared = model(symbol, direction, 0.2)
    settings = Settings(Target("max_error", 0.25), effort=0, volume=shared)
    (payload,) = encode_many([volume], settings, device="numpy")
    (decoded,) = decode_many([payload], volume=shared)
    assert Section.SYMMETRY in Payload.from_bytes(payload).sections
    assert np.abs(decoded - volume).max() <= 0.25
    ligand = blob > 1
    assert snr_of(volume[ligand], decoded[ligand]) > 15


@pytest.mark.parametrize(("symbol", "steps"), [("O", 0.4), ("T", 0.5), ("I", 0.9)])
def test_what_rounding_leaves_of_a_symmetric_map_is_not_coded_again(symbol: str, steps: float) -> None:
    """At a step far above what interpolation gets wrong, errors are the unit's own, in all copies."""
    volume = symmetric_map(symbol, 64)
    ready = prepare(volume, None)
    assert ready is not None
    step = steps * ready.scale
    unit = placed(Symmetry.standard(parse_symmetry(symbol), volume.shape), ready, step)
    shared = VolumeModel(step, 8, prior().to_bytes(prior()), symmetry=unit)
    (data,) = encode_many([volume], Settings(effort=0, volume=shared), device="numpy")
    (decoded,) = decode_many([data], volume=shared)
    payload = Payload.from_bytes(data)
    assert snr_of(volume, decoded) > 17
    assert len(payload.section(Section.LATENTS)) < 0.05 * len(payload.section(Section.SYMMETRY))
