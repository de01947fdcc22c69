"""What compression changes at the crossing of two half-maps."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from inrcodec import cli, half_maps, maps
from inrcodec.core import Target
from inrcodec.fourier_shell import crossing
from inrcodec.synthetic import generate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map, two half-maps of it with white noise of their own, and stores of it."""
    path = tmp_path_factory.mktemp("halves")
    volume = generate((32, 32, 32), voxel_size=1.5, resolution=4.0)
    rng = np.random.default_rng(0)
    halves = [volume + rng.normal(0, 0.5, volume.shape).astype("f4") for _ in range(2)]
    for name, data in (("a", sum(halves) / 2), ("h1", halves[0]), ("h2", halves[1]), ("odd", volume[:20])):
        with mrcfile.new(path / f"{name}.mrc", np.ascontiguousarray(data, np.float32)) as file:
            file.voxel_size = 1.5
    maps.compress(path / "a.mrc", path / "fsc.zarr", target=Target("fsc", 0.99), resolution=4.0, effort=0)
    maps.compress(path / "a.mrc", path / "snr.zarr", target=Target("snr", 10.0), effort=0)
    return path


@pytest.mark.parametrize("store", ["fsc.zarr", "snr.zarr"])
def test_both_crossings(folder: Path, store: str) -> None:
    found = half_maps.compare(folder / "h1.mrc", folder / "h2.mrc", folder / store)
    assert found.resolution_before == pytest.approx(4.3, abs=0.6)
    assert found.resolution_after is not None
    if store == "fsc.zarr":
        assert found.resolution_after == pytest.approx(found.resolution_before, abs=0.1)
    text = "\n".join(half_maps.lines(found))
    assert "FSC 0.143 at" in text
    assert "the crossing moves by" in text


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(folder / name) for name in ("a.mrc", "fsc.zarr")]
    halves = ["--half-maps", *(str(folder / name) for name in ("h1.mrc", "h2.mrc"))]
    assert cli.main(["verify", *arguments, *halves]) == 0
    assert "half-maps       FSC 0.143 at" in capsys.readouterr().out


def test_maps_that_do_not_go_together(folder: Path) -> None:
    with pytest.raises(ValueError, match="half-maps differ in shape"):
        half_maps.compare(folder / "h1.mrc", folder / "odd.mrc", folder / "fsc.zarr")


def test_curves_without_a_crossing() -> None:
    found = half_maps.HalfMaps(np.array([0.1, 0.2]), np.array([1.0, 0.9]), np.array([1.0, 0.1]))
    text = half_maps.lines(found)
    assert "FSC 0.143 at none; compressed, at 5.122 A" in text[0]
    assert len(text) == 1


def test_crossings_between_shells() -> None:
    frequency = np.array([0.1, 0.2, 0.4])
    assert crossing(frequency, np.array([1.0, 0.5, 0.0]), 0.25) == pytest.approx(1 / 0.3)
    assert crossing(frequency, np.array([0.1, 0.5, 0.0]), 0.25) == pytest.approx(10)
    assert crossing(frequency, np.array([1.0, 0.5, 0.4]), 0.25) is None
