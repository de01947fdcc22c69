"""A map straight from an object store into a NumPy slice.

The store is in memory here, so that the example runs anywhere. With s3fs installed, ``s3://bucket/map.zarr``
and ``inr://map.mrc::s3://bucket/map.mrc.inr`` take the places of the URLs; keys come from the environment.
"""

import tempfile
from pathlib import Path

import fsspec
import mrcfile
import numpy as np
import zarr

from inrcodec import maps
from inrcodec.core import Target

grid = np.linspace(-3, 3, 48, dtype="f4")
x, y, z = np.meshgrid(grid, grid, grid, indexing="ij")
density = (np.exp(-(x**2 + y**2 + z**2)) * (1 + np.cos(4 * x) * np.cos(5 * y))).astype("f4")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "map.mrc"
    with mrcfile.new(path, density) as file:
        file.voxel_size = 1.2

    # A zarr store, as ``inrcodec compress map.mrc s3://bucket/map.zarr`` makes it.
    maps.compress(path, "memory://bucket/map.zarr", target=Target("snr", 30), chunks=24, effort=0)

    # One file, the map's headers included; what goes in and comes out are the bytes of an MRC file.
    url = "inr://map.mrc::memory://bucket/map.mrc.inr"
    with fsspec.open(url, "wb", inr={"snr": 30, "chunks": 24, "effort": 0}) as stream:
        stream.write(path.read_bytes())

# Only the chunks that the slice touches are fetched and decoded.
plane = zarr.open_group("memory://bucket/map.zarr", mode="r")["0"][30]
print(f"zarr: plane 30, {plane.shape}, largest error {np.abs(plane - density[30]).max():.3f}")

with fsspec.open(url) as stream:
    stream.seek(1024 + 30 * density[0].nbytes)
    plane = np.frombuffer(stream.read(density[0].nbytes), "f4").reshape(density[0].shape)
    print(f"file: plane 30, {plane.shape}, {stream.decoded} of 8 chunks decoded")
