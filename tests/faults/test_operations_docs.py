"""Every command of docs/operations.md runs as it stands there, but for hosts, ports and folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aauthkit.keys import write_private
from tests.plugins.commands import PATIENCE, Commands, Running, own_ports
from tests.plugins.machine import PROJECT
from tests.plugins.stores import PostgresServer

pytestmark = pytest.mark.timeout(300)

PAGE = (PROJECT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)


class Shell:
    """Runs the commands of the page one after the other, servers beside them."""

    def __init__(self, commands: Commands, postgres: PostgresServer) -> None:
        self.commands = commands
        self.folder = commands.root / "deployed"
        self.folder.mkdir(mode=0o700)
        (self.folder / "elsewhere").mkdir()
        write_private(self.folder / "passphrase", b"a passphrase for the replicas")
        here = self.folder / "bin"
        here.mkdir()
        for name in ("aauthkit", "python"):
            module = " -m aauthkit" if name == "aauthkit" else ""
            (here / name).write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
            (here / name).chmod(0o755)
        self.environment = commands.environment(
            PATH=os.pathsep.join((str(here), str(postgres.programs), os.environ["PATH"])), AAUTHKIT_LOG="json"
        )
        self.places = {
            "postgresql://aauthkit@db.example/aauthkit": postgres.create(),
            "postgresql://aauthkit@db.example/restored": postgres.create(),
            "/mnt/elsewhere": str(self.folder / "elsewhere"),
        }
        self.ports: dict[str, str] = {}
        self.servers: list[Running] = []

    def run(self, command: str) -> None:
        """One command of the page."""
        exported = re.fullmatch(r"export (\w+)=(\S+)", command)
        if exported is not None:
            self.environment[exported[1]] = exported[2]
            return
        serves = command.startswith("aauthkit person serve ")
        if serves:
            self.ports = {port: str(next(own_ports)) for port in ("8702", "9702")}
        for place, actual in (*self.places.items(), *self.ports.items()):
            command = re.sub(rf"{re.escape(place)}(?!\w)", lambda _: self.quoted(actual), command)  # noqa: B023
        if serves:
            self.serve(command)
            return
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"

    def quoted(self, value: str) -> str:
        """As the shell takes it."""
        return f'"{value}"' if "?" in value else value

    def serve(self, command: str) -> None:
        """A server, until the test ends; its log is lines of JSON."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Running(process)
        self.commands.started.append(running)
        running.wait_for(r'"message": "Application startup complete\."')
        running.wait_to_listen(int(self.ports["8702"]))


def test_every_command_of_the_page_runs(commands: Commands, postgres_server: PostgresServer) -> None:
    """In the order of the page; what one makes, the next one finds."""
    shell = Shell(commands, postgres_server)
    told = [line for block in BLOCKS for line in re.sub(r" *\\\n *", " ", block).splitlines() if line.strip()]
    assert sum(line.startswith("aauthkit") for line in told) > 10
    for line in told:
        shell.run(line)
    assert (shell.folder / "elsewhere.checkpoints").read_text().count("\n") == 1
    assert (Path(shell.folder) / "backup.db").stat().st_mode & 0o077 == 0
