"""Which block lengths and edges are worth trying, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from inrcodec.core.fields.basis import block_length, block_sizes, edge_kind, with_edges
from inrcodec.core.fields.edges import EDGES
from inrcodec.core.presets import BLOCK_LENGTHS, FIRST_BLOCKS, Preset


def candidate_blocks(shape: tuple[int, int, int], wanted: Sequence[int]) -> list[int]:
    """Block lengths that split a box differently, shortest first; of equals, the one named first."""
    seen: dict[tuple[tuple[int, ...], ...], int] = {}
    for block in wanted:
        seen.setdefault(tuple(block_sizes(n, block) for n in shape), block)
    return sorted(seen.values())


def search_blocks(
    shape: tuple[int, int, int],
    asked: int | None,
    preset: Preset,
    figure: Callable[[int], float],
    spread: Callable[[Callable[[int], float], list[int]], Iterable[float]] = map,
) -> dict[int, float]:
    """Blocks and what each is judged by: lengths in a coarse search, both neighbours of its best, then more;
    and other edges for the best length.

    Both neighbours, as a map that was sampled more finely once can have a second length at which it is cheap.

    Args:
        shape: (d, h, w) of the largest chunk.
        asked: the only length to try; None searches.
        preset: how many lengths are tried.
        figure: of a block, smaller being better.
        spread: maps it over the lengths of the coarse search, over threads maybe.
    """
    if asked is not None:
        return search_edges({asked: figure(asked)}, figure)
    first = candidate_blocks(shape, FIRST_BLOCKS)
    tried = dict(zip(first, spread(figure, first), strict=True))
    lengths = candidate_blocks(shape, (*FIRST_BLOCKS, *BLOCK_LENGTHS))
    found = min(tried, key=lambda b: tried[b])
    while len(tried) < min(preset.blocks, len(lengths)):
        best = min(tried, key=lambda b: tried[b])
        at = lengths.index(found)
        rest = [b for b in lengths[max(at - 1, 0) : at + 2] if b not in tried]
        rest = rest or [b for b in lengths if b not in tried]
        block = min(rest, key=lambda b: abs(np.log(b / best)))
        tried[block] = figure(block)
    return search_edges(tried, figure)


def search_edges(tried: dict[int, float], figure: Callable[[int], float]) -> dict[int, float]:
    """What was tried, and its best block with all other edges."""
    best = min(tried, key=lambda b: tried[b])
    others = [with_edges(best, kind) for kind in range(len(EDGES))]
    return tried | {block: figure(block) for block in others if block not in tried}


def descend_blocks(
    shape: tuple[int, int, int], start: int, figure: Callable[[int], float]
) -> dict[int, float]:
    """Blocks of ever better lengths and the same edges, from one on, and what each is judged by.

    Args:
        shape: (d, h, w) of the largest chunk.
        start: the first block, or the nearest to its length that the shape has.
        figure: of a block, smaller being better.
    """
    lengths = [with_edges(b, edge_kind(start)) for b in candidate_blocks(shape, BLOCK_LENGTHS)]
    first = min(lengths, key=lambda b: abs(np.log(block_length(b) / block_length(start))))
    tried = {first: figure(first)}
    while True:
        at = lengths.index(min(tried, key=lambda b: tried[b]))
        beside = [b for b in lengths[max(at - 1, 0) : at + 2] if b not in tried]
        if not beside:
            return tried
        tried |= {b: figure(b) for b in beside}
