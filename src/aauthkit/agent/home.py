"""Where agents are kept on disk: one file for each, which only its owner can read, with the durable key in it.

Of a self-hosted agent, which has no such key, the file names the key file that signs its tokens.

`AAUTHKIT_HOME` names the folder; else it is this platform's place for application data. The file is written before the
provider is asked for the first time, since a name is never given to another key.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..keys import KeyFileError, read_private, write_private
from ..protocol.identifiers import InvalidIdentifier, check_top_level_local
from ..protocol.jose import JoseError, SigningKey, parse_json
from .errors import AgentUnknown

HOME_VARIABLE: Final = "AAUTHKIT_HOME"


def home_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The folder of this user's agents, whether it is there yet or not."""
    named = environ.get(HOME_VARIABLE)
    if named:
        return Path(named)
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "aauthkit"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "aauthkit"
    return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "aauthkit"


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An agent as it is kept: `agent` is its identifier, `None` until the provider has given it one.

    `egress` is the path of the configuration under which its provider and person server are reached, if it needs one.
    """

    name: str
    provider: str
    person_server: str | None
    durable: SigningKey = field(repr=False)
    agent: str | None = None
    egress: str | None = None

    def document(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "name": self.name,
            "provider": self.provider,
            "person_server": self.person_server,
            "agent": self.agent,
            "egress": self.egress,
            "durable_key": self.durable.to_jwk(),
        }


@dataclass(frozen=True, slots=True)
class HostedRecord:
    """A self-hosted agent as it is kept: `provider` is its own domain, `keys` the path of the key file that signs."""

    name: str
    provider: str
    person_server: str | None
    agent: str
    keys: str
    egress: str | None = None

    def document(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {name: getattr(self, name) for name in ("name", "provider", "person_server", "agent", "keys", "egress")}


class AgentHome:
    """The agents kept in one folder."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else home_folder()

    def path(self, name: str) -> Path:
        """The file of the agent `name`. Raises `AgentUnknown` for what cannot be a name."""
        try:
            return self.folder / "agents" / f"{check_top_level_local(name)}.json"
        except InvalidIdentifier as error:
            raise AgentUnknown(f"{name!r} cannot be the name of an agent: {error}") from error

    def pending_folder(self, name: str) -> Path:
        """Where the agent `name` keeps what it waits for. Raises `AgentUnknown` for what cannot be a name."""
        return self.folder / "pending" / self.path(name).stem

    def shared_folder(self, name: str) -> Path:
        """Where the processes of the agent `name` share its key and tokens. Raises `AgentUnknown`, as above."""
        return self.folder / "shared" / self.path(name).stem

    def missions_folder(self, name: str) -> Path:
        """Where the agent `name` keeps its missions. Raises `AgentUnknown`, as above."""
        return self.folder / "missions" / self.path(name).stem

    def folders(self, name: str) -> dict[str, Path]:
        """All of them, as an `Agent` takes them."""
        return {
            "pending_folder": self.pending_folder(name),
            "shared_folder": self.shared_folder(name),
            "missions_folder": self.missions_folder(name),
        }

    def names(self) -> list[str]:
        """The names of the agents kept here."""
        return sorted(path.stem for path in (self.folder / "agents").glob("*.json"))

    def find(self, name: str) -> AgentRecord | None:
        """The agent of that name, or `None`. Raises `AgentUnknown` if its file cannot be used."""
        path = self.path(name)
        try:
            document = parse_json(read_private(path))
            if "keys" in document:
                raise ValueError("it is self-hosted, and enrolled nowhere")
            record = AgentRecord(
                name=_text(document, "name"),
                provider=_text(document, "provider"),
                person_server=_optional(document, "person_server"),
                durable=SigningKey.from_jwk(document.get("durable_key")),
                agent=_optional(document, "agent"),
                egress=_optional(document, "egress"),
            )
        except FileNotFoundError:
            return None
        except (KeyFileError, JoseError, ValueError) as error:
            raise AgentUnknown(f"the agent {name!r} cannot be used: {error}") from error
        if record.name != name:
            raise AgentUnknown(f"{path} is the file of the agent {record.name!r}, not of {name!r}")
        return record

    def load(self, name: str) -> AgentRecord:
        """The enrolled agent of that name. Raises `AgentUnknown`."""
        record = self.find(name)
        if record is None:
            known = ", ".join(self.names()) or "none yet"
            raise AgentUnknown(
                f"there is no agent {name!r} in {self.folder} (there: {known}); make one with: aauthkit init {name}"
            )
        if record.agent is None:
            raise AgentUnknown(f"the agent {name!r} is not enrolled yet; go on with: aauthkit init {name}")
        return record

    def hosted(self, name: str) -> HostedRecord | None:
        """The self-hosted agent of that name, or `None`. Raises `AgentUnknown` if its file cannot be used."""
        try:
            document = parse_json(read_private(self.path(name)))
            if "keys" not in document:
                return None
            texts = {each: _text(document, each) for each in ("name", "provider", "agent", "keys")}
            more = {each: _optional(document, each) for each in ("person_server", "egress")}
            return HostedRecord(**texts, **more)  # type: ignore[arg-type]
        except FileNotFoundError:
            return None
        except (KeyFileError, JoseError, ValueError) as error:
            raise AgentUnknown(f"the agent {name!r} cannot be used: {error}") from error

    def save(self, record: AgentRecord | HostedRecord) -> None:
        """Keep an agent, in a file of mode 0600 from its first byte (F88)."""
        path = self.path(record.name)
        write_private(path, json.dumps(record.document(), indent=1).encode())


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"its file holds no {name}")
    return value


def _optional(document: Mapping[str, Any], name: str) -> str | None:
    return _text(document, name) if document.get(name) is not None else None
