"""What the rate benchmark makes of its points: curves, deltas, tables."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rate_points import point

for module in ("hdf5plugin", "scipy", "tqdm"):
    pytest.importorskip(module)
mrcfile = pytest.importorskip("mrcfile")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


# Curves


def curve(quality: Any, bits: Any, mode: str = "psnr") -> list[Any]:
    return [point(mode=mode, snr=float(q), bits=float(b)) for q, b in zip(quality, bits, strict=True)]


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0.5, 8.0), st.floats(0.01, 0.8)), min_size=3, max_size=12),
    factor=st.floats(0.1, 5.0),
)
def test_delta_of_a_constant_factor_is_that_factor(steps: list[tuple[float, float]], factor: float) -> None:
    from benchmarks.rate.curves import bd_rate, front

    quality = 8.0 + np.cumsum([s for s, _ in steps])
    bits = np.exp(np.cumsum([b for _, b in steps]))
    found = bd_rate(front(curve(quality, bits * factor)), front(curve(quality, bits)), least=0.1)
    low, high = max(10.0, quality[0]), min(45.0, quality[-1])
    if found is None:
        assert high - low < 0.1 + 1e-6
    else:
        assert found.rate == pytest.approx(factor - 1, rel=1e-9, abs=1e-9)
        assert (found.low, found.high) == pytest.approx((low, high))


def test_delta_of_exponentials_is_the_closed_form() -> None:
    from benchmarks.rate.curves import bd_rate, front

    # log-rates 0.10 q and 0.12 q - 1: their mean difference from 14 to 40 dB is 1 - 0.02 * 27.
    ours = front(curve(np.arange(5, 41, 5), np.exp(0.10 * np.arange(5, 41, 5))))
    peer = front(curve(np.arange(14, 50, 4), np.exp(0.12 * np.arange(14, 50, 4) - 1)))
    found = bd_rate(ours, peer)
    assert found is not None
    assert (found.low, found.high) == (14.0, 40.0)
    assert found.rate == pytest.approx(math.expm1(1 - 0.02 * 27), rel=1e-6)
    assert bd_rate(ours, None) is None
    assert bd_rate(ours, front(curve([38, 44], [1, 2]))) is None


def test_the_better_mode_counts_at_each_quality() -> None:
    from benchmarks.rate.curves import front

    steep = curve([10, 40], [0.1, 10.0], "psnr")
    flat = curve([10, 40], [0.5, 5.0], "rate")
    both = front(steep + flat)
    assert both is not None
    assert both.bits_at(10) == pytest.approx(0.1)
    assert both.bits_at(40) == pytest.approx(5.0)
    assert both.bits_at(25) == pytest.approx(1.0)
    assert both.bits_at(9.9) is None
    late = front(steep + curve([20, 40], [0.2, 8.0], "rate"))
    assert late is not None
    assert late.bits_at(15) == pytest.approx(0.2)  # what reaches 20 dB reaches 15
    assert late.bits_at(10) == pytest.approx(0.1)
    assert both.points() == [(10.0, pytest.approx(0.1)), (40.0, pytest.approx(5.0))]


@pytest.mark.parametrize("snr", [148.0, math.inf])
def test_errors_that_vanish_at_once_are_a_step(snr: float) -> None:
    from benchmarks.rate.curves import front

    found = front([*curve([26, 34], [1, 2], "snr"), point(snr=snr, bits=3.0, mode="snr")])
    assert found is not None
    assert found.bits_at(34) == pytest.approx(2)
    assert found.bits_at(44) == pytest.approx(3)
    assert found.bits_at(50) == pytest.approx(3)


def test_beaten_and_failed_points_and_modes_without_loss_are_left_out() -> None:
    from benchmarks.rate.curves import error_axis, front, fsc_axis

    points = curve([10, 20, 19, 30], [1, 2, 3, 4])
    points.append(point(snr=25.0, bits=0.1, status="over the time limit"))
    found = front(points)
    assert found is not None
    assert found.modes[0].quality == (10, 20, 30)
    assert front([point(snr=math.inf, bits=9.0)]) is None
    assert error_axis(point(max_error=0.1)) == pytest.approx(20)
    assert fsc_axis(point(fsc_min=0.999)) == pytest.approx(3)
    assert math.isinf(error_axis(point(max_error=0.0)))
    assert math.isinf(fsc_axis(point(fsc_min=1.0)))


# Tables


def test_tables_compare_with_the_best_peer() -> None:
    from benchmarks.rate import summary, tables

    points = []
    for codec, effort, factor in (("sperr", -1, 1.0), ("sz3", -1, 1.5), ("inr", 3, 0.5)):
        mode = "snr" if codec == "inr" else "psnr"
        for snr in range(8, 49, 4):
            bits = factor * math.exp(snr / 15)
            loss = 10 ** (-snr / 10)
            figures = {"snr": float(snr), "bits": bits, "fsc_min": 1 - loss, "fsc_mean": 1 - loss / 2}
            points.append(point(codec=codec, mode=mode, knob=float(snr), effort=effort, **figures))
        points.append(
            point(
                codec=codec,
                mode="max_error",
                knob=0.1,
                effort=effort,
                snr=20.0,
                bits=9 * factor,
                violations=0 if codec == "inr" else 4,
            )
        )
    points.append(point(codec="inr", mode="snr", knob=20.0, effort=9, snr=20.0, bits=1e-3))  # another effort
    groups = tables.group(points, 3)
    deltas = {row["peer"]: row for row in tables.bd_rows(groups)}
    assert deltas["sperr"]["bd_rate_percent"] == pytest.approx(-50)
    assert deltas["sz3"]["bd_rate_percent"] == pytest.approx(-100 * 2 / 3)
    (ratios,) = tables.ratio_rows(groups)
    assert ratios["30 dB"] == pytest.approx(0.5)
    assert ratios["best at 30 dB"] == "sperr"
    (bound,) = tables.bound_rows(groups)
    assert (bound["ratio"], bound["best peer"], bound["violations"]) == (0.5, "sperr", 0)
    assert bound["peer violations"] == 4
    kept = point(codec="gzip", mode="lossless", knob=0.0, snr=math.inf, max_error=0.0, bits=4.0)
    bound_lossless = tables.bound_rows(tables.group([*points, kept], 3))[1]
    assert (bound_lossless["best peer"], bound_lossless["ratio"]) == ("gzip", 9 * 0.5 / 4)
    (best,) = tables.best_rows(tables.group([*points, kept], 3))
    assert (best["best at 20 dB"], best["best at 45 dB"]) == ("sperr", "gzip")
    assert best["20 dB"] == pytest.approx(0.5)
    fsc = {row["target"]: row for row in tables.fsc_rows(groups)}
    assert fsc[0.999]["ratio"] == pytest.approx(0.5)
    assert fsc[0.999]["peer how"] == "interpolated"
    asked = point(codec="inr", mode="fsc", knob=0.999, effort=3, bits=2.0, fsc_min=0.9991, fsc_mean=0.9994)
    row = {r["target"]: r for r in tables.fsc_rows(tables.group([*points, asked], 3))}[0.999]
    assert (row["bits"], row["how"], row["overshoot"]) == (2.0, "written", pytest.approx(0.4))
    missed = replace(asked, fsc_min=0.9989)
    row = {r["target"]: r for r in tables.fsc_rows(tables.group([*points, missed], 3))}[0.999]
    assert (row["bits"], row["how"]) == (None, "missed")
    made = {"bd": tables.bd_rows(groups), "ratios": [ratios], "max_error": [bound], "fsc": []}
    text = summary.summary(made)
    assert "BD rate against sperr, %" in text
    assert "Voxels of ours beyond a bound: 0 (1 points)." in text


def test_points_with_symmetry_have_tables_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.rate import summary, tables

    points = []
    for codec, effort, factor in (("sperr", -1, 1.0), ("inr", 3, 0.5), ("inr-symmetry", 3, 0.1)):
        for name in ("a", "b"):
            if (codec, name) == ("inr-symmetry", "b"):
                continue  # no symmetry: what was measured without it counts
            for snr in range(8, 49, 4):
                bits = factor * math.exp(snr / 15)
                points.append(
                    point(map=name, codec=codec, knob=float(snr), effort=effort, snr=float(snr), bits=bits)
                )
    for symmetry, rates in ((False, {"a": -50, "b": -50}), (True, {"a": -90, "b": -50})):
        groups = tables.group(points, 3, symmetry=symmetry)
        assert all(set(codecs) == {"sperr", "inr"} for codecs in groups.values())
        found = {row["map"]: row["bd_rate_percent"] for row in tables.bd_rows(groups)}
        assert found == pytest.approx(rates)
    summary.publish(points, 3, tmp_path)
    _, plain, again = capsys.readouterr().out.split("BD rate against sperr, % ")
    assert "-50 " in plain
    assert "-70 " in again
    assert "has a symmetry and is one chunk (a):" in plain
    assert "-90.0" in (tmp_path / "rate.md").read_text()
    assert len((tmp_path / "bd_symmetry.csv").read_text().splitlines()) == 3


def test_the_summary_goes_between_the_marks_of_a_readme(tmp_path: Path) -> None:
    from benchmarks.rate import summary

    readme, picture = tmp_path / "README.md", tmp_path / "summary.png"
    readme.write_text(f"before\n{summary.MARKS[0]}\nold\n{summary.MARKS[1]}\nafter\n")
    picture.write_bytes(b"png")
    summary.into_readme(readme, "| new |", picture)
    summary.into_readme(readme, "| newer |", picture)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith(
        "| newer |\n\n![Bjontegaard-delta rate against each peer](docs/rate.png)\n"
        f"{summary.MARKS[1]}\nafter\n"
    )
    assert "old" not in text
    assert "| new |" not in text
    assert (tmp_path / "docs" / "rate.png").read_bytes() == b"png"
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        summary.into_readme(readme, "", picture)
    marks = (ROOT / "README.md").read_text()
    assert all(marks.count(mark) == 1 for mark in summary.MARKS)


def test_effort_table_is_at_one_snr() -> None:
    from benchmarks.rate import efforts

    points = []
    for name in "ab":
        for effort, factor, shift in ((0, 1.08, 0.1), (5, 1.0, 0.0), (9, 0.95, -0.05)):
            for target in (27.0, 33.0):
                snr = target + shift
                bits = factor * math.exp(snr / 15)
                figures = {"snr": snr, "bits": bits, "encode_s": effort + 1.0, "decode_s": 0.5}
                points.append(
                    point(
                        map=name, codec="inr", mode="snr", knob=target, effort=effort, version="v", **figures
                    )
                )
    rows = {row["effort"]: row for row in efforts.table(points, [27.0, 33.0])}
    assert {e: row["bytes / effort 5"] for e, row in rows.items()} == pytest.approx({0: 1.08, 5: 1, 9: 0.95})
    assert rows[9]["encode s"] == 10.0
    assert rows[0]["maps"] == 2
