"""Maps compressed with symmetry: chunks, targets after correction, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import zarr
from conftest import blobs
from symmetric_maps import d2

from inrcodec import INRCodec, archive, cli, half_maps, map_fit, maps, report, store
from inrcodec.core import Target, VolumeModel, inspect, symmetric_fit
from inrcodec.core.settling import settle
from inrcodec.core.symmetry.groups import RISE_UNIT, TURN, Helix
from inrcodec.mrc import open_volume
from inrcodec.options import MapOptions
from inrcodec.synthetic_symmetry import symmetric_map

LOOSE = Target("snr", 20.0)


def write(path: Path, data: np.ndarray, voxel_size: float = 1.25) -> Path:
    with mrcfile.new(path, data) as file:
        if voxel_size:
            file.voxel_size = voxel_size
    return path


@pytest.fixture(scope="module")
def symmetric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("maps") / "d2.mrc", d2())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("maps") / "blobs.mrc", blobs((28, 26, 24)).astype(np.float32))


@pytest.fixture
def here(tmp_path: Path, symmetric: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in (symmetric, plain):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestStores:
    @pytest.mark.parametrize(
        ("target", "resolution"),
        [(Target("snr", 25), None), (Target("max_error", 0.3), None), (Target("fsc", 0.95), 5.0)],
        ids=lambda value: getattr(value, "kind", ""),
    )
    def test_one_chunk_and_the_target(
        self, tmp_path: Path, symmetric: Path, target: Target, resolution: float | None
    ) -> None:
        written = maps.compress(
            symmetric, tmp_path / "a.zarr", target=target, resolution=resolution, effort=0, symmetry="D2"
        )
        assert written.met
        array = zarr.open_array(str(tmp_path / "a.zarr" / "0"), mode="r")
        assert array.chunks == array.shape
        found = maps.verify(symmetric, tmp_path / "a.zarr")
        assert found.met
        assert found.quality == written.quality
        assert found.symmetry is not None
        assert written.symmetry is not None
        assert found.symmetry.lines == written.symmetry.lines
        assert found.symmetry.bytes_with is not None
        assert found.symmetry.bytes_without is not None
        assert found.symmetry.bytes_with < found.symmetry.bytes_without
        payload = (tmp_path / "a.zarr" / "0" / "c" / "0" / "0" / "0").read_bytes()
        assert found.symmetry.section == inspect(payload).sections["symmetry"]
        assert maps.decompress(tmp_path / "a.zarr", tmp_path / "b.mrc")

    def test_whole_numbers_need_no_correction(self, tmp_path: Path) -> None:
        """What rounding adds is in the fit."""
        path = write(tmp_path / "i.mrc", np.clip(np.rint(20 * d2()), -128, 127).astype(np.int8))
        result = maps.compress(path, tmp_path / "i.zarr", target=Target("snr", 25), effort=0, symmetry="D2")
        assert result.rewrites == 0
        assert result.met

    def test_the_step_is_corrected(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Corrections of a fit that misses keep the symmetry."""

        def too_coarse(*arguments: Any) -> VolumeModel:
            model = settle(*arguments)
            return replace(model, step=1.1 * model.step)

        monkeypatch.setattr(symmetric_fit, "settle", too_coarse)
        path = write(tmp_path / "i.mrc", np.clip(np.rint(20 * d2()), -128, 127).astype(np.int8))
        result = maps.compress(path, tmp_path / "i.zarr", target=Target("snr", 25), effort=0, symmetry="D2")
        assert result.rewrites > 0
        assert result.met
        found = maps.verify(path, tmp_path / "i.zarr")
        assert found.met
        assert found.symmetry is not None
        assert found.symmetry.model is not None
        assert found.symmetry.section is not None
        assert found.symmetry.section > 100

    def test_ratio(self, tmp_path: Path, symmetric: Path) -> None:
        result = maps.compress(
            symmetric, tmp_path / "a.zarr", target=Target("ratio", 30), effort=0, symmetry="D2"
        )
        assert result.met
        assert result.sizes.ratio < 1.1 * 30
        assert result.quality.snr > 40

    def test_without_symmetry_auto_changes_nothing(self, tmp_path: Path, plain: Path) -> None:
        options = {"target": Target("snr", 25), "effort": 0, "chunks": 14}
        auto = maps.compress(plain, tmp_path / "auto.zarr", symmetry="auto", **options)
        without = maps.compress(plain, tmp_path / "none.zarr", **options)
        assert auto.quality == without.quality
        assert auto.sizes.chunks == without.sizes.chunks
        assert store.array_digest(tmp_path / "auto.zarr") == store.array_digest(tmp_path / "none.zarr")
        assert auto.symmetry is not None
        assert auto.symmetry.lines == ["symmetry        none: no group is found that holds at 10 dB"]
        assert without.symmetry is None

    def test_a_helix_in_angstrom(self, tmp_path: Path) -> None:
        path = write(tmp_path / "helix.mrc", symmetric_map("helical:4,45", 24))
        maps.compress(path, tmp_path / "a.zarr", target=LOOSE, effort=0, symmetry="helical:5,45")
        volume = store.describe(tmp_path / "a.zarr").settings.volume
        assert volume is not None
        assert volume.symmetry is not None
        assert volume.symmetry.symmetry.group.symbol.startswith("helical:4")

    def test_a_helix_is_found(self, tmp_path: Path) -> None:
        path = write(tmp_path / "helix.mrc", symmetric_map("helical:5,45", 40))
        result = maps.compress(path, tmp_path / "a.zarr", target=Target("snr", 25), effort=0, symmetry="auto")
        assert result.met
        volume = store.describe(tmp_path / "a.zarr").settings.volume
        assert volume is not None
        assert volume.symmetry is not None
        group = volume.symmetry.symmetry.group
        assert isinstance(group, Helix)
        assert group.rise == pytest.approx(5 * RISE_UNIT, rel=2e-3)
        assert group.twist == pytest.approx(TURN / 8, rel=2e-3)

    def test_a_pyramid_has_coarser_levels_without_symmetry(self, tmp_path: Path) -> None:
        path = write(tmp_path / "d2.mrc", symmetric_map("D2", 36))
        for target in (Target("snr", 25), Target("ratio", 40)):
            result = maps.compress(
                path,
                tmp_path / "a.zarr",
                target=target,
                effort=0,
                symmetry="D2",
                pyramid=2,
                chunks=36,
                overwrite=True,
            )
            assert result.met
            group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
            assert group["1"].shape == (18, 18, 18)
            models = [store.settings_of(group[level]).volume for level in "01"]
            assert models[0] is not None
            assert models[0].symmetry is not None
            assert models[1] is not None
            assert models[1].symmetry is None
            assert np.isfinite(group["1"][...]).all()


