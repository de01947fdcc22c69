"""Shape and training of the seed paper's network, as settings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inrcodec.core.mlp.network import NetworkSettings, has_skip, inputs, parameters


def test_the_papers_network() -> None:
    """127 inputs, nine layers, about 8.6 million parameters: 34 MB of float32."""
    paper = NetworkSettings().resolved("cuda")
    assert paper.layer_widths == (2048, 2048, 1024, 1024, 512, 512, 256, 256, 1)
    assert inputs(paper.frequencies, 0) == 63
    assert inputs(paper.frequencies, paper.identifier) == 127
    assert parameters(paper.layer_widths, 127) == 8_591_105
    assert not paper.reduced


def test_a_cpu_takes_a_smaller_one_unless_asked() -> None:
    assert NetworkSettings().resolved("cpu").reduced
    asked = NetworkSettings.from_config({"widths": [2048, 1024, 512, 256], "steps": 7}).resolved("cpu")
    assert not asked.reduced
    assert asked.steps == 7
    assert NetworkSettings(layers=3).resolved("cuda:1").layer_widths == (2048, 1024, 1)


@pytest.mark.parametrize(
    ("layers", "widths", "expected"),
    [
        (9, (8, 4, 2, 1), (8, 8, 4, 4, 2, 2, 1, 1, 1)),
        (4, (8, 4), (8, 8, 4, 1)),
        (3, (8, 4), (8, 4, 1)),
        (2, (5,), (5, 1)),
    ],
)
def test_layers_share_widths_evenly(layers: int, widths: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert NetworkSettings(layers=layers, widths=widths).layer_widths == expected


def test_residual_patterns() -> None:
    patterns = {name: [has_skip(name, i, 9) for i in range(9)] for name in ("none", "alternate", "full")}
    assert not any(patterns["none"])
    assert [i for i, skip in enumerate(patterns["alternate"]) if skip] == [1, 3, 5, 7]
    assert [i for i, skip in enumerate(patterns["full"]) if skip] == [1, 2, 3, 4, 5, 6, 7]
    widths = NetworkSettings().resolved("cuda").layer_widths
    assert all(widths[i] == widths[i - 1] for i in (1, 3, 5, 7))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"widths": (32, np.int64(16)), "residual": "full", "loss": "plain"},
        {"frequencies": 6, "identifier": 0, "steps": np.int32(50), "learning_rate": np.float32(0.5)},
        {"widths": None, "steps": None, "validation": 0, "seed": 3},
    ],
    ids=str,
)
def test_configuration_is_json_and_comes_back(config: dict[str, Any]) -> None:
    settings = NetworkSettings.from_config(config)
    assert NetworkSettings.from_config(json.loads(json.dumps(settings.to_config()))) == settings


def test_only_what_differs_is_stored() -> None:
    assert NetworkSettings().to_config() == {}
    assert NetworkSettings.from_config({"layers": 9, "steps": 50}).to_config() == {"steps": 50}


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"width": [3]}, ValueError, "unknown network settings: width"),
        ({"widths": [4097]}, ValueError, "4097"),
        ({"widths": []}, ValueError, "widths"),
        ({"widths": [4] * 9}, ValueError, "layers must be between 10"),
        ({"widths": 64}, TypeError, "widths must be a list"),
        ({"widths": "64"}, TypeError, "widths must be a list"),
        ({"widths": [2.5]}, TypeError, "2.5"),
        ({"layers": 1}, ValueError, "layers"),
        ({"layers": 65}, ValueError, "layers"),
        ({"frequencies": 17}, ValueError, "frequencies must be between 0 and 16, got 17"),
        ({"identifier": -1}, ValueError, "identifier"),
        ({"residual": "dense"}, ValueError, "'dense'"),
        ({"loss": "L1"}, ValueError, "'L1'"),
        ({"steps": 0}, ValueError, "steps"),
        ({"steps": True}, TypeError, "True"),
        ({"batch": 2**25}, ValueError, "batch"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, TypeError, "'fast'"),
        ({"validation": 0.9}, ValueError, "validation"),
        ({"floor": -1}, ValueError, "floor"),
        ({"patience": 0}, ValueError, "patience"),
        ([1], TypeError, "mapping"),
    ],
    ids=str,
)
def test_bad_settings_are_named(config: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        NetworkSettings.from_config(config)


def test_open_widths_have_no_layers() -> None:
    with pytest.raises(ValueError, match="resolve"):
        _ = NetworkSettings().layer_widths
