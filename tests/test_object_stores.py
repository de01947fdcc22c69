"""Object stores over HTTP: what is read, what is retried, what a killed writer leaves, where keys go."""

from __future__ import annotations

import datetime
import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
import zarr
from conftest import blobs, snr_of
from mrc_files import QUICK, container_of, densities, write_map
from zarr.storage import FsspecStore, ObjectStore

from inrcodec import INRCodec, archive, hdf5, maps, store, urls
from inrcodec.mrc_reader import MRCReader
from inrcodec.options import MapOptions

pytest.importorskip("s3fs")
pytest.importorskip("moto.server", reason="moto[server] is not installed")
obstore = pytest.importorskip("obstore")
object_server = pytest.importorskip("object_server")
BUCKET, FAULTS, KEY, SECRET = (getattr(object_server, name) for name in ("BUCKET", "FAULTS", "KEY", "SECRET"))


OPTIONS = MapOptions.from_mapping(QUICK)


@pytest.fixture(scope="module")
def running():
    server = object_server.ObjectServer()
    yield server
    server.stop()


@pytest.fixture
def server(running):
    """The server, without faults and records of other tests."""
    running.reset()
    return running


@pytest.fixture
def configured(server, monkeypatch):
    """Keys where s3fs finds them, so that URLs do without."""
    monkeypatch.setitem(fsspec.config.conf, "s3", server.storage_options)


def s3fs_store(server, path):
    return FsspecStore.from_url(f"s3://{BUCKET}/{path}", storage_options=server.storage_options)


def obstore_store(server, path):
    quickly = {"init_backoff": datetime.timedelta(milliseconds=1), "base": 2}
    return ObjectStore(
        obstore.store.S3Store(
            BUCKET,
            prefix=path,
            endpoint=server.endpoint,
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 5, "backoff": quickly},
        )
    )


STORES = {"s3fs": s3fs_store, "obstore": obstore_store}
CODEC = INRCodec(max_error=0.05, effort=0)
LAYOUTS = {
    "format 2": {"compressors": CODEC, "zarr_format": 2},
    "format 3": {"serializer": CODEC.serializer(), "compressors": None},
    "sharded": {"serializer": CODEC.serializer(), "compressors": None, "shards": (2, 2, 2)},
}


def create(store, data, layout, chunk=8):
    """An array with cubic chunks, in one of the layouts that zarr has."""
    options = dict(LAYOUTS[layout])
    if "shards" in options:
        options["shards"] = tuple(chunk * n for n in options["shards"])
    array = zarr.create_array(store, shape=data.shape, chunks=(chunk,) * 3, dtype=data.dtype, **options)
    array[...] = data


