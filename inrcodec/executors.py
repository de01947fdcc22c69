"""Ways to do many independent pieces of work.

An executor is called with a function of one argument and a list of arguments. It yields ``(argument,
result)`` pairs as they are done, in any order, and ``(argument, exception)`` where the function could not
finish because its process died. Function, arguments and results must survive pickling. What it was asked and
has not begun is dropped when its generator is closed.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

A = TypeVar("A")
R = TypeVar("R")
Executor = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[Any, Any]]]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def here(function: Callable[[A], R], arguments: Sequence[A]) -> Iterator[tuple[A, R]]:
    """One after the other in this process."""
    for argument in arguments:
        yield argument, function(argument)


def processes(workers: int) -> Executor:
    """So many processes of this machine, its cores shared evenly among them.

    Where a process dies (out of memory, killed), what is not done is done again, each piece in a process by
    itself, so that only the piece that kills its process is lost.

    Raises:
        ValueError: ``workers`` is less than 1.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")

    def run(function: Callable[[A], R], arguments: Sequence[A]) -> Iterator[tuple[A, R | Exception]]:
        lost: list[A] = []
        for argument, result in _run(function, arguments, workers):
            if isinstance(result, BrokenProcessPool):
                lost.append(argument)
            else:
                yield argument, result
        for argument in lost:
            yield from _run(function, [argument], 1)

    return run


def _run(
    function: Callable[[A], R], arguments: Sequence[A], workers: int
) -> Iterator[tuple[A, R | BrokenProcessPool]]:
    # A forked process would inherit locks of threads that do not exist in it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(workers,))
    try:
        futures = {pool.submit(function, argument): argument for argument in arguments}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool as error:
                yield futures[future], error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(workers: int) -> None:
    """The first thing that a process does."""
    for name in _THREADS:  # NumPy and PyTorch read them once, when they are loaded
        os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // workers)))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot stop its processes, and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
