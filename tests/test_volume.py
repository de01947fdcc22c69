"""Volume scope: the model that a configuration carries."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core import PayloadError, VolumeModel
from inrcodec.core.choices import Choices
from inrcodec.core.context import PARAMETERS, ContextNetwork
from inrcodec.core.prior import prior
from inrcodec.core.shells import ShellTable
from inrcodec.core.traits import Traits
from inrcodec.core.volume import short_step, unchanged_weights


def network(seed: int, spread: int) -> ContextNetwork:
    """The prior with whole numbers of a spread added where they fit."""
    change = np.random.default_rng(seed).integers(-spread, spread + 1, PARAMETERS)
    flat = prior().flat + change
    limits = np.concatenate([np.full(a.size, 127 if a.ndim == 2 else 32767) for a in prior().arrays])
    return ContextNetwork.from_flat(np.clip(flat, -limits, limits))


@settings(deadline=None, derandomize=True, max_examples=20)
@given(
    st.floats(1e-30, 1e30),
    st.integers(4, 64),
    st.sampled_from([None, 1, 2, 4, 8]),
    st.sampled_from([0, 4, 40]),
)
def test_the_configuration_is_json_and_exact(step: float, block: int, cell: int | None, spread: int) -> None:
    weights = network(block, spread).to_bytes(prior())
    model = VolumeModel(step, block, weights, cell=cell)
    text = json.dumps(model.to_config(), allow_nan=False)
    again = VolumeModel.from_config(json.loads(text))
    assert again == model
    assert again.digest == model.digest
    np.testing.assert_array_equal(again.network.flat, network(block, spread).flat)


def test_networks_of_any_weights_fit_4_kilobytes() -> None:
    flat = np.concatenate([np.full(a.size, 127 if a.ndim == 2 else 2000) for a in prior().arrays])
    flat *= np.random.default_rng(0).choice([-1, 1], PARAMETERS)
    model = VolumeModel(0.1, 16, ContextNetwork.from_flat(flat).to_bytes(prior()))
    assert len(json.dumps(model.to_config())) <= 4096


@pytest.mark.parametrize("key", ["steps", "network", "Block"])
def test_unknown_keys_are_refused(key: str) -> None:
    config: dict[str, Any] = VolumeModel(1.0, 16, prior().to_bytes(prior())).to_config()
    with pytest.raises(ValueError, match=f"unknown volume settings: {key}"):
        VolumeModel.from_config(config | {key: 1})


def test_weights_must_be_base64() -> None:
    config = VolumeModel(1.0, 16, prior().to_bytes(prior())).to_config()
    with pytest.raises(ValueError, match=r"base64|padding|Only"):
        VolumeModel.from_config(config | {"weights": "%%%"})


def test_damaged_weights_are_refused() -> None:
    config = VolumeModel(1.0, 16, network(0, 9).to_bytes(prior())).to_config()
    for weights in (b"", b"\xff" * 9, base64.b64decode(config["weights"])[:-4]):
        damaged = VolumeModel.from_config(config | {"weights": base64.b64encode(weights).decode()})
        with pytest.raises(PayloadError):
            _ = damaged.network
    with pytest.raises(PayloadError, match="prior 99"):
        _ = VolumeModel.from_config(config | {"prior": 99}).network


def test_the_digest_tells_networks_apart() -> None:
    models = [VolumeModel(1.0, 16, network(seed, 9).to_bytes(prior())) for seed in range(20)]
    assert len({model.digest for model in models}) == 20
    assert all(0 <= model.digest < 2**32 for model in models)


def shelled(**changes: Any) -> VolumeModel:
    model = VolumeModel(1.0, 16, prior().to_bytes(prior()), shells=ShellTable(b"\x05\x00\x09"))
    return replace(model, resolution=3.0, voxel_size=(1.0, 1.0, 0.9), **changes)


def test_shells_in_the_configuration() -> None:
    model = shelled()
    again = VolumeModel.from_config(json.loads(json.dumps(model.to_config())))
    assert again == model
    assert again.digest == model.digest
    assert model.digest != replace(model, shells=ShellTable(b"\x05\x00\x0a")).digest
    assert model.digest != replace(model, shells=None).digest
    limited = replace(model, shells=ShellTable(b"\x05\x00\x09", bytes(range(6))))
    assert VolumeModel.from_config(json.loads(json.dumps(limited.to_config()))) == limited
    assert model.digest != limited.digest


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("shells", "AA==", "a table of shells has 2 to 113 nodes, got 1"),
        ("shell_ends", "AA==", "a table of 3 nodes has 0 or 6 limits, got 1"),
        ("shells", [1, 2, 3], "shells of the volume must be base64 text, got list"),
        ("resolution", -3.0, "resolution of the volume must be positive and finite, got -3.0"),
        ("resolution", float("nan"), "resolution of the volume must be positive and finite, got nan"),
        ("voxel_size", [1.0, 0.0, 1.0], "voxel_size of the volume must be positive and finite"),
    ],
)
def test_untrusted_shells(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VolumeModel.from_config(shelled().to_config() | {key: value})


def test_defaults_are_left_out_of_the_configuration() -> None:
    plain = VolumeModel(0.25, 16, unchanged_weights())
    assert plain.to_config() == {"step": 0.25, "block": 16, "prior": plain.prior}
    assert VolumeModel.from_config(plain.to_config()) == plain
    assert not plain.changed
    assert VolumeModel(0.25, 16, network(0, 9).to_bytes(prior())).changed


def test_configurations_that_spell_out_the_defaults_are_read() -> None:
    weights = base64.b64encode(unchanged_weights()).decode()
    plain = VolumeModel(0.25, 16, unchanged_weights())
    assert VolumeModel.from_config(plain.to_config() | {"cell": None, "weights": weights}) == plain


def test_choices_are_no_part_of_the_model() -> None:
    plain = VolumeModel(0.25, 16, unchanged_weights())
    noted = replace(plain, choices=Choices(Traits((8, 8, 8), 1.0, None, 1.0, 9.0, 1.0)))
    assert noted == plain
    assert hash(noted) == hash(plain)
    assert noted.to_config() == plain.to_config()
    assert repr(noted) == repr(plain)


@given(st.floats(1e-300, 1e300))
def test_short_steps_are_never_larger(step: float) -> None:
    short = short_step(step)
    assert 0 <= 1 - short / step < 2e-4
    assert short_step(short) == short
    assert float(f"{short:.4e}") == short
