"""Builds the plugin with the system's C compiler. No headers are needed beyond those of C itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from inrcodec.hdf5_client_data import FILTER_ID
from inrcodec.native import tables

LIBRARY = "libinrcodec_hdf5.so"
HERE = Path(__file__).parent
SOURCES = sorted(path.name for path in HERE.glob("*.c"))
# the voxels depend on it: a fused multiply-add rounds once where the format rounds twice
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra")

# distributions put the plain name into a package for developers; the other one is there wherever HDF5 is
_ZLIB = (("-lz",), ("-l:libz.so.1",))
_BLOSC = (("-lblosc",), ("-l:libblosc.so.1",))


class BuildError(RuntimeError):
    """There is no C compiler or no zlib, or the compiler refuses."""


def build(
    out: str | os.PathLike[str], *, compiler: str | None = None, flags: Sequence[str] = (), blosc: bool = True
) -> Path:
    """Compile the plugin.

    Args:
        out: folder to put it in; made if it is not there.
        compiler: command of the C compiler; None is that of ``CC``, or ``cc``.
        flags: more flags for the compiler.
        blosc: whether to link Blosc where it is found; lossless chunks need it.

    Returns:
        The path of the plugin.

    Raises:
        BuildError: with the compiler's own words.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return compile_sources(
        folder / LIBRARY, SOURCES, compiler=compiler, flags=("-shared", "-fPIC", *flags), blosc=blosc
    )


def compile_sources(
    target: Path,
    sources: Sequence[str | Path],
    *,
    compiler: str | None = None,
    flags: Sequence[str] = (),
    blosc: bool = True,
) -> Path:
    """Compile some of the decoder's files, and its tables, to a file that appears when it is complete."""
    command = compiler or os.environ.get("CC") or "cc"
    if shutil.which(command) is None:
        raise BuildError(f"no C compiler: {command} is not there; install one or name it with --compiler")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "tables.c").write_text(tables.source(), "ascii")
        zlib = _linking(command, work, "uncompress2", _ZLIB)
        if zlib is None:
            raise BuildError("zlib is not found, and the decoder needs it")
        found = _linking(command, work, "blosc_cbuffer_validate", _BLOSC) if blosc else None
        _run(
            command,
            *FLAGS,
            *flags,
            f"-DINRCODEC_FILTER_ID={FILTER_ID}",
            *(() if found is None else ("-DINRCODEC_BLOSC",)),
            f"-I{HERE}",
            *(str(HERE / source) for source in sources),
            str(work / "tables.c"),
            "-o",
            str(work / "out"),
            *zlib,
            *(found or ()),
            "-lm",
            "-ldl",
        )
        # in the same folder first: programs may be loading the old one
        part = target.with_name(target.name + ".part")
        shutil.copyfile(work / "out", part)
        shutil.copymode(work / "out", part)
        part.replace(target)
    return target


def _linking(
    command: str, work: Path, symbol: str, ways: Sequence[tuple[str, ...]]
) -> tuple[str, ...] | None:
    """The flags that link a library which has a symbol, or None."""
    probe = work / "probe.c"
    probe.write_text(f"int {symbol}(void);\nint main(void) {{ return {symbol}(); }}\n", "ascii")
    for way in ways:
        try:
            _run(command, str(probe), "-o", str(work / "probe"), *way)
        except BuildError:
            continue
        return way
    return None


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"{command[0]} refuses:\n{result.stderr}")
