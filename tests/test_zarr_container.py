"""Zarr stores as containers: what is in them, in terms that HDF5 shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("zarr.abc.codec", reason="format 3 needs zarr 3")
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec

from inrcodec import INRCodec, PayloadError
from inrcodec.containers import Layout, Node
from inrcodec.zarr_container import ZarrSource, ZarrTarget, one_order

CODEC = INRCodec(max_error=0.05, effort=0)
CHUNKS = (14, 13, 12)


def array(root: Any, name: str, volume: np.ndarray, **options: Any) -> Any:
    """An array written with the codec, in the group's format."""
    if root.metadata.zarr_format == 2:
        how: dict[str, Any] = {"compressors": CODEC}
    else:
        how = {"serializer": CODEC.serializer(), "compressors": None}
    made = root.create_array(name, shape=volume.shape, dtype="f4", **{"chunks": CHUNKS, **how, **options})
    made[...] = volume
    return made


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nodes(tmp_path: Path, volume: np.ndarray, zarr_format: int) -> None:
    root = zarr.open_group(str(tmp_path / "a"), mode="w", zarr_format=zarr_format)
    root.attrs["title"] = "x"
    names = {"dimension_names": ("z", "y", "x")} if zarr_format == 3 else {}
    made = array(root, "deep/er/map", volume, fill_value=0.5, **names)
    if zarr_format == 2:
        made.attrs["_ARRAY_DIMENSIONS"] = ["z", "y", "x"]
    made.attrs["units"] = "e/A^3"
    root.create_array("deep-other", shape=(3,), dtype="i4")
    nodes = list(ZarrSource(root).nodes())
    assert [node.path for node in nodes] == ["", "deep", "deep-other", "deep/er", "deep/er/map"]
    assert nodes[0] == Node("", {"title": "x"})
    assert nodes[2].layout is not None
    assert nodes[2].layout.codec is None
    assert nodes[4].attributes == {"units": "e/A^3"}
    assert nodes[4].layout == Layout(
        volume.shape, np.dtype("f4"), CHUNKS, CODEC, np.float32(0.5), ("z", "y", "x")
    )


@pytest.mark.parametrize("location", ["start", "end"])
def test_payloads_of_shards(tmp_path: Path, volume: np.ndarray, location: str) -> None:
    root = zarr.open_group(str(tmp_path / "a"), mode="w")
    array(root, "plain", volume)
    sharding = ShardingCodec(chunk_shape=CHUNKS, codecs=[CODEC.serializer()], index_location=location)
    array(root, "sharded", volume, chunks=(28, 26, 12), serializer=sharding)
    source = ZarrSource(root)
    found = {node.path: dict(source.payloads(node)) for node in source.nodes() if node.layout}
    assert found["plain"] == found["sharded"]
    assert sorted(found["plain"]) == list(np.ndindex(2, 2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": TransposeCodec(order=(2, 1, 0))}, "no payloads alone.* TransposeCodec, INRSerializer"),
        ({"compressors": [Crc32cCodec()]}, "no payloads alone.* INRSerializer, Crc32cCodec"),
        (
            {
                "serializer": ShardingCodec(
                    chunk_shape=CHUNKS, codecs=[CODEC.serializer()], index_codecs=[BytesCodec()]
                ),
                "chunks": (28, 26, 24),
            },
            "coded in a way that is not known",
        ),
    ],
    ids=["transposed", "checksum", "bare index"],
)
def test_what_is_refused(tmp_path: Path, volume: np.ndarray, options: dict[str, Any], message: str) -> None:
    root = zarr.open_group(str(tmp_path / "a"), mode="w")
    array(root, "map", volume, **options)
    with pytest.raises(ValueError, match=message):
        list(ZarrSource(root).nodes())


def test_a_missing_fill_value_stays_missing(tmp_path: Path, volume: np.ndarray) -> None:
    root = zarr.open_group(str(tmp_path / "a"), mode="w", zarr_format=2)
    array(root, "map", volume, fill_value=None)
    source = ZarrSource(root)
    node = next(node for node in source.nodes() if node.layout)
    for zarr_format, expected in ((2, None), (3, 0)):
        target = ZarrTarget(tmp_path / str(zarr_format), zarr_format)
        target.add_payloads(node, source.payloads(node))
        back = zarr.open_group(str(tmp_path / str(zarr_format)), mode="r")["map"]
        assert back.fill_value == expected
        np.testing.assert_array_equal(back[...], root["map"][...])


def test_order_of_no_payloads() -> None:
    layout = Layout((4,), np.dtype(">f4"), (2,), CODEC)
    dtype, order, payloads = one_order("map", layout, iter(()))
    assert (dtype, order, list(payloads)) == (np.dtype(">f4"), "C", [])
    with pytest.raises(PayloadError):
        one_order("map", layout, iter([((0,), b"no payload")]))


def test_a_target_that_exists(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a"), mode="w")
    with pytest.raises(FileExistsError):
        ZarrTarget(tmp_path / "a", 3)
