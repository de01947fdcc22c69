"""The symmetry of a volume in its codec's configuration."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetric_payloads import place, turn
from test_symmetry_section import GROUPS

from inrcodec import INRCodec, decode, inspect
from inrcodec.core import VolumeModel
from inrcodec.core.prior import prior
from inrcodec.core.symmetry.groups import LEAST_RISE, Helix, Symmetry
from inrcodec.core.symmetry.model import SymmetryModel

SHAPE = (24, 20, 22)


def config(**changes: Any) -> dict[str, Any]:
    return {"group": "D7", "shape": [24, 20, 22], "direction": [0, 1, 2], **changes}


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    group=GROUPS,
    centre=st.none() | st.tuples(*[st.integers(-(2**30), 2**30)] * 3),
    seed=st.none() | st.integers(0, 9),
    direction=st.tuples(*[st.integers(-127, 127)] * 3).filter(any),
    radius=st.none() | st.integers(0, 2**16),
    margin=st.integers(0, 8),
)
def test_round_trip(
    group: Any, centre: Any, seed: int | None, direction: Any, radius: int | None, margin: int
) -> None:
    standard = Symmetry.standard(group, SHAPE)
    orientation = None if seed is None or isinstance(group, Helix) else turn(seed)
    model = SymmetryModel(
        Symmetry(group, standard.centre if centre is None else centre, orientation),
        direction,
        SHAPE,
        radius,
        margin,
    )
    plain = json.loads(json.dumps(model.to_config()))
    assert SymmetryModel.from_config(plain) == model
    volume = VolumeModel(0.1, 8, prior().to_bytes(prior()), symmetry=model)
    assert VolumeModel.from_config(json.loads(json.dumps(volume.to_config()))) == volume


def test_what_is_standard_is_left_out() -> None:
    model = SymmetryModel(place("D7", SHAPE), (0, 1, 2), SHAPE)
    assert model.to_config() == config()
    assert SymmetryModel.from_config(config()) == model
    more = SymmetryModel(place("T", SHAPE, (1, 2, 3), turn(0)), (0, 1, 2), SHAPE, 9, 1)
    assert set(more.to_config()) == {*config(), "centre", "orientation", "radius", "margin"}


def test_images_are_the_model_s() -> None:
    model = SymmetryModel(place("D7", SHAPE), (0, 1, 2), SHAPE, 5)
    assert model.images.symmetry == model.symmetry
    assert (model.images.direction, model.images.radius) == ((0, 1, 2), 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flavour": 1}, "unknown symmetry settings: flavour"),
        ({"group": "E8"}, "'E8' is not a symmetry"),
        ({"group": "C1"}, "'C1' is not a symmetry"),
        ({"group": None}, "'None' is not a symmetry"),
        ({"shape": [24, 20]}, "values to unpack"),
        ({"shape": ["a", 1, 1]}, "invalid literal"),
        ({"direction": [0, 0, 0]}, "direction of an asymmetric unit out of range"),
        ({"direction": [0, 128, 0]}, "direction of an asymmetric unit out of range"),
        ({"margin": -1}, "margin of an asymmetric unit must be 0 to 8, got -1"),
        ({"margin": 9}, "margin of an asymmetric unit must be 0 to 8, got 9"),
        ({"centre": [0, 0]}, "values to unpack"),
        ({"centre": [2**41, 0, 0]}, "centre of a symmetry out of range"),
        ({"orientation": [1] * 9}, "not a rotation"),
        ({"orientation": [2**30]}, "not a rotation"),
        ({"group": "helical:3,20", "orientation": list(turn(1))}, "axis of a helix must be z"),
        ({"group": "helical:0.1249,20"}, "at least 1/8 voxel, got helical:0.1248999"),
    ],
)
def test_what_makes_no_symmetry(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SymmetryModel.from_config(config(**changes))


def test_the_least_rise_is_allowed() -> None:
    model = SymmetryModel(Symmetry.standard(Helix(LEAST_RISE, 5), SHAPE), (0, 1, 2), SHAPE)
    assert SymmetryModel.from_config(model.to_config()) == model


def test_chunks_of_another_shape_are_refused() -> None:
    model = SymmetryModel(place("C2", SHAPE), (0, 1, 2), SHAPE)
    volume = VolumeModel(0.1, 8, prior().to_bytes(prior()), symmetry=model)
    codec = INRCodec(volume=volume, effort=0)
    chunk = np.random.default_rng(0).normal(size=SHAPE).cumsum(axis=0).astype(np.float32)
    payload = codec.encode(chunk)
    assert "symmetry" in inspect(payload).sections
    assert np.abs(decode(payload, volume=volume) - chunk).max() < 1
    for other in (chunk[..., :11], chunk.reshape(20, 24, 22)):
        with pytest.raises(
            ValueError, match=r"of symmetry C2 is one chunk of \(24, 20, 22\), got a chunk of shape"
        ):
            codec.encode(other)
