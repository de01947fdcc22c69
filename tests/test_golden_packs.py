"""Golden containers: maps packed in earlier days decode to the same voxels, predicted ones too."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mrcfile")
pytest.importorskip("h5py")

from golden import make_packs
from golden.make import sha256

from inrcodec.container import Container
from inrcodec.core.payload import Payload, Section
from inrcodec.unpack import decode_map, reference_distances

FOLDER = make_packs.HERE


def container_of(name: str) -> Container:
    return Container.from_bytes((FOLDER / f"{name}.inr").read_bytes())


@pytest.mark.parametrize(
    "device", ["numpy", pytest.param("cpu", marks=pytest.mark.needs_torch)], ids=["numpy", "torch"]
)
@pytest.mark.parametrize("name", make_packs.PACKS)
def test_voxels_are_the_recorded_ones(name: str, device: str) -> None:
    container = container_of(name)
    sums = (FOLDER / f"{name}.sha256").read_text("ascii").split()
    assert [sha256(decode_map(container, i, device)) for i in range(len(container.maps))] == sums


def test_the_list_is_complete() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(make_packs.PACKS)


def test_they_hold_what_they_are_there_for() -> None:
    container = container_of("half-maps")
    payloads = [p for one in container.maps for p in one.payloads]
    _, *others = (reference_distances(one) for one in container.maps)
    assert any(len(distances) > 1 for found in others for distances in found)
    assert others[0] == [(1,)]  # so what is predicted from that one is at the end of a chain
    sections = [Payload.from_bytes(payload).sections for payload in payloads]
    assert any(Section.PREDICTION in held for held in sections)
    assert any(Section.PREDICTION not in held for held in sections)
    assert {one.dtype.kind for one in container.maps} == {"f", "i"}


def test_they_can_be_made_again(tmp_path: Path) -> None:
    assert make_packs.make("half-maps", tmp_path) == len((tmp_path / "half-maps.inr").read_bytes())
    assert {path.suffix for path in tmp_path.iterdir()} == {".inr", ".sha256"}
