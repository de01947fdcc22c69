"""What a container's maps come back as, and what damage does. Round trips: ``test_pack.py``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from mlp_cases import QUICK, three_maps

pytest.importorskip("mrcfile")
pytest.importorskip("h5py")
pytest.importorskip("torch")

from inrcodec import PayloadError
from inrcodec.container import Container
from inrcodec.pack import pack
from inrcodec.unpack import decode_map, shared_words, unpack


@pytest.mark.parametrize("field", ["mlp", "local-fourier"])
def test_all_devices_agree(tmp_path: Path, field: str) -> None:
    settings = {"network": QUICK} if field == "mlp" else {"effort": 0}
    pack(three_maps(tmp_path)[:1], tmp_path / "set.inr", field=field, **settings)
    container = Container.from_bytes((tmp_path / "set.inr").read_bytes())
    done: list[float] = []
    one = decode_map(container, 0, "numpy", done.append)
    np.testing.assert_array_equal(one, decode_map(container, 0, "cpu"))
    assert done[-1] == 1.0
    assert ("layers of" if field == "mlp" else "prior") in shared_words(container)


def test_damaged_payloads(tmp_path: Path) -> None:
    pack(three_maps(tmp_path)[:2], tmp_path / "set.inr", network=QUICK)
    container = Container.from_bytes((tmp_path / "set.inr").read_bytes())
    first, second = container.maps
    for change, words in (
        ({"payloads": second.payloads}, r"a payload of \(9, 9, 9\)"),
        ({"header": second.header}, "its MRC header says"),
        ({"payloads": (b"INR",)}, "not an inrcodec payload"),
    ):
        broken = dataclasses.replace(container, maps=(dataclasses.replace(first, **change),))
        (tmp_path / "broken.inr").write_bytes(broken.to_bytes())
        with pytest.raises(PayloadError, match=words):
            unpack(tmp_path / "broken.inr", tmp_path / "broken")
        assert not (tmp_path / "broken" / "a.mrc").exists()
