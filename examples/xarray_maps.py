"""A map as an xarray dataset, in angstrom, written to zarr and read back by place."""

import tempfile

import numpy as np
import xarray as xr

from inrcodec import INRCodec

axis = np.arange(40) * 1.25  # angstrom
z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
density = np.exp(-((z - 25) ** 2 + (y - 20) ** 2 + (x - 28) ** 2) / 60).astype("f4")
dataset = xr.Dataset(
    {"density": (("z", "y", "x"), density, {"units": "e/A^3"})},
    coords={name: (name, axis, {"units": "angstrom"}) for name in "zyx"},
)
codec = INRCodec(snr=35, effort=0)

for zarr_format in (2, 3):
    # _FillValue: xarray would pad edge chunks with NaN, and take voxels that are exactly 0 for missing ones.
    if zarr_format == 2:
        encoding = {"compressors": codec, "chunks": (20, 20, 20), "_FillValue": None}
    else:
        encoding = {
            "serializer": codec.serializer(),
            "compressors": None,  # zarr would add Zstandard; without it a slice decodes only what it touches
            "chunks": (20, 20, 20),
            "fill_value": 0.0,
            "_FillValue": None,
        }
    with tempfile.TemporaryDirectory() as folder:
        dataset.to_zarr(folder, zarr_format=zarr_format, consolidated=False, encoding={"density": encoding})
        opened = xr.open_zarr(folder, consolidated=False)
        peak = opened.density.sel(z=slice(20, 30), y=slice(15, 25), x=slice(23, 33)).compute()
        place = {name: float(peak[peak.argmax(...)][name]) for name in "zyx"}
        print(f"format {zarr_format}: density {float(peak.max()):.2f} at {place} A")
