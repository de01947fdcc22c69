"""The networks shipped with the package."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from inrcodec.core.context import PARAMETERS, ContextNetwork
from inrcodec.core.payload import PayloadError
from inrcodec.core.prior import CURRENT, prior, replaced


@pytest.mark.parametrize("number", [CURRENT])
def test_every_prior_is_shipped_whole(number: int) -> None:
    flat = prior(number).flat
    assert flat.shape == (PARAMETERS,)
    assert flat.any()
    np.testing.assert_array_equal(ContextNetwork.from_flat(flat).flat, flat)


def test_no_other_file_is_shipped() -> None:
    names = {file.name for file in (resources.files("inrcodec.core") / "data").iterdir()}
    assert {name for name in names if name.startswith("prior")} == {f"prior-{CURRENT}.npy"}


def test_it_is_read_once() -> None:
    assert prior() is prior()


@pytest.mark.parametrize("number", [0, CURRENT - 1, CURRENT + 1, -1, 2**40])
def test_unknown_priors(number: int) -> None:
    with pytest.raises(PayloadError, match=f"prior {number}, which this release does not have"):
        prior(number)


def test_the_prior_itself_takes_few_bytes() -> None:
    assert len(prior().to_bytes(prior())) <= 24


def test_another_network_for_a_while() -> None:
    shipped = prior()
    other = ContextNetwork.from_flat(0 * shipped.flat)
    with replaced(other):
        assert prior() is other
        with pytest.raises(PayloadError):
            prior(CURRENT + 1)
    assert prior() is shipped
