"""Stores as the readers of OME-Zarr see them: ome-zarr-py, and napari's plugin where it is installed."""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import zarr
from conftest import blobs

from inrcodec import maps
from inrcodec.core import Target

SHAPES = [(40, 36, 34), (20, 18, 17)]
SCALES = [[1.5, 1.5, 1.5], [3.0, 3.0, 3.0]]


@pytest.fixture(scope="module", params=[2, 3], ids=["0.4", "0.5"])
def pyramid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A map with one coarser level, and the version of OME-Zarr it is in."""
    folder = tmp_path_factory.mktemp("pyramid")
    with mrcfile.new(folder / "a.mrc", blobs(SHAPES[0]).astype("f4")) as file:
        file.voxel_size = 1.5
        file.header.origin.z, file.header.origin.y, file.header.origin.x = 10, -20, 30
    maps.compress(
        folder / "a.mrc",
        folder / "a.zarr",
        target=Target("snr", 25.0),
        effort=0,
        chunks=20,
        zarr_format=request.param,
        pyramid=2,
    )
    return folder / "a.zarr", {2: "0.4", 3: "0.5"}[request.param]


def test_ome_zarr_py(pyramid: tuple[Path, str]) -> None:
    io = pytest.importorskip("ome_zarr.io")
    reader = pytest.importorskip("ome_zarr.reader")
    path, version = pyramid
    location = io.parse_url(str(path), mode="r")
    assert location.fmt.version == version
    (node,) = reader.Reader(location)()
    assert [array.shape for array in node.data] == SHAPES
    group = zarr.open_group(str(path), mode="r")
    for level, array in enumerate(node.data):
        np.testing.assert_array_equal(array.compute(), group[str(level)][...])
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    assert {(axis["type"], axis["unit"]) for axis in node.metadata["axes"]} == {("space", "angstrom")}
    for transformations, scale in zip(node.metadata["coordinateTransformations"], SCALES, strict=True):
        assert transformations[0] == {"type": "scale", "scale": pytest.approx(scale)}
        assert transformations[1] == {"type": "translation", "translation": [10, -20, 30]}


def test_napari(pyramid: tuple[Path, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # napari's own, of what it imports
        plugin = pytest.importorskip("napari_ome_zarr")
    path, _ = pyramid
    read = plugin.napari_get_reader(str(path))
    assert read is not None
    ((data, metadata, kind),) = read(str(path))
    assert kind == "image"
    assert [level.shape for level in data] == SHAPES
    assert tuple(metadata["axis_labels"]) == ("z", "y", "x")
    assert tuple(metadata["units"]) == ("angstrom",) * 3
    assert list(metadata["scale"]) == pytest.approx(SCALES[0])
    group = zarr.open_group(str(path), mode="r")
    np.testing.assert_array_equal(np.asarray(data[1]), group["1"][...])
