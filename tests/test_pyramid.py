"""Coarser levels: exact below their Nyquist frequency, in place, and open to the readers of OME-Zarr."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
import zarr
from conftest import snr_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import maps, pyramid, store
from inrcodec.core import Target

VOXEL, ORIGIN = 1.5, (12.0, -3.0, 7.5)  # angstrom; origin as z, y, x
CENTRE = (31.3, 26.8, 30.9)  # of the blob, in voxels


def blob(shape=(68, 60, 63), width=5.0):
    """One Gaussian far from the edges, float32, peak 1."""
    grid = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij", sparse=True)
    square = sum((axis - c) ** 2 for axis, c in zip(grid, CENTRE, strict=True))
    return np.exp(-square / (2 * width**2)).astype(np.float32)


def centre_of_mass(data):
    """In voxels, of what is above a tenth of the peak."""
    weights = np.clip(data.astype(np.float64) - 0.1 * data.max(), 0, None)
    axes = np.meshgrid(*(np.arange(n) for n in data.shape), indexing="ij", sparse=True)
    return np.array([float((weights * axis).sum() / weights.sum()) for axis in axes])


@pytest.fixture
def map_path(tmp_path):
    with mrcfile.new(tmp_path / "blob.mrc", blob()) as file:
        file.voxel_size = VOXEL
        file.header.origin.z, file.header.origin.y, file.header.origin.x = ORIGIN
    return tmp_path / "blob.mrc"


class TestShapes:
    def test_until_one_is_a_single_chunk(self):
        assert pyramid.level_shapes((240, 200, 101), 3, None, 64) == [(120, 100, 51), (60, 50, 26)]

    def test_as_many_as_asked(self):
        assert pyramid.level_shapes((64, 64, 64), 3, 1, 64) == []
        assert pyramid.level_shapes((64, 64, 64), 3, 3, 64) == [(32, 32, 32), (16, 16, 16)]

    def test_stacks_keep_their_volumes(self):
        assert pyramid.level_shapes((5, 40, 40, 40), 3, 2, 64) == [(5, 20, 20, 20)]

    def test_tiny_chunks_end_at_the_smallest_level(self):
        assert pyramid.level_shapes((40, 40, 40), 3, None, 4) == [(20, 20, 20)]

    @pytest.mark.parametrize(("levels", "message"), [(0, "at least 1, got 0"), (4, r"one of \(15, 13, 12\)")])
    def test_refused(self, levels, message):
        with pytest.raises(ValueError, match=message):
            pyramid.level_shapes((120, 104, 94), 3, levels, 64)


class TestFourierCrop:
    @settings(max_examples=60, deadline=None)
    @given(
        axes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=4),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_low_frequencies_are_kept_and_all_others_dropped(self, axes, seed):
        full = tuple(max(pair) for pair in axes)
        small = tuple(min(pair) for pair in axes)
        data = np.random.default_rng(seed).normal(size=full)
        cropped = pyramid.fourier_crop(data, small)
        assert cropped.shape == small
        before, after = np.fft.fftn(data) / data.size, np.fft.fftn(cropped) / cropped.size
        for index in np.ndindex(small):
            signed = [k if k <= (m - 1) // 2 else k - m for k, m in zip(index, small, strict=True)]
            nyquist = any(2 * abs(k) == m < n for k, m, n in zip(signed, small, full, strict=True))
            expected = 0 if nyquist else before[tuple(signed)]
            assert abs(after[index] - expected) < 1e-12

    def test_what_the_coarse_grid_cannot_hold_is_not_aliased(self):
        x = np.arange(32)
        wave = np.cos(2 * np.pi * 12 * x / 32)  # above the Nyquist frequency of 16 voxels
        assert np.abs(pyramid.fourier_crop(wave, (16,))).max() < 1e-12
        assert np.abs(wave.reshape(16, 2).mean(1)).max() > 0.3  # as means of blocks would

    @pytest.mark.parametrize("shape", [(3, 9), (3, 0), (4,)])
    def test_refused(self, shape):
        with pytest.raises(ValueError, match=r"\(4, 8\) cannot be cropped"):
            pyramid.fourier_crop(np.zeros((4, 8)), shape)


class TestCoarser:
    def test_integers_are_rounded_and_clipped(self):
        data = np.zeros(64, np.uint8)
        data[20:40] = 255  # rings below 0 and above 255
        cropped, cast = pyramid.coarser(data, (32,), data.dtype)
        assert cropped.min() < -1
        assert cropped.max() > 256
        np.testing.assert_array_equal(cast, np.clip(np.rint(cropped), 0, 255).astype(np.uint8))

    def test_nan_and_infinities_do_not_spread(self):
        data = blob()
        holes = data.copy()
        holes[0, 0, 0], holes[1, 1, 1] = np.nan, np.inf
        wanted = pyramid.coarser(data, (34, 30, 32), data.dtype)[1]
        np.testing.assert_allclose(pyramid.coarser(holes, (34, 30, 32), data.dtype)[1], wanted, atol=1e-3)


@pytest.mark.parametrize(
    ("zarr_format", "target"),
    [
        (2, Target("snr", 30.0)),
        (3, Target("max_error", 0.01)),
        (3, Target("ratio", 30.0)),
        (2, Target("fsc", 0.99)),
    ],
    ids=str,
)
def test_a_blob_stays_where_it_is_at_every_level(tmp_path, map_path, zarr_format, target):
    path = tmp_path / "blob.zarr"
    result = maps.compress(
        map_path, path, target=target, effort=0, chunks=32, zarr_format=zarr_format, pyramid=3
    )
    assert result.met
    group = zarr.open_group(str(path), mode="r")
    ome = group.attrs if zarr_format == 2 else group.attrs["ome"]
    (image,) = ome["multiscales"]
    assert [dataset["path"] for dataset in image["datasets"]] == ["0", "1", "2"]
    wanted = np.array(ORIGIN) + VOXEL * np.array(CENTRE)
    for dataset, shape in zip(image["datasets"], [(68, 60, 63), (34, 30, 32), (17, 15, 16)], strict=True):
        scale, translation = (entry[entry["type"]] for entry in dataset["coordinateTransformations"])
        level = group[dataset["path"]]
        assert level.shape == shape
        place = np.array(translation) + np.array(scale) * centre_of_mass(level[...])
        # a tenth of the finest voxel: half a voxel of any level is at least five times more
        np.testing.assert_allclose(place, wanted, atol=VOXEL / 10)


def test_levels_meet_the_target_and_do_not_count_as_chunks_of_the_map(tmp_path, map_path):
    flat = maps.compress(map_path, tmp_path / "flat.zarr", target=Target("snr", 30.0), effort=0, chunks=32)
    deep = maps.compress(
        map_path, tmp_path / "deep.zarr", target=Target("snr", 30.0), effort=0, chunks=32, pyramid=2
    )
    assert deep.quality == flat.quality
    assert deep.sizes.chunks == flat.sizes.chunks
    assert deep.sizes.total > flat.sizes.total
    assert maps.verify(map_path, tmp_path / "deep.zarr").sizes == deep.sizes
    found = store.describe(tmp_path / "deep.zarr")
    assert found.levels == ((34, 30, 32),)
    assert sum(found.fields.values()) == found.chunks == 3 * 2 * 2
    assert store.describe(tmp_path / "flat.zarr").levels == ()
    level = zarr.open_group(str(tmp_path / "deep.zarr"), mode="r")["1"][...]
    wanted = pyramid.coarser(blob(), level.shape, np.dtype("f4"))[1]
    assert snr_of(wanted, level) >= 30 - 0.5
    assert maps.decompress(tmp_path / "deep.zarr", tmp_path / "back.mrc")


def test_an_impossible_pyramid_writes_nothing(tmp_path, map_path):
    with pytest.raises(ValueError, match="pyramid levels"):
        maps.compress(map_path, tmp_path / "x.zarr", target=Target(), effort=0, pyramid=5)
    assert {path.name for path in tmp_path.iterdir()} == {"blob.mrc"}


@pytest.mark.parametrize(("axes", "shape"), [(2, (40, 36)), (4, (2, 40, 36, 34))], ids=["image", "stack"])
def test_images_and_stacks(tmp_path, axes, shape):
    data = np.random.default_rng(0).normal(size=shape).cumsum(-1).astype(np.float32)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(data)
        file.voxel_size = VOXEL
    maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=Target("snr", 20.0), effort=0, pyramid=2)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    level = group["1"]
    assert level.shape == (20, 18) if axes == 2 else (2, 20, 18, 17)
    if axes == 4:
        assert level.chunks[0] == 1
    wanted = pyramid.coarser(data, level.shape, np.dtype("f4"))[1]
    assert snr_of(wanted, level[...]) >= 20 - 0.5
    (image,) = group.attrs["ome"]["multiscales"]
    scale = image["datasets"][1]["coordinateTransformations"][0]["scale"]
    assert scale == pytest.approx([3.0, 3.0] if axes == 2 else [1.0, 3.0, 3.0, 3.0])
