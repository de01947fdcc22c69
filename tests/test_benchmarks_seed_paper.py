"""The seed paper's benchmark: errors by region, searches, judged claims, and a whole small run."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrcodec import synthetic

for module in ("torch", "h5py", "hdf5plugin", "imagecodecs", "scipy", "matplotlib", "tqdm"):
    pytest.importorskip(module)
mrcfile = pytest.importorskip("mrcfile")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(scope="module")
def volume() -> Any:
    return synthetic.generate((18, 16, 20), voxel_size=2.0, resolution=9.0, seed=3)


def network(**changed: Any) -> Any:
    from inrcodec.core.mlp.network import NetworkSettings

    return NetworkSettings(**{"steps": 60, "batch": 256, "interval": 20, "frequencies": 2, **changed})


# Errors


def test_errors_by_region_of_a_made_array() -> None:
    from benchmarks.seed_paper import errors

    # scale 10: shares 1, 0.4, 0.2, 0.08, 0.02, and two that the threshold drops
    volume = np.array([10, 4, 2, 0.8, 0.2, 0, -3], np.float32).reshape(1, 1, 7)
    decoded = np.array([10, 4.6, 3, 0.4, 0.8, 99, 99], np.float32).reshape(1, 1, 7)
    found = errors.measure(volume, decoded, 0.0)
    assert found.within_high == pytest.approx(2 / 3)  # 0, 15 % and 50 %
    assert found.mean_high == pytest.approx((0 + 0.15 + 0.5) / 3)
    assert found.mean_low == pytest.approx((0.5 + 3) / 2)
    assert found.median_low == pytest.approx(1.75)
    assert found.mean_all == pytest.approx((0.15 + 0.5 + 0.5 + 3) / 5)
    assert found.rms == pytest.approx(math.sqrt((0.06**2 + 0.1**2 + 0.04**2 + 0.06**2) / 5))
    assert (found.least, found.largest, found.given_least) == pytest.approx((0.04, 1.0, 0.02))
    assert [r.count for r in found.regions] == [1, 1, 1, 1, 1]
    assert [r.mean for r in found.regions] == pytest.approx([3, 0.5, 0.5, 0.15, 0])
    assert [r.within for r in found.regions] == [0, 0, 0, 1, 1]


def test_a_threshold_drops_densities_and_leaves_its_region_empty() -> None:
    from benchmarks.seed_paper import errors

    volume = np.array([10, 4, 0.8, 0.5, -3], np.float32).reshape(5, 1, 1)
    found = errors.measure(volume, volume * 1.1, 0.05)
    assert [r.count for r in found.regions] == [0, 1, 0, 1, 1]  # 0.05 itself is not above 0.05
    assert math.isnan(found.regions[0].mean)
    assert found.mean_all == pytest.approx(0.1, rel=1e-5)
    assert errors.thresholded(volume, 0.05).ravel().tolist() == pytest.approx([10, 4, 0.8, 0, 0])


def test_errors_refuse_what_has_no_meaning() -> None:
    from benchmarks.seed_paper import errors

    ones = np.ones((2, 2, 2), np.float32)
    with pytest.raises(ValueError, match="largest density is -1"):
        errors.peak(-ones)
    with pytest.raises(ValueError, match=r"decoded shape \(2, 2, 1\)"):
        errors.measure(ones, ones[:, :, :1], 0.0)
    with pytest.raises(ValueError, match="above the threshold 1"):
        errors.measure(ones, ones, 1.0)


def test_densest_crop_finds_the_box_with_the_largest_sum_of_squares() -> None:
    from benchmarks.seed_paper import errors

    volume = np.zeros((30, 21, 12), np.float32)
    volume[22:30, 13:21, 2:10] = 1  # its corner is one of the places tried along z and y
    crop = errors.densest_crop(volume, 8)
    assert crop.shape == (8, 8, 8)
    assert crop.sum() == 8 * 8 * 6  # along x places are 0 and 4, of which both hold six of eight
    assert errors.densest_crop(volume, 40) is volume
    assert errors.densest_crop(volume, 16).shape == (16, 16, 12)


# Searches


@pytest.mark.parametrize(
    ("border", "rising"), [(-10, True), (7, True), (110, True), (110, False), (0, False)]
)
def test_search_finds_the_border(border: int, rising: bool) -> None:
    from benchmarks.seed_paper import others

    asked: list[int] = []

    def at(knob: int) -> Any:
        asked.append(knob)
        return knob

    def good(knob: Any) -> bool:
        return knob >= border if rising else knob <= border

    assert others.search(at, good, rising) == border
    assert len(asked) <= 8
    assert all(others.LEAST <= knob <= others.MOST for knob in asked)


@pytest.mark.parametrize("rising", [True, False])
def test_search_says_when_nothing_is_good(rising: bool) -> None:
    from benchmarks.seed_paper import others

    assert others.search(lambda knob: knob, lambda _: False, rising) is None  # type: ignore[arg-type]


def test_codecs_keep_the_ratio_that_is_asked_for(volume: Any) -> None:
    from benchmarks.seed_paper.others import Case

    case = Case(volume, 0.0)
    for codec, ratio in (("local-fourier", 20.0), ("jpeg2000", 4.0)):
        found = case.at_ratio(codec, ratio)
        assert found is not None
        assert found.ratio >= ratio
        better = case.at(codec, int(found.knob) + 1)
        assert better.ratio < ratio
        assert better.errors.rms <= found.errors.rms * 1.02
    assert case.at_ratio("jpeg2000", 1e9) is None


def test_gzip_is_lossless_on_the_thresholded_map(volume: Any) -> None:
    from benchmarks.seed_paper.others import Case

    kept, whole = Case(volume, 0.0).gzip(), Case(volume, None).gzip()
    assert kept.errors.mean_all == whole.errors.mean_all == 0
    assert kept.errors.within_high == 1
    assert kept.nbytes < whole.nbytes  # zeros instead of negative densities
    assert math.isinf(kept.snr)


# Networks


def test_widths_fill_the_bytes_allowed() -> None:
    from benchmarks.seed_paper import training

    settings = network()
    for bits, room in ((16, 20_000), (8, 20_000), (16, 60_000)):
        first, *rest = training.widths_for(settings, bits, room)
        assert rest == [first // 2, first // 4, first // 8]
        fitting, wider = (
            len(training._untrained(replace(settings, widths=training._proportioned(w)), bits).data)
            for w in (first, first + 8)
        )
        assert fitting <= room < wider
    with pytest.raises(ValueError, match="no network fits into 100 bytes"):
        training.widths_for(settings, 16, 100)


def test_a_network_takes_a_quarter_of_the_map_and_drops_what_the_threshold_drops(volume: Any) -> None:
    from benchmarks.seed_paper import errors, training

    run = training.run(volume, 0.05, network(), ratio=4.0, device="cpu")
    assert 3.8 < volume.nbytes / run.nbytes < 4.6
    above = volume > 0.05 * volume.max()
    assert (run.decoded[~above] == 0).all()
    assert run.steps == 60
    assert [look.step for look in run.looks] == [20, 40, 60]
    assert run.looks[-1].rms < run.looks[0].rms
    # the last look is of the float network on a sample of the points, the file of whole numbers on all
    found = errors.measure(volume, run.decoded, 0.05)
    assert found.rms == pytest.approx(run.looks[-1].rms, rel=0.1)


# Records


def row(**changed: Any) -> Any:
    from benchmarks.seed_paper.records import Row

    basic: dict[str, Any] = {"part": "table", "map": "a", "codec": "mlp", "setting": "2^0-2^9"}
    return Row(**{**basic, "shape": "2x2x2", "ratio": 4.25, "nbytes": 8, **changed})


def test_records_come_back_and_drop_an_unfinished_line(tmp_path: Path) -> None:
    from benchmarks.seed_paper.records import Records, Step

    first, second = row(note="a, b"), row(setting="2^0-2^5", ratio=math.nan)
    steps = [Step(*first.key, 10, 0.5, 0.25), Step(*first.key, 20, 0.25, 0.5)]
    records = Records(tmp_path)
    records.add(first, steps)
    records.add(second)
    with (tmp_path / "points.csv").open("a") as file:
        file.write("table,b,mlp,2^0")
    again = Records(tmp_path)
    assert list(again.rows) == [first.key, second.key]
    assert again.rows[first.key] == replace(first, **vars(again.rows[first.key]))
    assert again.rows[first.key].note == "a, b"
    assert again.rows[first.key].ratio == 4.25
    assert math.isnan(again.rows[second.key].ratio)
    assert again.looks(first.key) == steps
    again.add(row(map="c"))
    assert len(Records(tmp_path).rows) == 3


def test_looks_of_a_stopped_training_do_not_count(tmp_path: Path) -> None:
    from benchmarks.seed_paper.records import Records, Step

    steps = [Step("table", "a", "mlp", "x", step, 0.5, 0.5) for step in (10, 20, 30, 10, 20)]
    records = Records(tmp_path)
    records.add(row(setting="x"), steps)
    assert [look.step for look in records.looks(("table", "a", "mlp", "x"))] == [10, 20]


def test_records_of_another_version_are_refused(tmp_path: Path) -> None:
    from benchmarks.seed_paper.records import Records

    (tmp_path / "points.csv").write_text("part,map\ntable,a\n")
    with pytest.raises(ValueError, match="columns of another version"):
        Records(tmp_path)


# Claims and tables


def test_claims_are_judged_by_the_figures(tmp_path: Path) -> None:
    from benchmarks.seed_paper import claims
    from benchmarks.seed_paper.records import Records, Step

    records = Records(tmp_path)
    base = row(part="experiments", setting="paper", within_high=0.9, least=0.0, largest=1.0, given_least=0.0)
    records.add(row(within_high=0.9, mean_low=9.0, median_low=0.5))
    records.add(row(part="many", codec="gzip", setting="lossless", ratio=3.0))
    for setting, changed in {
        "paper": {"steps": 10},
        "unweighted, no encoding": {"within_high": 0.5, "least": 0.2, "largest": 0.6},
        "unweighted": {"within_high": 0.95},
        "threshold 0.1": {"ratio": 4.5},
        "residual none": {"steps": 10},
        "residual full": {"steps": 10},
    }.items():
        rms = {"paper": 0.1, "residual none": 0.2, "residual full": 0.3}.get(setting)
        made = replace(base, setting=setting, **changed)
        records.add(made, [Step(*made.key, 2, rms, 0.5)] if rms else [])
    judged = {line["claim"]: line["reproduced"] for line in claims.rows(records)}
    assert judged == {
        "at about 4:1, 88.25% of the densities above 0.1 within 20 %": "yes",
        "low densities have a mean relative error above 1000 %": "no",
        "gzip compresses a map about 2:1": "no",
        "unweighted and without encoding: high error": "yes",
        "unweighted and without encoding: output range below 0.75 of the input's": "yes",
        "the weights raise the share of > 0.1 within 20 %": "no",
        "threshold 0.1: a higher ratio with the same network": "yes",
        "threshold 0.1: a higher share of > 0.1 within 20 %": "no",
        "residual alternate converges faster than none (rms after a fifth of the steps)": "yes",
        "residual full converges faster than none (rms after a fifth of the steps)": "no",
    }


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, True),
        ({"within_high": 0.91}, False),
        ({"mean_all": 0.4}, False),
        ({"mean_low": 0.6}, False),
        ({"mean_low": math.nan}, True),
    ],
)
def test_no_worse_takes_all_three_errors(changed: dict[str, float], holds: bool) -> None:
    from benchmarks.seed_paper import errors, parts

    volume = np.array([10, 4, 2, 0.8, 0.2], np.float32).reshape(5, 1, 1)
    decoded = np.array([10, 4, 2, 1.2, 0.1], np.float32).reshape(5, 1, 1)
    found = replace(errors.measure(volume, decoded, 0.0), within_high=0.9, mean_all=0.5, mean_low=0.7)
    reference = {"within_high": 0.9, "mean_all": 0.5, "mean_low": 0.7} | changed
    assert parts.no_worse(found, row(**reference)) is holds


def test_the_acceptance_table_says_no_below_twenty(tmp_path: Path) -> None:
    from benchmarks.seed_paper import tables
    from benchmarks.seed_paper.records import Records

    records = Records(tmp_path)
    for name, ratio in (("a", 20.5), ("b", 19.9), ("c", math.nan)):
        records.add(row(map=name))
        records.add(row(map=name, codec="local-fourier", setting="error of mlp 2^0-2^9", ratio=ratio))
    rows = tables.acceptance_rows(records)
    assert [line["at least 20:1"] for line in rows] == ["yes", "no", "no"]
    assert [line["local-fourier ratio"] for line in rows] == [20.5, 19.9, None]


def test_report_only_makes_tables_of_what_is_there(tmp_path: Path) -> None:
    from benchmarks.seed_paper.__main__ import main
    from benchmarks.seed_paper.records import Records

    Records(tmp_path).add(row(part="packed", snr=12.5))
    assert main(["--out", str(tmp_path), "--report-only"]) == 0
    with (tmp_path / "packed.csv").open(newline="") as file:
        assert [line["SNR, dB"] for line in csv.DictReader(file)] == ["12.5"]
    assert not (tmp_path / "table.csv").exists()


# Models


def test_models_fill_their_shape_and_blur_with_the_resolution() -> None:
    pytest.importorskip("gemmi")
    from benchmarks.seed_paper import models

    for shape in models.SHAPES:
        model = models.structure(shape)
        positions = np.array([found.atom.pos.tolist() for found in model[0].all()])
        assert len(positions) > 5000
        assert models.is_inside(shape, positions).mean() > 0.9  # side chains and coils stick out
    fine, fine_size = models.density(model, 10.0)
    coarse, coarse_size = models.density(model, 20.0)
    assert (fine_size, coarse_size) == (2.5, 5.0)
    assert fine.dtype == np.float32
    assert len(set(fine.shape)) == 1
    assert fine.min() >= 0
    # the same scattering power in both, spread wider in the coarse one
    assert fine.sum() * fine_size**3 == pytest.approx(coarse.sum() * coarse_size**3, rel=0.02)
    assert fine.max() > 1.2 * coarse.max()
    faces = max(coarse[[0, -1]].max(), coarse[:, [0, -1]].max(), coarse[:, :, [0, -1]].max())
    assert faces < 0.02 * coarse.max()  # the margin holds the blur
    with pytest.raises(ValueError, match="'cube'"):
        models.is_inside("cube", positions)


# The whole


def test_a_small_run_writes_its_tables_and_goes_on_where_it_was(
    tmp_path: Path, volume: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.seed_paper.__main__ import main

    source, out = tmp_path / "small.mrc", tmp_path / "out"
    with mrcfile.new(source, volume) as file:
        file.voxel_size = 2.0
    call = [str(source), "--out", str(out), "--steps", "10", "--widths", "16", "8", "4", "2", "--no-models"]
    call += ["--device", "cpu", "--crop", "12"]
    assert main(call) == 0
    text = (out / "seed-paper.md").read_text()
    assert text in capsys.readouterr().out
    for name in ("acceptance", "claims", "table", "networks", "experiments", "low", "many", "traits"):
        assert f"## {name}" in text
        with (out / f"{name}.csv").open(newline="") as file:
            assert list(csv.DictReader(file)), name
    with (out / "table.csv").open(newline="") as file:
        lines = {(line["codec"], line["setting"]): line for line in csv.DictReader(file)}
    assert float(lines["gzip", "lossless"]["> 0.1 within 20 %"]) == 100
    assert float(lines["local-fourier", "20:1"]["ratio"]) >= 20
    ours, theirs = lines["local-fourier", "error of mlp 2^0-2^9"], lines["mlp", "2^0-2^9"]
    assert float(ours["mean error <= 0.1"]) <= float(theirs["mean error <= 0.1"])
    assert {path.name for path in out.glob("*.png")} == {
        "convergence-table.png",
        *(f"convergence-{group}-small.png" for group in ("checks", "frequencies", "thresholds", "residuals")),
    }

    before = (out / "points.csv").read_bytes()
    assert main(call) == 0
    assert (out / "points.csv").read_bytes() == before  # nothing was measured again
    assert (out / "seed-paper.md").read_text() == text  # made from what is recorded alone


def test_many_maps_in_one_file(tmp_path: Path) -> None:
    from benchmarks.seed_paper import packing
    from benchmarks.seed_paper.bench import Bench, Map, Plan
    from benchmarks.seed_paper.records import Records

    maps = [
        Map(f"map{seed}", synthetic.generate((12, 12, 12), voxel_size=3.0, resolution=12.0, seed=seed))
        for seed in (1, 2)
    ]
    records = Records(tmp_path)
    plan = Plan(pack_steps=20, device="cpu", widths=(16, 8))
    for _ in packing.packed(Bench(plan, records, lambda _: None), maps):
        pass
    found = {(r.map, r.codec): r for r in records.of("packed")}
    assert set(found) == {(m.name, field) for m in maps for field in ("mlp", "local-fourier")}
    assert found["map1", "mlp"].nbytes == found["map2", "mlp"].nbytes  # of the file that holds both
    assert all(found[m.name, "local-fourier"].snr >= 29 for m in maps)


def test_a_wrong_name_is_an_error(tmp_path: Path, volume: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.seed_paper.__main__ import main

    with mrcfile.new(tmp_path / "small.mrc", volume):
        pass
    call = [str(tmp_path / "small.mrc"), "--out", str(tmp_path / "out"), "--no-models"]
    assert main([*call, "--train-on", "emd_1"]) == 2
    assert "no such map: emd_1; there are small" in capsys.readouterr().err
    assert main([str(tmp_path / "none.mrc"), *call[1:]]) == 2
    assert "no such map" in capsys.readouterr().err
