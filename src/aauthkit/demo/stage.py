"""What the demonstration stands on: one folder, three processes, and what was expected against what was seen."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..agent import Agent, AgentHome
from ..deferred import MIGRATIONS as PENDING_TABLES
from ..egress import Egress
from ..installation import Installation, free_ports, port_of
from ..keys import read_private, write_private
from ..narration import Narrator
from ..outbound import Pending
from ..provider.enrollments import Enrollments
from ..provider.limits import Limits
from ..provider.records import MIGRATIONS as PROVIDER_TABLES
from ..supervision import Supervisor
from .supply_chain.places import admit

SHOP: Final = "http://orders.localhost:"
SHOP_PORT: Final = 8703
SCRIPTED: Final = "scripted-pat"
"""The scripted person's account: a name that nobody takes who plays the person's part themselves."""


class DemonstrationFailed(Exception):
    """Something was not as it must be."""


class FolderRefused(Exception):
    """A folder that something else stands in; the message says what to do."""


@dataclass
class Stage:
    """The folder, the servers in it, who tells the story, and what was shown so far."""

    found: Installation
    narrator: Narrator
    egress: Egress
    begun: float = field(default_factory=time.monotonic)
    shown: dict[str, int] = field(default_factory=dict)
    granted: int | None = None
    """How many of the things asked for a person granted, once they have."""

    @classmethod
    def set_up(cls, folder: Path, narrator: Narrator) -> Stage:
        """A new folder, or the one of an earlier run: its account and keys are kept. Raises `FolderRefused`."""
        if (folder / "installation.json").exists():
            found = Installation.load(folder)
            if not found.resources or not found.resources[0].startswith(SHOP):
                raise FolderRefused(f"{folder} is not a demonstration's: name another with --folder")
            found = found.admitting(())
        elif folder.exists() and any(folder.iterdir()):
            raise FolderRefused(f"there is something else in {folder}: name another with --folder, or empty it")
        else:
            found = Installation.create(folder, resources=(f"{SHOP}{free_ports(SHOP_PORT)[0]}",))
        found = admit(found)
        return cls(found, narrator, Egress.from_file(found.egress_file))

    @property
    def shop(self) -> str:
        """The protected API's identifier."""
        return self.found.resources[0]

    def start(self, supervisor: Supervisor) -> None:
        """Three real processes: provider, person server, API."""
        self.found.start(supervisor)
        keys = str(self.found.root / "keys" / "orders.jwks")
        arguments: Sequence[str] = ("aauthkit.demo.orders", self.shop, self.found.person, keys)
        supervisor.start("orders", arguments, port=port_of(self.shop), environment=self.found.environment())
        supervisor.wait_ready()

    def expect(self, what: str, seen: object, expected: object) -> None:
        """Return if `what` was seen as it must be. Raises `DemonstrationFailed`."""
        if seen != expected:
            raise DemonstrationFailed(f"{what}: expected {expected!r}, saw {seen!r}")

    def count(self, kind: str, number: int = 1) -> None:
        """Remember that something was shown, for the last line."""
        self.shown[kind] = self.shown.get(kind, 0) + number

    async def enroll(self, wanted: str) -> Agent:
        """A new agent under the next free name, admitted as an operator would with `aauthkit provider approve`."""
        home = AgentHome(self.found.root)
        taken = set(home.names())
        name = next(n for n in (wanted, *(f"{wanted}-{i}" for i in range(2, 10_000))) if n not in taken)
        told = False

        async def admit(_pending: Pending) -> None:
            nonlocal told
            if told:
                return
            told = True
            self.narrator.line(f"  … {name} asks its provider to be enrolled; what an operator would do now:")
            self.narrator.line(f"    aauthkit provider approve {name} --home {self.found.root}")
            database = await self.found.database("provider")
            try:
                await database.migrate((*PENDING_TABLES, *PROVIDER_TABLES))
                await Enrollments(self.found.provider, database, limits=Limits()).approve(name)
            finally:
                await database.close()

        self.count("agent")
        return await Agent.enroll(
            name,
            provider=self.found.provider,
            person_server=self.found.person,
            home=self.found.root,
            egress_file=self.found.egress_file,
            on_pending=admit,
            platform=None,
            device="this machine",
        )

    def account(self) -> tuple[str, str]:
        """The scripted person's name and password, kept in the folder with mode 0600 for the next run."""
        path = self.found.root / "scripted-person.json"
        if not path.exists():
            write_private(path, json.dumps({"name": SCRIPTED, "password": secrets.token_urlsafe(18)}).encode())
        kept = json.loads(read_private(path))
        return kept["name"], kept["password"]
