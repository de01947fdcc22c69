"""The tables of the native decoder as C source, from the functions that the Python decoder has."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from itertools import accumulate

from inrcodec.core import context, entropy, occupancy, shells
from inrcodec.core.exact import power_of_two
from inrcodec.core.prior import prior


def prior_numbers() -> list[int]:
    """The priors that the package ships."""
    names = (file.name for file in (resources.files("inrcodec.core") / "data").iterdir())
    return sorted(
        int(name.removeprefix("prior-").removesuffix(".npy")) for name in names if name.startswith("prior-")
    )


def source() -> str:
    """The text of ``tables.c``."""
    cumulated: list[int] = []
    starts = [0]
    for index in range(entropy.SPLIT + 8):
        cumulated += [0, *accumulate(entropy.frequencies(index))]
        starts.append(len(cumulated))
    limits = [(len(entropy.frequencies(_table(i))) - 1) // 2 for i in range(entropy.SCALES)]
    bits = [int(power_of_two(8 * entropy.PRECISION - code)) for code in range(entropy.BIT_CODES)]
    reach = range(-entropy.FLAG_LOGITS, entropy.FLAG_LOGITS + 1)
    first, second = occupancy.default_logits()
    priors = ",\n".join(f"{{{number}, {_list(prior(number).flat)}}}" for number in prior_numbers())
    return "\n".join(
        [
            "/* Written by inrcodec/native/tables.py. */",
            '#include "decoder.h"',
            f"const uint32_t inr_cumulative[] = {_list(cumulated)};",
            f"const uint32_t inr_table_start[] = {_list(starts)};",
            f"const uint16_t inr_limit[] = {_list(limits)};",
            f"const uint32_t inr_bit_frequency[] = {_list(bits)};",
            f"const unsigned inr_bit_codes = {entropy.BIT_CODES};",
            f"const uint32_t inr_flag_frequency[] = {_list(entropy.flag_frequency(i) for i in reach)};",
            f"const uint8_t inr_log_magnitude[] = {_list(context.log_magnitudes())};",
            f"const uint32_t inr_shell_fraction[] = {_list(shells._fractions())};",
            f"const int8_t inr_first_logits[] = {_list(first)};",
            f"const int8_t inr_second_logits[] = {_list(second)};",
            f"const inr_prior inr_priors[] = {{\n{priors}}};",
            f"const unsigned inr_prior_count = {len(prior_numbers())};",
            "",
        ]
    )


def _table(index: int) -> int:
    return index if index < entropy.SPLIT else entropy.SPLIT + (index - entropy.SPLIT) % 8


def _list(values: Iterable[int]) -> str:
    """A C initialiser, some numbers a line."""
    texts = [str(int(value)) for value in values]
    lines = [", ".join(texts[i : i + 16]) for i in range(0, len(texts), 16)]
    return "{" + ",\n".join(lines) + "}"
