"""Training points in HDF5: complete, in random order, and never all in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlp_cases import smooth_map

h5py = pytest.importorskip("h5py")

from inrcodec import training_set  # noqa: E402
from inrcodec.core.mlp.encoding import coordinates  # noqa: E402
from inrcodec.training_set import (  # noqa: E402
    CHUNK_POINTS,
    ShuffledWriter,
    TrainingSet,
    write_training_set,
)


def everything(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with TrainingSet(path) as points:
        return points.read(0, points.count)


@pytest.mark.parametrize("slab", [1, 300, 10**9])
def test_every_occupied_voxel_once(tmp_path: Path, slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_set, "SLAB_VOXELS", slab)
    volumes = [smooth_map(shape=(9, 10, 11)), 3 * smooth_map(2, (8, 7, 6))[0]]
    summaries = write_training_set(tmp_path / "p.h5", volumes, 0.1, chunk_points=100)
    pairs, files = everything(tmp_path / "p.h5")
    for number, (volume, summary) in enumerate(zip(volumes, summaries, strict=True)):
        kept = volume > 0.1
        assert summary.points == np.count_nonzero(kept) == np.count_nonzero(files == number)
        assert summary.scale == volume.max()
        seen = volume.reshape((1, *volume.shape)) if volume.ndim == 2 else volume
        z, y, x = np.nonzero(seen > 0.1)
        axes = [coordinates(n) for n in seen.shape]
        expected = np.stack([axes[2][x], axes[1][y], axes[0][z], seen[z, y, x] / summary.scale], axis=1)
        ours = pairs[files == number]
        np.testing.assert_allclose(
            ours[np.lexsort(ours.T[:3])], expected.astype("f4")[np.lexsort(expected.T[:3])], atol=1e-6
        )


def test_chunks_and_order(tmp_path: Path) -> None:
    volumes = [np.ones((8, 8, 8), np.float32), 2 * np.ones((8, 8, 8), np.float32)]
    write_training_set(tmp_path / "p.h5", volumes, 0.0, chunk_points=128)
    with h5py.File(tmp_path / "p.h5") as file:
        assert file["pairs"].chunks == (128, 4)
        assert file["pairs"].shape == (1024, 4)
    with TrainingSet(tmp_path / "p.h5") as points:
        assert (points.count, points.files, points.part) == (1024, 2, 128)
        np.testing.assert_array_equal(points.scales, [1, 2])
        for start in range(0, 1024, 128):
            pairs, files = points.read(start, start + 128)
            # each chunk is a sample of both files and of the whole box
            assert 30 < np.count_nonzero(files) < 98
            assert np.abs(pairs[:, :3].mean(axis=0)).max() < 0.3


def test_the_same_seed_the_same_set(tmp_path: Path) -> None:
    volume = smooth_map(shape=(9, 10, 11))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_training_set(tmp_path / name, [volume], 0.0, chunk_points=64, seed=seed)
    a, b, c = (everything(tmp_path / name)[0] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_special_values_are_left_out(tmp_path: Path) -> None:
    volume = smooth_map(shape=(9, 10, 11))
    volume[0, 0, :3] = np.nan, np.inf, -np.inf
    (summary,) = write_training_set(tmp_path / "p.h5", [volume], 0.0)
    pairs, _ = everything(tmp_path / "p.h5")
    assert np.isfinite(pairs).all()
    assert summary.scale == volume[np.isfinite(volume)].max()


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (-np.ones((3, 3, 3)), "no density lies above the threshold 0"),
        (np.full((3, 3, 3), np.nan), "no density"),
        (np.full((3, 3, 3), 1e300), "largest density of 1e.300"),
        (np.ones((5000, 1, 1)), "4096 a side"),
    ],
    ids=["negative", "NaN", "large", "long"],
)
def test_volumes_that_cannot_be_learnt(tmp_path: Path, volume: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write_training_set(tmp_path / "p.h5", [volume], 0.0)
    assert not (tmp_path / "p.h5").exists()


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 to 1000000 points, got 1000001"):
        write_training_set(tmp_path / "p.h5", [np.ones((3, 3, 3))], 0.0, chunk_points=CHUNK_POINTS + 1)
    with pytest.raises(ValueError, match="got 0"):
        write_training_set(tmp_path / "p.h5", [], 0.0)
    with pytest.raises(ValueError, match="7 points are missing"), ShuffledWriter(tmp_path / "q.h5", 7, [1.0]):
        pass
    with ShuffledWriter(tmp_path / "r.h5", 1, [1.0]) as writer:
        with pytest.raises(ValueError, match="2 points for 1 places"):
            writer.put(np.zeros((2, 4), np.float32), 0)
        writer.put(np.zeros((1, 4), np.float32), 0)


@pytest.mark.parametrize("what", ["empty", "pairs", "files", "scales", "lengths"])
def test_other_files_are_refused(tmp_path: Path, what: str) -> None:
    write_training_set(tmp_path / "p.h5", [smooth_map(shape=(5, 5, 5))], 0.0)
    with h5py.File(tmp_path / "p.h5", "a") as file:
        if what == "lengths":
            del file["files"]
            file["files"] = np.zeros(3, np.uint16)
        for name in ("pairs", "files", "scales") if what == "empty" else (what,):
            if name in file and what != "lengths":
                del file[name]
    with pytest.raises(ValueError, match="not a training set"):
        TrainingSet(tmp_path / "p.h5")


def test_no_hdf5_at_all(tmp_path: Path) -> None:
    (tmp_path / "p.h5").write_bytes(b"nothing")
    with pytest.raises(OSError, match="file signature"):
        TrainingSet(tmp_path / "p.h5")


@pytest.mark.needs_torch
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are the kernel's")
def test_a_set_larger_than_the_memory_left_is_trained(tmp_path: Path) -> None:
    """A reduced case of ``python -m benchmarks.training_memory``: what may be taken is half of the set.

    The limit is the kernel's, on what the process takes beyond what a first training has left: going over
    it is an error, and holding the set would go over it.
    """
    code = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from benchmarks.training_memory import one_pass, write_points
small, large = Path(sys.argv[1]), Path(sys.argv[2])
write_points(small, 250_000, 100_000)
one_pass(small, 8192)  # whatever the libraries take once
size = write_points(large, 2_400_000, 100_000)
taken = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (taken + size // 2,) * 2)
trained = one_pass(large, 8192)
assert trained.steps == 2_400_000 // 8192, trained.steps
assert size > 40 * 2**20, size
try:
    held = bytearray(size)  # the limit holds: the set itself does not fit
except MemoryError:
    print("done")
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "small.h5"), str(tmp_path / "large.h5")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.stdout.strip() == "done", result.stderr
