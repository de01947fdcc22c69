"""Trains the built-in prior: ``python -m benchmarks.train_prior MAPS... --out FOLDER --folds 4``.

Latents are collected over generated maps and, where given, real ones: random block lengths, edges and
targets, masked voxels filled as the encoder fills them, first quantised plainly, then as the encoder chooses
them with the network of the first pass. Every fit weighs the same: what is minimised is the mean over fits of
the share that their bits change by.

With ``--folds K`` K more networks are trained, each without every K-th of the real maps, and written beside
the whole one with a table of which map each of them has not seen: a benchmark of these maps takes those
(``python -m benchmarks.rate --priors FOLDER``), so that no map is measured with a network that knows it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.report import find_maps, map_name, read_map
from inrcodec.core import context, training
from inrcodec.core.backend import Backend, get_backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fields.basis import with_edges
from inrcodec.core.fields.edges import EDGES
from inrcodec.core.fitting import Voxels, plain_step
from inrcodec.core.prepare import prepare
from inrcodec.core.presets import BLOCK_LENGTHS
from inrcodec.core.prior import CURRENT
from inrcodec.synthetic import random_map

SIZES = (32, 48, 64, 64, 80, 96)
CROPS = (48, 64, 64, 128)  # of real maps
SNR = (10.0, 45.0)  # dB
ENOUGH = 200  # latents: fewer teach nothing
FILLS = 10
LEAST_BITS = 0.02  # a latent: a fit with fewer weighs no more


@dataclass(frozen=True, eq=False)
class Example:
    """Latents of one fit: ``features`` (FEATURES, n) float16 whole numbers, ``magnitudes`` (n,)."""

    source: str
    features: np.ndarray
    magnitudes: np.ndarray


def collect(
    backend: Backend,
    volumes: list[tuple[str, np.ndarray]],
    network: ContextNetwork | None,
    per_fit: int,
    seed: int,
) -> list[Example]:
    """Latents of many fits."""
    rng = np.random.default_rng(seed)
    examples = []
    for source, volume in tqdm(volumes, desc="collect", disable=None):
        ready = prepare(volume, None)
        if ready is None:
            continue
        values = ((ready.values - ready.offset) / ready.scale)[None]
        cell = None if ready.background is None else [None, 1, 1, 2][rng.integers(4)]
        voxels = Voxels(backend, values, ready.care(None if cell is None else ready.occupied(cell)))
        for block in rng.choice(BLOCK_LENGTHS, 2, replace=False):
            latents = voxels.analyse(with_edges(int(block), int(rng.integers(len(EDGES)))))
            budget = np.array([ready.represented.sum() / 10 ** (rng.uniform(*SNR) / 10)])
            step = plain_step(voxels, latents, budget)
            latents, step = voxels.fill(latents, step, FILLS, budget)
            q = latents.plain(step)
            for _ in range(2 if network is not None else 0):
                q = latents.rate_distortion(q, step, [network])
            if len(q.bands) * latents.layout.blocks < ENOUGH:
                continue
            table = backend.to_numpy(latents.features(q))[0]
            size = backend.to_numpy(abs(q.values)).reshape(-1)
            chosen = rng.choice(len(size), min(per_fit, len(size)), replace=False)
            examples.append(Example(source, table[:, chosen].astype(np.float16), size[chosen]))
    return examples


def train_network(
    examples: list[Example], start: ContextNetwork | None, steps: int, seed: int
) -> tuple[ContextNetwork, float]:
    """A network for all examples, and its mean bits per latent."""
    features = np.concatenate([e.features for e in examples], axis=1)
    magnitudes = np.concatenate([e.magnitudes for e in examples])
    weight = np.concatenate([np.full(len(e.magnitudes), _weight(e, start), np.float32) for e in examples])
    with tqdm(total=1.0, desc=f"train on {len(magnitudes):,} latents", disable=None) as bar:
        (network,) = training.train(
            training.as_tensor(features.astype(np.float32)[None], "cpu"),
            training.as_tensor(magnitudes[None], "cpu"),
            None if start is None else [start],
            steps=steps,
            sample=16384,
            learning_rate=1e-2 if start is None else 4e-3,
            weight=training.as_tensor((weight / weight.mean())[None], "cpu"),
            seed=seed,
            progress=lambda done: bar.update(done - bar.n),
        )
    return network, float(np.mean([_bits(e, network) for e in examples]))


def _bits(example: Example, network: ContextNetwork) -> float:
    import torch

    index = context.scale_indices(get_backend("numpy"), [network], example.features.astype(np.float32))
    return float(training.laplace_bits(torch.as_tensor(index), torch.as_tensor(example.magnitudes)).mean())


def _weight(example: Example, network: ContextNetwork | None) -> float:
    return 1.0 if network is None else 1 / max(_bits(example, network), LEAST_BITS)


def real_crops(paths: list[Path], count: int, rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """Crops of real maps with density in them, ``count`` of each map."""
    crops = []
    for path in tqdm(paths, desc="maps", disable=None):
        volume = read_map(path, None)
        found = 0
        for _ in range(20 * count):
            size = [min(int(rng.choice(CROPS)), n) for n in volume.shape]
            corner = [int(rng.integers(n - s + 1)) for n, s in zip(volume.shape, size, strict=True)]
            crop = volume[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))]
            if np.count_nonzero(crop != crop.reshape(-1)[0]) > 0.02 * crop.size:
                crops.append((map_name(path), np.ascontiguousarray(crop)))
                found += 1
            if found == count:
                break
    return crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", nargs="*", type=Path, help="real maps: MRC files, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--generated", type=int, default=60, help="generated maps, default 60")
    parser.add_argument("--crops", type=int, default=12, help="of each real map, default 12")
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--per-fit", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    volumes = [("generated", random_map(rng, int(rng.choice(SIZES)))) for _ in range(options.generated)]
    paths = find_maps(options.maps) if options.maps else []
    volumes += real_crops(paths, options.crops, rng)
    backend = get_backend("cpu")
    network: ContextNetwork | None = None
    for stage in range(2):
        examples = collect(backend, volumes, network, options.per_fit, options.seed + stage)
        for step in range(2):
            network, bits = train_network(examples, network, options.steps, options.seed + 2 * stage + step)
            print(f"stage {stage}.{step}: {bits:.4f} bits per latent, mean over fits", flush=True)
    assert network is not None
    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / f"prior-{CURRENT}.npy", network.flat.astype(np.int16))
    unseen: dict[str, list[str]] = {}
    for fold in range(options.folds):
        names = [map_name(path) for path in paths[fold :: options.folds]]
        part = [e for e in examples if e.source not in names]
        # from scratch: the whole network has seen the maps left out
        first, _ = train_network(part, None, options.steps, options.seed)
        second, bits = train_network(part, first, options.steps, options.seed + 1)
        print(f"without {', '.join(names)}: {bits:.4f} bits per latent", flush=True)
        file = f"prior-{CURRENT}-fold-{fold}.npy"
        np.save(options.out / file, second.flat.astype(np.int16))
        unseen[file] = names
    if unseen:
        (options.out / "unseen.json").write_text(json.dumps(unseen, indent=1) + "\n")


if __name__ == "__main__":
    main()
