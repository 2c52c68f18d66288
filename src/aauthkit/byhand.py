"""One request at one step of the scale, made by hand: signed with a bare key or an agent token, its answer as it is.

For looking at what a server says. An agent's own client does all of this by itself, and more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes, token_urlsafe

from .agent.home import AgentHome
from .discovery import Discovery
from .egress import Egress, Http, read_url
from .enrollment import refresh
from .keys import Keys
from .outbound import Credential, Outbound, sign_outgoing
from .protocol.identifiers import check_server_identifier
from .protocol.jose import SigningKey
from .protocol.messages import Answer, HeaderList, SignedRequest
from .protocol.signature_key import hwk_header
from .protocol.tokens import AgentToken

MAX_SHOWN = 8 * 1024 * 1024
"""Largest answer that is read, in bytes."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A signed request that has not been sent: whoever holds it may send it, or change it and try."""

    method: str
    url: str
    headers: HeaderList = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    async def send(self, http: Http) -> Answer:
        """Send it as it is; redirects are not followed."""
        return await http.send(
            self.method, self.url, self.headers, self.body, timeout=30.0, limit=MAX_SHOWN, guarded=False
        )


def bare_credential() -> Credential:
    """A fresh key that stands for itself (`hwk`)."""
    key = SigningKey.generate(token_bytes)
    return Credential(key, hwk_header(key.public))


def server_credential(issuer: str, role: str, keys: Keys, egress: Egress) -> Credential:
    """A server's own, by the key that it publishes under `role`, its metadata document (`jwks_uri`, draft-11 §11.3.2).

    Raises `InvalidIdentifier` for an issuer that no server can have.
    """
    return Credential.from_server(keys.current, check_server_identifier(issuer, egress.loopback), role)


async def agent_token(
    name: str, http: Http, egress: Egress, *, home: Path | None = None
) -> tuple[SigningKey, AgentToken]:
    """A fresh key with an agent token for it, from the provider of the agent that `aauthkit init NAME` made.

    Raises `AgentUnknown`, `EnrollmentError`, `EgressError`.
    """
    record = AgentHome(home).load(name)
    key = SigningKey.generate(token_bytes)
    enrolled = await refresh(
        Outbound(http, guarded=False),
        Discovery(http),
        record.provider,
        record.durable,
        key,
        agent=str(record.agent),
        ps=record.person_server,
        loopback=egress.loopback,
    )
    return key, enrolled.token


async def agent_credential(name: str, http: Http, egress: Egress, *, home: Path | None = None) -> Credential:
    """What an agent signs with that presents its agent token, as `agent_token` gets it."""
    key, token = await agent_token(name, http, egress, home=home)
    return Credential.from_token(key, token.raw)


def prepare(
    method: str,
    url: str,
    credential: Credential,
    egress: Egress,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    now: float | None = None,
) -> Prepared:
    """A request signed for where `url` leads. Raises `EgressError` for a URL that nothing is sent to."""
    target = read_url(url, egress.loopback)
    request = SignedRequest(method, target.scheme, target.authority, target.target, tuple(headers))
    moment = time.time() if now is None else now
    signed = sign_outgoing(request, credential, now=moment, body=body, nonce=token_urlsafe(8))
    return Prepared(method, url, (*headers, *signed), body)
