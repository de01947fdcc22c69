"""xarray datasets through both zarr formats: names, attributes, chunks, Dask, networks of a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import snr_of

from inrcodec import INRCodec

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
pytest.importorskip("xarray")
import xarray as xr
import zarr

from inrcodec.convert import convert

BOUND = 0.02
CODEC = INRCodec(max_error=BOUND, effort=0)
FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def encoding(zarr_format: int, codec: INRCodec = CODEC, **options: Any) -> dict[str, Any]:
    """As examples/xarray_maps.py has it: without a fill value, xarray pads edge chunks with NaN."""
    if zarr_format == 2:
        how: dict[str, Any] = {"compressors": codec}
    else:
        how = {"serializer": codec.serializer(), "compressors": None, "fill_value": 0.0}
    return {"density": {"chunks": (16, 16, 16), "_FillValue": None, **how, **options}}


@pytest.fixture(params=["NumPy", "Dask"])
def dataset(request: pytest.FixtureRequest, volume: np.ndarray) -> Any:
    made = xr.Dataset(
        {"density": (("z", "y", "x"), volume, {"units": "e/A^3"})},
        coords={axis: np.arange(n) * 1.25 for axis, n in zip("zyx", volume.shape, strict=True)},
        attrs={"title": "tubulin", "resolution": 3.1},
    )
    return made.chunk({"z": 16, "y": 16, "x": 16}) if request.param == "Dask" else made


def written(path: Path, dataset: Any, zarr_format: int, **options: Any) -> Any:
    dataset.to_zarr(
        path, zarr_format=zarr_format, consolidated=False, encoding=encoding(zarr_format, **options)
    )
    return xr.open_zarr(path, consolidated=False)


@FORMATS
def test_round_trip(tmp_path: Path, dataset: Any, volume: np.ndarray, zarr_format: int) -> None:
    back = written(tmp_path / "x.zarr", dataset, zarr_format)
    assert np.abs(back.density.values - volume).max() <= BOUND
    assert back.density.dtype == np.float32
    assert back.density.dims == ("z", "y", "x")
    assert back.density.chunks == ((16, 12), (16, 10), (16, 8))
    assert back.density.attrs == {"units": "e/A^3"}
    assert back.attrs == dataset.attrs
    for axis in "zyx":
        np.testing.assert_array_equal(back[axis], dataset[axis])
    box = back.density.sel(z=slice(5, 10), y=12.5).values
    np.testing.assert_array_equal(box, back.density.values[4:9, 10])


@FORMATS
def test_edges_are_padded_with_zeros(
    tmp_path: Path, dataset: Any, volume: np.ndarray, zarr_format: int
) -> None:
    written(tmp_path / "x.zarr", dataset, zarr_format)
    array = zarr.open_group(tmp_path / "x.zarr", mode="r")["density"]
    padded = np.zeros((16, 16, 16), "f4")
    padded[:12, :10, :8] = volume[16:, 16:, 16:]
    payload = (tmp_path / "x.zarr/density" / array.metadata.encode_chunk_key((1, 1, 1))).read_bytes()
    assert payload == CODEC.encode(padded)


@FORMATS
def test_volume_scope(tmp_path: Path, dataset: Any, volume: np.ndarray, zarr_format: int) -> None:
    codec = INRCodec.fit(volume, snr=25, effort=0, chunks=16)
    back = written(tmp_path / "x.zarr", dataset, zarr_format, codec=codec)
    assert snr_of(volume, back.density.values) >= 25 - 0.1
    stored = back.density.encoding["compressors" if zarr_format == 2 else "serializer"]
    stored = stored[0] if zarr_format == 2 else stored
    assert (stored.volume if zarr_format == 2 else stored.settings.volume) == codec.volume


def test_shards(tmp_path: Path, dataset: Any, volume: np.ndarray) -> None:
    shards = {"chunks": (8, 8, 8), "shards": (16, 16, 16)}
    back = written(tmp_path / "x.zarr", dataset, 3, **shards)
    assert np.abs(back.density.values - volume).max() <= BOUND
    assert zarr.open_group(tmp_path / "x.zarr", mode="r")["density"].shards == (16, 16, 16)


@FORMATS
def test_appending_keeps_the_codec(
    tmp_path: Path, dataset: Any, volume: np.ndarray, zarr_format: int
) -> None:
    first = dataset.isel(z=slice(0, 16))
    written(tmp_path / "x.zarr", first, zarr_format)
    dataset.isel(z=slice(16, None)).to_zarr(
        tmp_path / "x.zarr", append_dim="z", consolidated=False, zarr_format=zarr_format
    )
    back = xr.open_zarr(tmp_path / "x.zarr", consolidated=False)
    assert back.density.shape == volume.shape
    assert np.abs(back.density.values - volume).max() <= BOUND
    np.testing.assert_array_equal(back.z, dataset.z)


@FORMATS
def test_a_dataset_is_converted_to_the_other_format(tmp_path: Path, dataset: Any, zarr_format: int) -> None:
    before = written(tmp_path / "x.zarr", dataset, zarr_format)
    convert(tmp_path / "x.zarr", tmp_path / "y.zarr", zarr_format=5 - zarr_format)
    after = xr.open_zarr(tmp_path / "y.zarr", consolidated=False)
    xr.testing.assert_identical(after.compute(), before.compute())
