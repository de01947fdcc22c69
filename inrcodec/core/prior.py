"""The built-in prior: context networks shipped with the package.

``data/prior-N.npy`` holds the weights of prior N; a payload names the one it was coded with, so priors are
added, never changed (priors 1 and 2 went with format versions 1 and 4). ``benchmarks/train_prior.py``
trains them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources

import numpy as np

from inrcodec.core.context import ContextNetwork
from inrcodec.core.payload import PayloadError

CURRENT = 3


_replacement: list[ContextNetwork] = []


def prior(number: int = CURRENT) -> ContextNetwork:
    """A built-in context network.

    Raises:
        PayloadError: this release has no prior of that number.
    """
    return _replacement[-1] if _replacement and number == CURRENT else _shipped(number)


@cache
def _shipped(number: int) -> ContextNetwork:
    file = resources.files("inrcodec.core") / "data" / f"prior-{number}.npy"
    if not file.is_file():
        raise PayloadError(f"payload was coded with prior {number}, which this release does not have")
    return ContextNetwork.from_flat(np.load(io.BytesIO(file.read_bytes()), allow_pickle=False))


@contextmanager
def replaced(network: ContextNetwork) -> Iterator[None]:
    """Take another network for the current prior: for measurements on maps that the shipped one has seen.

    Payloads written inside decode inside only.
    """
    _replacement.append(network)
    try:
        yield
    finally:
        _replacement.pop()
