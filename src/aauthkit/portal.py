"""The one event loop of a process's synchronous callers: started when first needed, closed at exit.

What nobody waits for runs on it, too. A child process that was forked starts one of its own, since threads do not
survive a fork.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")

LAST_SECONDS: Final = 5.0
"""For how long the end of the program waits for what was started and nobody waits for."""


@dataclass
class _Running:
    pid: int
    portal: BlockingPortal
    context: AbstractContextManager[BlockingPortal]
    loop: asyncio.AbstractEventLoop


_lock = threading.Lock()
_running: _Running | None = None
_started: set[Future[Any]] = set()
_of_the_parent: list[_Running] = []
"""In a forked child, portals whose threads stayed in the parent: kept, since dropping one would wait for its end."""


def _open() -> _Running:
    global _running  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _running is None or _running.pid != os.getpid():
            from anyio.from_thread import start_blocking_portal

            context = start_blocking_portal("asyncio", name="aauthkit")
            portal = context.__enter__()
            _running = _Running(os.getpid(), portal, context, portal.call(asyncio.get_running_loop))
        return _running


def wait_for(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """The outcome of an async function, run on the portal's loop while this thread waits.

    An interrupt of this thread, such as Ctrl-C, cancels the function.
    """
    future = _open().portal.start_task_soon(function, *args)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start_soon(running: Coroutine[Any, Any, T]) -> Future[T]:
    """Have a coroutine run on the portal's loop, from any thread, its own too; nobody waits, but the program's end."""
    future = asyncio.run_coroutine_threadsafe(running, _open().loop)
    _started.add(future)
    future.add_done_callback(_started.discard)
    return future


def close() -> None:
    """End the portal's thread; the next caller starts another."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is not None and running.pid == os.getpid():
        concurrent.futures.wait(list(_started), timeout=LAST_SECONDS)
        running.context.__exit__(None, None, None)


def _after_fork() -> None:
    global _lock, _running, _started  # noqa: PLW0603
    _lock = threading.Lock()
    _started = set()
    if _running is not None:
        _of_the_parent.append(_running)
        _running = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(close)
