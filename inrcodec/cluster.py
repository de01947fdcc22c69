"""Executors on ``dask.distributed``: a cluster that is there, or one of this machine. Needs ``distributed``.

Workers may be lost at any moment. Dask gives what they were at to others, as often as the scheduler's setting
``distributed.scheduler.allowed-failures`` says (3 by default). A worker that dies takes what waits in its
queue under suspicion as well, so pieces of work that reach that number are then done again, each with the
cluster to itself: only what really kills its workers is given up.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from distributed import Client, Future, KilledWorker, LocalCluster, Worker, WorkerPlugin, as_completed
from distributed.client import FutureCancelledError

from inrcodec.executors import Executor

A = TypeVar("A")
R = TypeVar("R")

LOCAL = "local"
_POLL = 0.1  # seconds


@contextmanager
def connected(address: str, workers: int | None = None, *, timeout: float = 60) -> Iterator[Executor]:
    """An executor (see :mod:`inrcodec.executors`) whose work the workers of a Dask cluster do.

    Arguments and results travel through the scheduler, files and stores do not: workers see the same paths.

    Args:
        address: of a scheduler, such as ``"tcp://10.0.0.1:8786"``; or ``"local"``, a cluster of processes on
            this machine that ends with the block.
        workers: how many processes a local cluster has; None is one for each core.
        timeout: seconds to wait for the scheduler and a first worker.

    Raises:
        ValueError: ``workers`` below 1, or given for a cluster that has its own.
        OSError: no scheduler answers at the address, or it has no worker (TimeoutError). Where it is lost on
            the way, and does not come back within ``timeout``, the executor raises a ConnectionError.
    """
    if workers is not None and address != LOCAL:
        raise ValueError(f"the cluster at {address} has its own workers, {workers} cannot be asked for")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    with ExitStack() as stack:
        place: Any = address
        if address == LOCAL:
            place = stack.enter_context(
                LocalCluster(
                    n_workers=workers or os.cpu_count() or 1, threads_per_worker=1, dashboard_address=":0"
                )
            )
        client = stack.enter_context(Client(place, timeout=timeout, set_as_default=False))
        if address == LOCAL and len(gpus := visible_gpus()) > 1:
            client.register_plugin(OneGPU(gpus))
        client.wait_for_workers(1, timeout=timeout)
        yield on_client(client)


def on_client(client: Client) -> Executor:
    """An executor on a cluster that a client is connected to."""

    def run(function: Callable[[A], R], arguments: Sequence[A]) -> Iterator[tuple[A, R | BaseException]]:
        lost: list[A] = []
        for argument, result in _run(client, function, arguments):
            if isinstance(result, KilledWorker):
                lost.append(argument)
            else:
                yield argument, result
        for argument in lost:
            yield from _run(client, function, [argument])

    return run


def _run(
    client: Client, function: Callable[[A], R], arguments: Sequence[A]
) -> Iterator[tuple[A, R | BaseException]]:
    futures: dict[Future, A] = {client.submit(function, a, pure=False): a for a in arguments}
    keys = {future.key for future in futures}
    try:
        for future in as_completed(list(futures), loop=client.loop):
            error = future.exception()
            result = future.result() if error is None else error
            yield futures.pop(future), result  # popped: the cluster forgets the result
    except FutureCancelledError as error:
        raise ConnectionError(f"the Dask scheduler is lost: {error}") from error
    finally:
        if futures and client.status == "running":
            _drop(client, list(futures), keys)


def _drop(client: Client, futures: list[Future], keys: set[Any]) -> None:
    """Cancel what has not begun, and wait for what has: two runs must never be at one map."""

    def running(dask_worker: Worker) -> list[Any]:
        return [task.key for task in dask_worker.state.all_running_tasks]

    with suppress(OSError):  # there is no scheduler any more
        client.cancel(futures, force=True)
        while keys & {key for found in client.run(running, on_error="ignore").values() for key in found}:
            time.sleep(_POLL)


class OneGPU(WorkerPlugin):  # type: ignore[misc]  # distributed is not checked
    """Shows each worker of a local cluster one GPU, by the worker's number.

    Args:
        gpus: what ``CUDA_VISIBLE_DEVICES`` may name.
    """

    name = "inrcodec-one-gpu"

    def __init__(self, gpus: Sequence[str]) -> None:
        self.gpus = tuple(gpus)

    def setup(self, worker: Worker) -> None:
        """Before the worker's first task: CUDA reads the variable when it is first used."""
        os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus[int(worker.name) % len(self.gpus)]


def visible_gpus() -> list[str]:
    """Numbers or names of the GPUs that this process may use, without loading CUDA."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(gpus))]