@pytest.fixture(scope="module")
def data():
    return blobs((16, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("layout", LAYOUTS)
class TestArrays:
    def test_there_and_back(self, server, data, kind, layout):
        path = f"{kind} {layout}"
        create(STORES[kind](server, path), data, layout)
        for open_store in STORES.values():
            back = zarr.open_array(open_store(server, path), mode="r")[...]
            assert np.abs(back - data).max() <= 0.05

    def test_faults_are_retried(self, server, data, kind, layout):
        """A put and a get are throttled, then fail, and are done in the third attempt."""
        path = f"faults {kind} {layout}"
        server.fault_each(["503 Slow Down", "500 Internal Server Error"])
        create(STORES[kind](server, path), data, layout)
        assert server.served >= 2
        server.fault_each(["503 Slow Down", "500 Internal Server Error"])
        back = zarr.open_array(STORES[kind](server, path), mode="r")[...]
        assert np.abs(back - data).max() <= 0.05
        assert server.served >= 2


class TestHDF5:
    """A file with the filter, read where it lies through a file object of s3fs."""

    @pytest.fixture
    def path(self, tmp_path, data):
        path = tmp_path / "map.h5"
        codec = INRCodec.fit(data, snr=25, effort=0, chunks=8)
        for_codec = {"shape": data.shape, "dtype": "f4", "chunks": (8, 8, 8), **hdf5.INRFilter.of(codec)}
        with h5py.File(path, "w") as file:
            hdf5.write(file.create_dataset("map", **for_codec), data, codec)
        return path

    def test_the_voxels_and_payloads_of_the_local_file(self, server, path, data):
        fs = fsspec.filesystem("s3", **server.storage_options)
        fs.put(str(path), f"{BUCKET}/map.h5")
        with h5py.File(path) as local, fs.open(f"{BUCKET}/map.h5") as stream, h5py.File(stream) as remote:
            expected = local["map"][...]
            assert 25 - 0.1 <= snr_of(data, expected) < 60
            assert remote["map"][...].tobytes() == expected.tobytes()
            assert hdf5.read(remote["map"], np.s_[3:12, :, 5]).tobytes() == expected[3:12, :, 5].tobytes()
            assert hdf5.codec_of(remote["map"]) == hdf5.codec_of(local["map"])
            for corner in itertools.product((0, 8), repeat=3):
                payload = local["map"].id.read_direct_chunk(corner)[1]
                assert remote["map"].id.read_direct_chunk(corner)[1] == payload

    def test_a_block_moves_its_chunk_and_the_index(self, server, path):
        fs = fsspec.filesystem("s3", **server.storage_options)
        fs.put(str(path), f"{BUCKET}/block.h5")
        with fs.open(f"{BUCKET}/block.h5", cache_type="none") as stream, h5py.File(stream) as file:
            stored = file["map"].id.get_chunk_info_by_coord((8, 0, 8))  # reads the index of chunks
            server.reset()
            block = file["map"][8:, :8, 8:]
            first, last = stored.byte_offset, stored.byte_offset + stored.size - 1
            assert [(r.range, r.nbytes) for r in server.reads()] == [(f"bytes={first}-{last}", stored.size)]
        with h5py.File(path) as file:
            assert block.tobytes() == file["map"][8:, :8, 8:].tobytes()

    def test_damage_is_an_error(self, server, path):
        with h5py.File(path) as file:
            stored = file["map"].id.get_chunk_info_by_coord((0, 0, 0))
        content = bytearray(path.read_bytes())
        content[stored.byte_offset + stored.size - 3] ^= 1
        fs = fsspec.filesystem("s3", **server.storage_options)
        fs.pipe(f"{BUCKET}/damaged.h5", bytes(content))
        with fs.open(f"{BUCKET}/damaged.h5") as stream, h5py.File(stream) as file:
            with pytest.raises(OSError, match="inrcodec: checksum mismatch"):
                file["map"][:8, :8, :8]
            assert np.isfinite(file["map"][8:]).all()


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_block_of_64_moves_its_chunk_and_the_index(server, kind, layout):
    data = np.zeros((128, 128, 128), np.float32)
    data[64:, :64, 64:] = blobs((64, 64, 64)).astype(np.float32)
    data[:2] = 1
    path = f"block {kind} {layout}"
    create(STORES[kind](server, path), data, layout, chunk=64)
    array = zarr.open_array(STORES[kind](server, path), mode="r")
    server.reset()
    block = array[64:, :64, 64:]
    reads = server.reads()
    assert np.abs(block - data[64:, :64, 64:]).max() <= 0.05
    if layout == "sharded":
        shard = server.objects()[f"{path}/c/0/0/0"]
        index_bytes = 8 * 16 + 4
        index = np.frombuffer(shard[-index_bytes:-4], "<u8").reshape(2, 2, 2, 2)
        chunk_bytes = int(index[1, 0, 1, 1])
        assert chunk_bytes + index_bytes < len(shard)  # more could have been moved
        assert [r.nbytes for r in reads] == [index_bytes, chunk_bytes]
        assert all(r.range for r in reads)
    else:
        key = f"{path}/c/1/0/1" if layout == "format 3" else f"{path}/1.0.1"
        assert [r.nbytes for r in reads] == [len(server.objects()[key])]


class TestContainers:
    @pytest.fixture
    def put(self, server, tmp_path, volume):
        """A ``.mrc.inr`` file on the server; the bytes of the map, and of the file."""
        original = write_map(tmp_path / "a.mrc", volume)
        data = container_of(tmp_path / "a.mrc")
        server.client.put_object(Bucket=BUCKET, Key="a.mrc.inr", Body=data)
        server.reset()
        return original, data

    def url(self, server):
        return f"inr://a.mrc::s3://{BUCKET}/a.mrc.inr"

    def test_a_slab_moves_the_head_and_its_chunks(self, server, configured, put, volume):
        _, data = put
        with fsspec.open(self.url(server)) as stream:
            head = stream.head
            assert [r.nbytes for r in server.reads()] == [len(data)]  # a small file: all in the first read
            server.reset()
            stream.seek(head.data_start + 12 * volume[0].nbytes)
            slab = stream.read(volume[0].nbytes)
            assert stream.decoded == 9
            whole = MRCReader(stream._source)
        across = slice(9, 18)
        assert [r.nbytes for r in server.reads()][:1] == [int(head.lengths[across].sum())]
        start = head.data_start + 12 * volume[0].nbytes
        assert slab == whole.read()[start : start + volume[0].nbytes]

    def test_compression_reads_no_more(self, server, configured, put, volume):
        import inrcodec.fsspec_mrc

        assert inrcodec.fsspec_mrc.SUFFIX == ".inr"
        with fsspec.open(f"s3://{BUCKET}/a.mrc.inr", compression="infer") as stream:
            server.reset()
            stream.seek(-4, 2)
            stream.read()
            assert [r.nbytes for r in server.reads()] == [int(stream.head.lengths[-1])]

    def test_written(self, server, configured, tmp_path, volume, monkeypatch):
        monkeypatch.setitem(fsspec.config.conf, "inr", dict(QUICK))
        original = write_map(tmp_path / "b.mrc", volume)
        for url, how in (
            (f"inr://b.mrc::s3://{BUCKET}/b.mrc.inr", {}),
            (f"s3://{BUCKET}/c.mrc.inr", {"compression": "infer"}),
        ):
            with fsspec.open(url, "wb", **how) as stream:
                stream.write(original)
        objects = server.objects()
        assert objects["b.mrc.inr"] == objects["c.mrc.inr"] == container_of(tmp_path / "b.mrc")

    @pytest.mark.parametrize("door", ["compression", "filesystem"])
    def test_a_refused_file_does_not_replace_the_old_one(self, server, configured, put, door):
        url, how = (self.url(server), {})
        if door == "compression":
            url, how = (f"s3://{BUCKET}/a.mrc.inr", {"compression": "inr"})
        stream = fsspec.open(url, "wb", **how).open()
        stream.write(b"noise" * 1000)
        with pytest.raises(ValueError, match="uncompressed MRC maps"):
            stream.close()
        assert server.objects()["a.mrc.inr"] == put[1]

    @pytest.mark.parametrize("fault", FAULTS)
    def test_faults_are_retried(self, server, configured, put, fault):
        server.fault_each([fault])
        with fsspec.open(self.url(server)) as stream:
            assert np.abs(densities(stream.read()) - densities(put[0])).max() < 0.5
        assert server.served == 1


class TestStores:
    """Maps and stores at URLs, as the commands take them."""

    def test_there_and_back(self, server, configured, tmp_path, volume):
        original = write_map(tmp_path / "a.mrc", volume)
        server.client.upload_file(str(tmp_path / "a.mrc"), BUCKET, "maps/a.mrc")
        source, target = f"s3://{BUCKET}/maps/a.mrc", f"s3://{BUCKET}/there.zarr"
        result = maps.compress(source, target, **OPTIONS.arguments())
        assert result.met
        assert maps.verify(source, target).quality == result.quality
        assert maps.verify(source, target).sizes == result.sizes
        assert store.describe(target).sizes == result.sizes
        assert maps.decompress(target, f"s3://{BUCKET}/maps/b.mrc")
        assert server.objects()["maps/b.mrc"][:1024] == original[:1024]
        with pytest.raises(FileExistsError, match=r"s3://maps/maps/b.mrc exists"):
            maps.decompress(target, f"s3://{BUCKET}/maps/b.mrc")
        with pytest.raises(FileExistsError, match=r"s3://maps/there.zarr exists"):
            maps.compress(source, target, **OPTIONS.arguments())

    def test_missing(self, server, configured):
        with pytest.raises(FileNotFoundError, match="not a zarr store"):
            store.open_store(f"s3://{BUCKET}/no.zarr")
        with pytest.raises(FileNotFoundError, match=r"no\.mrc does not exist"):
            maps.compress(f"s3://{BUCKET}/no.mrc", f"s3://{BUCKET}/no.zarr", **OPTIONS.arguments())

    def test_archive(self, server, configured, tmp_path, volume):
        for name in ("a", "b"):
            write_map(tmp_path / f"{name}.mrc", volume[:12, :12, :12])
            server.client.upload_file(str(tmp_path / f"{name}.mrc"), BUCKET, f"in/{name}.mrc")
        url = f"s3://{BUCKET}/all.zarr"
        server.reset()
        server.fault_each(["503 Slow Down"])
        records = archive.run([f"s3://{BUCKET}/in/*.mrc"], url, options=OPTIONS, verify=True)
        assert [record["status"] for record in records] == ["verified"] * 2
        assert server.served == 2
        assert archive.run([f"s3://{BUCKET}/in"], url, options=OPTIONS, verify=True) == records
        assert "all.zarr.manifest.json" in server.objects()

    @pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
    @pytest.mark.parametrize("puts", [5, 28])
    def test_a_killed_writer_leaves_no_array(self, server, configured, tmp_path, volume, puts):
        """Killed with SIGKILL when the server has answered so many of its puts; then done again."""
        write_map(tmp_path / "a.mrc", volume)
        target = f"killed-{puts}.zarr"
        reached, seen = threading.Event(), []

        def before(method, path):
            if method == "PUT" and f"/{target}/" in path:
                seen.append(path)
                if len(seen) > puts:
                    reached.set()
                    done.wait(60)
                    raise ConnectionAbortedError  # what was asked is not done

        done = threading.Event()
        server.before = before
        arguments = ["compress", str(tmp_path / "a.mrc"), f"s3://{BUCKET}/{target}"]
        arguments += ["--effort", "0", "--chunks", "10", "--snr", "25"]
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "FSSPEC_S3_ENDPOINT_URL": server.endpoint,
        }
        writer = subprocess.Popen([Path(sys.executable).with_name("inrcodec"), *arguments], env=environment)
        try:
            assert reached.wait(60)
            writer.send_signal(signal.SIGKILL)
            assert writer.wait(60) == -signal.SIGKILL
        finally:
            server.before = lambda method, path: None
            writer.kill()
            writer.wait()
            done.set()
        left = [key for key in server.objects() if key.startswith(f"{target}/")]
        # chunks are put several at a time: some of those before were not done; metadata wait for all of them
        assert len(left) == puts if puts == 28 else len(left) <= puts
        url = f"s3://{BUCKET}/{target}"
        with pytest.raises(FileNotFoundError):
            store.open_store(url)
        if puts < 28:  # with 27 chunks and the array's metadata, the array is complete and its group is not
            with pytest.raises(FileNotFoundError):
                zarr.open(f"{url}/0", mode="r")
        again = subprocess.run([Path(sys.executable).with_name("inrcodec"), *arguments], env=environment)
        assert again.returncode == 0
        assert maps.verify(tmp_path / "a.mrc", url).met

    def test_keys_are_in_no_stored_byte(self, server, tmp_path, volume, monkeypatch):
        """Given as storage options and in URLs; a failure's reason is stored as well."""
        data = volume[:16, :16, :16]
        for layout in LAYOUTS:
            for kind, open_store in STORES.items():
                create(open_store(server, f"keys/{kind} {layout}"), data, layout)
        monkeypatch.setitem(fsspec.config.conf, "s3", server.storage_options)
        write_map(tmp_path / "a.mrc", data)
        server.client.upload_file(str(tmp_path / "a.mrc"), BUCKET, "keys/a.mrc")
        with fsspec.open(f"inr://b.mrc::s3://{BUCKET}/keys/b.mrc.inr", "wb", inr=QUICK) as stream:
            stream.write((tmp_path / "a.mrc").read_bytes())
        signed = f"{server.endpoint}/{BUCKET}/keys/no.mrc?AWSAccessKeyId={KEY}&Signature={SECRET}"
        sources = [f"s3://{BUCKET}/keys/a.mrc", signed]
        records = archive.run(sources, f"s3://{BUCKET}/keys/all.zarr", options=OPTIONS)
        assert [record["status"] for record in records] == ["archived", "failed"]
        objects = {key: body for key, body in server.objects().items() if key.startswith("keys/")}
        assert len(objects) > 20
        assert "keys/all.zarr.manifest.json" in objects
        for key, body in objects.items():
            for secret in (KEY, SECRET, SECRET.replace("/", "%2F")):
                assert secret.encode() not in body, key

    def test_errors_of_the_client_are_os_errors(self, server, monkeypatch):
        options = {**server.storage_options, "endpoint_url": "http://127.0.0.1:9", "config_kwargs": {}}
        options["config_kwargs"] = {"retries": {"max_attempts": 1}, "connect_timeout": 1}
        monkeypatch.setitem(fsspec.config.conf, "s3", options)
        with pytest.raises(OSError, match=f"s3://{BUCKET}"):
            urls.files(f"s3://{BUCKET}/x")
