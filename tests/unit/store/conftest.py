"""Databases with tables in them, and processes beside this one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from aauthkit.store import Database
from tests.unit.store.tables import TABLES

PROJECT = Path(__file__).parents[3]


class Process:
    """A `program.py` that runs beside the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self) -> str:
        """Its next line; empty when it has ended."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def kill(self) -> None:
        """`kill -9`."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def rest(self) -> list[str]:
        """What it still says, to its end."""
        assert self._process.stdout is not None
        said = (await self._process.stdout.read()).decode().split()
        await self._process.wait()
        return said


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    """Start `program.py COMMAND` on this test's database."""
    running: list[Process] = []

    async def start_one(command: str, *arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.unit.store.program",
            command,
            database_url,
            *arguments,
            cwd=PROJECT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        running.append(Process(process))
        return running[-1]

    yield start_one
    for process in running:
        await process.kill()


@pytest.fixture
async def store(database: Database) -> Database:
    """The test's database, with its tables."""
    await database.migrate(TABLES)
    return database
