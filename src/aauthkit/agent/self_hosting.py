"""Self-hosted agents: made on this machine, published by their owner, and their own source of agent tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..discovery import Discovery
from ..egress import Egress
from ..enrollment import Enrollment
from ..keys import KeyFile, KeyFileError
from ..protocol.identifiers import check_server_identifier, host_of
from ..protocol.jose import SigningKey
from ..selfhosted import LIFETIME, SelfHosted
from .errors import AgentTokenUnavailable, AgentUnknown
from .home import AgentHome, HostedRecord

Issue = Callable[[Discovery, SigningKey], Awaitable[Enrollment]]
"""Gives an agent token bound to this key, of an agent that is its own provider. Raises `EnrollmentError`."""


def settings_of(record: HostedRecord, egress: Egress | None, settings: dict[str, Any]) -> dict[str, Any]:
    """What an `Agent` needs to be this one; `settings` as for `Agent`. Raises `AgentUnknown` without its keys."""
    if egress is None:
        egress = Egress.from_file(Path(record.egress)) if record.egress is not None else Egress.from_environment()
    given = {name: settings[name] for name in ("clock", "random_bytes") if name in settings}
    if not Path(record.keys).exists():
        raise AgentUnknown(f"the agent {record.name!r} cannot be used: its key file {record.keys} is gone")
    try:
        keys = KeyFile(record.keys, lifetime=LIFETIME, **given)
    except KeyFileError as error:
        raise AgentUnknown(f"the agent {record.name!r} cannot be used: {error}") from error
    provider = SelfHosted(record.provider, keys, loopback=egress.loopback, **given)

    async def issue(discovery: Discovery, key: SigningKey) -> Enrollment:
        return await provider.issue(discovery, key, agent=record.agent, ps=record.person_server)

    own = {"provider": record.provider, "person_server": record.person_server, "issue": issue, "egress": egress}
    return {**settings, **own}


def host_agent(
    name: str,
    *,
    issuer: str,
    person_server: str | None,
    publish: Path,
    home: Path | str | None = None,
    egress: Egress | None = None,
    egress_file: Path | None = None,
) -> HostedRecord:
    """Make the agent `name` of the domain `issuer` on this machine, and write what is to be published below `publish`.

    Agents of one domain share its key file. Made again, it is the same agent, and its documents are written anew.
    Raises `AgentTokenUnavailable` where the name is an agent's of another provider, `KeyFileError`.
    """
    egress = egress if egress is not None else Egress.from_environment()
    check_server_identifier(issuer, egress.loopback)
    kept = AgentHome(home)
    before = kept.hosted(name)
    if (before is None and kept.path(name).exists()) or (before is not None and before.provider != issuer):
        raise AgentTokenUnavailable(
            f"{kept.path(name)} is an agent of another provider; choose another name, or move that file away"
        )
    path = (kept.folder / "hosted" / f"{host_of(issuer)}.jwks").absolute()
    provider = SelfHosted(issuer, KeyFile(path, lifetime=LIFETIME), loopback=egress.loopback)
    record = HostedRecord(
        name,
        issuer,
        person_server,
        provider.identifier(name),
        str(path),
        str(egress_file.absolute()) if egress_file is not None else None,
    )
    provider.publish(publish)
    kept.save(record)
    return record