class TestErrors:
    def test_chunks_smaller_than_the_volume(self, tmp_path: Path, symmetric: Path) -> None:
        with pytest.raises(
            ValueError, match=r"D2 needs the volume of shape \(24, 24, 24\) as one chunk, chunks"
        ):
            maps.compress(symmetric, tmp_path / "a.zarr", target=LOOSE, symmetry="D2", chunks=12, effort=0)
        assert not (tmp_path / "a.zarr").exists()

    def test_chunks_with_auto_are_for_what_has_none(self, tmp_path: Path, symmetric: Path) -> None:
        maps.compress(symmetric, tmp_path / "a.zarr", target=LOOSE, symmetry="auto", chunks=12, effort=0)
        assert zarr.open_array(str(tmp_path / "a.zarr" / "0"), mode="r").chunks == (24, 24, 24)

    @pytest.mark.parametrize("shape", [(20, 24), (2, 10, 12, 14)])
    @pytest.mark.parametrize("symmetry", ["auto", "C2"])
    def test_images_and_stacks(self, tmp_path: Path, shape: tuple[int, ...], symmetry: str) -> None:
        path = write(tmp_path / "a.mrc", np.random.default_rng(0).normal(size=shape).astype("f4"), 0)
        with pytest.raises(ValueError, match=r"a\.mrc is an image or a stack of shape"):
            maps.compress(path, tmp_path / "a.zarr", target=LOOSE, symmetry=symmetry, effort=0)

    def test_a_helix_without_a_voxel_size(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.mrc", np.array(d2()), 0)
        with pytest.raises(ValueError, match="says no voxel size: a rise in angstrom means nothing"):
            maps.compress(path, tmp_path / "a.zarr", target=LOOSE, symmetry="helical:5,30", effort=0)

    def test_a_name_before_the_map_is_read(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="'C1' is not a symmetry; expected C2 to C99"):
            maps.compress(tmp_path / "nothing.mrc", tmp_path / "a.zarr", target=LOOSE, symmetry="C1")


class TestCommands:
    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
        code = cli.main([*arguments])
        return (code, *capsys.readouterr())

    def test_compress_info_verify(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        quick = ("--effort", "0", "--snr", "25")
        code, out, _ = self.run(capsys, "compress", "d2.mrc", "a.zarr", *quick, "--symmetry", "auto")
        assert code == 0
        found = [line for line in out.splitlines() if line.startswith("symmetry")]
        assert found[0] == "symmetry        D2 (4 copies); the map predicts itself at 200.0 dB"
        assert " -> " in found[1]
        for command in (("info", "a.zarr"), ("verify", "d2.mrc", "a.zarr")):
            code, out, _ = self.run(capsys, *command)
            assert code == 0
            assert [line for line in out.splitlines() if line.startswith("symmetry")] == found
        code, out, _ = self.run(capsys, "compress", "blobs.mrc", "b.zarr", *quick, "--symmetry", "auto")
        assert code == 0
        assert "symmetry        none: no group is found that holds at 10 dB\n" in out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("d2.mrc", "--symmetry", "C0"), "'C0' is not a symmetry; expected C2 to C99"),
            (("d2.mrc", "--symmetry", "D2", "--chunks", "12"), "leave them out, or the symmetry"),
        ],
    )
    def test_errors(
        self, here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
    ) -> None:
        source, *rest = arguments
        code, out, err = self.run(capsys, "compress", source, "a.zarr", "--effort", "0", *rest)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
        assert out == ""
        assert not (here / "a.zarr").exists()

    def test_archive(self, here: Path) -> None:
        options = MapOptions(Target("snr", 25), effort=0, symmetry="auto")
        records = archive.run(["d2.mrc", "blobs.mrc"], here / "all.zarr", options=options, verify=True)
        assert [record["status"] for record in records] == ["verified", "verified"]
        assert records[0]["asked"]["symmetry"] == "auto"
        group = zarr.open_group(str(here / "all.zarr"), mode="r")
        models = {name: store.settings_of(group[name]["0"]).volume for name in ("d2", "blobs")}
        assert models["d2"].symmetry.symmetry.group.symbol == "D2"
        assert models["blobs"].symmetry is None
        again = archive.run(["d2.mrc"], here / "all.zarr", options=options, verify=True)
        assert again == [record for record in records if record["target"] == "d2"]

    def test_half_maps(self, here: Path) -> None:
        rng = np.random.default_rng(0)
        for name in "ab":
            noise = rng.normal(0, 0.2, (24, 24, 24))
            turns = [noise] + [np.roll(np.flip(noise, axes), 1, axes) for axes in ((0, 1), (0, 2), (1, 2))]
            write(here / f"{name}.mrc", (d2() + sum(turns) / 4).astype(np.float32))
        maps.compress(here / "d2.mrc", here / "d2.zarr", target=LOOSE, effort=0, symmetry="D2")
        seen = []
        fit = INRCodec.fit

        def watched(*arguments: object, **options: object) -> INRCodec:
            seen.append(options.get("symmetry"))
            return fit(*arguments, **options)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(half_maps.INRCodec, "fit", watched)
            found = half_maps.compare(here / "a.mrc", here / "b.mrc", here / "d2.zarr")
        assert seen == ["D2", "D2"]
        assert np.abs(found.after - found.before)[:4].max() < 0.1


