"""Maps into stores and back: bytes kept, targets met or said to be missed, nothing half written."""

from __future__ import annotations

import json
from dataclasses import replace

import mrcfile
import numpy as np
import pytest
import zarr

from inrcodec import INRCodec, map_fit, maps, report, store
from inrcodec.core import Target, VolumeModel
from inrcodec.core.fields.basis import block_length

LOOSE = Target("snr", 20.0)


@pytest.fixture
def map_path(tmp_path, volume):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path, volume) as file:
        file.voxel_size = 1.25
        file.header.nxstart = -3
        file.header.dmin = 99  # what no writer would keep
    return path


@pytest.fixture
def noisy_writes(monkeypatch):
    """Arrays come back with white noise of the codec's step; steps are recorded. Nothing is written."""
    steps = []

    def write_array(root, data, codec, chunk_shape, axes, progress):
        steps.append(codec.volume.step)
        noise = np.random.default_rng(0).normal(0, codec.volume.step, data.shape)
        return (data + noise).astype(data.dtype)

    monkeypatch.setattr(maps.stores, "write_array", write_array)
    return steps


def fit_with_step(monkeypatch, step):
    """Make the fit choose this step."""

    def fit(volume, *, chunks, progress, **settings):
        return INRCodec(**settings, volume=VolumeModel(step, 16, b"\0" * 100))

    monkeypatch.setattr(INRCodec, "fit", fit)


@pytest.mark.parametrize(
    ("target", "zarr_format"),
    [
        (Target("snr", 25.0), 2),
        (Target("snr", 25.0), 3),
        (Target("max_error", 0.05), 3),
        (Target("ratio", 6.0), 3),
    ],
)
def test_round_trip(tmp_path, map_path, volume, target, zarr_format):
    store_path = tmp_path / "a.zarr"
    written = maps.compress(map_path, store_path, target=target, effort=0, chunks=14, zarr_format=zarr_format)
    assert written.met
    found = maps.verify(map_path, store_path)
    assert found.met
    assert found.quality == written.quality
    assert found.sizes == written.sizes
    assert found.target == target
    assert found.fsc[0][-1] <= 0.5 / 1.25 + 1e-9
    assert maps.decompress(store_path, tmp_path / "b.mrc")
    with mrcfile.open(tmp_path / "b.mrc") as back:
        decoded = np.array(back.data)
    np.testing.assert_array_equal(decoded, zarr.open(str(store_path), mode="r")["0"][...])
    assert (tmp_path / "b.mrc").read_bytes()[:1024] == map_path.read_bytes()[:1024]
    assert {path.name for path in tmp_path.iterdir()} == {"a.mrc", "a.zarr", "b.mrc"}


@pytest.mark.parametrize("dtype", [">f4", "f2", "i1", "i2", ">i2", "u2"])
def test_dtypes(tmp_path, volume, dtype):
    data = (volume * 50).astype(dtype) if np.dtype(dtype).kind != "u" else (volume * 50 + 900).astype(dtype)
    with mrcfile.new(tmp_path / "a.mrc", data):
        pass
    assert maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=LOOSE, effort=0).met
    assert maps.verify(tmp_path / "a.mrc", tmp_path / "a.zarr").met
    assert maps.decompress(tmp_path / "a.zarr", tmp_path / "b.mrc")
    before, after = (tmp_path / "a.mrc").read_bytes(), (tmp_path / "b.mrc").read_bytes()
    assert before[:1024] == after[:1024]
    assert len(before) == len(after)


@pytest.mark.parametrize("shape", [(20, 24), (1, 20, 24), (2, 10, 12, 14)], ids=["image", "slab", "stack"])
def test_other_shapes(tmp_path, shape):
    data = np.random.default_rng(0).normal(size=shape).astype("f4")
    with mrcfile.new(tmp_path / "a.mrc", data) as file:
        if len(shape) == 3:
            file.set_volume()
    assert maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=LOOSE, effort=0, chunks=12).met
    assert maps.decompress(tmp_path / "a.zarr", tmp_path / "b.mrc")
    assert (tmp_path / "a.mrc").read_bytes()[:1024] == (tmp_path / "b.mrc").read_bytes()[:1024]
    assert maps.verify(tmp_path / "a.mrc", tmp_path / "a.zarr").met
    if len(shape) == 4:
        assert zarr.open(str(tmp_path / "a.zarr"), mode="r")["0"].chunks == (1, 10, 12, 7)


