"""One measurement in a process of its own: its peak memory, a time limit, and crashes that harm nothing else.

Works where processes can be forked (Linux, macOS).
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Result = dict[str, Any]


class Failed(RuntimeError):
    """The measurement raised, ran out of time, or its process died; the message says which."""


def isolated(call: Callable[[], Result], limit_s: float) -> Result:
    """The result of a call made in a forked child.

    Raises:
        Failed: as its message says.
    """
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(call, send), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of BLAS threads that a fork leaves behind
        child.start()
    send.close()
    try:
        if not receive.poll(limit_s):
            raise Failed(f"over the time limit of {limit_s:g} s")
        try:
            result, problem = receive.recv()
        except EOFError:
            child.join(10)
            raise Failed(f"its process died with exit code {child.exitcode}") from None
        if problem is not None:
            raise Failed(problem)
        return dict(result)
    finally:
        if child.is_alive():
            child.join(0 if sys.exc_info()[0] else 10)
            child.kill()
        child.join()
        receive.close()


def peak_mib() -> float:
    """The most memory this process ever held resident, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _run(call: Callable[[], Result], send: Connection) -> None:
    try:
        answer: tuple[Result | None, str | None] = (call(), None)
    except KeyboardInterrupt:
        return
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        answer = (None, f"{type(error).__name__}: {error} ({line.name}:{line.lineno})")
    send.send(answer)
