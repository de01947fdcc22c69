"""The rate benchmark as a whole: peers keep what they are asked for, runs resume, tables follow."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrcodec import synthetic

for module in ("hdf5plugin", "imagecodecs", "pcodec", "scipy", "matplotlib", "tqdm"):
    pytest.importorskip(module)
mrcfile = pytest.importorskip("mrcfile")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="module")
def volume() -> Any:
    return synthetic.generate((24, 20, 28), noise=0.1, mask="soft")


@pytest.fixture
def reference(volume: Any) -> Any:
    from benchmarks.rate.quality import Reference

    return Reference(volume, 1.5, 5.0)


@pytest.fixture
def maps(tmp_path: Path, volume: Any) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, data in (("a.mrc", volume), ("b.map", np.round(volume * 10).astype(np.int8))):
        with mrcfile.new(folder / name, data) as mrc:
            mrc.voxel_size = 1.5
    return folder


def peer_modes() -> list[tuple[str, str]]:
    names = {
        "sperr": ("psnr", "rate", "max_error"),
        "sz3": ("max_error",),
        "zfp": ("max_error",),
        "jpeg2000": ("psnr",),
        "eman2": ("bits",),
        "blosc": ("lossless", "round"),
        "pcodec": ("lossless", "round"),
        "float16": ("half",),
        "bitshuffle": ("lossless",),
        "gzip": ("lossless",),
    }
    return [(name, mode) for name, modes in names.items() for mode in modes]


def write(reference: Any, name: str, mode: str, knob: float, folder: Path, chunk: int = 16) -> Any:
    from benchmarks.rate.codecs import CODECS

    return CODECS[name].modes[mode][1](reference, chunk, knob, folder)


def test_every_peer_has_a_test_and_a_style() -> None:
    from benchmarks.rate import ours
    from benchmarks.rate.codecs import CODECS
    from benchmarks.rate.plots import STYLES

    known = [(name, mode) for name, c in CODECS.items() if not c.optional for mode in c.modes]
    assert set(known) == set(peer_modes())
    assert set(STYLES) == {ours.NAME, *CODECS}


@pytest.mark.parametrize(("name", "mode"), peer_modes())
def test_more_quality_costs_more_bits(name: str, mode: str, reference: Any, tmp_path: Path) -> None:
    from benchmarks.rate.codecs import CODECS, ONCE

    scale, _ = CODECS[name].modes[mode]
    assert CODECS[name].installed
    steps = [scale.first] if scale is ONCE else [scale.first + 2, min(scale.most, scale.first + 6)]
    found = [write(reference, name, mode, scale.knob(i), tmp_path) for i in steps]
    for w in found:
        assert w.back.shape == reference.data.shape
        assert w.nbytes > 0 <= w.decode_s
        assert w.fallbacks == 0
    quality = [reference.judge(w.back) for w in found]
    if mode == "lossless":
        np.testing.assert_array_equal(found[0].back, reference.data)
    else:
        assert quality[-1].snr > 10
        assert quality[0].snr <= quality[-1].snr
        assert found[0].nbytes <= found[-1].nbytes


@pytest.mark.parametrize("name", ["sperr", "sz3", "zfp"])
@pytest.mark.parametrize("bound", [0.03, 0.3])
def test_a_bound_on_the_error_is_kept(name: str, bound: float, reference: Any, tmp_path: Path) -> None:
    back = write(reference, name, "max_error", bound, tmp_path).back
    assert reference.judge(back, bound * reference.unit * (1 + 1e-5)).violations == 0


def test_eman2_truncates_to_the_volumes_range(reference: Any, tmp_path: Path) -> None:
    volume = reference.data
    assert volume.min() < 0 < volume.max()
    for bits in (5, 9):
        back = write(reference, "eman2", "bits", bits, tmp_path).back
        step = float(np.ptp(volume)) / (2**bits - 2)
        assert np.abs(back - volume).max() <= 0.501 * step
        assert len(np.unique(back)) <= 2**bits
        assert np.abs(back[volume == 0]).max() <= 1e-6 * step  # zero stays zero


@pytest.mark.parametrize("name", ["blosc", "pcodec", "bitshuffle", "gzip"])
def test_integers_are_compressed_losslessly_as_integers(name: str, tmp_path: Path) -> None:
    from benchmarks.rate.quality import Reference

    data = np.random.default_rng(0).integers(-9, 9, (20, 12, 9)).astype(np.int8)
    integers = Reference(data, 1.0, 4.0)
    found = write(integers, name, "lossless", 0, tmp_path)
    np.testing.assert_array_equal(found.back, data)
    assert found.nbytes < 1.2 * data.size
    assert math.isinf(integers.judge(found.back).snr)


def test_uniform_error_over_chunks_of_different_range(tmp_path: Path) -> None:
    from benchmarks.rate.quality import Reference

    rng = np.random.default_rng(1)
    data = rng.normal(size=(32, 32, 64)).astype(np.float32)
    data[..., 32:] *= 30  # one ratio to the peak for both would code one of them far too well
    found = write(Reference(data, 1.0, 4.0), "sperr", "psnr", 20.0, tmp_path, chunk=32)
    errors = [float(np.mean((found.back - data)[..., part] ** 2)) for part in (slice(0, 32), slice(32, 64))]
    allowed = float(np.var(data)) / 100
    assert max(errors) <= 1.2 * allowed  # SPERR estimates what it keeps


def test_a_refused_chunk_is_counted_losslessly(tmp_path: Path) -> None:
    line = np.random.default_rng(0).normal(size=(1, 1, 70)).astype(np.float32)
    found = write(_plain(line), "sperr", "psnr", 20.0, tmp_path, 64)
    assert found.fallbacks == 2
    np.testing.assert_array_equal(found.back, line)
    assert found.nbytes >= 0.8 * line.nbytes


def _plain(data: Any) -> Any:
    """What a codec needs of a reference, for boxes without Fourier shells."""
    from types import SimpleNamespace

    return SimpleNamespace(data=data, unit=float(np.std(data)), low=float(data.min()), high=float(data.max()))


def test_boxes_cover_a_volume_once() -> None:
    from benchmarks.rate.written import boxes

    count = np.zeros((33, 16, 40), int)
    for box in boxes(count.shape, 16):
        count[box] += 1
    assert (count == 1).all()
    assert len(boxes(count.shape, 16)) == 9


def test_ours_counts_its_configuration(reference: Any, tmp_path: Path) -> None:
    from benchmarks.rate import ours

    options = {"effort": 0, "device": "auto", "voxel_size": 1.5, "resolution": 5.0}
    found = ours.write(reference, 16, "snr", 20.0, tmp_path, **options)
    assert found.config_bytes == (tmp_path / "config.json").stat().st_size > 0
    assert found.nbytes == (tmp_path / "chunks.bin").stat().st_size
    assert reference.judge(found.back).snr > 19.5
    bounded = ours.write(reference, 16, "max_error", 0.3, tmp_path, **options)
    assert reference.judge(bounded.back, 0.3 * reference.unit).violations == 0


def test_fingerprint_is_of_what_makes_payloads() -> None:
    from benchmarks.rate import ours

    assert len(ours.fingerprint()) == 10
    root = ROOT / "inrcodec"
    assert all((root / f"{name}.py").exists() for name in ours.WITHOUT_EFFECT)


def run(maps: Path, out: Path, *more: str) -> int:
    from benchmarks.rate.__main__ import main

    small = ["--quick", "--effort", "0", "--codecs", "inr", "sperr", "sz3", "--chunk", "16"]
    return main([str(maps), "--out", str(out), *small, *more])


def test_only_the_targets_asked_for_are_measured(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ["--quick", "--effort", "0", "--codecs", "inr", "--chunk", "16", "--targets", "max_error"]
    from benchmarks.rate.__main__ import main

    assert main([str(maps / "a.mrc"), "--out", str(out), *small]) == 0
    with (out / "points.csv").open() as file:
        assert {row["mode"] for row in csv.DictReader(file)} == {"max_error"}


def test_symmetry_counts_where_a_map_has_one_and_is_one_chunk(maps: Path, tmp_path: Path) -> None:
    from benchmarks.rate.__main__ import main
    from inrcodec.synthetic_symmetry import symmetric_map

    with mrcfile.new(maps / "c.mrc", symmetric_map("D2", 32)) as mrc:
        mrc.voxel_size = 1.5
    out = tmp_path / "out"
    own = ["--effort", "0", "--codecs", "inr", "inr-symmetry", "--chunk", "24", "32", "--stride", "6"]
    assert main([str(maps), "--out", str(out), *own, "--targets", "snr"]) == 0
    with (out / "points.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    symmetric = [row for row in rows if row["codec"] == "inr-symmetry"]
    assert {(row["map"], row["chunk"]) for row in symmetric} == {("c", "32")}
    plain = {
        row["knob"]: row for row in rows if (row["map"], row["chunk"], row["codec"]) == ("c", "32", "inr")
    }
    for row in symmetric:
        assert float(row["snr"]) > float(row["knob"]) - 0.01
        without = int(plain[row["knob"]]["nbytes"])
        # Below 0 dB the volume of zeros will do, and both ways are as small as a payload gets.
        assert int(row["nbytes"]) < 0.7 * without if float(row["knob"]) > 0 else int(row["nbytes"]) == without
    assert sum(float(row["knob"]) > 0 for row in symmetric) >= 3


def test_the_whole_benchmark_and_a_second_run(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import benchmarks.rate.__main__ as command
    from benchmarks.rate import measuring

    few = {"stride": 4, "bounds": (0.1,), "fsc_targets": (0.99,)}
    monkeypatch.setattr(command, "Plan", lambda **given: measuring.Plan(**given | few))
    out = tmp_path / "out"
    assert run(maps, out) == 0
    printed = capsys.readouterr().out
    assert "BD rate against sperr" in printed
    assert "Voxels of ours beyond a bound: 0" in printed
    for name in (
        "points.csv",
        "bd.csv",
        "ratios.csv",
        "max_error.csv",
        "fsc.csv",
        "rate.md",
        "resolutions.csv",
    ):
        assert (out / name).stat().st_size > 0, name
    assert {p.name for p in out.glob("*.png")} == {"a-16.png", "b-16.png", "summary.png"}
    with (out / "bd.csv").open() as file:
        assert {row["map"] for row in csv.DictReader(file)} == {"a", "b"}
    before = (out / "points.csv").read_text()

    def nothing_new(*_: object) -> None:
        raise AssertionError("a second run measured something again")

    monkeypatch.setattr(measuring, "isolated", nothing_new)
    assert run(maps, out) == 0
    assert (out / "points.csv").read_text() == before
    assert run(maps, out, "--report-only") == 0

    # Another version of our codec measures its own points again, and no peer's.
    seen: list[str] = []

    def count(call: Any, limit_s: float) -> dict[str, Any]:
        seen.append("measured")
        raise measuring.Failed("not now")

    monkeypatch.setattr(measuring, "isolated", count)
    monkeypatch.setattr(measuring.ours, "fingerprint", lambda: "another")
    assert run(maps, out) == 0
    with (out / "points.csv").open() as file:
        fresh = [row for row in csv.DictReader(file) if row["status"] == "not now"]
    assert len(fresh) == len(seen) > 0
    assert {row["codec"] for row in fresh} == {"inr"}


def test_interrupted_runs_keep_their_points(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.rate import measuring
    from benchmarks.rate.records import read_points

    original, left = measuring.isolated, [3]

    def interrupted(call: Any, limit_s: float) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return original(call, limit_s)

    monkeypatch.setattr(measuring, "isolated", interrupted)
    out = tmp_path / "out"
    assert run(maps, out) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert len(read_points(out / "points.csv")) == 3


def test_effort_ladder(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.rate import efforts
    from benchmarks.rate.__main__ import main

    monkeypatch.setattr(efforts, "BASE", 0)
    out = tmp_path / "out"
    small = ["--quick", "--chunk", "16", "--efforts", "0", "--effort-snr", "20"]
    assert main([str(maps / "a.mrc"), "--out", str(out), *small]) == 0
    with (out / "efforts.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["effort"], float(row["bytes / effort 0"])) == ("0", 1.0)
    assert float(row["encode s"]) > 0


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    from benchmarks.rate.__main__ import parse, parse_noise

    assert parse_noise("0") == (None, 0.0)
    assert parse_noise("emd_11007=-3.5") == ("emd_11007", -3.5)
    with pytest.raises(SystemExit):
        parse(["--out", str(tmp_path)])
    assert parse(["x.mrc", "--out", str(tmp_path)]).chunk == [64, 128]
