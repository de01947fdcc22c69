"""What a chunk holds before any field is fitted."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import blobs

from inrcodec.core import Target
from inrcodec.core.payload import MAX_NDIM, MAX_VOXELS
from inrcodec.core.prepare import as_volume_shape, check_chunk, is_constant, prepare


@pytest.fixture
def density() -> np.ndarray:
    return blobs((12, 11, 10), seed=4).astype(np.float32)


def masked(density: np.ndarray, value: float) -> np.ndarray:
    """The density in a box that keeps clear of the faces; a background value outside."""
    out = np.full_like(density, value)
    inner = (slice(2, 9), slice(3, 8), slice(1, 10))
    out[inner] = density[inner]
    return out


class TestCheckChunk:
    @pytest.mark.parametrize(
        "dtype", ["int32", "uint32", "int64", "bool", "complex64", "object", "U3", "M8[s]"]
    )
    def test_dtypes_are_refused_by_name(self, dtype: str) -> None:
        array = np.zeros((4, 4, 4), dtype)
        with pytest.raises(TypeError) as error:
            check_chunk(array)
        assert str(array.dtype) in str(error.value)
        assert "float32" in str(error.value)

    @pytest.mark.parametrize("shape", [(), (0,), (4, 0, 4), (1,) * (MAX_NDIM + 1)])
    def test_shapes_are_refused_by_name(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"dimensions|no voxels") as error:
            check_chunk(np.zeros(shape, np.float32))
        assert str(shape) in str(error.value)

    def test_too_many_voxels(self) -> None:
        chunk = np.broadcast_to(np.float32(0), (MAX_VOXELS + 1,))  # takes no memory
        with pytest.raises(ValueError, match=str(MAX_VOXELS)):
            check_chunk(chunk)

    @pytest.mark.parametrize("ndim", range(1, MAX_NDIM + 1))
    def test_the_rest_passes(self, ndim: int) -> None:
        check_chunk(np.zeros((3,) * ndim, ">f8"))


@pytest.mark.parametrize(
    ("shape", "volume"),
    [((7,), (1, 1, 7)), ((6, 7), (1, 6, 7)), ((5, 6, 7), (5, 6, 7)), ((2, 5, 6, 7), (10, 6, 7))],
)
def test_every_shape_is_seen_as_a_volume(shape: tuple[int, ...], volume: tuple[int, int, int]) -> None:
    assert as_volume_shape(shape) == volume


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", "i1", "<u2"])
def test_constants(dtype: str) -> None:
    chunk = np.full((3, 4, 5), 7, dtype)
    assert is_constant(chunk)
    assert is_constant(np.asfortranarray(chunk))
    chunk[2, 1, 0] += 1
    assert not is_constant(chunk)


def test_constants_are_judged_by_their_bits() -> None:
    assert is_constant(np.full(9, np.nan, np.float32))
    assert not is_constant(np.array([0.0, -0.0]))


class TestBackground:
    @pytest.mark.parametrize("value", [0.0, -1.5, 3.25])
    def test_value_and_box(self, density: np.ndarray, value: float) -> None:
        chunk = masked(density, value)
        ready = prepare(chunk, None)
        assert ready is not None
        assert ready.background == value
        assert ready.box == (slice(2, 9), slice(3, 8), slice(1, 10))
        assert ready.shape == (7, 5, 9)
        assert ready.represented.all()
        assert not ready.threshold
        # analysis starts from the background, so that a field of nothing decodes to it
        assert ready.offset == value
        assert ready.scale == pytest.approx(density[ready.box].std(), rel=1e-5)
        np.testing.assert_array_equal(ready.values, density[ready.box].astype(float))

    def test_no_value_is_common(self, density: np.ndarray) -> None:
        ready = prepare(density, None)
        assert ready is not None
        assert ready.background is None
        assert ready.shape == density.shape
        assert ready.represented.all()
        assert ready.offset == pytest.approx(float(np.median(density)), rel=2**-7)

    @pytest.mark.parametrize(("share", "found"), [(0.02, False), (0.12, True)])
    def test_a_coincidence_is_not_a_background(self, density: np.ndarray, share: float, found: bool) -> None:
        flat = density.reshape(-1)
        flat[: int(share * flat.size)] = 0
        ready = prepare(density, None)
        assert ready is not None
        assert (ready.background is not None) == found

    @pytest.mark.parametrize("dtype", ["int8", "uint16"])
    def test_integers_have_none(self, density: np.ndarray, dtype: str) -> None:
        volume = np.rint(np.abs(masked(density, 0.0)) * 50).astype(dtype)
        volume[-1, -1, -1] = 1
        ready = prepare(volume, None)
        assert ready is not None
        assert ready.background is None
        assert not ready.masked


class TestPadding:
    @pytest.mark.parametrize("dtype", ["int8", "uint16", "float16", "float32"])
    @pytest.mark.parametrize("pad", [(1, 0, 0), (0, 3, 0), (2, 0, 1)])
    def test_planes_at_the_far_ends_are_left_out(
        self, density: np.ndarray, dtype: str, pad: tuple[int, int, int]
    ) -> None:
        volume = (density * 20 + 50).astype(dtype)
        padded = np.pad(volume, [(0, n) for n in pad])
        ready, alone = prepare(padded, None), prepare(volume, None)
        assert ready is not None
        assert alone is not None
        assert ready.padded
        assert not ready.masked
        assert ready.background == 0
        assert ready.box == tuple(slice(0, n) for n in volume.shape)
        np.testing.assert_array_equal(ready.values, alone.values)
        assert (ready.offset, ready.scale) == (alone.offset, alone.scale)

    def test_special_values_beside_it(self, density: np.ndarray) -> None:
        volume = np.pad(density + 5, [(0, 1)] * 3)
        volume[3, 4, 5] = np.nan
        ready = prepare(volume, None)
        assert ready is not None
        assert ready.padded
        assert int((~ready.represented).sum()) == 1

    def test_planes_of_other_values_are_density(self, density: np.ndarray) -> None:
        volume = density.copy()
        volume[-1] = 1.0
        volume[-1, 0, 0] = 2.0
        ready = prepare(volume, None)
        assert ready is not None
        assert not ready.padded

    def test_no_value_but_zeros_of_both_signs(self) -> None:
        volume = np.zeros((4, 4, 4), "int8")
        assert prepare(volume, None) is None


class TestThreshold:
    def test_voxels_above_it_are_represented(self, density: np.ndarray) -> None:
        ready = prepare(density, 0.4)
        assert ready is not None
        assert (ready.background, ready.offset, ready.threshold) == (0.0, 0.0, True)
        whole = np.zeros(density.shape, bool)
        whole[ready.box] = ready.represented
        np.testing.assert_array_equal(whole, density > 0.4)
        for axis in range(3):  # the box is tight
            faces = np.moveaxis(ready.represented, axis, 0)
            assert faces[0].any()
            assert faces[-1].any()

    def test_a_voxel_at_the_threshold_is_not(self, density: np.ndarray) -> None:
        density[5, 5, 5:8] = 0.25, np.nextafter(np.float32(0.25), np.float32(1)), 0.2
        ready = prepare(density, 0.25)
        assert ready is not None
        whole = np.zeros(density.shape, bool)
        whole[ready.box] = ready.represented
        assert whole[5, 5, 5:8].tolist() == [False, True, False]

    def test_nothing_above_it(self, density: np.ndarray) -> None:
        assert prepare(density, 1e9) is None

    @pytest.mark.parametrize("threshold", [1e6, -1e6])
    def test_beyond_the_range_of_the_dtype(self, density: np.ndarray, threshold: float) -> None:
        ready = prepare(density.astype(np.float16), threshold)
        assert (ready is None) == (threshold > 0)

    def test_integers(self) -> None:
        chunk = np.arange(125, dtype=np.uint8).reshape(5, 5, 5)
        ready = prepare(chunk, 99.5)
        assert ready is not None
        assert ready.represented.sum() == 25


class TestSpecialValues:
    def test_they_are_set_aside(self, density: np.ndarray) -> None:
        density[0, 0, 0], density[3, 4, 5], density[-1, -1, -1] = np.nan, np.inf, -np.inf
        ready = prepare(density, None)
        assert ready is not None
        assert ready.special is not None
        np.testing.assert_array_equal(ready.special, ~np.isfinite(density))
        assert np.isfinite(ready.values).all()
        assert (ready.values[ready.special] == ready.offset).all()
        assert np.count_nonzero(~ready.represented) == 3
        assert ready.scale == pytest.approx(density[np.isfinite(density)].std(), rel=1e-5)

    def test_none(self, density: np.ndarray) -> None:
        ready = prepare(density, None)
        assert ready is not None
        assert ready.special is None

    def test_nothing_else(self) -> None:
        assert prepare(np.full((4, 4, 4), np.nan, np.float32), None) is None

    def test_beside_a_background(self, density: np.ndarray) -> None:
        chunk = masked(density, 0.0)
        chunk[0, 0, 0] = np.nan  # outside the box: it does not widen it
        ready = prepare(chunk, None)
        assert ready is not None
        assert ready.box == (slice(2, 9), slice(3, 8), slice(1, 10))
        assert ready.special is not None
        assert ready.special.sum() == 1


@pytest.mark.parametrize("scale", [1e-130, 1e130])
def test_magnitudes_no_field_is_made_for(density: np.ndarray, scale: float) -> None:
    assert prepare(density.astype(np.float64) * scale, None) is None


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_magnitudes_a_field_is_made_for(density: np.ndarray, scale: float) -> None:
    ready = prepare(density.astype(np.float64) * scale, None)
    assert ready is not None
    assert ready.scale == pytest.approx(float(density.std()) * scale, rel=1e-5)


def test_budget_is_relative_to_represented_voxels(density: np.ndarray) -> None:
    ready = prepare(masked(density, 0.0), None)
    assert ready is not None
    inside = density[ready.box].astype(float)
    budget = ready.squared_error_budget(Target("snr", 20))
    assert budget == pytest.approx(((inside - inside.mean()) ** 2).sum() / 100, rel=1e-5)
