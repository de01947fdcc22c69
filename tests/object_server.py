"""An object store on 127.0.0.1 for tests: moto's server, with requests recorded and faults on demand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

KEY, SECRET = "AKIAOBJECTSTORETEST1", "object/store/test/secret/0123456789abcde"
BUCKET = "maps"

_SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""
_INTERNAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"""
FAULTS = {"503 Slow Down": _SLOW_DOWN, "500 Internal Server Error": _INTERNAL}


@dataclass(frozen=True)
class Request:
    """What was asked and how many bytes the answer's body had."""

    method: str
    path: str
    range: str | None
    nbytes: int


class ObjectServer:
    """moto's threaded server with a middleware in front of it.

    Attributes:
        requests: those that moto has answered.
        faults: status lines that requests are answered with first, one at a time, see :meth:`fault_each`.
        served: faults that were answered.
        before: called with the method and the path before each request is answered.
    """

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self._lock = threading.Lock()
        self.reset()
        self._app = self._server._server.app
        self._server._server.app = self
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def storage_options(self) -> dict[str, Any]:
        """For s3fs; its own instance each time, since instances are kept by their arguments."""
        return {
            "key": KEY,
            "secret": SECRET,
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.before(method, path)
        with self._lock:
            fault = self._fault(method, f"{path} {environ.get('HTTP_RANGE')}")
            self.served += fault is not None
        if fault is not None:
            # the body has to be taken, or the connection is left with it
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = FAULTS[fault]
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            start_response(fault, headers)
            return [body]
        body = b"".join(self._app(environ, start_response))
        with self._lock:
            self.requests.append(Request(method, path, environ.get("HTTP_RANGE"), len(body)))
        return [body]

    def reads(self) -> list[Request]:
        """The requests that fetched bytes of an object since :meth:`reset`."""
        return [r for r in self.requests if r.method == "GET" and r.path.count("/") > 1]

    def reset(self) -> None:
        """Forget requests, and answer without faults and hooks."""
        self.requests: list[Request] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.fault_each([])

    def fault_each(self, faults: Sequence[str], requests: int = 1) -> None:
        """Answer the next so many different requests of each method with these status lines first.

        Clients wait between attempts, so faults on every request would take minutes.
        """
        self.faults = list(faults)
        self.served = 0
        self._left = Counter(dict.fromkeys(("GET", "PUT"), requests))
        self._seen: dict[tuple[str, str], int] = {}

    def _fault(self, method: str, what: str) -> str | None:
        if (method, what) not in self._seen:
            if self._left[method] == 0:
                return None
            self._left[method] -= 1
        times = self._seen.get((method, what), 0)
        self._seen[method, what] = times + 1
        return self.faults[times] if times < len(self.faults) else None

    def objects(self) -> dict[str, bytes]:
        """Every object in the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def stop(self) -> None:
        self._server.stop()
