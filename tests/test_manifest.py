"""The manifest: replaced as a whole, read with suspicion."""

from __future__ import annotations

import json

import pytest

from inrcodec import urls
from inrcodec.manifest import Manifest

RECORD = {"source": "/a.mrc", "target": "a", "status": "archived"}


def test_there_and_back(tmp_path):
    manifest = Manifest(tmp_path / "all")
    assert manifest.records == {}
    manifest.put(RECORD)
    manifest.put({**RECORD, "source": "/0.mrc", "target": "0"})
    manifest.put({**RECORD, "status": "verified"})
    manifest.save()
    assert Manifest(tmp_path / "all").records["/a.mrc"]["status"] == "verified"
    content = json.loads((tmp_path / "all.manifest.json").read_text())
    assert content["version"] == 1
    assert [record["target"] for record in content["maps"]] == ["0", "a"]
    assert [path.name for path in tmp_path.iterdir()] == ["all.manifest.json"]


def test_a_first_record_is_there_at_once(tmp_path):
    Manifest(tmp_path / "all").put(RECORD)
    assert Manifest(tmp_path / "all").records == {"/a.mrc": RECORD}


def test_a_failed_save_leaves_the_old_one(tmp_path, monkeypatch):
    Manifest(tmp_path / "all").put(RECORD)
    manifest = Manifest(tmp_path / "all")
    manifest.records["/a.mrc"] = {**RECORD, "number": float("nan")}
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifest.put({**RECORD, "number": float("nan")})
    assert Manifest(tmp_path / "all").records == {"/a.mrc": RECORD}


def test_what_a_failure_kept(tmp_path):
    manifest = Manifest(tmp_path / "all")
    assert manifest.known("/a.mrc") is None
    manifest.put(RECORD)
    assert manifest.known("/a.mrc") == RECORD
    manifest.put({**RECORD, "status": "failed", "kept": RECORD})
    assert manifest.known("/a.mrc") == RECORD


def test_at_a_url():
    pytest.importorskip("fsspec")
    Manifest("memory://manifest").put(RECORD)
    assert Manifest("memory://manifest").records == {"/a.mrc": RECORD}
    urls.remove("memory://", ["manifest.manifest.json"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "maps": 3}',
        '{"version": 1, "maps": [3]}',
        '{"version": 1, "maps": [{"source": 1, "target": "a"}]}',
        '{"version": 1, "maps": [{"source": "a"}]}',
        '{"version": 1, "maps": [{"source": [], "target": "a"}]}',
        '{"version": 2, "maps": []}',
        "[" * 100000,
    ],
)
def test_what_is_no_manifest(tmp_path, text):
    (tmp_path / "all.manifest.json").write_text(text)
    with pytest.raises(ValueError, match="manifest"):
        Manifest(tmp_path / "all")
