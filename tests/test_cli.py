"""The commands as a user types them: output, exit codes, one-line errors, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from inrcodec import cli, maps
from inrcodec.quality import Quality

SCRIPT = Path(sys.executable).with_name("inrcodec")


@pytest.fixture
def here(tmp_path, volume, monkeypatch):
    """A directory with a map, made the working directory."""
    with mrcfile.new(tmp_path / "a.mrc", volume) as file:
        file.voxel_size = 1.25
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


class TestCommands:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_a_map_there_and_back(self, here, run, zarr_format):
        code, out, err = run(
            "compress", "a.mrc", "a.zarr", "--snr", 25, "--effort", 0, "--zarr-format", zarr_format
        )
        assert (code, err) == (0, "")
        assert "snr 25 dB: met" in out
        code, out, _ = run("info", "a.zarr")
        assert code == 0
        assert f"28 x 26 x 24 float32, zarr format {zarr_format}" in out
        assert "snr 25 dB, effort 0" in out
        assert "traits          box of 17,472 voxels, all voxels represented" in out
        for word in (
            "chosen          block ",
            "bit per voxel estimated",
            "chosen          cell none: no background",
        ):
            assert word in out
        code, out, _ = run("verify", "a.mrc", "a.zarr")
        assert code == 0
        for word in ("SNR", "largest error", "bits per voxel", "ratio", "FSC < 0.999", "1/A"):
            assert word in out
        assert run("decompress", "a.zarr", "b.mrc")[0] == 0
        assert (here / "b.mrc").read_bytes()[:1024] == (here / "a.mrc").read_bytes()[:1024]

    def test_a_pyramid(self, here, run, volume):
        with mrcfile.new("b.mrc", np.pad(volume, 4)) as file:
            file.voxel_size = 1.25
        assert run("compress", "b.mrc", "b.zarr", "--effort", 0, "--chunks", 20, "--pyramid")[0] == 0
        code, out, _ = run("info", "b.zarr")
        assert code == 0
        assert "level           18 x 17 x 16\n" in out
        assert run("verify", "b.mrc", "b.zarr")[0] == 0
        code, _, err = run("compress", "b.mrc", "c.zarr", "--effort", 0, "--pyramid", 3)
        assert code == 2
        assert "3 pyramid levels" in err
        assert run("compress", "b.mrc", "c.zarr", "--effort", 0, "--pyramid", 2)[0] == 0
        assert "level           18 x 17 x 16\n" in run("info", "c.zarr")[1]

    @pytest.mark.parametrize(("option", "value"), [("--max-error", 0.01), ("--ratio", 6)])
    def test_other_targets(self, here, run, option, value):
        code, out, _ = run("compress", "a.mrc", "a.zarr", option, value, "--effort", 0)
        assert code == 0
        assert f"{option[2:].replace('-', '_')} {value}: met" in out

    def test_fourier_shell_correlation(self, here, run):
        code, out, _ = run("compress", "a.mrc", "a.zarr", "--fsc", 0.95, "--effort", 0)
        assert code == 0
        assert "fsc 0.95: met" in out
        assert "A, estimated from the map's spectrum" in out
        code, out, _ = run("info", "a.zarr")
        assert "A, estimated from the map's spectrum" in out
        assert "of the Nyquist frequency" in out
        arguments = ("compress", "a.mrc", "a.zarr", "--fsc", 0.95, "--resolution", 6, "--effort", 0)
        assert run(*arguments, "--overwrite")[0] == 0
        code, out, _ = run("verify", "a.mrc", "a.zarr")
        assert code == 0
        assert "resolution      6.000 A, as given" in out
        assert "up to the resolution" in out

    def test_a_missed_shell_is_said(self, here, run, volume):
        run("compress", "a.mrc", "a.zarr", "--fsc", 0.95, "--effort", 0)
        with mrcfile.new(here / "b.mrc", volume + np.float32(0.5) * volume[::-1]) as file:
            file.voxel_size = 1.25
        code, out, _ = run("verify", "b.mrc", "a.zarr")
        assert code == 1
        assert "fsc 0.95: NOT MET" in out

    def test_a_plot(self, here, run):
        pytest.importorskip("matplotlib")
        run("compress", "a.mrc", "a.zarr", "--effort", 0)
        assert run("verify", "a.mrc", "a.zarr", "--plot", "fsc.png")[0] == 0
        assert (here / "fsc.png").read_bytes()[1:4] == b"PNG"

    def test_threshold(self, here, run):
        assert run("compress", "a.mrc", "a.zarr", "--threshold", 0.1, "--effort", 0)[0] == 0
        assert "threshold       0.1" in run("info", "a.zarr")[1]
        assert run("verify", "a.mrc", "a.zarr")[0] == 0

    def test_overwrite(self, here, run):
        arguments = ("compress", "a.mrc", "a.zarr", "--effort", 0)
        assert run(*arguments)[0] == 0
        code, _, err = run(*arguments)
        assert (code, err) == (2, "inrcodec: a.zarr exists; --overwrite (overwrite=True) replaces it\n")
        assert run(*arguments, "--overwrite")[0] == 0

    @pytest.mark.parametrize("command", ["compress", "verify"])
    def test_a_missed_target_is_said(self, here, run, monkeypatch, command):
        run("compress", "a.mrc", "a.zarr", "--snr", 25, "--effort", 0)
        monkeypatch.setattr(maps, "measure", lambda *arguments: Quality(24.9, 1.0, None, True))
        arguments = ("--snr", 25, "--effort", 0, "--overwrite") if command == "compress" else ()
        code, out, _ = run(command, "a.mrc", "a.zarr", *arguments)
        assert code == 1
        assert "snr 25 dB: NOT MET" in out
        assert "24.90 dB" in out

    def test_a_changed_store_is_said(self, here, run, volume):
        import zarr

        run("compress", "a.mrc", "a.zarr", "--effort", 0)
        zarr.open("a.zarr", mode="r+")["0"][...] = volume[::-1]
        code, _, err = run("decompress", "a.zarr", "b.mrc")
        assert (code, err) == (1, "inrcodec: a.zarr was changed after it was made\n")

    def test_permissive(self, here, run):
        data = bytearray((here / "a.mrc").read_bytes())
        data[208:216] = bytes(8)
        (here / "a.mrc").write_bytes(data)
        code, _, err = run("compress", "a.mrc", "a.zarr", "--effort", 0)
        assert code == 2
        assert "permissive" in err
        code, _, err = run("compress", "a.mrc", "a.zarr", "--effort", 0, "--permissive")
        assert code == 0
        assert "warning: Map ID string not found" in err


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("compress", "no.mrc", "a.zarr"), "no.mrc"),
            (("compress", "noise.mrc", "a.zarr"), "noise.mrc"),
            (("compress", "a.mrc", "no/a.zarr"), "no is not a directory"),
            (("compress", "a.mrc", "a.zarr", "--effort", "10"), "effort"),
            (("compress", "a.mrc", "a.zarr", "--ratio", "0.5"), "ratio must be at least 1"),
            (("compress", "a.mrc", "a.zarr", "--max-error", "-1"), "max_error must be positive"),
            (("compress", "a.mrc", "a.zarr", "--snr", "nan"), "snr must be finite"),
            (("compress", "a.mrc", "a.zarr", "--fsc", "1.5"), "fsc must be between"),
            (("compress", "a.mrc", "a.zarr", "--resolution", "3"), "resolution belongs to an fsc target"),
            (("compress", "a.mrc", "a.zarr", "--fsc", "0.9", "--resolution", "-3"), "resolution must be"),
            (("compress", "a.mrc", "a.zarr", "--chunks", "0"), "chunks must be at least 1"),
            (("compress", "a.mrc", "a.zarr", "--device", "abacus"), "device"),
            (("decompress", "no.zarr", "b.mrc"), "no.zarr is not a directory"),
            (("decompress", ".", "b.mrc"), "not a zarr store"),
            (("info", "a.mrc"), "a.mrc is not a directory"),
            (("verify", "a.mrc", "."), "not a zarr store"),
            (("demo", "--size", "3"), "size must be 16 to 512"),
        ],
    )
    def test_one_line_and_exit_code_2(self, here, run, arguments, message):
        (here / "noise.mrc").write_bytes(bytes(range(256)) * 8)
        code, out, err = run(*arguments)
        assert code == 2
        assert message in err
        assert err.startswith("inrcodec: ")
        assert err.count("\n") == 1
        assert out == ""
        assert {path.name for path in here.iterdir()} == {"a.mrc", "noise.mrc"}

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("frobnicate",),
            ("compress", "a.mrc"),
            ("compress", "a.mrc", "a.zarr", "--snr", "20", "--ratio", "9"),
            ("compress", "a.mrc", "a.zarr", "--zarr-format", "4"),
            ("compress", "a.mrc", "a.zarr", "--chunks", "many"),
        ],
    )
    def test_usage(self, here, run, arguments):
        with pytest.raises(SystemExit) as error:
            run(*arguments)
        assert error.value.code == 2

    @pytest.mark.parametrize(
        ("missing", "message"),
        [
            ("mrcfile", "inrcodec[mrc]"),
            ("torch", "--effort 0"),
            ("h5py", "inrcodec[pack]"),
            ("zarr", "[mrc]"),
        ],
    )
    def test_missing_packages(self, here, run, monkeypatch, missing, message):
        def compress(*arguments, **options):
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

        monkeypatch.setattr(maps, "compress", compress)
        code, _, err = run("compress", "a.mrc", "a.zarr")
        assert code == 2
        assert message in err

    def test_a_defect_is_not_hidden(self, here, run, monkeypatch):
        def compress(*arguments, **options):
            raise ModuleNotFoundError("No module named 'inrcodec.nothing'", name="inrcodec.nothing")

        monkeypatch.setattr(maps, "compress", compress)
        with pytest.raises(ModuleNotFoundError):
            run("compress", "a.mrc", "a.zarr")


class TestProcess:
    def test_installed_command(self, here):
        done = subprocess.run(
            [SCRIPT, "compress", "a.mrc", "a.zarr", "--snr", "25", "--effort", "0"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "snr 25 dB: met" in done.stdout
        assert done.stderr == ""  # no progress bars where there is no terminal

    def test_help_needs_no_other_package(self, tmp_path):
        code = textwrap.dedent("""
            import sys
            from inrcodec import cli
            try:
                cli.main(["--help"])
            finally:
                assert not {"zarr", "mrcfile", "torch", "numpy"} & set(sys.modules)
        """)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "compress" in done.stdout

    @pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
    def test_ctrl_c(self, here):
        """A real SIGINT after the first batch of chunks is written."""
        code = textwrap.dedent(f"""
            import os, sys
            from inrcodec import cli, store
            store._BATCH_VOXELS = 1
            write_array = store.write_array
            def interrupted(*arguments):
                return write_array(*arguments[:-1], lambda fraction: os.kill(os.getpid(), {signal.SIGINT:d}))
            store.write_array = interrupted
            sys.exit(cli.main(["compress", "a.mrc", "a.zarr", "--effort", "0", "--chunks", "14"]))
        """)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert done.returncode == 130, done.stderr
        assert done.stderr == "inrcodec: interrupted, nothing is written\n"
        assert [path.name for path in here.iterdir()] == ["a.mrc"]


def test_progress_bars(here, run, monkeypatch):
    """A terminal gets a bar for every stage."""
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli.main(["compress", "a.mrc", "a.zarr", "--effort", "0", "--chunks", "14"]) == 0
    assert "writing: 100%" in terminal.getvalue()


def test_map_of_integers(here, run):
    with mrcfile.new("i.mrc", np.arange(8 * 9 * 10, dtype="i2").reshape(8, 9, 10)):
        pass
    assert run("compress", "i.mrc", "i.zarr", "--max-error", 2, "--effort", 0)[0] == 0
    assert run("verify", "i.mrc", "i.zarr")[0] == 0
