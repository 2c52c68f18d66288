"""An agent on this machine: its file and keys, what it may connect to, and the servers that it leans on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..agent.errors import AgentUnknown
from ..agent.home import AgentHome, AgentRecord, HostedRecord
from ..byhand import agent_token, prepare
from ..discovery import Discovery, DiscoveryFailed
from ..egress import Egress, EgressError, Http
from ..egress.configuration import EgressFileError
from ..egress.resolving import Resolver, system_resolver
from ..enrollment import EnrollmentError
from ..explaining.wording import relative
from ..outbound import Credential
from ..protocol.problems import CORRELATION
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
        credential = await _token(found, name, reached, home, clock)
        if credential is not None and record.person_server is not None:
            await _signature(found, record.person_server, credential, reached, clock)
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


async def _token(
    found: Examination, name: str, egress: Egress, home: Path | None, clock: Callable[[], float]
) -> Credential | None:
    """Whether the provider still issues agent tokens: one is fetched, as the agent does."""
    try:
        async with Http(egress) as http:
            key, token = await agent_token(name, http, egress, home=home)
    except (EnrollmentError, EgressError, AgentUnknown) as error:
        mend = "ask the provider's operator whether the agent is active: aauthkit provider agents"
        found.bad("token", f"no agent token is to be had: {error}", mend)
        return None
    found.good(
        "token", f"the provider issues agent tokens to {token.sub}; this one ends {relative(token.exp - clock())}"
    )
    ahead = token.iat - clock()
    if ahead > 5:
        text = f"the token was issued {ahead:.0f} s ahead of this machine's clock"
        found.warn("clock", text, "set both by NTP: timedatectl set-ntp true")
    return Credential.from_token(key, token.raw)


async def _signature(
    found: Examination, person_server: str, credential: Credential, egress: Egress, clock: Callable[[], float]
) -> None:
    """Whether the person server verifies what this agent signs: it is asked for nothing, and says so with 400."""
    try:
        async with Http(egress) as http:
            metadata = await Discovery(http).metadata(person_server, PERSON_DWK)
            url = metadata.endpoint("person_token_endpoint")
            assert url is not None, "required, and looked at when it was read"
            json = [("content-type", "application/json")]
            answer = await prepare("POST", url, credential, egress, headers=json, body=b"{}", now=clock()).send(http)
    except (DiscoveryFailed, EgressError):
        return  # told where the server itself is examined
    if answer.status == 400:
        found.good("signature", f"{person_server} verifies what this agent signs")
    elif answer.status == 401:
        logged = answer.header(CORRELATION)
        mend = f"its log says why, at {logged}" if logged else "have its operator run: aauthkit explain"
        text = f"{person_server} refuses what this agent signs: {answer.header('signature-error') or '401'}"
        found.bad("signature", text, mend)
    else:
        found.warn("signature", f"{person_server} answers {answer.status} to an empty request", "it is 400")
