"""Trains the built-in prior on generated maps: ``python -m benchmarks.train_prior --out prior-1.npy``.

Generated maps only, so every real map the codec is measured on is new to the prior. Latents are collected
over random maps, block lengths and targets, first quantised plainly, then once more as the encoder chooses
them with the network of the first pass.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inrcodec.core import context, training
from inrcodec.core.backend import Backend, get_backend
from inrcodec.core.context import ContextNetwork
from inrcodec.core.fitting import Voxels, plain_step
from inrcodec.core.presets import BLOCK_LENGTHS
from inrcodec.synthetic import random_map

SIZES = (32, 48, 64, 64, 80, 96)
SNR = (10.0, 45.0)  # dB
ENOUGH = 200  # latents: fewer teach nothing


def collect(
    backend: Backend, maps: list[np.ndarray], network: ContextNetwork | None, per_fit: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features and magnitudes of latents of many fits: (FEATURES, n) uint16-ranged float32, (n,) float32."""
    rng = np.random.default_rng(seed)
    features, magnitudes = [], []
    for volume in tqdm(maps, desc="collect", disable=None):
        scale = float(volume.std())
        voxels = Voxels(backend, ((volume - volume.mean()) / scale)[None])
        for block in rng.choice(BLOCK_LENGTHS, 3, replace=False):
            latents = voxels.analyse(int(block))
            budget = np.array([volume.size / 10 ** (rng.uniform(*SNR) / 10)])
            step = plain_step(voxels, latents, budget)
            q = latents.plain(step)
            for _ in range(2 if network is not None else 0):
                q = latents.rate_distortion(q, step, [network])
            if len(q.bands) * latents.layout.blocks < ENOUGH:
                continue
            table = backend.to_numpy(latents.features(q))[0]
            size = backend.to_numpy(abs(q.values)).reshape(-1)
            chosen = rng.choice(len(size), min(per_fit, len(size)), replace=False)
            features.append(table[:, chosen])
            magnitudes.append(size[chosen])
    return np.concatenate(features, axis=1), np.concatenate(magnitudes)


def train_prior(maps: list[np.ndarray], steps: int, per_fit: int, seed: int = 0) -> ContextNetwork:
    """A network for all kinds of maps."""
    backend = get_backend("cpu")
    network: ContextNetwork | None = None
    for stage in range(3):
        features, magnitudes = collect(backend, maps, network, per_fit, seed + stage)
        with tqdm(total=1.0, desc=f"train on {len(magnitudes):,} latents", disable=None) as bar:
            (network,) = training.train(
                training.as_tensor(features[None], "cpu"),
                training.as_tensor(magnitudes[None], "cpu"),
                None if network is None else [network],
                steps=steps,
                sample=16384,
                learning_rate=1e-2 if stage == 0 else 4e-3,
                seed=seed + stage,
                progress=lambda done, bar=bar: bar.update(done - bar.n),
            )
        index = context.scale_indices(get_backend("numpy"), [network], features)
        import torch

        bits = training.laplace_bits(torch.as_tensor(index), torch.as_tensor(magnitudes))
        print(f"stage {stage}: {float(bits.mean()):.4f} bits per latent", flush=True)
    assert network is not None
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--per-fit", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    maps = [
        random_map(rng, int(rng.choice(SIZES))) for _ in tqdm(range(options.maps), desc="maps", disable=None)
    ]
    network = train_prior(maps, options.steps, options.per_fit, options.seed)
    np.save(options.out, network.flat.astype(np.int16))


if __name__ == "__main__":
    main()
