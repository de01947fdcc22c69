"""Writing a map into a ``.mrc.inr`` file: whole maps only, and the payloads that a store has."""

from __future__ import annotations

import gzip

import mrcfile
import numpy as np
import pytest
from mrc_files import QUICK, densities, reader_of, write_map

from inrcodec import maps, mrc_writer
from inrcodec.mrc_writer import MRCWriter, compress_map
from inrcodec.options import MapOptions

OPTIONS = MapOptions.from_mapping(QUICK)


class Sink:
    """What a writer handed over, and how often it gave up."""

    def __init__(self):
        self.delivered, self.abandoned = [], 0

    def writer(self, options=OPTIONS):
        return MRCWriter(options, self.delivered.append, self._abandon)

    def _abandon(self):
        self.abandoned += 1


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def original(tmp_path, volume):
    return write_map(tmp_path / "a.mrc", volume[:12, :12, :12], b"extended")


class TestWriting:
    @pytest.mark.parametrize("piece", [999, 10**9])
    def test_bytes_in_any_pieces(self, sink, original, piece):
        with sink.writer() as writer:
            assert writer.writable()
            for start in range(0, len(original), piece):
                assert writer.write(original[start : start + piece]) == len(original[start : start + piece])
        assert sink.abandoned == 0
        (data,) = sink.delivered
        back = reader_of(data)[0].read()
        assert back[:1032] == original[:1032]
        assert len(back) == len(original)

    def test_mrcfile_writes_through_it(self, sink, volume):
        with sink.writer() as writer:
            interpreter = mrcfile.mrcinterpreter.MrcInterpreter()
            interpreter._create_default_attributes()
            interpreter._iostream = writer
            interpreter.set_data(volume[:12, :12, :12])
            interpreter.close()
        error = densities(reader_of(sink.delivered[0])[0].read()) - volume[:12, :12, :12]
        assert 10 * np.log10(volume[:12, :12, :12].var() / np.mean(error**2)) >= 25

    def test_seek_and_read_back(self, sink, original):
        with sink.writer() as writer:
            assert writer.seekable()
            assert writer.readable()
            writer.write(bytes(len(original) + 5))
            writer.seek(0)
            writer.write(original)
            assert writer.tell() == len(original)
            writer.truncate()
            writer.seek(1024)
            assert writer.read(8) == b"extended"
        assert len(sink.delivered) == 1

    def test_the_payloads_are_those_of_compress(self, tmp_path, original):
        data = compress_map(tmp_path / "a.mrc", OPTIONS)
        maps.compress(tmp_path / "a.mrc", tmp_path / "a.zarr", **OPTIONS.arguments())
        head = reader_of(data)[0].head
        payloads = [data[o : o + n] for o, n in zip(head.offsets, head.lengths, strict=True)]
        chunks = sorted(p for p in (tmp_path / "a.zarr/0/c").rglob("*") if p.is_file())
        assert payloads == [chunk.read_bytes() for chunk in chunks]

    def test_a_missed_target_is_said(self, tmp_path, original, monkeypatch):
        from dataclasses import replace

        real = maps.compress
        monkeypatch.setattr(maps, "compress", lambda *a, **k: replace(real(*a, **k), met=False))
        with pytest.warns(RuntimeWarning, match="snr 25 is not met: SNR 2"):
            assert compress_map(tmp_path / "a.mrc", OPTIONS)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda data: b"", "header ends after 0 bytes"),
            (lambda data: b"PK\x03\x04 some other file" * 100, "holds uncompressed MRC maps"),
            (lambda data: data[:-1], "holds uncompressed MRC maps"),
            (lambda data: data + b"xyz", "3 bytes behind the densities"),
            (gzip.compress, "compressed already"),
            (lambda data: data[:12] + b"\x04" + data[13:], "complex float32"),
        ],
    )
    def test_what_is_no_map(self, sink, original, change, message):
        writer = sink.writer()
        writer.write(change(original))
        with pytest.raises(ValueError, match=message) as error:
            writer.close()
        assert "map.mrc" not in str(error.value)
        assert (sink.delivered, sink.abandoned) == ([], 1)
        assert writer.closed
        writer.close()  # again: nothing happens
        assert sink.abandoned == 1

    def test_bad_options(self, sink, original):
        writer = sink.writer(MapOptions(chunks=0))
        writer.write(original)
        with pytest.raises(ValueError, match="chunks must be at least 1"):
            writer.close()
        assert (sink.delivered, sink.abandoned) == ([], 1)

    def test_a_forgotten_stream_is_not_handed_over(self, sink, original):
        writer = sink.writer()
        writer.write(original)
        folder = mrc_writer.Path(writer._folder.name)
        del writer
        assert (sink.delivered, sink.abandoned) == ([], 1)
        assert not folder.exists()
