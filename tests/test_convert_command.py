"""The commands convert and references as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from inrcodec import INRCodec, cli


@pytest.fixture
def here(tmp_path: Path, volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group of one array of 2 x 2 x 2 chunks, in the working directory."""
    array = zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_array(
        "0",
        shape=volume.shape,
        dtype="f4",
        chunks=(14, 13, 12),
        serializer=INRCodec(max_error=0.05, effort=0).serializer(),
        compressors=None,
    )
    array[...] = volume
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_convert(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", "a.zarr", "b.zarr", "--shard", "2"]) == 0
    assert capsys.readouterr().out == "8 chunks copied from a.zarr to b.zarr\n"
    assert len([p for p in (here / "b.zarr").rglob("*") if p.is_file() and p.name != "zarr.json"]) == 1
    assert cli.main(["convert", "a.zarr", "b.zarr"]) == 2
    assert "b.zarr exists" in capsys.readouterr().err
    assert cli.main(["convert", "a.zarr", "b.zarr", "--overwrite", "--zarr-format", "2"]) == 0
    assert (here / "b.zarr" / "0" / ".zarray").is_file()


def test_references(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", "a.zarr", "a.h5"]) == 0
    assert cli.main(["references", "a.h5", "a.json"]) == 0
    assert capsys.readouterr().out.endswith("8 chunks of a.h5 in a.json\n")
    root = zarr.open_group("reference://", mode="r", storage_options={"fo": str(here / "a.json")})
    np.testing.assert_array_equal(root["0"][...], zarr.open_group("a.zarr", mode="r")["0"][...])
    assert cli.main(["references", "a.h5", "a.json"]) == 2
    assert "a.json exists" in capsys.readouterr().err
    url = "s3://bucket/a.h5"
    assert cli.main(["references", "a.h5", "a.json", "--overwrite", "--url", url]) == 0
    refs = json.loads((here / "a.json").read_text())["refs"]
    assert {ref[0] for ref in refs.values() if isinstance(ref, list)} == {url}
    assert cli.main(["references", "a.zarr", "b.json"]) == 2
    assert {path.name for path in here.iterdir()} == {"a.zarr", "a.h5", "a.json"}
