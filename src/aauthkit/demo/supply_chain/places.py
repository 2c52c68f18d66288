"""Where the programs of the chain are, and who they are: the installation of their environment, seen by one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...agent import Agent, home_folder
from ...egress import Egress
from ...installation import Installation, free_ports, listen_of, port_of
from ...keys import KeyFile
from ...resource import Resource
from ...running import Listen
from ...supervision import Supervisor

PORTS: Final[Mapping[str, int]] = {"supply-chain": 8704, "market-analysis": 8705, "pricing": 8706, "web": 8707}
"""The programs by the host they have below `localhost`, and the port each one prefers."""
SCOPE: Final = "supply-chain:optimize"


def _origin_of(name: str, found: Installation) -> str | None:
    return next((origin for origin in found.resources if origin.startswith(f"http://{name}.localhost:")), None)


def admit(found: Installation) -> Installation:
    """The installation with the chain's origins among those it knows: to be called before its servers start."""
    missing = [name for name in PORTS if _origin_of(name, found) is None]
    taken = map(port_of, (found.provider, found.person, *found.resources))
    ports = free_ports(*(PORTS[name] for name in missing), taken=taken)
    origins = [f"http://{name}.localhost:{port}" for name, port in zip(missing, ports, strict=True)]
    return found.admitting(origins)


@dataclass(frozen=True, slots=True)
class Place:
    """The installation as one of the programs sees it."""

    found: Installation
    egress: Egress

    @classmethod
    def here(cls) -> Place:
        """The one of this process's environment. Raises `InstallationError`."""
        return cls(Installation.load(home_folder()), Egress.from_environment())

    def origin(self, name: str) -> str:
        """The origin of a program. Raises `LookupError` where the chain was not admitted."""
        origin = _origin_of(name, self.found)
        if origin is None:
            raise LookupError(f"{name} has no origin in {self.found.root}: start the demonstration, which adds it")
        return origin

    def listen(self, name: str) -> Listen:
        """Where a program listens."""
        return listen_of(self.origin(name))

    def resource(self, program: str, **settings: Any) -> Resource:
        """A program as a resource, for this installation's people and agents."""
        return Resource(
            self.origin(program),
            person_servers=[self.found.person],
            agent_providers=[self.found.provider],
            egress=self.egress,
            **settings,
        )

    def keys(self, name: str) -> KeyFile:
        """The keys a program signs resource tokens with."""
        return KeyFile(self.found.root / "keys" / f"{name}.jwks")

    async def enroll(self, name: str, *, for_people: bool = False, **settings: Any) -> Agent:
        """A program's agent, enrolled at this installation's provider; waits until it is admitted.

        It acts for nobody, unless it is `for_people`. Raises `AAuthError`.
        """
        return await Agent.enroll(
            name,
            provider=self.found.provider,
            person_server=self.found.person if for_people else None,
            home=self.found.root,
            egress_file=self.found.egress_file,
            person=None,
            **settings,
        )

    async def start(self, supervisor: Supervisor) -> None:
        """Every program as a process of `supervisor`; some listen only once their agent was admitted.

        Raises `SupervisionError`.
        """
        for name in PORTS:
            words = ("aauthkit.demo.supply_chain", name)
            supervisor.start(name, words, port=self.listen(name).port, environment=self.found.environment())
        await asyncio.to_thread(supervisor.wait_ready)
