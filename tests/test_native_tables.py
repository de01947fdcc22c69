"""The C tables hold what the format says."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
import reference_decoder as reference

from inrcodec.core.prior import CURRENT, prior
from inrcodec.native import tables


@pytest.fixture(scope="module")
def numbers() -> dict[str, list[int]]:
    found = re.findall(r"^const \w+ (inr_\w+)(?:\[\])? = ([^;]+);", tables.source(), re.MULTILINE)
    return {name: [int(n) for n in re.findall(r"-?\d+", body)] for name, body in found}


def test_frequencies(numbers: dict[str, list[int]]) -> None:
    starts, cumulated = numbers["inr_table_start"], numbers["inr_cumulative"]
    assert len(starts) == 68 + 8 + 1
    assert starts[-1] == len(cumulated)
    for index, (start, stop) in enumerate(pairwise(starts)):
        assert tuple(np.diff(cumulated[start:stop])) == reference.laplace_table(index)
        assert cumulated[start] == 0
        assert cumulated[stop - 1] == 2**24


def test_limits(numbers: dict[str, list[int]]) -> None:
    assert numbers["inr_limit"] == [reference.side(index) for index in range(160)]


def test_bits_and_flags(numbers: dict[str, list[int]]) -> None:
    assert numbers["inr_bit_codes"] == [184]
    assert numbers["inr_bit_frequency"][1:] == [reference.bit_table(code)[1] for code in range(1, 184)]
    assert numbers["inr_flag_frequency"] == [reference.flag_table(logit)[1] for logit in range(-32, 33)]


def test_other_tables(numbers: dict[str, list[int]]) -> None:
    assert numbers["inr_log_magnitude"] == reference.LOG_MAGNITUDE
    assert numbers["inr_first_logits"] == list(reference.default_first())
    assert numbers["inr_second_logits"] == list(reference.default_second())
    fractions = [round(2**16 * 2 ** (i / 128)) for i in range(128)]
    assert numbers["inr_shell_fraction"] == fractions


def test_priors(numbers: dict[str, list[int]]) -> None:
    assert CURRENT in tables.prior_numbers()
    assert numbers["inr_prior_count"] == [len(tables.prior_numbers())]
    expected = [n for number in tables.prior_numbers() for n in (number, *prior(number).flat.tolist())]
    assert numbers["inr_priors"] == expected