def test_nan_and_infinities(tmp_path, volume):
    data = volume.copy()
    data[3, 4, :5] = np.nan
    data[5, 5, 5] = -np.inf
    with pytest.warns(RuntimeWarning), mrcfile.new(tmp_path / "a.mrc", data):
        pass
    assert maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=LOOSE, effort=0).met
    assert maps.verify(tmp_path / "a.mrc", tmp_path / "a.zarr").fsc is not None


def test_masked_map_with_empty_chunks(tmp_path):
    data = np.zeros((24, 24, 24), "f4")
    data[:12, :12, :12] = np.random.default_rng(0).normal(size=(12, 12, 12))
    with mrcfile.new(tmp_path / "a.mrc", data):
        pass
    result = maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=LOOSE, effort=0, chunks=12)
    assert result.met
    assert result.quality.background == 0
    assert sum(store.describe(tmp_path / "a.zarr").fields.values()) == 1


def test_what_was_chosen_is_described(tmp_path, map_path, volume):
    maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
    found = store.describe(tmp_path / "a.zarr")
    model = found.settings.volume
    assert found.choices.traits.shape == volume.shape
    assert found.choices["block"].value == block_length(model.block)
    assert found.choices["cell"].value == model.cell
    said = report.description(found)
    assert all(line in said for line in found.choices.lines)
    # stores made by other means say what their configuration says
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="r+")
    attributes = dict(root.attrs["inrcodec"])
    del attributes["choices"]
    root.attrs["inrcodec"] = attributes
    plain = store.describe(tmp_path / "a.zarr")
    assert plain.choices is None
    kept = [line for line in said if line not in found.choices.lines]
    assert [line.split()[0] for line in report.description(plain)] == [line.split()[0] for line in kept]
    root.attrs["inrcodec"] = attributes | {"choices": "eJw="}
    with pytest.raises(ValueError, match="the record of what was chosen is damaged"):
        store.describe(tmp_path / "a.zarr")


def test_metadata(tmp_path, map_path):
    maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
    attributes = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["attributes"]
    scale, translation = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [1.25, 1.25, 1.25]
    assert translation["translation"] == [0.0, 0.0, -3.75]
    assert attributes["inrcodec"]["source"] == "a.mrc"
    assert attributes["inrcodec"]["target"] == {"snr": 20.0}
    assert zarr.open(str(tmp_path / "a.zarr"), mode="r")["0"].metadata.dimension_names == ("z", "y", "x")


class TestCorrection:
    def compress(self, tmp_path, map_path, target):
        return maps.compress(map_path, tmp_path / "a.zarr", target=target, effort=0)

    def step_for(self, volume, snr):
        return float(volume.std()) * 10 ** (-snr / 20)

    def test_a_miss_by_a_hair(self, tmp_path, map_path, volume, monkeypatch, noisy_writes):
        fit_with_step(monkeypatch, self.step_for(volume, 29.9))
        result = self.compress(tmp_path, map_path, Target("snr", 30.0))
        assert result.met
        assert result.rewrites == 1
        assert 30 <= result.quality.snr < 30.05
        assert noisy_writes[1] < noisy_writes[0]

    def test_a_far_better_volume_is_written_again(
        self, tmp_path, map_path, volume, monkeypatch, noisy_writes
    ):
        fit_with_step(monkeypatch, self.step_for(volume, 33))
        result = self.compress(tmp_path, map_path, Target("snr", 30.0))
        assert result.met
        assert 30 <= result.quality.snr < 30.05

    def test_a_met_target_is_left_alone(self, tmp_path, map_path, volume, monkeypatch, noisy_writes):
        fit_with_step(monkeypatch, self.step_for(volume, 30.2))
        assert self.compress(tmp_path, map_path, Target("snr", 30.0)).rewrites == 0

    def test_three_rewrites_at_most(self, tmp_path, map_path, monkeypatch, noisy_writes):
        fit_with_step(monkeypatch, 1e6)
        result = self.compress(tmp_path, map_path, Target("snr", 30.0))
        assert not result.met
        assert len(noisy_writes) == 4

    def test_max_error_is_not_corrected(self, tmp_path, map_path, monkeypatch, noisy_writes):
        fit_with_step(monkeypatch, 1.0)
        result = self.compress(tmp_path, map_path, Target("max_error", 0.01))
        assert not result.met
        assert result.rewrites == 0

    def test_settings_survive(self):
        codec = INRCodec(ratio=9, effort=5, threshold=0.5, block=8, volume=VolumeModel(1.0, 8, b"w" * 9))
        changed = map_fit.with_volume(codec, replace(codec.volume, step=0.25), "cpu")
        config = codec.get_config()
        config["volume"]["step"] = 0.25
        assert changed.get_config() == config


