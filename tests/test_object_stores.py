"""Object stores over HTTP: what is read, what is retried, what a killed writer leaves, where keys go."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

pytest.importorskip("s3fs")
pytest.importorskip("obstore")
pytest.importorskip("moto.server", reason="moto[server] is not installed")

import obstore
from object_server import BUCKET, KEY, SECRET, ObjectServer
from zarr.storage import FsspecStore, ObjectStore

from inrcodec import INRCodec


@pytest.fixture(scope="module")
def server():
    server = ObjectServer()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def clean(request):
    """No faults, hooks or records of another test."""
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        server.faults.clear()
        server.before = lambda method, path: None
        server.served = 0
        server.forget()


def s3fs_store(server, path, **options):
    return FsspecStore.from_url(
        f"s3://{BUCKET}/{path}", storage_options={**server.storage_options, **options}
    )


def obstore_store(server, path, **options):
    return ObjectStore(
        obstore.store.S3Store(
            BUCKET,
            prefix=path,
            endpoint=server.endpoint,
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
            **options,
        )
    )


STORES = {"s3fs": s3fs_store, "obstore": obstore_store}


def create(store, data, layout, codec=None):
    """An array with chunks of 8^3; layouts are the ways in which zarr keeps chunks."""
    codec = codec or INRCodec(max_error=0.05, effort=0)
    options = {"serializer": codec.serializer(), "compressors": None}
    if layout == "format 2":
        options = {"compressors": codec, "zarr_format": 2}
    elif layout == "sharded":
        options |= {"shards": (16, 16, 16)}
    array = zarr.create_array(store, shape=data.shape, chunks=(8, 8, 8), dtype=data.dtype, **options)
    array[...] = data
    return array


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("layout", ["format 2", "format 3", "sharded"])
class TestArrays:
    def test_there_and_back(self, server, volume, kind, layout):
        data = volume[:16, :16, :16]
        path = f"{kind} {layout}"
        create(STORES[kind](server, path), data, layout)
        for reader in STORES.values():
            back = zarr.open_array(reader(server, path), mode="r")[...]
            assert np.abs(back - data).max() <= 0.05

    def test_a_chunk_is_all_that_is_read(self, server, volume, kind, layout):
        data = volume[:16, :16, :16]
        path = f"one chunk {kind} {layout}"
        create(STORES[kind](server, path), data, layout)
        array = zarr.open_array(STORES[kind](server, path), mode="r")
        server.forget()
        block = array[8:16, 0:8, 8:16]
        assert np.abs(block - data[8:16, 0:8, 8:16]).max() <= 0.05
        objects = {key: body for key, body in server.objects().items() if key.startswith(path + "/")}
        if layout == "sharded":
            (shard,) = (body for key, body in objects.items() if "/c/" in key)
            index = np.frombuffer(shard[-(8 * 16 + 4) : -4], "<u8").reshape(2, 2, 2, 2)
            allowed = int(index[1, 0, 1, 1]) + 8 * 16 + 4
            requests = 2
        else:
            key = f"{path}/c/1/0/1" if layout == "format 3" else f"{path}/1.0.1"
            allowed, requests = len(objects[key]), 1
        reads = [r for r in server.reads() if r.path.startswith(f"/{BUCKET}/{path}/")][:requests]
        assert len([r for r in server.reads()[: len(server.reads()) - len(server.objects())]]) == requests
        assert 0 < sum(r.nbytes for r in reads) <= allowed
