"""A map larger than memory, as Dask sees it: encoded and decoded by chunks, in threads or processes."""

import tempfile

import dask
import dask.array as da
import numpy as np

from inrcodec import INRCodec


def density(block_info=None):
    """One chunk of a generated map; stands for whatever computes or loads a chunk."""
    box = block_info[None]["array-location"]
    z, y, x = np.meshgrid(*(np.arange(start, stop) / 8 for start, stop in box), indexing="ij")
    return (np.sin(z) * np.sin(y) * np.sin(x)).astype("f4")


if __name__ == "__main__":  # the scheduler of processes starts this file again
    chunks = ((32,) * 2, (32,) * 2, (32,) * 2)
    volume = da.map_blocks(density, chunks=chunks, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
    codec = INRCodec(max_error=0.01, effort=0)
    for scheduler in ("threads", "processes"):
        with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler=scheduler, num_workers=2):
            # Dask's chunks become those of the array, so every chunk is encoded once, by one worker.
            da.to_zarr(volume, folder, zarr_format=3, serializer=codec.serializer(), compressors=None)
            decoded = da.from_zarr(folder)
            error = abs(decoded - volume).max().compute()
            print(f"{scheduler}: {decoded.numblocks} chunks, largest error {error:.4f}")
