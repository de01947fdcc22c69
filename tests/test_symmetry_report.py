"""Symmetry in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from symmetric_maps import fitted

from inrcodec.core.choices import Choice, Choices
from inrcodec.core.symmetry.groups import CENTRE_UNIT, UNIT, Helix, Symmetry, parse_symmetry
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.symmetry_report import SymmetryReport

WHY = "bytes; the map predicts itself at 41.3 dB"
CHOICE = Choice("symmetry", "C4", WHY, {"c4": 23400.0, "none": 92100.0})


def model(symmetry: str, **place: object) -> SymmetryModel:
    standard = Symmetry.standard(parse_symmetry(symmetry), (40, 40, 40))
    return SymmetryModel(replace(standard, **place), (0, 0, 1), (40, 40, 40))  # type: ignore[arg-type]


def test_a_standard_place_is_not_mentioned() -> None:
    report = SymmetryReport(model("C4"), CHOICE)
    assert report.lines == [
        "symmetry        C4 (4 copies); the map predicts itself at 41.3 dB",
        "symmetry        92,100 -> 23,400 bytes, configuration and all payloads counted",
    ]
    assert (report.bytes_with, report.bytes_without) == (23400, 92100)


def test_any_other_place_is() -> None:
    # a third of a turn about x, which takes y towards z, as a matrix of vectors (z, y, x)
    c, s = -0.5, np.sqrt(0.75)
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    orientation = tuple(int(q) for q in np.rint(rotation * UNIT).ravel())
    centre = (20 * CENTRE_UNIT, 20 * CENTRE_UNIT + 512, 19 * CENTRE_UNIT)
    turned = replace(model("I", centre=centre, orientation=orientation), radius=17)
    assert SymmetryReport(turned, None, 1234).lines == [
        "symmetry        I (60 copies)",
        "symmetry        asymmetric unit of 1,234 bytes",
        "symmetry        centre at voxel 20.00, 20.50, 19.00 (z, y, x)",
        "symmetry        turned by 120.0 degrees about 0.000, 0.000, 1.000 (z, y, x)",
        "symmetry        within 17 voxels of the centre",
    ]
    back = tuple(int(q) for q in np.rint(rotation.T * UNIT).ravel())
    (line,) = [line for line in SymmetryReport(model("I", orientation=back), None).lines if "turned" in line]
    assert line.endswith("120.0 degrees about 0.000, 0.000, -1.000 (z, y, x)")


def test_a_turn_about_z_is_positive_from_x_to_y() -> None:
    orientation = tuple(int(q) for q in Helix(1, 2**32 // 8).rotation(1).ravel())
    (_, line) = SymmetryReport(model("T", orientation=orientation), None).lines
    assert line.endswith("turned by 45.0 degrees about 1.000, 0.000, 0.000 (z, y, x)")


def test_a_helix() -> None:
    (line,) = SymmetryReport(model("helical:4,-45,C2"), None).lines
    assert line == "symmetry        helical:4,-45,C2 (20 copies in the box, rise in voxels)"
    (line,) = SymmetryReport(model("helical:100,10"), None).lines
    assert "(1 copy in the box" in line


def test_why_there_is_none() -> None:
    none = Choice("symmetry", None, "no group is found that holds at 10 dB")
    assert SymmetryReport(None, none).lines == ["symmetry        none: no group is found that holds at 10 dB"]
    dear = replace(CHOICE, value=None, figures={"c4": 2000.0, "none": 1500.0})
    (line,) = SymmetryReport(None, dear).lines
    assert line.endswith("none: C4 takes 2,000 bytes, 1,500 without; the map predicts itself at 41.3 dB")
    helix = replace(dear, figures={"helical:4,30": 2000.0, "none": 1500.0})
    assert "helical:4,30 takes 2,000 bytes" in SymmetryReport(None, helix).lines[0]


@pytest.mark.parametrize("figures", [{"none": 5.0}, {"c4": 5.0}, {"c4": np.inf, "none": 5.0}, {}])
def test_records_by_hand(figures: dict[str, float]) -> None:
    report = SymmetryReport(None, replace(CHOICE, value=None, figures=figures))
    assert report.lines == ["symmetry        none: the map predicts itself at 41.3 dB"]
    assert len(SymmetryReport(model("C4"), replace(CHOICE, figures=figures)).lines) == 1


def test_of_a_volume() -> None:
    codec = fitted()
    assert codec.choices is not None
    report = SymmetryReport.of(codec.volume, codec.choices, 7)
    assert report is not None
    assert report.choice == codec.choices["symmetry"]
    assert report.lines[0].startswith("symmetry        D2 (4 copies); the map predicts itself at 200.0 dB")
    unknown = SymmetryReport.of(codec.volume, None)
    assert unknown is not None
    assert unknown.bytes_with is None
    assert SymmetryReport.of(None, None) is None
    assert codec.volume is not None
    without = Choices(codec.choices.traits, ())
    assert SymmetryReport.of(replace(codec.volume, symmetry=None), without) is None
