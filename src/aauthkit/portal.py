"""The one event loop of a process's synchronous callers: started when first needed, closed at exit.

A child process that was forked starts one of its own, since threads do not survive a fork.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")


@dataclass
class _Running:
    pid: int
    portal: BlockingPortal
    context: AbstractContextManager[BlockingPortal]


_lock = threading.Lock()
_running: _Running | None = None
_of_the_parent: list[_Running] = []
"""In a forked child, portals whose threads stayed in the parent: kept, since dropping one would wait for its end."""


def _portal() -> BlockingPortal:
    global _running  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _running is None or _running.pid != os.getpid():
            from anyio.from_thread import start_blocking_portal

            context = start_blocking_portal("asyncio", name="aauthkit")
            _running = _Running(os.getpid(), context.__enter__(), context)
        return _running.portal


def wait_for(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """The outcome of an async function, run on the portal's loop while this thread waits.

    An interrupt of this thread, such as Ctrl-C, cancels the function.
    """
    future = _portal().start_task_soon(function, *args)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start_soon(function: Callable[..., Awaitable[T]], *args: object) -> Future[T]:
    """Have an async function run on the portal's loop; nobody waits. The program's end does."""
    return _portal().start_task_soon(function, *args)


def close() -> None:
    """End the portal's thread; the next caller starts another."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is not None and running.pid == os.getpid():
        running.context.__exit__(None, None, None)


def _after_fork() -> None:
    global _lock, _running  # noqa: PLW0603
    _lock = threading.Lock()
    if _running is not None:
        _of_the_parent.append(_running)
        _running = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(close)
