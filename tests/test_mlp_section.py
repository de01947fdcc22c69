"""The field section of the mlp field."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.section import MLPSection, Shape
from inrcodec.core.payload import PayloadError

SHAPES = st.builds(
    Shape,
    st.lists(st.integers(1, 4096), min_size=1, max_size=20).map(lambda widths: (*widths, 1)),
    st.integers(0, 16),
    st.integers(0, 1024),
    st.sampled_from(["none", "alternate", "full"]),
    st.sampled_from([8, 16, 32]),
)
SHAPE = Shape((6, 5, 1), 2, 3, "full", 16)


@given(shape=SHAPES, unit=st.floats(1e-300, 1e280), digest=st.none() | st.integers(0, 2**32 - 1))
def test_round_trip(shape: Shape, unit: float, digest: int | None) -> None:
    section = MLPSection(shape, unit, digest)
    assert MLPSection.from_bytes(section.to_bytes(), "chunk" if digest is None else "volume") == section


def test_layers_and_parameters() -> None:
    assert SHAPE.inputs == 3 * 5 + 3
    assert SHAPE.layers == [(6, 18), (5, 6), (1, 5)]
    assert SHAPE.parameters == 6 * 19 + 5 * 7 + 6
    assert Shape.of(NetworkSettings(widths=(3,), layers=3), 8).widths == (3, 3, 1)
    assert "169" in str(Shape((7, 1), 2, 7, "none", 8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"widths": (1,)}, "1 layers"),
        ({"widths": (4,) * 64 + (1,)}, "65 layers"),
        ({"widths": (4097, 1)}, "4097"),
        ({"widths": (0, 1)}, "widths"),
        ({"widths": (4, 2)}, "the last 1"),
        ({"frequencies": 17}, "17 frequencies"),
        ({"identifier": 1025}, "1025"),
        ({"weight_bits": 12}, "12 bits"),
    ],
    ids=str,
)
def test_what_the_format_does_not_hold_is_refused(change: dict, words: str) -> None:
    section = MLPSection(dataclasses.replace(SHAPE, **change), 0.5)
    with pytest.raises(PayloadError, match=words):
        MLPSection.from_bytes(section.to_bytes(), "chunk")


@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan"), float("inf"), 1e290])
def test_units_that_make_no_sense(unit: float) -> None:
    with pytest.raises(PayloadError, match="unit"):
        MLPSection(SHAPE, unit)


def test_every_cut_is_refused() -> None:
    data = MLPSection(SHAPE, 0.5, 7).to_bytes()
    for length in range(len(data)):
        with pytest.raises(PayloadError):
            MLPSection.from_bytes(data[:length], "volume")
    with pytest.raises(PayloadError, match="left over"):
        MLPSection.from_bytes(data, "chunk")
