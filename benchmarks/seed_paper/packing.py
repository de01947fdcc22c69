"""Many maps in one file with one network: ``inrcodec pack`` with the paper's network, and local-Fourier."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from benchmarks.seed_paper import errors, training
from benchmarks.seed_paper.bench import RATIO, Bench, Map
from benchmarks.seed_paper.parts import SNR
from benchmarks.seed_paper.records import Row, error_columns
from inrcodec import metrics
from inrcodec.core.mlp import chunks, occupancy
from inrcodec.mrc import open_volume
from inrcodec.pack import pack
from inrcodec.unpack import unpack

_ENTRY = 1500  # bytes of a map in a container besides its occupancy: identifier, header, frame


def packed(bench: Bench, maps: Sequence[Map]) -> Iterator[None]:
    """All generated maps of 10 to 20 A in one container each of the paper's network and of local-Fourier."""
    if not maps:
        yield
        return
    original = sum(volume.data.nbytes for volume in maps)
    network = bench.plan.network(bench.plan.pack_steps)
    room = int(original / RATIO) - sum(_mask_bytes(volume) for volume in maps)
    if network.widths is None:
        network = replace(network, widths=training.widths_for(network, bench.plan.weight_bits, room))
    fields: dict[str, dict[str, Any]] = {
        "mlp": {"threshold": 0.0, "network": network.to_config(), "weight_bits": bench.plan.weight_bits},
        "local-fourier": {"snr": SNR, "effort": max(1, bench.plan.effort), "chunks": 128},
    }
    for field, settings in fields.items():
        if all(("packed", volume.name, field, "shared") in bench.records for volume in maps):
            yield
            continue
        with tempfile.TemporaryDirectory() as folder:
            sources = [Path(folder) / f"{volume.name}.mrc" for volume in maps]
            for path, volume in zip(sources, maps, strict=True):
                _write(path, volume.data)
            target = Path(folder) / "set.inr"
            result = pack(
                sources,
                target,
                field=field,
                device=bench.plan.device,
                progress=lambda stage, fraction, f=field: bench.note(f"pack {f} {stage} {fraction:.0%}"),
                **settings,
            )
            unpack(target, Path(folder) / "back")
            for path, volume in zip(sources, maps, strict=True):
                back = np.asarray(open_volume(Path(folder) / "back" / path.name).data)
                bench.records.add(
                    Row(
                        "packed",
                        volume.name,
                        field,
                        "shared",
                        volume.shape,
                        original=original,
                        nbytes=result.total,
                        ratio=original / result.total,
                        snr=metrics.snr(volume.data, back),
                        **error_columns(errors.measure(volume.data, back, 0.0)),
                        note=result.network,
                    )
                )
        yield


def _mask_bytes(volume: Map) -> int:
    return len(occupancy.compress(chunks.is_occupied(volume.data, 0.0))) + _ENTRY


def _write(path: Path, data: np.ndarray[Any, Any]) -> None:
    with mrcfile.new(path, data) as file:
        file.voxel_size = 1.0
