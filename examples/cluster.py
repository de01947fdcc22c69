"""One large map on a Dask cluster: fitted once, then encoded and decoded by chunks, each by any worker."""

import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster

from inrcodec import INRCodec

CHUNKS = (24, 24, 24)


def density(n=56):
    """A generated map; a large one would be a zarr array, a memory map, or whatever Dask reads by blocks."""
    z, y, x = np.meshgrid(*(np.arange(n) / 8,) * 3, indexing="ij", sparse=True)
    return (np.sin(z) * np.sin(y) * np.sin(x) + 0.5 * np.cos(z + y)).astype("f4")


def create(path, volume, codec):
    """An empty array: its metadata carry the networks, so that workers and readers need nothing else."""
    return zarr.create_array(
        path,
        shape=volume.shape,
        dtype=volume.dtype,
        chunks=CHUNKS,
        serializer=codec.serializer(),
        compressors=None,
    )


if __name__ == "__main__":  # the workers start this file again
    volume = density()
    codec = INRCodec.fit(volume, snr=30, effort=0, chunks=CHUNKS)  # sees the whole volume, by slices
    with (
        tempfile.TemporaryDirectory() as folder,
        # a cluster that is there: Client("tcp://scheduler:8786"), with a path that its workers see
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        one, two = f"{folder}/one.zarr", f"{folder}/two.zarr"
        create(one, volume, codec)[...] = volume  # by this process alone
        # Blocks are chunks of the array, so each is encoded once, by one worker. A worker that is lost costs
        # its chunks' time only: another encodes them to the same bytes.
        da.from_array(volume, chunks=CHUNKS).store(create(two, volume, codec), lock=False)
        decoded = da.from_zarr(two)
        error = ((decoded - volume) ** 2).mean().compute()  # every chunk is decoded where it is needed
        chunks = ["c/" + "/".join(map(str, index)) for index in np.ndindex(decoded.numblocks)]
        same = all(Path(one, name).read_bytes() == Path(two, name).read_bytes() for name in chunks)
        print(f"{decoded.npartitions} chunks, SNR {10 * np.log10(volume.var() / error):.1f} dB")
        print(f"two workers wrote the bytes that one process writes: {same}")
