"""What a payload says of itself, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrcodec.core.payload import Payload


@dataclass(frozen=True)
class PayloadInfo:
    """A payload's own description.

    Attributes:
        shape: voxels per axis, in array order.
        dtype: of the decoded chunk, byte order included.
        field: ``constant``, ``lossless`` or ``local-fourier``.
        scope: ``chunk`` (networks in the payload or the built-in prior) or ``volume``.
        target, target_value: the quality target the chunk was encoded for.
        nbytes: the payload's length.
        sections: bytes per section.
        details: what the field adds (block length, step, ...).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    field: str
    scope: str
    target: str
    target_value: float
    nbytes: int
    sections: dict[str, int]
    details: dict[str, Any]

    @property
    def ratio(self) -> float:
        """Original bytes over payload bytes."""
        return float(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize / self.nbytes


def inspect(data: bytes) -> PayloadInfo:
    """Describe a payload (checksum and lengths are checked, voxels are not decoded).

    Raises:
        PayloadError: the payload is damaged.
    """
    payload = Payload.from_bytes(data)
    return PayloadInfo(
        shape=payload.shape,
        dtype=payload.dtype,
        field=payload.field.name.lower().replace("_", "-"),
        scope=payload.scope,
        target=payload.target,
        target_value=payload.target_value,
        nbytes=len(data),
        sections={section.name.lower(): len(body) for section, body in payload.sections.items()},
        details={},
    )
