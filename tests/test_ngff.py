"""OME-Zarr metadata of maps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inrcodec import ngff
from inrcodec.mrc import MRCVolume


def volume(axes=("z", "y", "x"), voxel_size=(3.0, 2.0, 1.0), origin=(0.0, 0.0, 0.0)):
    return MRCVolume(np.zeros((2,) * len(axes), "f4"), bytes(1024), b"", axes, voxel_size, origin)


def image(attributes, zarr_format):
    (image,) = attributes["multiscales"] if zarr_format == 2 else attributes["ome"]["multiscales"]
    return image


@pytest.mark.parametrize("zarr_format", [2, 3])
class TestImage:
    def test_axes_and_scale(self, zarr_format):
        attributes = ngff.attributes(volume(), "emd_1", zarr_format)
        found = image(attributes, zarr_format)
        assert found["name"] == "emd_1"
        assert found["axes"] == [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
        assert found["datasets"] == [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [3.0, 2.0, 1.0]}]}
        ]
        assert json.loads(json.dumps(attributes)) == attributes

    def test_translation(self, zarr_format):
        found = image(ngff.attributes(volume(origin=(1.0, 0.0, -2.5)), "m", zarr_format), zarr_format)
        scale, translation = found["datasets"][0]["coordinateTransformations"]
        assert scale["type"] == "scale"
        assert translation == {"type": "translation", "translation": [1.0, 0.0, -2.5]}

    def test_axis_order(self, zarr_format):
        found = image(ngff.attributes(volume(axes=("x", "z", "y")), "m", zarr_format), zarr_format)
        assert [axis["name"] for axis in found["axes"]] == ["x", "z", "y"]

    def test_without_voxel_size(self, zarr_format):
        found = image(ngff.attributes(volume(voxel_size=(0.0, 2.0, 1.0)), "m", zarr_format), zarr_format)
        assert found["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 1.0, 1.0]
        assert all("unit" not in axis for axis in found["axes"])

    def test_stack_of_volumes(self, zarr_format):
        stack = volume(axes=("volume", "z", "y", "x"), origin=(1.0, 1.0, 1.0))
        found = image(ngff.attributes(stack, "m", zarr_format), zarr_format)
        assert found["axes"][0] == {"name": "volume"}
        scale, translation = found["datasets"][0]["coordinateTransformations"]
        assert scale["scale"] == [1.0, 3.0, 2.0, 1.0]
        assert translation["translation"] == [0.0, 1.0, 1.0, 1.0]

    def test_levels(self, zarr_format):
        made = ngff.attributes(volume(origin=(1.0, 0.0, 5.0)), "m", zarr_format, [(1, 2, 1), (1, 1, 1)])
        found = image(made, zarr_format)
        scales = [(3.0, 2.0, 1.0), (6.0, 2.0, 2.0), (6.0, 4.0, 2.0)]
        for number, (dataset, scale) in enumerate(zip(found["datasets"], scales, strict=True)):
            assert dataset == {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": list(scale)},
                    {"type": "translation", "translation": [1.0, 0.0, 5.0]},
                ],
            }
        assert found["type"] == "Fourier cropping"


class TestConverted:
    def test_there_and_back(self):
        for first, second in ((2, 3), (3, 2)):
            made = {**ngff.attributes(volume(), "m", first, [(1, 1, 1)]), "inrcodec": {"version": 1}}
            other = {**ngff.attributes(volume(), "m", second, [(1, 1, 1)]), "inrcodec": {"version": 1}}
            assert ngff.converted(made, second) == other
            assert ngff.converted(other, first) == made
            assert ngff.converted(made, first) == made

    def test_what_lies_beside_the_images_moves_along(self):
        omero = {"channels": [], "version": "0.4"}
        old = {"multiscales": [{"version": "0.4", "axes": []}], "omero": omero, "title": "x"}
        new = ngff.converted(old, 3)
        assert new == {
            "ome": {"version": "0.5", "multiscales": [{"axes": []}], "omero": {"channels": []}},
            "title": "x",
        }

    @pytest.mark.parametrize("attributes", [{}, {"labels": ["a"]}, {"ome": 3}, {"ome": {"x": 1}}])
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_other_groups_stay_as_they_are(self, attributes, zarr_format):
        assert ngff.converted(attributes, zarr_format) == attributes


def test_versions():
    assert ngff.attributes(volume(), "m", 2)["multiscales"][0]["version"] == "0.4"
    assert ngff.attributes(volume(), "m", 3)["ome"]["version"] == "0.5"
    with pytest.raises(ValueError, match="must be 2 or 3"):
        ngff.attributes(volume(), "m", 1)
