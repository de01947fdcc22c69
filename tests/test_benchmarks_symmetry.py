"""The benchmark of symmetry and its pictures, on small maps."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import mrcfile
import numpy as np
import pytest
from conftest import blobs
from symmetric_maps import d2

from benchmarks import symmetry, symmetry_pictures


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_real_map_finds_its_symmetry(tmp_path: Path) -> None:
    mrcfile.write(tmp_path / "map.mrc", d2())
    mrcfile.write(tmp_path / "none.mrc", blobs((24, 24, 24)).astype(np.float32))
    maps = [str(tmp_path / name) for name in ("map.mrc", "none.mrc")]
    symmetry.main([*maps, "--snr", "20", "--effort", "0", "--out", str(tmp_path), "--name", "real"])
    found, none = read(tmp_path / "real.csv")
    assert (found["found"], none["found"]) == ("d2", "none")
    assert float(found["times fewer"]) > 1.5
    assert float(found["with, dB"]) >= 20
    assert float(none["times fewer"]) == pytest.approx(1)
    assert "times fewer" in (tmp_path / "real.md").read_text(encoding="utf-8")


def test_decoding(tmp_path: Path) -> None:
    symmetry.main(["--decoding", "--size", "24", "--groups", "D2", "--out", str(tmp_path)])
    (row,) = read(tmp_path / "symmetry.csv")
    assert row["asked"] == "D2"
    assert float(row["with, bytes"]) < float(row["without, bytes"])
    assert float(row["times slower to decode"]) == pytest.approx(
        float(row["decode with, s"]) / float(row["decode without, s"])
    )
    assert row["without, one chunk, bytes"] == row["without, bytes"]  # the map is smaller than a chunk
    assert float(row["times slower than one chunk"]) > 0


def test_detection(tmp_path: Path) -> None:
    symmetry.main(["--detection", "--size", "32", "--groups", "D3", "--out", str(tmp_path)])
    (row,) = read(tmp_path / "symmetry.csv")
    assert (row["true"], row["found"]) == ("D3", "D3")
    assert float(row["predicts itself at, dB"]) > 25
    assert float(row["s"]) > 0


def test_a_helix_has_ten_copies() -> None:
    ((name, volume, asked),) = symmetry.generated(["helical"], 24)
    assert (name, volume.shape, asked) == ("generated helical, 24", (24, 24, 24), "helical:2.4,28")


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetry_pictures, "GROUPS", {"D": "D2"})
    symmetry_pictures.main(["--out", str(tmp_path), "--size", "24"])
    picture = plt.imread(tmp_path / "D.png")
    assert picture.shape[1] > picture.shape[0] > 100
    assert picture[..., :3].std() > 0.05
