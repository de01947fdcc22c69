"""How much error a field leaves for corrections."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core import Settings, Target, decode_many, encode_many
from inrcodec.core.backend import NUMPY
from inrcodec.core.bounded import cheapest_ratio, dense_bits, sparse_bits
from inrcodec.core.corrections import estimate_dense_bits
from inrcodec.core.fitting import Voxels
from inrcodec.core.payload import Payload, Section


@pytest.mark.parametrize(("ratio", "share"), [(1, 0.31731), (0.5, 0.0455), (0.25, 6.334e-5)])
def test_misses_of_a_field_are_the_tail_of_the_normal_distribution(ratio: float, share: float) -> None:
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert sparse_bits(ratio, 10**6) == pytest.approx(1e6 * (entropy + 1.1 * share), rel=5e-3)


def test_the_cheapest_ratio_is_found_for_each_chunk() -> None:
    best = np.array([0.4, 2.0, 16.0])

    def bits(ratio: float) -> np.ndarray:
        return 100 + np.log(ratio / best) ** 2

    np.testing.assert_array_equal(cheapest_ratio(bits, bits), best)


def test_ratios_that_only_cost_more_are_not_tried() -> None:
    tried = []

    def dense(ratio: float) -> np.ndarray:
        tried.append(ratio)
        return np.array([200.0 * ratio])

    assert cheapest_ratio(lambda ratio: np.array([100.0]), dense)[0] < 1
    assert tried == [1.0]


def test_dense_bits_are_of_what_the_field_leaves() -> None:
    values = blobs((12, 13, 14), 0.05)[None] * np.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    voxels = Voxels(NUMPY, values)
    latents = voxels.analyse(8)
    step, bound = np.array([0.5, 0.5]), np.array([0.02, 0.02])
    q = latents.plain(step)
    left = values - voxels.rebuild(latents, q, step)
    expected = [estimate_dense_bits(e, np.ones(e.shape, bool), 0.02) for e in left]
    np.testing.assert_allclose(dense_bits(voxels, latents, q, step, bound), expected, rtol=1e-3)


@pytest.mark.parametrize("scope", ["chunk", "volume"])
def test_a_field_under_noise_keeps_to_the_signal(scope: str) -> None:
    """Voxels are quantised one by one: little more bits than the noise has by itself at this bound."""
    from inrcodec.core import fit

    signal = blobs((32, 32, 32), 0.0)
    chunk = signal + np.random.default_rng(0).normal(0, signal.std(), signal.shape)
    bound = 0.1 * float(chunk.std())
    settings = Settings(Target("max_error", bound), effort=0)
    if scope == "volume":
        settings = Settings(Target("max_error", bound), effort=0, volume=fit(chunk, settings, chunk.shape))
    (payload,) = encode_many([chunk], settings)
    (decoded,) = decode_many([payload], volume=settings.volume)
    assert np.abs(decoded - chunk).max() <= bound
    sections = Payload.from_bytes(payload).sections
    assert len(sections[Section.LATENTS]) < 0.2 * len(sections[Section.CORRECTIONS])
    normal = np.log2(np.sqrt(2 * np.pi * np.e) * signal.std() / (2 * bound))
    assert 8 * len(payload) / chunk.size < normal + 0.4


def test_a_hard_mask_is_stored_where_corrections_are_dense() -> None:
    """In volume scope as in chunk scope: voxels outside it would have corrections, and its edge is dear."""
    from inrcodec.core import fit

    rng = np.random.default_rng(1)
    signal = blobs((32, 32, 32), 0.0)
    inside = ((np.indices(signal.shape) - 15.5) ** 2).sum(axis=0) < 13**2
    chunk = np.where(inside, signal + 2 + rng.normal(0, signal.std(), signal.shape), 0.0)
    bound = 0.1 * float(signal.std())
    model = fit(chunk, Settings(Target("max_error", bound), effort=0), chunk.shape)
    assert model.cell == 1
    settings = Settings(Target("max_error", bound), effort=0)
    (shared,) = encode_many([chunk], Settings(Target("max_error", bound), effort=0, volume=model))
    (alone,) = encode_many([chunk], settings)
    (decoded,) = decode_many([shared], volume=model)
    assert np.abs(decoded - chunk).max() <= bound
    assert len(shared) < 1.05 * len(alone)
