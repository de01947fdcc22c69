"""Golden files: payloads of earlier days decode to the same voxels, wherever they are decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden import make

from inrcodec import core
from inrcodec.container import Container
from inrcodec.core.encoder import is_fortran
from inrcodec.core.payload import DTYPES, Field, Payload, Section

GOLDEN = Path(make.__file__).parent
NAMES = sorted(path.stem for path in GOLDEN.glob("*.inr"))
PLACES = [
    pytest.param("numpy", None, id="numpy"),
    pytest.param("cpu", 1, id="torch-1-thread", marks=pytest.mark.needs_torch),
    pytest.param("cpu", 2, id="torch-2-threads", marks=pytest.mark.needs_torch),
]


def payload_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.inr").read_bytes()


def model_of(name: str) -> core.VolumeModel | None:
    path = GOLDEN / f"{name}.json"
    return core.VolumeModel.from_config(json.loads(path.read_text("ascii"))) if path.exists() else None


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("device", "threads"), PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_voxels_are_the_recorded_ones(name: str, device: str, threads: int | None) -> None:
    with torch_threads(threads):
        (decoded,) = core.decode_many([payload_of(name)], volume=model_of(name), device=device)
    assert make.sha256(decoded) == (GOLDEN / f"{name}.sha256").read_text("ascii").strip()


@pytest.mark.parametrize("name", NAMES)
def test_regions_are_cut_from_the_same_voxels(name: str) -> None:
    payload, model = payload_of(name), model_of(name)
    (whole,) = core.decode_many([payload], volume=model)
    region = tuple(slice(n // 3, n - n // 4 or None) for n in whole.shape)
    np.testing.assert_array_equal(core.decode_region(payload, region, volume=model), whole[region])


def test_the_list_of_cases_is_complete() -> None:
    assert set(make.CASES) == set(NAMES)
    assert {path.stem for path in GOLDEN.glob("*.sha256")} == set(NAMES)
    with_models = {name for name, case in make.CASES.items() if case.fit is not None}
    assert {path.stem for path in GOLDEN.glob("*.json")} == with_models


@pytest.mark.parametrize("name", sorted(make.CASES))
def test_each_holds_what_it_is_there_for(name: str) -> None:
    chunk = make.CASES[name].chunk()
    make.check(name, payload_of(name), chunk)
    (decoded,) = core.decode_many([payload_of(name)], volume=model_of(name))
    assert is_fortran(decoded) == is_fortran(chunk)


def test_symmetric_ones_hold_what_symmetry_leaves() -> None:
    kept = {}
    for name in ("symmetry-d2-ligand-f4", "symmetry-icosahedral-f4", "symmetry-helix-i2"):
        payload = Payload.from_bytes(payload_of(name))
        kept[name] = len(payload.section(Section.LATENTS)), len(payload.section(Section.SYMMETRY))
        alone = {s: b for s, b in payload.sections.items() if s != Section.SYMMETRY}
        (rest,) = core.decode_many([replace(payload, sections=alone).to_bytes()], volume=model_of(name))
        (whole,) = core.decode_many([payload_of(name)], volume=model_of(name))
        assert np.var(rest.astype(float)) < 0.5 * np.var(whole.astype(float))
    assert min(kept["symmetry-d2-ligand-f4"]) > 40  # bytes of both fields


def test_together_they_cover_the_format() -> None:
    infos = [core.inspect(payload_of(name)) for name in NAMES]
    packs = [Container.from_bytes(path.read_bytes()) for path in GOLDEN.glob("packs/*.inr")]
    infos += [core.inspect(payload) for pack in packs for one in pack.maps for payload in one.payloads]
    assert {info.field for info in infos} == {field.name.lower().replace("_", "-") for field in Field}
    assert {section for info in infos for section in info.sections} == {s.name.lower() for s in Section}
    assert {info.target for info in infos} == {"none", "snr", "max_error", "ratio"}
    assert {info.scope for info in infos} == {"chunk", "volume"}
    assert {info.dtype.name for info in infos} == set(DTYPES.values())
    assert {len(info.shape) for info in infos} == {1, 2, 3, 4}


def test_they_can_be_made_again(tmp_path: Path) -> None:
    name = "prior-f4"
    assert make.make(name, tmp_path) == len((tmp_path / f"{name}.inr").read_bytes())
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.inr", f"{name}.sha256"}
