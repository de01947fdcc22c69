"""What every container checks of the chunks it hands on."""

from __future__ import annotations

import numpy as np
import pytest

from inrcodec import INRCodec, PayloadError, containers
from inrcodec.containers import Layout, Node

CODEC = INRCodec(max_error=0.1, effort=0)


def node(codec: INRCodec | None, shape: tuple[int, ...] = (12, 12, 12), dtype: str = "f4") -> Node:
    return Node("map", {}, Layout((20, 12, 12), np.dtype(dtype), shape, codec))


def test_whole_payloads_pass(chunk: np.ndarray) -> None:
    given = [((i, 0, 0), CODEC.encode(chunk[:12, :12, i : i + 12])) for i in range(2)]
    assert list(containers.checked(node(CODEC), given)) == given
    assert list(containers.checked(node(CODEC, dtype=">f4"), given)) == given


@pytest.mark.parametrize(
    ("layout", "message"),
    [(node(CODEC, (12, 12, 6)), "payload holds"), (node(CODEC, dtype="f8"), "chunk is .* float64")],
)
def test_foreign_payloads(chunk: np.ndarray, layout: Node, message: str) -> None:
    with pytest.raises(PayloadError, match=rf"chunk \(1, 0, 0\) of map: .*{message}"):
        list(containers.checked(layout, [((1, 0, 0), CODEC.encode(chunk[:12, :12, :12]))]))


def test_networks_of_another_volume(chunk: np.ndarray) -> None:
    first = INRCodec.fit(chunk, snr=25, effort=0, chunks=12)
    payload = first.encode(chunk[:12, :12, :12])
    assert list(containers.checked(node(first), [((0, 0, 0), payload)]))
    other = INRCodec.fit(chunk, fsc=0.9, resolution=6.0, voxel_size=1.0, effort=0, chunks=12)
    for codec in (CODEC, other):
        with pytest.raises(PayloadError, match="volume scope needs networks"):
            list(containers.checked(node(codec), [((0, 0, 0), payload)]))


def test_an_array_without_payloads() -> None:
    with pytest.raises(ValueError, match="map holds no payloads"):
        list(containers.checked(node(None), []))


def test_counts() -> None:
    assert node(CODEC, (8, 12, 5)).layout.counts == (3, 1, 3)


def test_values_are_copied_whole() -> None:
    source = np.arange(35).reshape(5, 7)
    target = np.zeros_like(source)
    containers.copy_values(source, target, (2, 3))
    np.testing.assert_array_equal(target, source)
