"""Metrics against closed forms and plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import metrics


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def loop_fsc(a, b, sizes):
    """Fourier shell correlation by its definition: the full transform, one coefficient at a time."""
    fa, fb = np.fft.fftn(a), np.fft.fftn(b)
    pixel = max(1 / (n * d) for n, d in zip(a.shape, sizes, strict=True))
    shells = int(0.5 / max(sizes) / pixel + 1e-9)
    sums = np.zeros((3, shells + 1))
    freqs = [np.fft.fftfreq(n, d) for n, d in zip(a.shape, sizes, strict=True)]
    for k in itertools.product(*(range(n) for n in a.shape)):
        radius = math.sqrt(sum(freqs[i][k[i]] ** 2 for i in range(a.ndim))) / pixel
        shell = math.floor(radius + 0.5)
        if shell <= shells:
            sums[:, shell] += (fa[k] * fb[k].conjugate()).real, abs(fa[k]) ** 2, abs(fb[k]) ** 2
    cross, pa, pb = sums[:, 1:]
    return np.arange(1, shells + 1) * pixel, cross / np.sqrt(pa * pb)


class TestSNR:
    def test_known_value(self):
        a = np.array([0.0, 2.0, 0.0, 2.0])
        assert metrics.snr(a, a + 0.1) == pytest.approx(20.0)

    def test_equal_is_infinite(self, rng):
        a = rng.normal(size=(3, 4, 5)).astype("f4")
        assert metrics.snr(a, a.copy()) == math.inf

    def test_constant_not_reproduced(self):
        assert metrics.snr(np.ones(4), np.zeros(4)) == -math.inf

    def test_large_offset_does_not_cancel(self, rng):
        noise = rng.normal(size=(8, 8, 8))
        a = 1e8 + rng.normal(size=(8, 8, 8))
        expected = 10 * math.log10(a.var() / np.mean((0.1 * noise) ** 2))
        assert metrics.snr(a, a + 0.1 * noise) == pytest.approx(expected, abs=1e-3)

    def test_slabs_are_merged_exactly(self, rng, monkeypatch):
        a = rng.normal(size=(9, 3, 3)) + np.arange(9)[:, None, None]
        b = a + 0.01
        whole = metrics.snr(a, b)
        monkeypatch.setattr(metrics, "_slabs", lambda a, b: zip(a, b, strict=True))
        assert metrics.snr(a, b) == pytest.approx(whole, abs=1e-9)

    def test_unsigned_integers_do_not_wrap(self):
        a = np.array([0, 255], "u1")
        assert metrics.max_error(a, a[::-1]) == 255
        assert metrics.snr(a, a[::-1]) == pytest.approx(10 * math.log10(0.25))

    def test_float16_does_not_overflow(self):
        a = np.array([-60000, 60000], "f2")
        assert metrics.max_error(a, -a) == pytest.approx(120000, rel=1e-2)


class TestRepresentedSNR:
    def test_background_is_left_out_of_variance_but_not_of_error(self):
        a = np.array([0.0, 0.0, 1.0, 3.0])
        b = a + np.array([0.1, 0.0, 0.0, 0.0])
        # variance 1 over two voxels, squared error 0.01 over all, divided by two
        assert metrics.represented_snr(a, b, background=0.0) == pytest.approx(10 * math.log10(1 / 0.005))

    def test_threshold_leaves_the_dropped_voxels_out(self):
        a = np.array([0.5, 0.2, 1.0, 3.0])
        b = np.array([0.0, 0.0, 1.1, 3.1])
        assert metrics.represented_snr(a, b, threshold=0.5) == pytest.approx(20.0)

    def test_both_are_refused(self):
        with pytest.raises(ValueError, match="not both"):
            metrics.represented_snr(np.ones(2), np.ones(2), background=0.0, threshold=0.0)

    def test_without_either_is_snr(self, rng):
        a, b = rng.normal(size=(2, 50))
        assert metrics.represented_snr(a, b) == metrics.snr(a, b)

    def test_nothing_represented(self):
        assert metrics.represented_snr(np.zeros(4), np.zeros(4), background=0.0) == math.inf
        assert metrics.represented_snr(np.zeros(4), np.ones(4), background=0.0) == -math.inf

    @pytest.mark.parametrize(("share", "found"), [(0.04, None), (0.5, -1.5)])
    def test_find_background(self, rng, share, found):
        a = rng.normal(size=(20, 20, 20)).astype("f4")
        a.reshape(-1)[: int(share * a.size)] = -1.5
        assert metrics.find_background(a) == found

    def test_find_background_without_finite_values(self):
        assert metrics.find_background(np.full(10, np.nan)) is None
        assert metrics.find_background(np.zeros((0, 3))) is None

    def test_integers_have_no_background(self):
        assert metrics.find_background(np.zeros((4, 4), "i1")) is None


class TestFSC:
    @pytest.mark.parametrize(
        ("shape", "sizes"),
        [
            ((8, 8, 8), (1.0, 1.0, 1.0)),
            ((6, 9, 7), (1.5, 1.5, 1.5)),
            ((5, 8, 10), (2.0, 1.0, 0.7)),
            ((12, 9), (1.0, 3.0)),
        ],
    )
    def test_agrees_with_the_definition(self, rng, shape, sizes):
        a = rng.normal(size=shape)
        b = a + rng.normal(size=shape)
        frequency, correlation = metrics.fsc(a, b, sizes)
        expected_frequency, expected = loop_fsc(a, b, sizes)
        np.testing.assert_allclose(frequency, expected_frequency, rtol=1e-12)
        np.testing.assert_allclose(correlation, expected, atol=1e-12)

    def test_frequencies_of_a_cube_end_at_nyquist(self):
        frequency, _ = metrics.fsc(np.eye(10), np.eye(10), voxel_size=2.5)
        np.testing.assert_allclose(frequency, np.arange(1, 6) / 25.0)

    def test_identical_maps(self, rng):
        a = rng.normal(size=(16, 12, 14)).astype("f4")
        np.testing.assert_allclose(metrics.fsc(a, a)[1], 1.0, atol=1e-12)
        np.testing.assert_allclose(metrics.fsc(a, -3 * a)[1], -1.0, atol=1e-12)

    def test_known_noise(self, rng):
        # White signal of power 1 and white noise of power v correlate as 1 / sqrt(1 + v).
        a = rng.normal(size=(40, 40, 40))
        b = a + 0.5 * rng.normal(size=a.shape)
        _, correlation = metrics.fsc(a, b)
        np.testing.assert_allclose(correlation[5:], 1 / math.sqrt(1.25), atol=0.03)

    def test_unrelated_phases(self, rng):
        a = rng.normal(size=(32, 32, 32))
        b = np.fft.ifftn(np.abs(np.fft.fftn(a)) * np.exp(2j * np.pi * rng.random(a.shape))).real
        assert np.abs(metrics.fsc(a, b)[1][4:]).max() < 0.15

    def test_mask_hides_what_lies_outside(self, rng):
        a = rng.normal(size=(12, 12, 12))
        mask = np.zeros(a.shape)
        mask[3:9, 3:9, 3:9] = 1
        b = np.where(mask, a, 5.0)
        assert metrics.fsc(a, b)[1].min() < 0.9
        np.testing.assert_allclose(metrics.fsc(a, b, mask=mask)[1], 1.0, atol=1e-12)

    def test_shells_without_power(self):
        zero, one = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
        one[0, 0, 0] = 1
        np.testing.assert_array_equal(metrics.fsc(zero, zero)[1], 1.0)
        np.testing.assert_array_equal(metrics.fsc(zero, one)[1], 0.0)

    @settings(max_examples=25, deadline=None)
    @given(
        shape=st.lists(st.integers(2, 7), min_size=1, max_size=4),
        scale=st.floats(1e-3, 1e3),
        seed=st.integers(0, 99),
    )
    def test_bounded_and_blind_to_scale(self, shape, scale, seed):
        a, b = np.random.default_rng(seed).normal(size=(2, *shape))
        frequency, correlation = metrics.fsc(a, b)
        assert frequency.shape == correlation.shape
        assert np.abs(correlation).max() <= 1
        np.testing.assert_allclose(metrics.fsc(a, scale * b)[1], correlation, atol=1e-9)

    @pytest.mark.parametrize("size", [0.0, -1.0, math.nan])
    def test_bad_voxel_size(self, size):
        with pytest.raises(ValueError, match="voxel_size must be positive"):
            metrics.fsc(np.ones((4, 4)), np.ones((4, 4)), size)

    def test_too_small_a_box(self):
        with pytest.raises(ValueError, match="no shell"):
            metrics.fsc(np.ones((1, 8)), np.ones((1, 8)))

    def test_bad_mask_shape(self):
        with pytest.raises(ValueError, match="mask has shape"):
            metrics.fsc(np.ones((4, 4)), np.ones((4, 4)), mask=np.ones(4))


class TestMaskedCorrelation:
    def test_agrees_with_corrcoef(self, rng):
        a = rng.normal(size=(6, 7, 8))
        b = a + rng.normal(size=a.shape)
        mask = rng.random(a.shape) > 0.5
        expected = np.corrcoef(a[mask], b[mask])[0, 1]
        assert metrics.masked_correlation(a, b, mask) == pytest.approx(expected, abs=1e-12)

    def test_weights(self):
        a, b = np.array([0.0, 1.0, 5.0]), np.array([0.0, 2.0, -1.0])
        assert metrics.masked_correlation(a, b, np.array([0.5, 1.0, 0.0])) == pytest.approx(1.0)

    @pytest.mark.parametrize("mask", [np.zeros(3), np.array([1.0, -1.0, 1.0])], ids=["empty", "negative"])
    def test_bad_mask(self, mask):
        with pytest.raises(ValueError, match="mask must be"):
            metrics.masked_correlation(np.arange(3.0), np.arange(3.0), mask)

    def test_constant_map(self):
        with pytest.raises(ValueError, match="constant"):
            metrics.masked_correlation(np.ones(3), np.arange(3.0), np.ones(3))

    def test_bad_mask_shape(self):
        with pytest.raises(ValueError, match="mask has shape"):
            metrics.masked_correlation(np.ones(3), np.ones(3), np.ones(2))


BINARY = {
    "snr": metrics.snr,
    "max_error": metrics.max_error,
    "represented_snr": metrics.represented_snr,
    "fsc": metrics.fsc,
    "masked_correlation": lambda a, b: metrics.masked_correlation(a, b, np.ones_like(a)),
}


@pytest.mark.parametrize("metric", BINARY.values(), ids=BINARY)
class TestInputChecks:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, metric, value):
        a = np.ones((4, 4))
        b = a.copy()
        b[1, 1] = value
        with pytest.raises(ValueError, match="b holds 1 NaN or infinite"):
            metric(a, b)

    def test_shapes(self, metric):
        with pytest.raises(ValueError, match="shapes differ"):
            metric(np.ones((4, 4)), np.ones((4, 5)))

    def test_empty(self, metric):
        with pytest.raises(ValueError, match="a is empty"):
            metric(np.ones((0, 4)), np.ones((0, 4)))

    def test_complex(self, metric):
        with pytest.raises(TypeError, match="must be real"):
            metric(np.ones((4, 4), complex), np.ones((4, 4)))
