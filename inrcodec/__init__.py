"""Cryo-EM density as implicit neural representations, stored in zarr chunks.

Importing the package loads nothing but this file; each public name brings its own module when first used, and
nothing here imports PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from inrcodec import metrics
    from inrcodec.codec import INRCodec
    from inrcodec.core import PayloadError, PayloadInfo, VolumeModel, inspect
    from inrcodec.zarr_v3 import INRSerializer

    __version__: str

__all__ = [
    "INRCodec",
    "INRSerializer",
    "PayloadError",
    "PayloadInfo",
    "__version__",
    "decode",
    "inspect",
    "metrics",
]

_HOME = {
    "INRCodec": "inrcodec.codec",
    "INRSerializer": "inrcodec.zarr_v3",
    "PayloadError": "inrcodec.core",
    "PayloadInfo": "inrcodec.core",
    "inspect": "inrcodec.core",
}


def decode(
    payload: bytes, *, volume: VolumeModel | None = None, device: str = "numpy"
) -> np.ndarray[Any, Any]:
    """Decode one payload.

    Args:
        payload: the bytes of one chunk, as any of the adapters stored them.
        volume: the volume's shared networks, ``codec.volume`` of the codec that wrote the payload. Payloads
            of volume scope need it, others ignore it.
        device: ``"numpy"``, or ``"cpu"`` or ``"cuda"`` for PyTorch; the voxels are the same on all.

    Returns:
        The chunk in its own shape, dtype, byte order and memory order; densities in the original's units.

    Raises:
        PayloadError: the payload is damaged, or of volume scope and ``volume`` is missing or another's.
    """
    from inrcodec.core import decode_many

    return decode_many([payload], volume=volume, device=device)[0]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name == "metrics":
        value = importlib.import_module("inrcodec.metrics")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("inrcodec")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
