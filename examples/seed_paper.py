"""The pipeline of arXiv:2512.12975: MRC map -> threshold -> occupancy and points -> network -> MRC map.

    python examples/seed_paper.py [MAP] [BACK]

Without MAP it makes a small one. ``inrcodec pack MAP... -o set.inr`` does the same for many maps in one go;
with ``--device cuda`` at the paper's full width.
"""

import sys
import tempfile
from pathlib import Path

import mrcfile
import numpy as np

from inrcodec import inspect
from inrcodec.core.backend import get_backend
from inrcodec.core.mlp import chunks
from inrcodec.core.mlp.network import NetworkSettings
from inrcodec.core.mlp.training import train
from inrcodec.core.payload import Payload
from inrcodec.mrc import open_volume, write_mrc
from inrcodec.synthetic import generate
from inrcodec.training_set import TrainingSet, write_training_set

THRESHOLD = 0.0
# The paper's: NetworkSettings().resolved("cuda"). This one learns a 24^3 map in seconds on a CPU.
settings = NetworkSettings(
    widths=(64, 48, 32, 16), frequencies=2, identifier=8, steps=500, batch=1024, learning_rate=4e-3
)

with tempfile.TemporaryDirectory() as folder:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "small.mrc"
    if len(sys.argv) < 2:
        density = generate((24, 24, 24), voxel_size=2.0, resolution=12.0, mask="soft", seed=1)
        mrcfile.write(source, density, voxel_size=2.0)

    volume = open_volume(source)
    write_training_set(Path(folder) / "points.h5", [volume.data], THRESHOLD)  # pairs, chunked
    with TrainingSet(Path(folder) / "points.h5") as points:
        print(f"{points.count:,} of {volume.data.size:,} voxels above the threshold")
        trained = train(points, settings, weight_bits=16, device="cpu")
        scale = points.scales[0]
    payload = chunks.make_payload(
        volume.data, THRESHOLD, trained.network, trained.identifiers[0], scale, "chunk"
    ).to_bytes()  # weights, identifier, gzipped occupancy

    decoded = chunks.decode(Payload.from_bytes(payload), get_backend("numpy"))
    back = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder) / "back.mrc"
    write_mrc(back, decoded.reshape(volume.data.shape), volume.header, volume.extended_header)

    relative = np.abs(decoded - volume.data) / np.maximum(volume.data, 1e-30)
    high = volume.data > 0.1 * scale
    print(
        f"{len(payload):,} bytes, ratio {volume.data.nbytes / len(payload):.2f}: {inspect(payload).sections}"
    )
    print(f"trained {trained.steps} steps to a validation loss of {trained.loss:.3g}")
    print(f"{np.mean(relative[high] <= 0.2):.1%} of the voxels above 0.1 of the range within 20 %")
