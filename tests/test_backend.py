"""Where arrays live: the same results on NumPy and PyTorch, and no PyTorch unless it is asked for."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from inrcodec.core import backend as backends
from inrcodec.core.backend import NUMPY, get_backend, in_threads

DEVICES = ["numpy", pytest.param("cpu", marks=pytest.mark.needs_torch)]


@pytest.mark.parametrize("device", DEVICES)
class TestEveryDevice:
    def test_is_cached(self, device: str) -> None:
        assert get_backend(device) is get_backend(device)
        assert get_backend(device).device == device

    @pytest.mark.parametrize("dtype", ["int16", "int64", "float32", "float64"])
    def test_arrays_come_back(self, device: str, dtype: str) -> None:
        array = np.arange(24).reshape(2, 3, 4).astype(dtype)
        backend = get_backend(device)
        back = backend.to_numpy(backend.asarray(array))
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)

    def test_rounds_ties_to_even_and_clips_in_place(self, device: str) -> None:
        backend = get_backend(device)
        array = backend.asarray(np.array([-3.0, -0.5, 0.5, 1.5, 2.5, 2.51, 300.0], np.float32))
        out = backend.round_clip(array, 0.0, 255.0)
        np.testing.assert_array_equal(backend.to_numpy(out), [0, 0, 0, 2, 2, 3, 255])
        if device != "numpy":
            assert out.data_ptr() == array.data_ptr()

    def test_tiles_are_small_on_a_cpu(self, device: str) -> None:
        assert 2**10 <= get_backend(device).tile <= 2**16


@pytest.mark.parametrize("device", ["gpu", "", "tpu:0", "CUDA", "mps"])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(ValueError, match='device must be "auto", "numpy", "cpu" or "cuda"'):
        get_backend(device)


@pytest.mark.needs_torch
def test_a_gpu_that_is_not_there() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="finds no GPU"):
        get_backend("cuda:0")
    assert get_backend("auto").device == "cpu"


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "has_torch", lambda: False)
    get_backend.cache_clear()
    try:
        assert get_backend("auto") is NUMPY
        with pytest.raises(ImportError, match=r"inrcodec\[train\]"):
            get_backend("cpu")
    finally:
        get_backend.cache_clear()


def test_torch_is_imported_only_when_asked_for() -> None:
    code = (
        "import sys; from inrcodec.core.backend import get_backend, has_torch; has_torch();"
        "get_backend('numpy'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parts_of_a_part_stay_in_its_thread() -> None:
    done: list[tuple[int, int]] = []
    inner: list[bool] = []

    def work(item: int) -> None:
        own = threading.get_ident()
        in_threads(lambda part: inner.append(threading.get_ident() == own), range(3))
        done.append((item, own))

    in_threads(work, range(5))
    assert sorted(item for item, _ in done) == list(range(5))
    assert threading.get_ident() not in {thread for _, thread in done}
    assert inner == [True] * 15


def test_errors_of_parts_come_out() -> None:
    def work(item: int) -> None:
        in_threads(lambda part: 1 // part, [1, 0])

    with pytest.raises(ZeroDivisionError):
        in_threads(work, [0])
