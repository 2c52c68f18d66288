"""An agent on this machine: its file and keys, what it may connect to, and the servers that it leans on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..agent.errors import AgentUnknown
from ..agent.home import AgentHome, AgentRecord, HostedRecord
from ..byhand import agent_token
from ..egress import Egress, EgressError, Http
from ..egress.configuration import EgressFileError
from ..egress.resolving import Resolver, system_resolver
from ..enrollment import EnrollmentError
from ..explaining.wording import relative
from ..protocol.tokens import AGENT_DWK, PERSON_DWK
from .findings import Examination
from .privacy import examine_file, examine_keys
from .servers import examine_server


async def examine_agent(
    name: str,
    *,
    home: Path | None = None,
    egress: Egress | None = None,
    resolver: Resolver = system_resolver,
    clock: Callable[[], float] = time.time,
) -> Examination:
    """The agent `name` of the folder `home`; `egress` where it has none of its own. `clock` is in seconds."""
    found = Examination(f"the agent {name}")
    kept = AgentHome(home)
    try:
        path = kept.path(name)
        private = examine_file(found, "file", path) if path.exists() else False
        record = (kept.hosted(name) or kept.load(name)) if private or not path.exists() else None
    except AgentUnknown as error:
        found.bad("file", str(error), "make it anew: aauthkit init NAME")
        return found
    if record is None:
        return found
    reached = _egress(found, record, egress)
    if reached is None:
        return found
    kids = examine_keys(found, Path(record.keys)) if isinstance(record, HostedRecord) else set[str]()
    if isinstance(record, AgentRecord):
        found.good("key", f"durable, {record.durable.alg}, thumbprint {record.durable.kid}")
        await _token(found, name, reached, home, clock)
    provider = await examine_server(
        record.provider, AGENT_DWK, reached, expected_kids=kids, resolver=resolver, clock=clock
    )
    found.inside.append(provider)
    if record.person_server is None:
        found.open(
            "person", "this agent has no person server", "aauthkit init NAME --ps URL, where it acts for somebody"
        )
    else:
        person = await examine_server(record.person_server, PERSON_DWK, reached, resolver=resolver, clock=clock)
        found.inside.append(person)
    return found


def _egress(found: Examination, record: AgentRecord | HostedRecord, given: Egress | None) -> Egress | None:
    if record.egress is not None:
        try:
            egress = Egress.from_file(record.egress)
        except EgressFileError as error:
            found.bad("egress", str(error), "put the file right: the agent's servers are reached as it says")
            return None
        found.good("egress", f"as {record.egress} says")
    else:
        egress = given if given is not None else Egress()
        found.good("egress", "https to public addresses, as this process is configured")
    return egress


async def _token(found: Examination, name: str, egress: Egress, home: Path | None, clock: Callable[[], float]) -> None:
    """Whether the provider still issues agent tokens: one is fetched, as the agent does."""
    try:
        async with Http(egress) as http:
            _, token = await agent_token(name, http, egress, home=home)
    except (EnrollmentError, EgressError, AgentUnknown) as error:
        mend = "ask the provider's operator whether the agent is active: aauthkit provider agents"
        found.bad("token", f"no agent token is to be had: {error}", mend)
        return
    found.good(
        "token", f"the provider issues agent tokens to {token.sub}; this one ends {relative(token.exp - clock())}"
    )
    ahead = token.iat - clock()
    if ahead > 5:
        text = f"the token was issued {ahead:.0f} s ahead of this machine's clock"
        found.warn("clock", text, "set both by NTP: timedatectl set-ntp true")
