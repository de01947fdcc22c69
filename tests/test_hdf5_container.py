"""HDF5 files as containers: attributes as they were, links left alone, foreign chunks refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec import hdf5
from inrcodec.hdf5_container import HDF5Source, HDF5Target, read_attributes, write_attributes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.text(st.characters(exclude_characters="\0/.", exclude_categories=["Cs"]), min_size=1, max_size=20)


TAKEN = st.sampled_from(["inrcodec_json", "inrcodec", "CLASS", "NAME", "DIMENSION_LIST", "DIMENSION_LABELS"])


@settings(max_examples=100, deadline=None)
@given(attributes=st.dictionaries(NAMES | TAKEN, VALUES, max_size=5), of_dataset=st.booleans())
def test_attributes_come_back_as_they_were(attributes: dict[str, Any], of_dataset: bool) -> None:
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        item = file.create_dataset("volume", (2, 3), "f4") if of_dataset else file
        write_attributes(item, attributes)
        for dimension in item.dims if of_dataset else ():
            dimension.label = "z"
        back = read_attributes(item)
    assert back == attributes
    assert {name: type(value) for name, value in back.items()} == {
        name: type(value) for name, value in attributes.items()
    }


def test_long_lists_and_texts(tmp_path: Path) -> None:
    attributes = {"numbers": list(range(30_000)), "text": "x" * 300_000}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_attributes(file, attributes)
        assert read_attributes(file) == attributes


def test_attributes_that_are_no_json(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["link"] = file.ref
        with pytest.raises(ValueError, match="attribute 'link' of / is neither text nor numbers"):
            read_attributes(file)


@pytest.mark.parametrize(
    ("names", "value"), [("[", "1"), ("3", "1"), ("[3]", "1"), ('["a"]', "{"), ('["a"]', 7)]
)
def test_damaged_json(tmp_path: Path, names: str, value: Any) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["a"], file.attrs["inrcodec_json"] = value, names
        with pytest.raises(ValueError, match=r"attribute '(a|inrcodec_json)' of / is"):
            read_attributes(file)


def test_a_dataset_without_a_shape(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["nothing"] = h5py.Empty("f4")
    with HDF5Source(tmp_path / "x.h5") as source, pytest.raises(ValueError, match="nothing has no shape"):
        list(source.nodes())


def test_scales_and_networks_are_not_attributes(tmp_path: Path, chunk: np.ndarray) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("map", data=chunk, chunks=chunk.shape)
        file["z"] = np.arange(24.0)
        file["z"].make_scale("z")
        dataset.dims[0].attach_scale(file["z"])
        dataset.attrs[hdf5.ATTRIBUTE] = "{}"
        dataset.attrs["units"] = b"e/A^3"
        assert read_attributes(dataset) == {"units": "e/A^3"}
        assert read_attributes(file["z"]) == {}


def test_links_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("a/b").attrs["n"] = 1
        file["soft"] = h5py.SoftLink("/a")
        file["outside"] = h5py.ExternalLink("other.h5", "/")
    with HDF5Source(tmp_path / "x.h5") as source:
        assert [node.path for node in source.nodes()] == ["", "a", "a/b"]


def test_other_filters_beside_ours(tmp_path: Path, chunk: np.ndarray) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        options = dict(hdf5.INRFilter(max_error=0.1, effort=0))
        file.create_dataset("map", data=chunk, chunks=chunk.shape, fletcher32=True, **options)
    with HDF5Source(tmp_path / "x.h5") as source, pytest.raises(ValueError, match="no payloads alone"):
        list(source.nodes())


def test_a_chunk_without_its_filter(tmp_path: Path, chunk: np.ndarray) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        options = dict(hdf5.INRFilter(max_error=0.1, effort=0))
        dataset = file.create_dataset("map", chunk.shape, "f4", chunks=chunk.shape, **options)
        dataset.id.write_direct_chunk((0, 0, 0), chunk.tobytes(), filter_mask=1)
    with HDF5Source(tmp_path / "x.h5") as source:
        node = next(node for node in source.nodes() if node.path == "map")
        with pytest.raises(ValueError, match=r"chunk \(0, 0, 0\) of map was stored without its filter"):
            list(source.payloads(node))


def test_a_target_that_exists(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("years")
    with pytest.raises(FileExistsError):
        HDF5Target(tmp_path / "x.h5")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        HDF5Source(tmp_path / "x.h5")
