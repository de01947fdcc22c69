"""The main job through the command line: map to zarr store and back, in processes of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import latency, peers, report

_MAIN = "import sys; from inrcodec.cli import main; sys.exit(main())"


def through_command_line(path: Path, snr: float, chunk: int, effort: int) -> report.Row:
    """Compress, verify and decompress one map; seconds include the start of Python.

    ``bits`` counts every file of the store: chunks, metadata, header.
    """
    with tempfile.TemporaryDirectory() as folder:
        store, back = Path(folder) / "store.zarr", Path(folder) / "back.mrc"
        quality = ["--snr", f"{snr:g}", "--chunks", str(chunk), "--effort", str(effort)]
        code, compress_s, text = _run("compress", str(path), str(store), *quality)
        row: report.Row = {"map": report.map_name(path), "target": snr, "chunks": chunk}
        if code:
            return row | {"exit": f"compress {code}", "output": text[-200:].replace("\n", " ")}
        volume = report.read_map(path)
        files = [f for f in store.rglob("*") if f.is_file()]
        nbytes = sum(f.stat().st_size for f in files)
        verified, verify_s, text = _run("verify", str(path), str(store))
        decompressed, decompress_s, _ = _run("decompress", str(store), str(back))
        snr_back = None
        if not decompressed:
            snr_back = peers.snr_db(volume, latency.squared_error(volume, report.read_map(back)))
        return row | {
            "bits": nbytes * 8 / volume.size,
            "bytes": nbytes,
            "files": len(files),
            "snr": snr_back,
            "compress s": compress_s,
            "decompress s": decompress_s,
            "verify s": verify_s,
            "exit": f"{code} {decompressed} {verified}",
            "verify": re.sub(r"\s+", " ", text.strip())[:160],
        }


def _run(*arguments: str) -> tuple[int, float, str]:
    """Exit code, seconds, and what the command printed."""
    command = [sys.executable, "-c", _MAIN, *arguments]
    done, seconds = latency.timed(
        lambda: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    return done.returncode, seconds, done.stdout + done.stderr
