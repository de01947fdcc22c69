"""The field of an asymmetric unit: decoded, expanded, and added in units of synthesis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from symmetric_payloads import CASES, OFFSETS, Made, random_latents

from inrcodec.core import PayloadError, decode_many, decode_region
from inrcodec.core.backend import NUMPY, get_backend
from inrcodec.core.fields.local_fourier import synthesise_exact
from inrcodec.core.latent_coding import dequantise
from inrcodec.core.payload import Section
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable
from inrcodec.core.symmetry.expansion import Expansion
from inrcodec.core.symmetry.field import UNIT_STEP, VALUE_BITS, SymmetricField

FINER = 2.0**16  # units of synthesis in one of a value
SHELLS = ShellTable(bytes([0, 4, *range(8, 40, 2)]))


def decoded(made: Made, shells: ShellTable | None = None) -> SymmetricField:
    data = made.section().to_bytes(made.shape)
    return SymmetricField.decode(NUMPY, data, made.shape, made.block, prior(), shells)


def whole(made: Made) -> tuple[slice, slice, slice]:
    d, h, w = (slice(0, n) for n in made.shape)
    return d, h, w


def values(field: SymmetricField) -> np.ndarray:
    """The field itself, in units of its values."""
    d, h, w = (slice(0, n) for n in field.section.shape)
    latents = dequantise(field.latents, field.section.offsets)
    if field.shells is not None:
        gains = field.shells.multipliers(field.layout)[field.active]
        latents = np.rint(latents * gains[:, None] / 2**16)
    return np.rint(synthesise_exact(NUMPY, latents, field.active, field.layout, (d, h, w)) / FINER)


def test_units() -> None:
    assert UNIT_STEP * FINER == 2.0**-VALUE_BITS


@pytest.mark.parametrize("name", ["C2", "C7", "D2", "T", "helix"])
def test_latents_come_back(name: str) -> None:
    made = CASES[name]
    d, h, w = (b - a for a, b in made.field)
    latents, envelope, _ = random_latents((d, h, w), made.block, made.seed)
    field = decoded(made)
    np.testing.assert_array_equal(field.latents, latents)
    np.testing.assert_array_equal(field.section.envelope, envelope)
    np.testing.assert_array_equal(field.section.offsets, OFFSETS)


@pytest.mark.parametrize("name", CASES)
def test_units_are_those_of_the_expanded_field(name: str) -> None:
    made = CASES[name]
    field = decoded(made)
    units = field.units(NUMPY, whole(made))
    assert units.shape == made.shape
    assert np.std(units) > 10 * FINER
    all_values = values(field)

    def part(spans: tuple[tuple[int, int], ...]) -> np.ndarray:
        return all_values[
            tuple(slice(a - o, b - o) for (a, b), (o, _) in zip(spans, made.field, strict=True))
        ]

    np.testing.assert_array_equal(units, FINER * Expansion(made.images, made.field, part).region(whole(made)))


@pytest.mark.parametrize("name", CASES)
def test_regions(name: str) -> None:
    """A region of a payload is cut from the whole, and works on parts of the asymmetric unit only."""
    made = CASES[name]
    payload = made.payload().to_bytes()
    (everything,) = decode_many([payload])
    rng = np.random.default_rng(0)
    for _ in range(4):
        corners = [np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in made.shape]
        region = tuple(slice(a, b) for a, b in corners)
        np.testing.assert_array_equal(decode_region(payload, region), everything[region])


def test_symmetry_in_a_box_of_the_chunk() -> None:
    made = replace(CASES["C7"], box=(slice(2, 9), slice(4, 18), slice(0, 11)))
    payload = made.payload()
    (found,) = decode_many([payload.to_bytes()])
    outside = np.ones(made.shape, bool)
    assert made.box is not None
    outside[made.box] = False
    assert not found[outside].any()
    alone = replace(payload, sections={s: b for s, b in payload.sections.items() if s != Section.SYMMETRY})
    (rest,) = decode_many([alone.to_bytes()])
    units = decoded(made).units(NUMPY, made.box)
    np.testing.assert_allclose((found - rest)[made.box], 0.125 * 2.0**-26 * units, atol=1e-4)


@pytest.mark.parametrize("name", ["C2", "C7"])
def test_shells_scale_bands_and_leave_some_out(name: str) -> None:
    made = CASES[name]
    plain, open_shells = decoded(made), ShellTable(bytes(113))
    field = SymmetricField(plain.section, made.block, plain.latents, open_shells)
    np.testing.assert_array_equal(field.active, plain.active)
    np.testing.assert_array_equal(field.units(NUMPY, whole(made)), plain.units(NUMPY, whole(made)))
    louder = SymmetricField(plain.section, made.block, plain.latents, ShellTable(bytes([16] * 113)))
    once, twice = plain.units(NUMPY, whole(made)), louder.units(NUMPY, whole(made))
    assert np.std(twice - 2 * once) < 5e-3 * np.std(twice)  # synthesis rounds to 1/64 step on its way
    fewer = SymmetricField(plain.section, made.block, plain.latents, SHELLS)
    assert 0 < len(fewer.active) < len(plain.active)
    assert set(fewer.active.tolist()) < set(plain.active.tolist())


@pytest.mark.needs_torch
@pytest.mark.parametrize("name", ["C2", "C7", "T", "O", "helix", "C5-turned"])
def test_all_devices_agree(name: str) -> None:
    made = CASES[name]
    payload = made.payload().to_bytes()
    (expected,) = decode_many([payload])
    (found,) = decode_many([payload], device="cpu")
    np.testing.assert_array_equal(found, expected)
    backend = get_backend("cpu")
    np.testing.assert_array_equal(
        decoded(made).units(backend, whole(made)), decoded(made).units(NUMPY, whole(made))
    )


def test_latents_of_another_field_are_refused() -> None:
    made = CASES["C7"]
    data = made.section().to_bytes(made.shape)
    for damaged in (data[:-9], data[:-1] + b"\0", data + b"\1\2\3\4\5"):
        with pytest.raises(PayloadError):
            SymmetricField.decode(NUMPY, damaged, made.shape, made.block, prior(), None)


def test_latents_beyond_exact_arithmetic_are_refused() -> None:
    made = CASES["C7"]
    field = decoded(made)
    field.latents[:] = 2**24
    with pytest.raises(PayloadError, match="out of the range"):
        field.units(NUMPY, whole(made))
