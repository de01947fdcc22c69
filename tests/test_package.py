"""What an installation promises: discovery, a light import, decoding without PyTorch."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from conftest import snr_of

import inrcodec
from inrcodec import INRCodec


def run(code: str, *arguments: object) -> str:
    """Run code in a fresh interpreter in which warnings are errors; returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_discovery_through_importlib_metadata() -> None:
    (numcodecs_entry,) = metadata.entry_points(group="numcodecs.codecs", name="inr")
    assert numcodecs_entry.load() is INRCodec
    (zarr_entry,) = metadata.entry_points(group="zarr.codecs", name="inrcodec.inr")
    assert zarr_entry.value == "inrcodec.zarr_v3:INRSerializer"
    (script,) = metadata.entry_points(group="console_scripts", name="inrcodec")
    assert script.value == "inrcodec.cli:main"


def test_discovery_through_the_entrypoints_package() -> None:
    # Old releases of numcodecs and of its neighbours look there.
    entrypoints = pytest.importorskip("entrypoints")
    assert entrypoints.get_single("numcodecs.codecs", "inr").load() is INRCodec


def test_discovery_by_numcodecs_alone() -> None:
    print_codec = "import numcodecs; print(numcodecs.get_codec({'id': 'inr', 'max_error': 0.5}))"
    assert run(print_codec).strip() == "INRCodec(max_error=0.5, effort=3)"


def test_import_is_light() -> None:
    measure = (
        "import sys, time; start = time.perf_counter(); import inrcodec; print(time.perf_counter() - start)\n"
        "assert not {'torch', 'zarr', 'numcodecs', 'numpy'} & set(sys.modules)"
    )
    assert min(float(run(measure)) for _ in range(3)) < 0.3


@pytest.mark.parametrize("name", ["INRCodec", "PayloadError", "PayloadInfo", "decode", "inspect", "metrics"])
def test_public_names_do_not_import_torch(name: str) -> None:
    run(f"import sys, inrcodec; inrcodec.{name}; assert not {{'torch', 'zarr'}} & set(sys.modules)")


def test_namespace() -> None:
    assert inrcodec.__version__ == metadata.version("inrcodec")
    assert set(inrcodec.__all__) <= set(dir(inrcodec))
    assert issubclass(inrcodec.PayloadError, ValueError)
    with pytest.raises(AttributeError, match="no attribute 'Codec'"):
        _ = inrcodec.Codec
    assert (Path(inrcodec.__file__).parent / "py.typed").exists()


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None\n"  # importing it raises ImportError from now on


@pytest.mark.needs_torch
def test_decoding_without_torch(tmp_path: Path, chunk: np.ndarray) -> None:
    codec = INRCodec()
    (tmp_path / "payload").write_bytes(codec.encode(chunk))
    run(
        WITHOUT_TORCH + "import inrcodec, numpy\n"
        "payload = open(sys.argv[1], 'rb').read()\n"
        "numpy.save(sys.argv[2], inrcodec.decode(payload))",
        tmp_path / "payload",
        tmp_path / "out.npy",
    )
    decoded = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(decoded, codec.decode((tmp_path / "payload").read_bytes()))
    assert snr_of(chunk, decoded) >= 30 - 0.01


def test_effort_0_needs_no_torch() -> None:
    run(
        WITHOUT_TORCH + "import inrcodec, numpy\n"
        "chunk = numpy.linspace(0, 1, 4096, dtype='f4').reshape(16, 16, 16)\n"
        "codec = inrcodec.INRCodec(max_error=0.01, effort=0)\n"
        "assert abs(codec.decode(codec.encode(chunk)) - chunk).max() <= 0.01"
    )


def test_training_without_torch_says_what_to_install() -> None:
    run(
        WITHOUT_TORCH + "import inrcodec, numpy\n"
        "try:\n"
        "    inrcodec.INRCodec().encode(numpy.random.default_rng(0).normal(size=(16, 16, 16)))\n"
        "except ImportError as error:\n"
        "    assert 'inrcodec[train]' in str(error) and 'effort=0' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('encoded without training')"
    )


def test_serializer_on_zarr_2_says_what_it_needs() -> None:
    zarr = pytest.importorskip("zarr")
    if zarr.__version__.startswith("2."):
        with pytest.raises(ImportError, match="needs zarr 3"):
            _ = inrcodec.INRSerializer
        with pytest.raises(ImportError, match="needs zarr 3"):
            INRCodec().serializer()
    else:
        assert INRCodec().serializer() == inrcodec.INRSerializer()


@pytest.mark.needs_torch
def test_decoding_an_mlp_without_torch(tmp_path: Path, chunk: np.ndarray) -> None:
    codec = INRCodec(field="mlp", network={"widths": [8], "layers": 3, "steps": 2}, device="cpu")
    (tmp_path / "payload").write_bytes(codec.encode(chunk))
    run(
        WITHOUT_TORCH + "import inrcodec, numpy\n"
        "payload = open(sys.argv[1], 'rb').read()\n"
        "numpy.save(sys.argv[2], inrcodec.decode(payload))\n"
        "try:\n"
        "    inrcodec.INRCodec(field='mlp').encode(numpy.random.default_rng(0).normal(size=(8, 8, 8)))\n"
        "except ImportError as error:\n"
        "    assert 'inrcodec[train]' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('encoded without training')",
        tmp_path / "payload",
        tmp_path / "out.npy",
    )
    np.testing.assert_array_equal(
        np.load(tmp_path / "out.npy"), codec.decode((tmp_path / "payload").read_bytes())
    )


@pytest.mark.needs_torch
def test_example_of_the_seed_paper() -> None:
    """The pipeline on a small generated map: the share of the paper, 88 %."""
    pytest.importorskip("mrcfile")
    pytest.importorskip("h5py")
    example = (Path(__file__).parent.parent / "examples" / "seed_paper.py").read_text()
    said = run(example)
    share = float(re.search(r"([\d.]+)% of the voxels above 0.1", said)[1])
    assert share >= 88
    assert "'occupancy'" in said
