"""Real processes of one agent: each makes the calls it is told to, with the time it is told.

    async with fleet_of(parties, folder, 4) as fleet:
        said = await fleet.all("https://api.example/orders", calls=8)

`python -m tests.plugins.fleet` is one of them. It reads a line of JSON for each order and answers with one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aauthkit.agent import AAuthError, Agent, Callback, Errand
from aauthkit.egress import Egress
from aauthkit.protocol.jose import SigningKey
from tests.plugins.machine import PROJECT
from tests.plugins.simulators import Parties


class Member:
    """One process of the agent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def order(self, **order: Any) -> dict[str, Any]:
        """Have something done, and hear what came of it."""
        await self.tell(**order)
        return await self.hear()

    async def tell(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the process ended"
        said: dict[str, Any] = json.loads(line)
        return said

    async def killed(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@dataclass
class Fleet:
    """Several processes."""

    members: Sequence[Member]
    clock: Any = field(repr=False)

    async def all(self, url: str, *, calls: int = 1) -> list[dict[str, Any]]:
        """The same calls in every process, begun together."""
        orders = (member.order(url=url, calls=calls, now=self.clock()) for member in self.members)
        return list(await asyncio.gather(*orders))


@asynccontextmanager
async def fleet_of(parties: Parties, folder: Path, count: int) -> AsyncIterator[Fleet]:
    """So many processes of one agent that share `folder`, each ready to be told what to do."""
    names = {host: f"{address}:{port}" for host, (address, port) in parties.internet.names.items()}
    egress = folder / "egress.json"
    egress.write_text(json.dumps({"names": names, "ca_file": str(parties.internet.authority.ca_file)}))
    record = {
        "agent": f"aauth:{parties.provider.agent_name}@agents.example",
        "provider": parties.provider.iss,
        "person_server": parties.ps.iss,
        "durable": SigningKey.generate(lambda size: b"d" * size).to_jwk(),
        "egress": str(egress),
        "folder": str(folder),
    }
    members = [await _started(record) for _ in range(count)]
    try:
        yield Fleet(members, parties.clock)
    finally:
        for member in members:
            if member.process.returncode is None:
                await member.killed()


async def _started(record: dict[str, Any]) -> Member:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "src")])}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.plugins.fleet",
        json.dumps(record),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=PROJECT,
        env=environ,
    )
    member = Member(process)
    assert await member.hear() == {"ready": True}
    return member


# In the process.


class _Told:
    """The time as the test has it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def _main(record: dict[str, Any]) -> None:
    clock, shown = _Told(), list[Errand]()
    folder = Path(record["folder"])
    agent: Agent | None = None
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        clock.now = order["now"]
        if agent is None:
            agent = Agent(
                record["agent"],
                provider=record["provider"],
                person_server=record["person_server"],
                durable=SigningKey.from_jwk(record["durable"]),
                egress=Egress.from_file(record["egress"]),
                person=Callback(shown.append),
                pending_folder=folder / "pending",
                shared_folder=folder / "shared",
                clock=clock,
            )
        said = await _calls(agent, order)
        print(json.dumps({**said, "shown": len(shown), "key": agent.thumbprint}), flush=True)


async def _calls(agent: Agent, order: dict[str, Any]) -> dict[str, Any]:
    async with agent.client(wait=order.get("wait")) as http:
        method, body = order.get("method", "GET"), order.get("body", "").encode()
        calls = (http.request(method, order["url"], content=body) for _ in range(order["calls"]))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    said: list[Any] = []
    for outcome in outcomes:
        if isinstance(outcome, AAuthError):
            said.append(type(outcome).__name__)
            print(outcome, repr(outcome.__cause__), file=sys.stderr)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            said.append(outcome.status_code)
    return {"outcomes": said}


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
