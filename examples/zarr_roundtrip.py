"""A volume into zarr and back, in both formats."""

import tempfile

import numpy as np
import zarr

from inrcodec import INRCodec, metrics

grid = np.linspace(-3, 3, 32, dtype="f4")
x, y, z = np.meshgrid(grid, grid, grid, indexing="ij")
density = np.exp(-(x**2 + y**2 + z**2)) * (1 + np.cos(4 * x) * np.cos(5 * y) * np.cos(6 * z))
density = density.astype("f4")

for zarr_format in (2, 3):
    with tempfile.TemporaryDirectory() as folder:
        if zarr_format == 2:
            how = {"compressors": INRCodec(snr=30)}
        else:
            # zarr would add Zstandard; without it a slice decodes only the blocks it touches.
            how = {"serializer": INRCodec(snr=30).serializer(), "compressors": None}
        array = zarr.create_array(
            folder, shape=density.shape, dtype="f4", chunks=(32, 32, 32), zarr_format=zarr_format, **how
        )
        array[:] = density

        # Any reader with inrcodec installed opens it; nothing of inrcodec is imported.
        restored = zarr.open_array(folder, mode="r")
        snr = metrics.snr(density, restored[:])
        stored = restored.nbytes_stored()
        print(f"format {zarr_format}: {density.nbytes / stored:.0f} times smaller, SNR {snr:.1f} dB")
