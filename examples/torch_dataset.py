"""A PyTorch data set of sub-volumes, read from a compressed archive as they are asked for.

A sub-volume decodes only the chunks it touches, and of those only the blocks it touches. Workers open the
archive themselves; nothing but its path goes to them.
"""

import tempfile
from collections import Counter

import numpy as np
import torch
import zarr
from torch.utils.data import DataLoader, Dataset

from inrcodec import INRCodec


class SubVolumes(Dataset):
    """Sub-volumes at random places of the maps of a zarr group, the same in every epoch and worker.

    Args:
        path: group of 3-D arrays.
        size: voxels per edge of a sub-volume.
        per_map: sub-volumes of each map.
        seed: of the places.
    """

    def __init__(self, path, size=16, per_map=32, seed=0):
        self.path, self.size = str(path), size
        self._maps = None
        rng = np.random.default_rng(seed)
        root = zarr.open_group(self.path, mode="r")
        shapes = {name: array.shape for name, array in sorted(root.arrays())}
        self.places = [
            (name, *(int(rng.integers(0, n - size + 1)) for n in shape))
            for name, shape in shapes.items()
            for _ in range(per_map)
        ]

    def __getstate__(self):
        return {**self.__dict__, "_maps": None}  # each worker opens its own

    def __len__(self):
        return len(self.places)

    def __getitem__(self, number):
        if self._maps is None:
            self._maps = zarr.open_group(self.path, mode="r")
        name, z, y, x = self.places[number]
        box = tuple(slice(start, start + self.size) for start in (z, y, x))
        return torch.from_numpy(np.ascontiguousarray(self._maps[name][box]))[None], name


def archive(path, maps=2, shape=(64, 64, 64)):
    """A group of generated maps."""
    root = zarr.open_group(path, mode="w")
    rng = np.random.default_rng(0)
    for number in range(maps):
        axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij", sparse=True)
        square = sum((axis - rng.uniform(0.3, 0.7)) ** 2 for axis in axes)
        density = (np.exp(-square * 20) * (1 + np.cos(40 * square))).astype("f4")
        array = root.create_array(
            f"map_{number}",
            shape=shape,
            chunks=(32, 32, 32),
            dtype="f4",
            serializer=INRCodec(snr=30, effort=0).serializer(),
            compressors=None,
        )
        array[...] = density


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        archive(folder)
        loader = DataLoader(
            SubVolumes(folder),
            batch_size=8,
            shuffle=True,
            num_workers=2,
            multiprocessing_context="spawn",  # zarr has threads of its own, which a fork would not copy
            generator=torch.Generator().manual_seed(0),
        )
        seen, voxels = Counter(), 0
        for batch, names in loader:
            seen.update(names)
            voxels += batch.numel()
        print(f"{voxels} voxels in sub-volumes, by map: {dict(sorted(seen.items()))}")
