"""The record of what was chosen."""

from __future__ import annotations

import base64
import zlib

import pytest

from inrcodec.core.choices import Choice, Choices
from inrcodec.core.traits import Traits

TRAITS = Traits((20, 20, 20), 0.25, 0.0, 0.5, 31.25, 0.01)
BLOCK = Choice("block", 20, "bit per voxel estimated", {"16": 0.371, "20": 0.352, "25": 0.36})


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (BLOCK, "20: 0.352 bit per voxel estimated; 25: 0.36, 16: 0.371"),
        (Choice("block", 9, "as asked"), "9: as asked"),
        (Choice("cell", None, "of the bits", {"none": 1.0, "2": 1.5}), "none: 1 of the bits; 2: 1.5"),
        (Choice("network", "own", "bits", {"own": 7.0}), "own: 7 bits"),
        (Choice("x", "C4", "bytes", {"c4": 23400.0, "none": 92100.0}), "c4: 23,400 bytes; none: 92,100"),
    ],
)
def test_reasons(choice: Choice, reason: str) -> None:
    assert choice.reason == reason


def test_only_the_best_candidates_are_listed() -> None:
    many = Choice("block", 0, "bits", {str(i): float(i) for i in range(9)})
    assert many.reason == "0: 0 bits; 1: 1, 2: 2, 3: 3, 4: 4"


def test_the_last_choice_of_a_name_counts() -> None:
    choices = Choices(TRAITS, (BLOCK, Choice("cell", 2, "x"), Choice("block", 25, "better so")))
    assert choices["block"].value == 25
    assert choices["cell"].value == 2
    with pytest.raises(KeyError):
        choices["width"]


def test_as_text_and_back() -> None:
    choices = Choices(TRAITS, (BLOCK, Choice("cell", None, "no background to leave out")))
    text = choices.to_text()
    assert Choices.from_text(text) == choices
    assert len(text) < 400
    assert [line[:16].strip() for line in choices.lines] == ["traits"] * 3 + ["chosen"] * 2
    assert choices.lines[3] == "chosen          block 20: 0.352 bit per voxel estimated; 25: 0.36, 16: 0.371"


@pytest.mark.parametrize(
    "text",
    [
        "%%%",
        7,
        None,
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b"{}")).decode(),
        base64.b64encode(zlib.compress(b'{"traits": {"a": 1}, "made": []}')).decode(),
        base64.b64encode(zlib.compress(b'{"traits": {}, "made": [[1]]}')).decode(),
        base64.b64encode(zlib.compress(b" " * 2**22)).decode(),
    ],
)
def test_damaged_records_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="the record of what was chosen is damaged"):
        Choices.from_text(text)
