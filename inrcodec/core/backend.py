"""Where arrays live: NumPy, or PyTorch on a CPU or a GPU. PyTorch is imported only when it is asked for."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import array_api_compat.numpy
import numpy as np
from threadpoolctl import ThreadpoolController


@dataclass(frozen=True)
class Backend:
    """An array namespace (array API standard) and the device its arrays live on."""

    xp: Any
    device: str

    def asarray(self, array: Any) -> Any:
        """This backend's array of a NumPy array (dtype kept)."""
        if self.device == "numpy":
            return np.asarray(array)
        return self.xp.asarray(array, device=self.device)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """A NumPy array of this backend's array."""
        return np.asarray(array if self.device == "numpy" else array.detach().cpu().numpy())

    def round_clip(self, array: Any, low: float, high: float) -> Any:
        """Round to whole numbers (ties to even) and clip, in place."""
        if self.device == "numpy":
            np.rint(array, out=array)
            return np.clip(array, low, high, out=array)
        return array.round_().clamp_(low, high)

    @property
    def tile(self) -> int:
        """Columns that a chain of elementwise work should take at once: what stays in a CPU's cache."""
        return 2**13 if self.device in ("numpy", "cpu") else 2**24


NUMPY = Backend(array_api_compat.numpy, "numpy")


@cache
def get_backend(device: str) -> Backend:
    """The backend of a device name.

    Args:
        device: ``"numpy"``; ``"cpu"`` or ``"cuda"`` (``"cuda:1"``, ...) through PyTorch; ``"auto"``, a GPU
            where PyTorch finds one, PyTorch on the CPU where it is installed, NumPy otherwise.

    Raises:
        ImportError: PyTorch is asked for and not installed.
        ValueError: an unknown device, or one that PyTorch does not find.
    """
    if device == "numpy":
        return NUMPY
    if device == "auto":
        if not has_torch():
            return NUMPY
        import torch

        return get_backend("cuda" if torch.cuda.is_available() else "cpu")
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f'device must be "auto", "numpy", "cpu" or "cuda", got {device!r}')
    if not has_torch():
        raise ImportError(f"device {device!r} needs PyTorch: pip install 'inrcodec[train]'")
    import array_api_compat.torch
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, and PyTorch finds no GPU")
    return Backend(array_api_compat.torch, device)


class _OneThread:
    """Counts who is inside, as limits of NumPy's BLAS hold for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._limit = _controller().limit(limits=1, user_api="blas")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._limit.restore_original_limits()


# Matrix products of a decoder are many and small: threads of BLAS cost more than they bring, and where
# several chunks are decoded at once they fight for the cores.
one_blas_thread = _OneThread().__call__


_thread = threading.local()


def in_threads(work: Callable[[int], None], items: Iterable[int]) -> None:
    """Do independent parts of a work, whose time is NumPy's, on all cores; one after the other inside a part
    of such a work, where the cores are taken."""
    if getattr(_thread, "taken", False):
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(
        os.cpu_count() or 1, initializer=setattr, initargs=(_thread, "taken", True)
    ) as pool:
        list(pool.map(work, items))


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def has_torch() -> bool:
    """Whether PyTorch is installed (it is not imported)."""
    return importlib.util.find_spec("torch") is not None
