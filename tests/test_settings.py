"""Targets and settings: what makes sense is kept, the rest is refused by name."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from inrcodec.core import Settings, Target, parse_target


class TestTarget:
    def test_default(self) -> None:
        assert Target() == Target("snr", 30.0)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [("snr", -20), ("snr", 0), ("snr", 200), ("max_error", 1e-300), ("ratio", 1), ("ratio", 1e6)],
    )
    def test_sensible_values(self, kind: Any, value: float) -> None:
        assert Target(kind, value).value == value

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("snr", -20.1),
            ("snr", 200.1),
            ("max_error", 0),
            ("max_error", -1),
            ("ratio", 0.99),
            ("ratio", 0),
            *((kind, value) for kind in ("snr", "max_error", "ratio") for value in (math.nan, math.inf)),
        ],
    )
    def test_refused_by_name(self, kind: Any, value: float) -> None:
        with pytest.raises(ValueError, match=kind):
            Target(kind, value)

    def test_frozen_and_hashable(self) -> None:
        assert len({Target("snr", 30), Target("snr", 30.0), Target("ratio", 30)}) == 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            Target().value = 1.0  # type: ignore[misc]


class TestParseTarget:
    def test_none_given(self) -> None:
        assert parse_target() == Target("snr", 30.0)

    @pytest.mark.parametrize(("kind", "value"), [("snr", 12), ("max_error", 0.5), ("ratio", 20)])
    def test_one_given(self, kind: Any, value: float) -> None:
        target = parse_target(**{kind: value})
        assert target == Target(kind, float(value))
        assert isinstance(target.value, float)

    @pytest.mark.parametrize(
        "given",
        [
            {"snr": 30, "max_error": 1},
            {"snr": 30, "ratio": 2},
            {"max_error": 1, "ratio": 2},
            {"snr": 30, "max_error": 1, "ratio": 2},
        ],
    )
    def test_more_than_one_is_an_error_that_names_them(self, given: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="one quality target") as error:
            parse_target(**given)
        assert all(f"{name}={value:g}" in str(error.value) for name, value in given.items())

    def test_zero_is_a_value(self) -> None:
        assert parse_target(snr=0) == Target("snr", 0.0)
        with pytest.raises(ValueError, match="max_error"):
            parse_target(max_error=0)


class TestSettings:
    def test_defaults(self) -> None:
        settings = Settings()
        assert (settings.target, settings.threshold, settings.effort) == (Target(), None, 3)
        assert settings.block is None
        assert settings.volume is None

    @pytest.mark.parametrize("effort", range(10))
    def test_efforts(self, effort: int) -> None:
        assert Settings(effort=effort).effort == effort

    @pytest.mark.parametrize("effort", [-1, 10, 3.0, True, "3", None])
    def test_bad_efforts(self, effort: Any) -> None:
        with pytest.raises(ValueError, match="effort must be an integer from 0 to 9"):
            Settings(effort=effort)

    @pytest.mark.parametrize("block", [4, 16, 64, None])
    def test_blocks(self, block: int | None) -> None:
        assert Settings(block=block).block == block

    @pytest.mark.parametrize("block", [-8, 0, 3, 65])
    def test_bad_blocks(self, block: int) -> None:
        with pytest.raises(ValueError, match=f"between 4 and 64 voxels, got {block}"):
            Settings(block=block)

    @pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
    def test_bad_thresholds(self, threshold: float) -> None:
        with pytest.raises(ValueError, match="threshold must be finite"):
            Settings(threshold=threshold)
