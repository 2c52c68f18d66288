"""A provider and a person server of one's own, on one machine, in one folder.

The folder holds everything they need and know: which origins they are, their keys, their databases, their logs, and the
agents enrolled from here. `aauthkit up` and the demonstration run one; a deployment runs each server by itself. The
servers are imported when they are made, so that a command that only looks for the folder needs none of their libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from .keys import KeyFile, write_private
from .protocol.identifiers import InvalidIdentifier, LoopbackProfile
from .protocol.jose import JoseError, parse_json
from .running import Listen
from .supervision import Supervisor, free_port, listening

if TYPE_CHECKING:
    from .audit import Checkpoints
    from .person import PersonServer
    from .provider import AgentProvider
    from .store import Database

PROVIDER_PORT: Final = 8701
PERSON_PORT: Final = 8702
API_ORIGIN: Final = "http://api.localhost:8700"
"""Listed from the start, so that one's first own API finds the profile ready."""


class InstallationError(Exception):
    """An installation that is not there or cannot be used; the message says what to do."""


def port_of(origin: str) -> int:
    """The port of a loopback origin."""
    return int(origin.rpartition(":")[2])


def free_ports(*preferred: int, taken: Iterable[int] = ()) -> list[int]:
    """A port of loopback for each that is preferred: that one, if nobody listens there, else one of those above it.

    Ten apart, and below what systems hand out by themselves, so that they are free at a later run as well.
    """
    kept = set(taken)
    chosen: list[int] = []
    for wanted in preferred:
        for candidate in (*range(wanted, wanted + 1000, 10), 0, 0):
            port = free_port(candidate)
            if port not in kept and candidate in (port, 0):
                break
        kept.add(port)
        chosen.append(port)
    return chosen


@dataclass(frozen=True, slots=True)
class Installation:
    """What is in the folder `root`: the two servers' identifiers, and the origins of the APIs they know of."""

    root: Path
    provider: str
    person: str
    resources: tuple[str, ...] = ()

    @classmethod
    def create(cls, root: Path, *, resources: Iterable[str] = (API_ORIGIN,)) -> Self:
        """A new installation, on ports that are free now. Raises `InstallationError` where there is one already."""
        listed = tuple(resources)
        provider, person = free_ports(PROVIDER_PORT, PERSON_PORT, taken=map(port_of, listed))
        made = cls(root, f"http://provider.localhost:{provider}", f"http://person.localhost:{person}", listed)
        try:
            write_private(root / "installation.json", made._document(), exclusive=True)
        except FileExistsError as error:
            raise InstallationError(f"there is an installation in {root} already") from error
        made._write_egress()
        return made

    @classmethod
    def load(cls, root: Path) -> Self:
        """The installation in `root`. Raises `InstallationError`."""
        file = root / "installation.json"
        try:
            document = parse_json(file.read_bytes())
            found = cls(root, document["provider"], document["person"], tuple(document["resources"]))
            found.loopback  # noqa: B018 - the check is in the making
            return found
        except FileNotFoundError as error:
            raise InstallationError(f"there is no installation in {root}: run `aauthkit up` first") from error
        except (JoseError, KeyError, TypeError, InvalidIdentifier) as error:
            raise InstallationError(
                f"{file} cannot be used ({error}): put it right, or move the folder away and begin anew"
            ) from error

    @classmethod
    def load_or_create(cls, root: Path, *, resources: Iterable[str] = (API_ORIGIN,)) -> Self:
        """The installation in `root`, made where there is none."""
        if (root / "installation.json").exists():
            return cls.load(root)
        return cls.create(root, resources=resources)

    def admitting(self, origins: Iterable[str]) -> Self:
        """The same installation with these API origins listed as well. Raises `InstallationError`.

        One under a host that is listed already takes the place of that one, since a host has one port.
        """
        wanted = {origin.rpartition(":")[0]: origin for origin in (*self.resources, *origins)}
        changed = replace(self, resources=tuple(wanted.values()))
        try:
            changed.loopback  # noqa: B018 - the check is in the making
        except InvalidIdentifier as error:
            raise InstallationError(str(error)) from error
        if changed != self:
            write_private(self.root / "installation.json", changed._document())
        changed._write_egress()
        return changed

    def _document(self) -> bytes:
        members = {"provider": self.provider, "person": self.person, "resources": list(self.resources)}
        return json.dumps(members, indent=1).encode()

    def _write_egress(self) -> None:
        origins = [self.provider, self.person, *self.resources]
        write_private(self.egress_file, json.dumps({"loopback": origins}, indent=1).encode())

    def not_running(self) -> list[str]:
        """Which of the two servers nobody listens for just now."""
        return [origin for origin in (self.provider, self.person) if not listening(port_of(origin))]

    @property
    def egress_file(self) -> Path:
        """The profile's own file, which `AAUTHKIT_EGRESS` names to every process that takes part."""
        return self.root / "egress.json"

    @property
    def loopback(self) -> LoopbackProfile:
        """The origins of this installation."""
        return LoopbackProfile(frozenset((self.provider, self.person, *self.resources)))

    def environment(self) -> dict[str, str]:
        """What a process needs to take part."""
        return {"AAUTHKIT_HOME": str(self.root), "AAUTHKIT_EGRESS": str(self.egress_file)}

    async def database(self, name: str) -> Database:
        """The database of `provider` or `person`."""
        from .store import open_database

        return await open_database(self.root / f"{name}.db")

    def provider_server(self, database: Database) -> AgentProvider:
        """The agent provider; its agents may name this installation's person server."""
        from .provider import AgentProvider

        return AgentProvider(
            self.provider,
            keys=KeyFile(self.root / "keys" / "provider.jwks"),
            database=database,
            person_servers=frozenset({self.person}),
            loopback=self.loopback,
            name="Agents on this machine",
            localhost_callback_allowed=True,
        )

    def person_server(self, database: Database) -> PersonServer:
        """The person server, for this installation's agents at any resource."""
        from .discovery import Discovery
        from .egress import Egress, Http
        from .person import PersonServer
        from .person.server import Shown
        from .trust import ANY, Trust

        egress = Egress.from_file(self.egress_file)
        return PersonServer(
            self.person,
            keys=KeyFile(self.root / "keys" / "person.jwks"),
            database=database,
            discovery=Discovery(Http(egress)),
            trust=Trust(agent_providers=frozenset({self.provider}), resources=ANY),
            loopback=self.loopback,
            shown=Shown(name="Your person server"),
            checkpoints=self.checkpoints(database),
        )

    def checkpoints(self, database: Database) -> Checkpoints:
        """The checkpoints of the person server's audit log, which are also written into a file of this folder."""
        from .audit import Checkpoints, FileSink

        key = KeyFile(self.root / "keys" / "audit.jwks").current
        return Checkpoints(self.person, database, key, sinks=[FileSink(self.checkpoints_file)])

    @property
    def checkpoints_file(self) -> Path:
        """Where checkpoints of the audit log are written outside the database."""
        return self.root / "audit.checkpoints"

    def start(self, supervisor: Supervisor) -> None:
        """Start both servers as processes of `supervisor`."""
        for name, origin in (("provider", self.provider), ("person", self.person)):
            supervisor.start(name, serve_arguments(name), port=port_of(origin), environment=self.environment())


def serve_arguments(name: str) -> Sequence[str]:
    """The command line of a server that ends with its parent."""
    return ("aauthkit", name, "serve", "--watch-parent")


def listen_of(origin: str) -> Listen:
    """Where the server of a loopback origin listens."""
    return Listen("127.0.0.1", port_of(origin))