class TestInterrupted:
    @pytest.fixture
    def interrupted(self, monkeypatch):
        write_array = store.write_array

        def interrupted(root, data, codec, chunk_shape, axes, progress):
            def stop(fraction):
                raise KeyboardInterrupt

            return write_array(root, data, codec, chunk_shape, axes, stop)

        monkeypatch.setattr(store, "_BATCH_VOXELS", 1)
        monkeypatch.setattr(maps.stores, "write_array", interrupted)

    def test_no_store_appears(self, tmp_path, map_path, interrupted):
        with pytest.raises(KeyboardInterrupt):
            maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0, chunks=14)
        assert [path.name for path in tmp_path.iterdir()] == ["a.mrc"]

    def test_the_old_store_stays(self, tmp_path, map_path, request):
        maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
        before = store.describe(tmp_path / "a.zarr")
        request.getfixturevalue("interrupted")
        with pytest.raises(KeyboardInterrupt):
            maps.compress(
                map_path, tmp_path / "a.zarr", target=Target("snr", 40.0), effort=0, chunks=14, overwrite=True
            )
        assert store.describe(tmp_path / "a.zarr") == before
        assert {path.name for path in tmp_path.iterdir()} == {"a.mrc", "a.zarr"}


class TestRefused:
    def test_existing_store(self, tmp_path, map_path):
        maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
        with pytest.raises(FileExistsError):
            maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
        maps.compress(map_path, tmp_path / "a.zarr", target=Target("snr", 25.0), effort=0, overwrite=True)
        assert store.describe(tmp_path / "a.zarr").settings.target.value == 25

    def test_existing_map(self, tmp_path, map_path):
        maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
        with pytest.raises(FileExistsError):
            maps.decompress(tmp_path / "a.zarr", map_path)
        assert maps.decompress(tmp_path / "a.zarr", map_path, overwrite=True)

    def test_chunks(self, tmp_path, map_path):
        with pytest.raises(ValueError, match="chunks must be at least 1"):
            maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0, chunks=0)

    def test_complex_map(self, tmp_path):
        with mrcfile.new(tmp_path / "a.mrc", np.ones((2, 3, 4), "c8")):
            pass
        with pytest.raises(ValueError, match="mode 4"):
            maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", target=LOOSE, effort=0)
        assert not (tmp_path / "a.zarr").exists()

    def test_another_map(self, tmp_path, map_path):
        maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
        with mrcfile.new(tmp_path / "b.mrc", np.ones((4, 4, 4), "f4")):
            pass
        with pytest.raises(ValueError, match=r"\(28, 26, 24\) float32, .* \(4, 4, 4\)"):
            maps.verify(tmp_path / "b.mrc", tmp_path / "a.zarr")

    def test_store_without_header(self, tmp_path):
        zarr.create_array(str(tmp_path / "a.zarr"), shape=(4, 4), dtype="f4")
        with pytest.raises(ValueError, match="no MRC header"):
            maps.decompress(tmp_path / "a.zarr", tmp_path / "b.mrc")


def test_a_changed_store_is_noticed(tmp_path, map_path):
    maps.compress(map_path, tmp_path / "a.zarr", target=LOOSE, effort=0)
    zarr.open(str(tmp_path / "a.zarr"), mode="r+")["0"][0, 0, 0] = 5
    assert not maps.decompress(tmp_path / "a.zarr", tmp_path / "b.mrc")
    assert not maps.verify(map_path, tmp_path / "a.zarr").met