def test_a_helix_of_a_store_in_angstrom() -> None:
    from inrcodec.core.symmetry.groups import Helix, parse_symmetry

    helix = parse_symmetry("helical:4.8,-30.5,C2", 1.3)
    assert isinstance(helix, Helix)
    again = parse_symmetry(half_maps._in_angstrom(helix, (1.3, 1.3, 1.3)), 1.3)
    assert isinstance(again, Helix)
    assert abs(again.rise - helix.rise) <= 1
    assert (again.twist, again.n) == (helix.twist, 2)


def test_progress_runs_on(symmetric: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    with report.Bars() as bars:

        def progress(stage: str, fraction: float) -> None:
            seen.append((stage, fraction))
            bars(stage, fraction)

        maps.compress(
            symmetric, tmp_path / "a.zarr", target=LOOSE, effort=0, symmetry="D2", progress=progress
        )
    for stage in ("training", "writing"):
        fractions = [fraction for name, fraction in seen if name == stage]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1


def test_chunks_of_a_map_without_symmetry(plain: Path) -> None:
    codec, chunks = map_fit.fit_map(
        open_volume(plain), "blobs.mrc", MapOptions(LOOSE, chunks=14, effort=0), lambda fraction: None
    )
    assert chunks == (14, 13, 12)
    assert codec.settings.target == LOOSE
