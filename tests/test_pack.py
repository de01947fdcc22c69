"""Many maps into one file and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlp_cases import LEARNS, QUICK, assert_headers_are_kept, share_within, smooth_map, three_maps

mrcfile = pytest.importorskip("mrcfile")
pytest.importorskip("h5py")
pytest.importorskip("torch")

from inrcodec import checkpoints, metrics  # noqa: E402
from inrcodec.container import Container  # noqa: E402
from inrcodec.core.mlp import training  # noqa: E402
from inrcodec.core.payload import Field, Payload  # noqa: E402
from inrcodec.mrc import open_volume  # noqa: E402
from inrcodec.pack import pack, work_directory  # noqa: E402
from inrcodec.unpack import unpack  # noqa: E402

LONGER = {**QUICK, "steps": 40, "interval": 10}


@pytest.fixture
def maps(tmp_path: Path) -> list[Path]:
    return three_maps(tmp_path)


def test_mlp(maps: list[Path], tmp_path: Path) -> None:
    stages: list[tuple[str, float]] = []
    result = pack(
        maps, tmp_path / "set.inr", network=QUICK, weight_bits=16, progress=lambda *at: stages.append(at)
    )
    written = unpack(tmp_path / "set.inr", tmp_path / "back")
    assert_headers_are_kept(maps, written)
    for source, path in zip(maps, written, strict=True):
        original, decoded = open_volume(source).data, open_volume(path).data
        assert (decoded[original <= 0] == 0).all()
        assert (decoded[original > 0] != 0).any()
    assert {stage for stage, _ in stages} == {"points", "training", "measuring"}
    assert [packed.name for packed in result.maps] == [path.name for path in maps]
    assert all(packed.met for packed in result.maps)
    assert result.total == (tmp_path / "set.inr").stat().st_size
    assert sum(packed.stored for packed in result.maps) + result.shared < result.total
    assert not work_directory(tmp_path / "set.inr").exists()
    assert "layers of 6, 6, 5, 1" in result.network


def test_one_network_for_all(maps: list[Path], tmp_path: Path) -> None:
    pack(maps, tmp_path / "set.inr", network=QUICK)
    container = Container.from_bytes((tmp_path / "set.inr").read_bytes())
    payloads = [Payload.from_bytes(packed.payloads[0]) for packed in container.maps]
    assert {payload.scope for payload in payloads} == {"volume"}
    identifiers = {payload.sections[5] for payload in payloads}
    assert len(identifiers) == 3


def test_high_densities_are_within_20_percent(tmp_path: Path) -> None:
    """As the codec's, from the file through HDF5 and back to a file."""
    mrcfile.write(tmp_path / "a.mrc", smooth_map(), voxel_size=2.0)
    pack([tmp_path / "a.mrc"], tmp_path / "set.inr", network=LEARNS, weight_bits=16)
    (path,) = unpack(tmp_path / "set.inr", tmp_path / "back")
    assert share_within(smooth_map(), open_volume(path).data) >= 0.88


def test_local_fourier(maps: list[Path], tmp_path: Path) -> None:
    result = pack(maps, tmp_path / "set.inr", field="local-fourier", snr=20, effort=1, chunks=8)
    written = unpack(tmp_path / "set.inr", tmp_path / "back")
    assert_headers_are_kept(maps, written)
    container = Container.from_bytes((tmp_path / "set.inr").read_bytes())
    assert container.field == Field.LOCAL_FOURIER
    assert len(container.maps[0].payloads) == 8
    for source, path, packed in zip(maps, written, result.maps, strict=True):
        original, decoded = open_volume(source).data, open_volume(path).data
        assert metrics.represented_snr(original, decoded) >= 20 - 0.01
        assert packed.met


def test_local_fourier_with_a_bound(maps: list[Path], tmp_path: Path) -> None:
    pack(maps[:2], tmp_path / "set.inr", field="local-fourier", max_error=0.05, effort=0)
    for source, path in zip(maps, unpack(tmp_path / "set.inr", tmp_path / "back"), strict=False):
        assert np.abs(open_volume(source).data - open_volume(path).data).max() <= 0.05


