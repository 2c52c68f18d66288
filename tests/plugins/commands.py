"""The command as its user runs it: a process of its own, with a home folder that nothing else is in."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aauthkit.installation import Installation
from aauthkit.keys import write_private

if TYPE_CHECKING:
    from aauthkit.demo.visitor import Script

MODULE = ("-m", "aauthkit")
PATIENCE = 100.0
"""Seconds until a test gives up; none asserts how long anything took."""


def _own_ports() -> Iterator[int]:
    """Ports of this test process, most likely: what it lets go of is still there later."""
    first = 20_000 + 240 * (os.getpid() % 50)
    for port in cycle(range(first, first + 240)):
        if not listening(port):
            yield port


own_ports = _own_ports()


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Running:
    """A command that is still running, and what it has written so far; both streams are kept apart."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._written = {"out": "", "err": ""}
        self._news = threading.Condition()
        streams = {"out": process.stdout, "err": process.stderr}
        self._readers = [threading.Thread(target=self._read, args=item, daemon=True) for item in streams.items()]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: Any) -> None:
        for line in stream:
            with self._news:
                self._written[name] += line
                self._news.notify_all()
        stream.close()
        with self._news:
            self._news.notify_all()

    @property
    def out(self) -> str:
        return self._written["out"]

    @property
    def err(self) -> str:
        return self._written["err"]

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what it writes, in either stream; fails if it ends without one."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                ended = self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers)
                found = re.search(pattern, self.out) or re.search(pattern, self.err)
                if found is not None:
                    return found
                assert not ended, f"ended with {self.process.returncode}:\n{self.out}\n{self.err}"
                assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.out}\n{self.err}"
                self._news.wait(0.2)

    def wait_to_listen(self, port: int) -> None:
        """Return once it listens; a server says that it has started a moment before."""
        deadline = time.monotonic() + PATIENCE
        while not listening(port):
            assert self.process.poll() is None, self.err
            assert time.monotonic() < deadline, f"nobody listens on {port}:\n{self.err}"
            time.sleep(0.05)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> Ran:
        """Its end, waited for."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return Ran(code, self.out, self.err)


@dataclass
class Commands:
    """Runs `aauthkit` with its own HOME, AAUTHKIT_HOME and temporary folder, all below `root`."""

    root: Path
    lock: Path
    started: list[Running] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """Where the installation is, unless an option says otherwise."""
        return self.root / "aauthkit"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AAUTHKIT", "XDG", "PYTEST"))}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "COLUMNS", "NO_COLOR", "BROWSER"):
            kept.pop(name, None)
        for folder in ("home", "tmp"):
            (self.root / folder).mkdir(exist_ok=True)
        kept |= {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp"), "AAUTHKIT_HOME": str(self.home)}
        return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}

    def run(
        self,
        *words: str,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        python: tuple[str, ...] = MODULE,
        interpreter: str = sys.executable,
        without: str = "",
    ) -> Ran:
        """A command, to its end. `without` names a variable that is kept out of its environment."""
        environment = self.environment(**(env or {}))
        environment.pop(without, None)
        ran = subprocess.run(
            [interpreter, *python, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.root,
            timeout=PATIENCE,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def start(
        self, *words: str, env: Mapping[str, str] | None = None, python: tuple[str, ...] = MODULE, held: bool = False
    ) -> Running:
        """A command in the background. `held`: its standard input stays open, which a server that follows us needs."""
        process = subprocess.Popen(
            [sys.executable, *python, *words],
            stdin=subprocess.PIPE if held else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**(env or {})),
            cwd=self.root,
        )
        running = Running(process)
        self.started.append(running)
        return running

    def settle(self, folder: Path, *apis: str) -> Installation:
        """An installation on ports that no other test of this run takes; `apis` are hosts below `localhost`."""
        hosts = ("provider", "person", *apis)
        provider, person, *resources = (f"http://{host}.localhost:{next(own_ports)}" for host in hosts)
        document = {"provider": provider, "person": person, "resources": resources}
        write_private(folder / "installation.json", json.dumps(document).encode())
        return Installation.load(folder).admitting(())

    def settle_demo(self) -> None:
        """The folder `demo`, with nothing in it but which ports its programs take."""
        from aauthkit.demo.supply_chain.places import PORTS

        self.settle(self.root / "demo", "orders", *PORTS)

    @contextlib.contextmanager
    def choosing_ports(self) -> Iterator[None]:
        """One process at a time chooses ports that are free, and holds them by the end of the block."""
        with self.lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def up(self, *words: str) -> Running:
        """`aauthkit up`, once it is ready."""
        if not self.home.exists():
            self.settle(self.home)
        running = self.start("up", *words)
        running.wait_for(r"Ctrl-C ends both|\"egress\"")
        return running

    def demo(self, *words: str, python: tuple[str, ...] = MODULE) -> Running:
        """`aauthkit demo --headless` in the folder `demo`, which is new but for the ports it takes."""
        if not (self.root / "demo").exists():
            self.settle_demo()
        return self.start("demo", "--headless", "--folder", "demo", *words, python=python)

    def clean(self) -> None:
        for running in self.started:
            if running.process.poll() is None:
                running.send(signal.SIGKILL)
            running.end()


@pytest.fixture(scope="session")
def ports_lock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the processes of one test run lock while they choose ports."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ports.lock"


@pytest.fixture
def commands(tmp_path: Path, ports_lock: Path) -> Iterator[Commands]:
    """`aauthkit` in an empty home; what a test leaves running ends with it."""
    made = Commands(tmp_path, ports_lock)
    yield made
    made.clean()


def listening(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ports_of(folder: Path) -> list[int]:
    """The ports of the installation in a folder, those of its APIs among them."""
    document = json.loads((folder / "installation.json").read_text())
    origins = [document["provider"], document["person"], *document["resources"]]
    return [int(origin.rpartition(":")[2]) for origin in origins]


def processes_of(folder: Path) -> list[str]:
    """The command lines of the processes that take part in the installation in a folder; empty where `/proc` is not."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"AAUTHKIT_EGRESS={folder / 'egress.json'}".encode() in environ.read_bytes():
                found.append(environ.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # gone meanwhile, or somebody else's
    return found


def all_gone(folder: Path) -> bool:
    """Whether nothing of the installation in a folder runs any more, waited for: no process, no port taken."""
    deadline = time.monotonic() + PATIENCE
    while any(map(listening, ports_of(folder))) or processes_of(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def files_below(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def play(egress_file: Path, running: Running, script: Script) -> list[str]:
    """The person's part while a command runs: come when it shows the way, decide, watch for more; what was decided."""
    from aauthkit.demo.visitor import ScriptedPerson
    from aauthkit.egress import Egress

    shown = running.wait_for(r"(http\S+/interaction/\S+\?code=([0-9A-Z-]+))")

    async def run() -> list[str]:
        person = ScriptedPerson(Egress.from_file(egress_file), script)
        visit = asyncio.create_task(person.come(shown[1], shown[2]))
        try:
            while running.process.poll() is None:
                await asyncio.sleep(0.1)
                if visit.done():
                    visit.result()
        finally:
            visit.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await visit
            await person.close()
        return person.decided

    return asyncio.run(run())
