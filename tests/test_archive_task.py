"""One map into an archive: recognised, verified, repaired, refused; nothing of it lost."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import zarr
from mrc_files import QUICK, write_map

from inrcodec import maps, store
from inrcodec.archive_task import Task, archive_one, failure, file_sha256
from inrcodec.mrc import unpacked_header
from inrcodec.options import MapOptions

OPTIONS = MapOptions.from_mapping(QUICK)


@pytest.fixture
def task(tmp_path, volume):
    write_map(tmp_path / "a.mrc", volume[:12, :12, :12], b"extended")
    zarr.open_group(str(tmp_path / "all"), mode="w", zarr_format=3)
    return Task(str(tmp_path / "a.mrc"), str(tmp_path / "all"), "a", OPTIONS)


@pytest.fixture
def counted(monkeypatch):
    """How often maps are compressed and compared."""
    calls = []
    for name in ("compress", "verify"):
        real = getattr(maps, name)
        monkeypatch.setattr(
            maps, name, lambda *a, _real=real, _name=name, **k: (calls.append(_name), _real(*a, **k))[1]
        )
    return calls


class TestRecord:
    def test_what_is_in_it(self, task, volume, tmp_path):
        record = archive_one(task)
        assert record["status"] == "archived"
        assert record["source"] == task.source
        assert record["sha256"] == file_sha256(tmp_path / "a.mrc")
        assert record["target"] == "a"
        assert unpacked_header(record["mrc_header"]) == (tmp_path / "a.mrc").read_bytes()[:1024]
        assert (record["shape"], record["dtype"]) == ([12, 12, 12], "float32")
        assert record["asked"] == {"snr": 25.0, "chunks": 10, "effort": 0, "zarr_format": 3}
        assert record["met"]
        assert record["snr"] >= 25
        assert 0 < record["fsc"]["min"] <= record["fsc"]["mean"] <= 1
        files = store.sizes(volume[:12, :12, :12], task.target)
        assert record["bytes"] == {
            "source": (tmp_path / "a.mrc").stat().st_size,
            "densities": 12**3 * 4,
            "payloads": files.chunks,
            "stored": files.total,
        }
        assert record["ratio"] == pytest.approx(12**3 * 4 / files.total)

    def test_what_compress_writes(self, task, tmp_path):
        archive_one(task)
        maps.compress(task.source, tmp_path / "a.zarr", **OPTIONS.arguments())
        assert store.array_digest(task.target) == store.array_digest(tmp_path / "a.zarr")

    def test_the_same_through_a_pickle(self, task):
        again = pickle.loads(pickle.dumps((archive_one, task)))
        assert again[0](again[1]) == archive_one(task)

    def test_exact_maps_have_no_finite_snr(self, task, tmp_path):
        write_map(tmp_path / "a.mrc", np.full((9, 9, 9), 2, np.float32))
        record = archive_one(task)
        assert record["status"] == "archived"
        assert record["snr"] is None
        assert record["max_error"] == 0


class TestAgain:
    def test_a_finished_map_is_skipped(self, task, counted):
        record = archive_one(task)
        assert archive_one(replace(task, known=record)) == record
        assert counted == ["compress"]

    def test_one_the_manifest_does_not_know_is_measured(self, task, counted):
        assert archive_one(task) == archive_one(task)
        assert counted == ["compress", "verify"]

    def test_an_archived_one_is_verified_later(self, task, counted):
        record = archive_one(task)
        later = archive_one(replace(task, known=record, verify=True))
        assert later == {**record, "status": "verified"}
        assert archive_one(replace(task, known=later, verify=True)) == later
        assert archive_one(replace(task, known=later)) == later
        assert counted == ["compress", "verify"]

    def test_verified_at_once(self, task, counted):
        assert archive_one(replace(task, verify=True))["status"] == "verified"
        assert counted == ["compress", "verify"]

    @pytest.mark.parametrize("change", ["a byte", "a file gone"])
    def test_a_damaged_one_is_made_again(self, task, counted, change, tmp_path):
        record = archive_one(task)
        chunk = next(p for p in (tmp_path / "all/a/0/c").rglob("*") if p.is_file())
        if change == "a byte":
            chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
        else:
            chunk.unlink()
        assert archive_one(replace(task, known=record)) == record
        assert counted == ["compress", "compress"]
        assert maps.verify(task.source, task.target).met

    def test_what_a_killed_run_left_is_removed(self, task, tmp_path):
        mine = tmp_path / ".all.partial" / ".a.0123abcd.partial"
        others = tmp_path / ".all.partial" / ".a.b.0123abcd.partial"
        for left in (mine, others):
            left.mkdir(parents=True)
        assert archive_one(task)["status"] == "archived"
        assert not mine.exists()
        assert others.exists()


class TestRefused:
    def test_another_source(self, task, tmp_path, volume):
        record = archive_one(task)
        digest = store.array_digest(task.target)
        write_map(tmp_path / "a.mrc", volume[4:16, :12, :12])
        again = archive_one(replace(task, known=record))
        assert again["status"] == "failed"
        assert "--overwrite" in again["reason"]
        assert again["kept"] == record
        assert store.array_digest(task.target) == digest
        assert archive_one(replace(task, known=record, overwrite=True))["status"] == "archived"
        assert maps.verify(task.source, task.target).met

    def test_other_options(self, task):
        record = archive_one(task)
        other = replace(task, options=replace(OPTIONS, effort=0, chunks=6), known=record)
        assert archive_one(other)["status"] == "failed"
        assert archive_one(replace(other, overwrite=True))["asked"]["chunks"] == 6

    def test_a_source_that_is_gone_does_not_lose_its_record(self, task, tmp_path):
        record = archive_one(replace(task, verify=True))
        (tmp_path / "a.mrc").unlink()
        again = archive_one(replace(task, known=record, verify=True))
        assert again["status"] == "failed"
        assert again["kept"] == record

    def test_a_damaged_array_is_not_kept(self, task, tmp_path):
        record = archive_one(task)
        next(p for p in (tmp_path / "all/a/0/c").rglob("*") if p.is_file()).unlink()
        (tmp_path / "a.mrc").unlink()
        assert "kept" not in archive_one(replace(task, known=record))

    def test_something_else_of_that_name(self, task, tmp_path):
        (tmp_path / "all/a").mkdir()
        (tmp_path / "all/a/thesis.txt").write_text("years")
        record = archive_one(replace(task, overwrite=True))
        assert record["status"] == "failed"
        assert "not a zarr store" in record["reason"]
        assert (tmp_path / "all/a/thesis.txt").read_text() == "years"

    def test_no_map(self, task, tmp_path):
        (tmp_path / "a.mrc").write_bytes(b"noise" * 1000)
        record = archive_one(task)
        assert record["status"] == "failed"
        assert "a.mrc" in record["reason"]
        assert not (tmp_path / "all/a").exists()

    def test_a_missed_target(self, task, monkeypatch):
        real = maps.compress
        monkeypatch.setattr(maps, "compress", lambda *a, **k: replace(real(*a, **k), met=False))
        record = archive_one(task)
        assert record["status"] == "failed"
        assert record["reason"].startswith("the target is missed: snr 2")

    def test_headers_are_verified(self, task, tmp_path):
        record = archive_one(task)
        group = zarr.open_group(task.target, mode="r+")
        attributes = dict(group.attrs[store.ATTRIBUTE])
        attributes["mrc"] = {**attributes["mrc"], "extended_header": attributes["mrc"]["header"]}
        group.attrs[store.ATTRIBUTE] = attributes
        again = archive_one(replace(task, known=record, verify=True))
        assert again["status"] == "failed"
        assert "extended header that is stored" in again["reason"]

    def test_interruptions_are_not_swallowed(self, task, monkeypatch):
        def interrupted(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(maps, "compress", interrupted)
        with pytest.raises(KeyboardInterrupt):
            archive_one(task)


def test_failures_say_no_credentials():
    url = "https://user:passw0rd@host/a.mrc?X-Amz-Signature=0123456789"
    reason = failure(OSError(f"no {url},\n nor passw0rd and 0123456789"), url)["reason"]
    assert reason == "no https://host/a.mrc, nor ... and ..."
    assert failure(ValueError()) == {"status": "failed", "reason": "ValueError"}