class TestInterruption:
    @pytest.fixture
    def interrupted(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """The first run stops after the second checkpoint."""
        save, saved = checkpoints.save_state, []

        def save_and_stop(path: Any, state: training.State, mark: str) -> None:
            save(path, state, mark)
            saved.append(state.step)
            if len(saved) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoints, "save_state", save_and_stop)
        return saved

    def test_the_same_call_goes_on(self, maps: list[Path], tmp_path: Path, interrupted: list[int]) -> None:
        whole = pack(maps, tmp_path / "whole.inr", network={**QUICK, "steps": 40, "interval": 40})
        interrupted.clear()
        with pytest.raises(KeyboardInterrupt):
            pack(maps, tmp_path / "set.inr", network=LONGER)
        assert not (tmp_path / "set.inr").exists()
        kept = {path.name for path in work_directory(tmp_path / "set.inr").iterdir()}
        assert kept == {"training.json", "points.h5", "checkpoint.npz"}
        result = pack(maps, tmp_path / "set.inr", network=LONGER)
        assert result.resumed == 20
        assert interrupted == [10, 20, 30, 40]
        assert whole.resumed == 0
        assert not work_directory(tmp_path / "set.inr").exists()

    def test_the_result_is_that_of_one_run(
        self, maps: list[Path], tmp_path: Path, interrupted: list[int]
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            pack(maps, tmp_path / "set.inr", network=LONGER)
        pack(maps, tmp_path / "set.inr", network=LONGER)
        pack(maps, tmp_path / "again.inr", network=LONGER)
        assert (tmp_path / "set.inr").read_bytes() == (tmp_path / "again.inr").read_bytes()

    def test_other_maps_or_settings(self, maps: list[Path], tmp_path: Path, interrupted: list[int]) -> None:
        with pytest.raises(KeyboardInterrupt):
            pack(maps, tmp_path / "set.inr", network=LONGER)
        others: list[tuple[list[Path], dict[str, Any]]] = [
            (maps[:2], {"network": LONGER}),
            (maps, {"network": {**LONGER, "seed": 1}}),
            (maps, {"network": LONGER, "weight_bits": 8}),
            (maps, {"network": LONGER, "threshold": 0.1}),
        ]
        for sources, settings in others:
            with pytest.raises(ValueError, match=r"other maps or settings.*--restart"):
                pack(sources, tmp_path / "set.inr", **settings)
        result = pack(maps[:2], tmp_path / "set.inr", network=LONGER, restart=True)
        assert result.resumed == 0


class TestBadInput:
    def test_an_existing_file_is_kept(self, maps: list[Path], tmp_path: Path) -> None:
        (tmp_path / "set.inr").write_bytes(b"mine")
        with pytest.raises(FileExistsError, match="overwrite"):
            pack(maps, tmp_path / "set.inr", network=QUICK)
        assert (tmp_path / "set.inr").read_bytes() == b"mine"
        pack(maps, tmp_path / "set.inr", network=QUICK, overwrite=True)
        unpack(tmp_path / "set.inr", tmp_path / "back")
        with pytest.raises(FileExistsError, match=r"a\.mrc exists"):
            unpack(tmp_path / "set.inr", tmp_path / "back")
        unpack(tmp_path / "set.inr", tmp_path / "back", overwrite=True)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"snr": 30}, "no quality target"),
            ({"field": "siren"}, "'siren'"),
            ({"field": "local-fourier", "weight_bits": 8}, "belongs to field='mlp'"),
            ({"chunks": 0}, "chunks must be at least 1"),
            ({"network": {"steps": 0}}, "steps"),
            ({"threshold": 1e9}, "no density lies above"),
            ({"device": "tpu"}, "device"),
        ],
        ids=str,
    )
    def test_settings(self, maps: list[Path], tmp_path: Path, settings: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            pack(maps, tmp_path / "set.inr", **settings)
        assert not (tmp_path / "set.inr").exists()

    def test_maps(self, maps: list[Path], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no maps"):
            pack([], tmp_path / "set.inr")
        with pytest.raises(ValueError, match="two maps of the name"):
            pack([maps[0], maps[0]], tmp_path / "set.inr")
        with pytest.raises(FileNotFoundError):
            pack([tmp_path / "none.mrc"], tmp_path / "set.inr")
        with pytest.raises(FileNotFoundError, match="not a directory"):
            pack(maps, tmp_path / "none" / "set.inr")
