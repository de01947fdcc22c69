"""Training of context networks. The only module, with :mod:`inrcodec.core.backend`, that uses PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from inrcodec.core import context, entropy
from inrcodec.core.context import ContextNetwork

_BITS_PER_UNIT = 3  # of a weight's difference to the network it started from
_FLOAT_SHARE = 0.4  # of the steps run in float, the rest with rounding in the loop
_UNITS = (
    2.0**context.WEIGHT_BITS,
    2.0 ** (context.WEIGHT_BITS + context.FEATURE_BITS),
    2.0**context.WEIGHT_BITS,
    2.0 ** (context.WEIGHT_BITS + context.ACTIVATION_BITS),
    2.0**context.WEIGHT_BITS,
    2.0 ** (context.WEIGHT_BITS + context.ACTIVATION_BITS),
)


def train(
    features: torch.Tensor,
    magnitudes: torch.Tensor,
    start: Sequence[ContextNetwork] | None,
    *,
    steps: int,
    sample: int,
    learning_rate: float,
    weight: torch.Tensor | None = None,
    symbols: Sequence[float] | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[ContextNetwork]:
    """Train one context network for each chunk of a batch, all at once.

    Minimises the expected bits of the latents under Laplace distributions of the predicted scales, with
    Adam. The last part of the steps rounds weights, activations and scale indices as the decoder does,
    with straight-through gradients.

    Args:
        features: (batch, FEATURES, n) whole numbers, as :func:`context.known_features` gives them.
        magnitudes: (batch, n) absolute values of the latents.
        start: networks to start from; None starts at random.
        steps, sample, learning_rate: of Adam; each step takes ``sample`` latents at random.
        weight: (batch, n) 0 where a latent does not count.
        symbols: latents of each chunk that share the cost of its weights: their difference to ``start`` is
            then penalised by about what storing it takes. None where weights cost nothing.
        seed: of the random choices.
        progress: called with the fraction done.
    """
    batch, _, count = features.shape
    device = features.device
    generator = torch.Generator(device).manual_seed(seed)
    parameters = _initial(batch, start, device, generator)
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.98))
    origin = [p.detach().clone() for p in parameters]
    share = None if symbols is None else torch.as_tensor(symbols, dtype=torch.float32, device=device)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=learning_rate, total_steps=steps + 1, pct_start=0.1, final_div_factor=50
    )
    sample = min(sample, count)
    # shuffled once, so that every step reads a contiguous run: gathering costs more than the network
    shuffled = torch.randperm(count, device=device, generator=generator)[: steps * sample]
    features, magnitudes = features[:, :, shuffled], magnitudes[:, shuffled]
    weight = None if weight is None else weight[:, shuffled]
    runs = len(shuffled) // sample
    for step in range(steps):
        chosen = slice(step % runs * sample, (step % runs + 1) * sample)
        rounding = step >= _FLOAT_SHARE * steps
        index = _forward(parameters, features[:, :, chosen], rounding)
        bits = laplace_bits(index, magnitudes[:, chosen])
        if weight is not None:
            bits = bits * weight[:, chosen]
        loss = bits.mean(dim=1).sum()
        if share is not None:
            loss = loss + (_weight_bits(parameters, origin) / share).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress((step + 1) / steps)
    return _networks(parameters)


def laplace_bits(index: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
    """Bits of latents of given magnitude at (fractional) scale indices; signs count one bit."""
    dead_zone = float(entropy.DEAD_ZONE)
    inverse = torch.exp2(-(index + entropy.SCALE_MIN) / 8)
    # log2(1 - exp(-x)), stable for small and large x
    zero = -torch.log2(-torch.expm1(-dead_zone * inverse))
    other = 1 + (dead_zone + magnitude - 1) * inverse / math.log(2) - torch.log2(-torch.expm1(-inverse))
    return torch.where(magnitude > 0, other, zero)


def _forward(parameters: list[torch.Tensor], features: torch.Tensor, rounding: bool) -> torch.Tensor:
    values = [_rounded(p, unit) if rounding else p for p, unit in zip(parameters, _UNITS, strict=True)]
    hidden = features / 2**context.FEATURE_BITS
    top = 255 / 2**context.ACTIVATION_BITS
    for weights, bias in ((values[0], values[1]), (values[2], values[3])):
        hidden = torch.baddbmm(bias[:, :, None], weights, hidden).clamp(0, top)
        if rounding:
            hidden = _rounded(hidden, 2.0**context.ACTIVATION_BITS)
    index = torch.baddbmm(values[5][:, :, None], values[4], hidden)[:, 0] * 2**context.SCALE_BITS
    target = index.round() if rounding else index
    return index + (target.clamp(0, entropy.SCALES - 1) - index).detach()


def _weight_bits(parameters: list[torch.Tensor], origin: list[torch.Tensor]) -> torch.Tensor:
    """(batch,) about the bits of storing parameters as differences: so many for each unit of a weight."""
    unit = _BITS_PER_UNIT * _UNITS[0]
    return sum(
        (unit * (p - o).abs().flatten(1).sum(dim=1) for p, o in zip(parameters, origin, strict=True)),
        start=torch.zeros(parameters[0].shape[0], device=parameters[0].device),
    )


def _rounded(value: torch.Tensor, unit: float) -> torch.Tensor:
    return value + ((value * unit).round() / unit - value).detach()


def _initial(
    batch: int,
    start: Sequence[ContextNetwork] | None,
    device: torch.device,
    generator: torch.Generator,
) -> list[torch.Tensor]:
    parameters = []
    for i, shape in enumerate(context.SHAPES):
        if start is not None:
            stacked = np.stack([n.arrays[i] for n in start]).astype(np.float32) / _UNITS[i]
            value = torch.as_tensor(stacked, device=device)
        elif len(shape) == 2:
            bound = math.sqrt(6 / shape[1]) * (0.1 if i == 0 else 1.0)
            value = (torch.rand(batch, *shape, device=device, generator=generator) * 2 - 1) * bound
        else:
            value = torch.zeros(batch, *shape, device=device)
        parameters.append(value.requires_grad_())
    if start is None:
        with torch.no_grad():
            parameters[-1] += 4.0
    return parameters


def _networks(parameters: list[torch.Tensor]) -> list[ContextNetwork]:
    whole = []
    for p, unit, shape in zip(parameters, _UNITS, context.SHAPES, strict=True):
        limit = 127 if len(shape) == 2 else 32767
        whole.append((p.detach() * unit).round().clamp(-limit, limit).cpu().numpy().astype(np.int32))
    return [ContextNetwork(tuple(a[i] for a in whole)) for i in range(whole[0].shape[0])]


def as_tensor(array: Any, device: str) -> torch.Tensor:
    """A float32 tensor on a PyTorch device; NumPy's device counts as the CPU."""
    return torch.as_tensor(array, dtype=torch.float32, device="cpu" if device == "numpy" else device)
