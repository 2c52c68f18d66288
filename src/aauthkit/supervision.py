"""Several servers as several processes, started together and ended together, also by the supervisor's own death.

Each child's standard input is a pipe whose other end only the supervisor holds: when it is gone, however it went, the
children read its end and stop (`aauthkit.running`, `watch_parent`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .running import GRACE

READY_WITHIN: Final = 30.0
"""Seconds a process may take until it listens."""


class SupervisionError(Exception):
    """A process that did not come up; the message holds the end of its log."""


@dataclass
class Child:
    """One process, what it is called, where it listens and where its log goes."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


@dataclass
class Supervisor:
    """Starts processes, waits until they listen, ends them all. Use as a context manager.

    `folder` takes their logs.
    """

    folder: Path
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, arguments: Sequence[str], *, port: int, environment: Mapping[str, str]) -> Child:
        """Start `python -m aauthkit …` as `name`, which will listen on `port`. Raises `SupervisionError`."""
        if listening(port):
            raise SupervisionError(f"port {port}, where {name} should listen, is in use: end what runs there, or wait")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then ends them in order
            )
        child = Child(name, process, port, log)
        self.children.append(child)
        return child

    def wait_ready(self) -> None:
        """Return when every child listens. Raises `SupervisionError` naming the one that does not."""
        deadline = time.monotonic() + READY_WITHIN
        for child in self.children:
            while not _is_ready(child):
                if time.monotonic() > deadline:
                    raise SupervisionError(f"{child.name} does not listen on port {child.port}:\n{child.tail()}")
                time.sleep(0.05)

    def ended(self) -> Child | None:
        """A child that is no longer running, if there is one."""
        return next((child for child in self.children if child.process.poll() is not None), None)

    def stop(self) -> None:
        """End every child: by closing its input, then by force."""
        for child in self.children:
            if child.process.stdin is not None:
                with contextlib.suppress(OSError):
                    child.process.stdin.close()
        deadline = time.monotonic() + GRACE + 2
        for child in self.children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self.children.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _is_ready(child: Child) -> bool:
    """Whether a child listens. Raises `SupervisionError` if it has ended."""
    there = listening(child.port)
    # Looked at last: what listens there may be somebody else, who came before it.
    if child.process.poll() is not None:
        raise SupervisionError(f"{child.name} ended at once:\n{child.tail()}")
    return there


def listening(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(preferred: int) -> int:
    """`preferred`, if nobody listens there on loopback, else any port that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SupervisionError("no port is free on loopback")
