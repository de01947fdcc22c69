"""Block lengths and edges worth trying."""

from __future__ import annotations

import pytest

from inrcodec.core.block_search import candidate_blocks, descend_blocks, search_blocks, search_edges
from inrcodec.core.fields.basis import block_length, block_sizes, edge_kind, with_edges
from inrcodec.core.presets import BLOCK_LENGTHS, EFFORTS, FIRST_BLOCKS


class TestCandidateBlocks:
    @pytest.mark.parametrize("shape", [(1, 1, 64), (7, 7, 7), (20, 18, 22), (64, 64, 64), (240, 30, 1)])
    def test_they_split_the_box_differently(self, shape: tuple[int, int, int]) -> None:
        blocks = candidate_blocks(shape, BLOCK_LENGTHS)
        splits = [tuple(block_sizes(n, block) for n in shape) for block in blocks]
        assert blocks == sorted(blocks)
        assert set(blocks) <= set(BLOCK_LENGTHS)
        assert len(set(splits)) == len(splits)
        assert {tuple(block_sizes(n, block) for n in shape) for block in BLOCK_LENGTHS} == set(splits)

    def test_a_large_box_has_them_all(self) -> None:
        assert candidate_blocks((240, 240, 240), BLOCK_LENGTHS) == list(BLOCK_LENGTHS)

    def test_a_tiny_box_has_one(self) -> None:
        assert len(candidate_blocks((3, 2, 4), BLOCK_LENGTHS)) == 1


class TestSearch:
    @pytest.mark.parametrize("best", [7, 13, 19])
    def test_neighbours_of_the_best_are_tried_as_often_as_the_preset_says(self, best: int) -> None:
        tried = search_blocks((64, 64, 64), None, EFFORTS[5], lambda block: abs(block - best))
        lengths = [block for block in tried if not edge_kind(block)]
        assert set(candidate_blocks((64, 64, 64), FIRST_BLOCKS)) <= set(lengths)
        assert len(lengths) == EFFORTS[5].blocks
        assert min(tried.values()) <= 1

    @pytest.mark.parametrize("effort", [1, 3, 5])
    def test_both_sides_of_the_best_are_tried(self, effort: int) -> None:
        """As measured on a subtomogram average, which was once sampled more finely."""
        figures = {6: 0.419, 8: 0.514, 10: 0.511, 13: 0.639, 16: 0.664, 20: 0.69, 32: 0.708}
        tried = search_blocks((64, 64, 64), None, EFFORTS[effort], lambda block: figures.get(block, 1.0))
        assert min(tried, key=lambda b: tried[b]) == 6

    def test_what_was_asked_is_not_searched(self) -> None:
        tried = search_blocks((64, 64, 64), 7, EFFORTS[5], float)
        assert tried[7] == 7.0
        assert {block_length(block) for block in tried} == {7}

    def test_small_boxes_run_out_of_lengths(self) -> None:
        tried = search_blocks((3, 2, 4), None, EFFORTS[9], float)
        assert {block_length(block) for block in tried} <= {1, *FIRST_BLOCKS, *BLOCK_LENGTHS}

    @pytest.mark.parametrize(
        ("figures", "best"),
        [((1.0, 2.0, 0.5, 2.0), 2), ((1.0, 0.9, 0.8, 0.5), 3), ((1.0, 1.0, 1.0, 1.0), 0)],
    )
    def test_all_edges_of_the_best_length(self, figures: tuple[float, ...], best: int) -> None:
        def figure(block: int) -> float:
            assert block != 10, "it has been tried"
            return figures[edge_kind(block)]

        tried = search_edges({8: 7.0, 10: figures[0]}, figure)
        assert {edge_kind(block) for block in tried if block_length(block) == 10} == {0, 1, 2, 3}
        assert min(tried, key=lambda b: tried[b]) == with_edges(10, best)


def test_a_descent_keeps_the_edges() -> None:
    start = with_edges(16, 2)
    tried = descend_blocks((64, 64, 64), start, lambda block: abs(block_length(block) - 20))
    assert min(tried, key=lambda b: tried[b]) == with_edges(20, 2)
    assert {edge_kind(block) for block in tried} == {2}
