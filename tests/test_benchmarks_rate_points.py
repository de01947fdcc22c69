"""How the rate benchmark measures: figures, records, knobs, processes of their own, volumes."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rate_points import point

from inrcodec import metrics, synthetic
from inrcodec.core.context import ContextNetwork
from inrcodec.core.prior import prior

for module in ("hdf5plugin", "scipy", "tqdm"):
    pytest.importorskip(module)
mrcfile = pytest.importorskip("mrcfile")
ours = pytest.importorskip("benchmarks.rate.ours")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


# Figures


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(5, 14)] * 3),
    noise=st.floats(1e-4, 2.0),
    seed=st.integers(0, 2**16),
    voxel_size=st.floats(0.5, 8.0),
)
def test_figures_are_those_of_the_package(
    shape: tuple[int, int, int], noise: float, seed: int, voxel_size: float
) -> None:
    from benchmarks.rate.quality import Reference

    rng = np.random.default_rng(seed)
    a = rng.normal(3.0, 2.0, shape).astype(np.float32)
    b = (a + rng.normal(0, noise, shape)).astype(np.float32)
    reference = Reference(a, voxel_size, 2.5 * voxel_size)
    found = reference.judge(b, bound=noise)
    assert found.snr == pytest.approx(metrics.snr(a, b), abs=1e-6)
    assert found.max_error * reference.std == pytest.approx(metrics.max_error(a, b), rel=1e-6)
    frequency, correlation = metrics.fsc(a, b, voxel_size)
    np.testing.assert_allclose(1 - found.fsc_loss, correlation, atol=3e-6)
    judged = frequency <= 1 / (2.5 * voxel_size) * (1 + 1e-4)
    assert found.fsc_min == pytest.approx(correlation[judged].min(), abs=3e-6)
    assert found.fsc_mean == pytest.approx(correlation[judged].mean(), abs=3e-6)
    expected = metrics.masked_correlation(a, b, reference.mask)
    assert found.correlation == pytest.approx(expected, abs=1e-6)
    error = np.abs(b.astype(float) - a)
    assert found.violations == int((error > noise).sum())


def test_violations_are_counted_voxel_by_voxel() -> None:
    from benchmarks.rate.quality import Reference

    a = np.random.default_rng(0).normal(size=(8, 8, 8))
    b = a.copy()
    b[0, 0, :5] += 0.25
    b[1, 1, 1] -= 0.125  # exactly the bound is within it
    reference = Reference(a, 1.0, 3.0)
    assert reference.judge(b, 0.125).violations == 5
    assert reference.judge(b).violations == 0


def test_tiny_losses_keep_their_digits() -> None:
    from benchmarks.rate.quality import Reference

    a = synthetic.generate((24, 24, 24), noise=0.2)
    error = np.random.default_rng(0).normal(0, 1e-6 * a.std(), a.shape)
    found = Reference(a, 1.0, 4.0).judge(a.astype(np.float64) + error)
    assert 0 < 1 - found.fsc_min < 1e-10
    assert found.fsc_loss[: found.judged].min() > 0
    exact = Reference(a, 1.0, 4.0).judge(a)
    assert exact.fsc_loss.max() == 0
    assert math.isinf(exact.snr)


def test_nothing_back_is_no_correlation() -> None:
    from benchmarks.rate.quality import Reference

    a = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    found = Reference(a, 1.0, 3.0).judge(np.full_like(a, a.mean()))
    assert found.fsc_min == pytest.approx(0, abs=1e-3)
    assert found.snr == pytest.approx(0, abs=1e-6)


def test_masks_are_background_or_density() -> None:
    from benchmarks.rate.quality import Reference

    masked = synthetic.generate((20, 20, 20), mask="soft")
    masked[:6] = 0
    reference = Reference(masked, 1.0, 4.0)
    assert reference.mask_kind == "not 0"
    np.testing.assert_array_equal(reference.mask, masked != 0)
    noisy = np.random.default_rng(0).normal(size=(9, 9, 9))
    assert Reference(noisy, 1.0, 4.0).mask_kind == "above mean + std"


# Records


def test_records_come_back_and_survive_a_killed_run(tmp_path: Path) -> None:
    from benchmarks.rate.records import Records, read_points

    path = tmp_path / "deep" / "points.csv"
    records = Records(path)
    figures = ("bits", "max_error", "fsc_min", "fsc_mean", "correlation", "encode_s", "decode_s", "peak_mib")
    first = point(snr=math.inf, fsc_loss="1.000e-03 2.000e-03", **dict.fromkeys(figures, 0.25))
    failed = point(knob=14.0, status='ValueError: "no", it said')
    records.add(first)
    records.add(failed)
    with path.open("a") as file:
        file.write("m,0,64,sperr,psnr,18.0,-1,1,8x")  # what a killed run leaves
    again = Records(path)
    assert list(again.points) == [first.key, failed.key]
    assert again.points[first.key] == first
    assert not again.points[failed.key].ok
    again.add(point(knob=22.0))
    assert [p.knob for p in read_points(path)] == [10.0, 14.0, 22.0]


def test_records_of_other_columns_are_refused(tmp_path: Path) -> None:
    from benchmarks.rate.records import Records

    (tmp_path / "points.csv").write_text("map,bits\na,1\n")
    with pytest.raises(ValueError, match="another version"):
        Records(tmp_path / "points.csv")


def test_keys_hold_our_version_and_not_a_peers() -> None:
    from benchmarks.rate.records import current

    assert point(version="1").key == point(version="2").key
    old, new = (point(codec="inr", effort=3, version=v, snr=20.0) for v in "ab")
    assert old.key != new.key
    assert current([old, new, point(snr=1.0)]) == [new, point(snr=1.0)]
    other_map = replace(old, map="n")
    assert other_map in current([old, other_map, new])


def test_points_are_judged_to_another_resolution() -> None:
    found = point(fsc_loss="0.1 0.2 0.4 0.8", fsc_min=0.8, fsc_mean=0.85, resolution=4.0)
    assert found.judged_to(4.0) is found
    finer = found.judged_to(2.0)
    assert (finer.fsc_min, finer.fsc_mean) == pytest.approx((0.2, 1 - 1.5 / 4))
    assert found.judged_to(8 / 3).fsc_min == pytest.approx(0.6)


# Ladders


def measured(scale: Any) -> tuple[list[float], Any]:
    asked: list[float] = []

    def measure(knob: float) -> Any:
        asked.append(knob)
        return point(knob=knob, snr=scale(knob), bits=1.0 + knob, nbytes=round(1e6 * math.exp(knob / 10)))

    return asked, measure


def test_climbing_spans_the_range_and_no_more() -> None:
    from benchmarks.rate.codecs import DECIBEL
    from benchmarks.rate.ladder import climb

    asked, measure = measured(lambda knob: knob + 9)
    climb(DECIBEL, measure)
    assert sorted(asked) == [-2, 2, 6, 10, 14, 18, 22, 26, 30, 34, 38]
    asked, measure = measured(lambda knob: knob + 9)
    climb(DECIBEL, measure, stride=2)
    assert sorted(asked) == [-6, 2, 10, 18, 26, 34, 42]


def test_climbing_stops_where_nothing_changes_or_works() -> None:
    from benchmarks.rate.codecs import ONCE, Scale
    from benchmarks.rate.ladder import climb

    asked: list[float] = []

    def stuck(knob: float) -> Any:
        asked.append(knob)
        return point(knob=knob, snr=20.0, nbytes=7)

    climb(Scale(float, 0, -9, 9), stuck)
    assert asked == [0, 1, -1]
    asked.clear()
    climb(ONCE, stuck)
    assert asked == [0]

    def broken(knob: float) -> Any:
        asked.append(knob)
        return point(knob=knob, status="no")

    asked.clear()
    climb(Scale(float, 0, -9, 9), broken)
    assert asked == [0]


@pytest.mark.parametrize("target", [0.99, 0.999])
@pytest.mark.parametrize("mode", ["psnr", "max_error"])
def test_searching_a_correlation_ends_just_above_it(target: float, mode: str) -> None:
    from benchmarks.rate.ladder import search_fsc

    def measure(knob: float) -> Any:
        decibel = knob if mode == "psnr" else -20 * math.log10(knob)
        return point(mode=mode, knob=knob, fsc_min=1 - 10 ** (-decibel / 9), bits=math.exp(decibel / 20))

    start = [measure(k) for k in ((2.0, 40.0) if mode == "psnr" else (0.9, 0.01))]
    found = list(start)

    def note(knob: float) -> Any:
        found.append(measure(knob))
        return found[-1]

    search_fsc(target, start, note)
    best = min((p for p in found if p.fsc_min >= target), key=lambda p: p.bits)
    assert 0.98 * (1 - target) <= 1 - best.fsc_min <= 1 - target
    assert len(found) <= 10
    calls = len(found)
    search_fsc(target, [start[0]], note)  # nothing to search between
    assert len(found) == calls


# Processes of their own


def test_isolated_results_errors_crashes_and_limits() -> None:
    from benchmarks.rate.isolate import Failed, isolated, peak_mib

    assert isolated(lambda: {"bits": 1.5}, 60) == {"bits": 1.5}

    def wrong() -> Any:
        raise ValueError("no such chunk")

    with pytest.raises(Failed, match=r"ValueError: no such chunk \(wrong"):
        isolated(wrong, 60)
    with pytest.raises(Failed, match="exit code 3"):
        isolated(lambda: os._exit(3), 60)
    start = time.monotonic()
    with pytest.raises(Failed, match="time limit"):
        isolated(lambda: time.sleep(60) or {}, 0.2)
    assert time.monotonic() - start < 20

    def hungry() -> Any:
        before = peak_mib()
        held = np.ones(2**23)  # 64 MiB
        return {"peak": peak_mib() - before, "sum": float(held.sum())}

    assert 50 < isolated(hungry, 60)["peak"] < 200


# Volumes


def test_noise_is_of_the_asked_power_and_always_the_same(tmp_path: Path) -> None:
    from benchmarks.rate import volumes

    data = synthetic.generate((32, 32, 32))
    with mrcfile.new(tmp_path / "x.mrc", data) as mrc:
        mrc.voxel_size = 2.0
    clean = volumes.load(tmp_path / "x.mrc")
    noisy = volumes.load(tmp_path / "x.mrc", noise_db=0.0, resolutions={"x+0dB": 7.5})
    assert (clean.name, noisy.name, noisy.resolution, clean.voxel_size) == ("x", "x+0dB", 7.5, 2.0)
    assert metrics.snr(data, noisy.data) == pytest.approx(0.0, abs=0.1)
    np.testing.assert_array_equal(noisy.data, volumes.load(tmp_path / "x.mrc", noise_db=0.0).data)
    assert clean.resolution >= 4.0
    cropped = volumes.load(tmp_path / "x.mrc", crop=20)
    assert (cropped.data.shape, cropped.crop, clean.crop) == ((20, 20, 20), 20, 0)
    paths = [tmp_path / "x.mrc", tmp_path / "y.mrc"]
    expected = [(paths[0], None), (paths[0], 0.0), (paths[0], 3.0), (paths[1], None), (paths[1], 3.0)]
    assert volumes.cases(paths, [("x", 0.0), (None, 3.0)]) == expected


def test_resolutions_are_read(tmp_path: Path) -> None:
    from benchmarks.rate import volumes

    (tmp_path / "r.csv").write_text("# angstrom\nemd_1, 3.5\n\nemd_2,4\n")
    assert volumes.read_resolutions(tmp_path / "r.csv") == {"emd_1": 3.5, "emd_2": 4.0}


def test_a_map_is_measured_with_a_network_new_to_it(tmp_path: Path) -> None:
    network = ContextNetwork.from_flat(0 * prior().flat)
    np.save(tmp_path / "fold.npy", network.flat.astype(np.int16))
    (tmp_path / "unseen.json").write_text(json.dumps({"fold.npy": ["one", "two"]}))
    for name in ("two", "two+0dB"):
        found = ours.unseen_prior(tmp_path, name)
        assert found is not None
        assert not found.flat.any()
    assert ours.unseen_prior(tmp_path, "three") is None
