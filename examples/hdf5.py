"""A volume into HDF5 and back: through the filter, and in volume scope in batches."""

import tempfile
from pathlib import Path

import h5py
import numpy as np

from inrcodec import INRCodec, metrics
from inrcodec.hdf5 import INRFilter, codec_of, read, write

grid = np.linspace(-3, 3, 40, dtype="f4")
x, y, z = np.meshgrid(grid, grid, grid, indexing="ij")
density = np.exp(-(x**2 + y**2 + z**2)) * (1 + np.cos(4 * x) * np.cos(5 * y) * np.cos(6 * z))
density = density.astype("f4")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "maps.h5"
    with h5py.File(path, "w") as file:
        # Each chunk trains networks of its own, as HDF5 hands it over.
        file.create_dataset("chunks", data=density, chunks=(40, 40, 40), **INRFilter(snr=30))

        # The networks are trained once, and lie with the dataset's filter.
        codec = INRCodec.fit(density, snr=30, chunks=20)
        dataset = file.create_dataset(
            "volume", shape=density.shape, dtype="f4", chunks=(20, 20, 20), compression=INRFilter.of(codec)
        )
        write(dataset, density, codec)

    with h5py.File(path) as file:
        for name, scope in (("chunks", "chunk scope"), ("volume", "volume scope")):
            dataset = file[name]
            snr = metrics.snr(density, dataset[...])
            stored = dataset.id.get_storage_size()
            print(f"{scope}: {density.nbytes / stored:.0f} times smaller, SNR {snr:.1f} dB")
        assert codec_of(file["volume"]) == codec
        # A slice decodes only the blocks it touches.
        np.testing.assert_array_equal(read(file["volume"], (slice(5, 8), 7)), file["volume"][5:8, 7])
