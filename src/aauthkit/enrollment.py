"""An agent's side of enrolment and refresh: how it gets its agent token, and a fresh one before that expires.

The interface is the one that `docs/enrollment.md` describes and `aauthkit.provider` serves; draft-11 §5.1 leaves it to
the provider. Two keys: the durable key is shown to the provider alone, the ephemeral key signs everything else and is
what the agent token is bound to. What comes back is verified before it is handed on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .discovery import Discovery, DiscoveryFailed
from .outbound import DEFAULT_WAIT, Credential, OnPending, Outbound, ignore_pending
from .protocol.headers import HeaderError, parse_retry_after, parse_signature_error
from .protocol.identifiers import (
    NO_LOOPBACK,
    AgentIdentifier,
    InvalidIdentifier,
    LoopbackProfile,
    check_endpoint,
    check_server_identifier,
    check_top_level_local,
    host_of,
    origin_of,
)
from .protocol.jose import JoseError, PublicKey, SigningKey, parse_json
from .protocol.messages import Answer
from .protocol.metadata import Metadata
from .protocol.signature_key import hwk_header, jkt_jwt_header
from .protocol.tokens import AGENT_DWK, AGENT_TYP, AgentToken, TokenRejected, check_lifetime, read_token

DELEGATION_LIFETIME: Final = 300
"""Seconds for which the durable key delegates to the ephemeral key, at a refresh."""
MAX_SHOWN: Final = 300


Evidence = Callable[[str], Mapping[str, Any]]
"""Makes the `evidence` of an enrolment from the provider's nonce, which an attestation is to contain."""


def approved_by_a_person(_nonce: str) -> Mapping[str, Any]:
    """The evidence of an agent that has none of its own: a person approves it at the provider."""
    return {"type": "person"}


class EnrollmentError(Exception):
    """An enrolment or refresh that gave no agent token; the message says why, and what to do."""


class EnrollmentRefused(EnrollmentError):
    """The provider said no. `code` is its `error`, `status` the HTTP status, `retry_after` in seconds or `None`.

    `name_taken`: choose another name. `access_denied`: this key is not enrolled, or its agent was suspended or ended.
    """

    def __init__(self, message: str, *, code: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after


class EnrollmentMismatch(EnrollmentError):
    """The provider's answer is not what was asked for: another agent, key, provider or person server, or no token."""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """An agent's standing at its provider, as the token just issued says; that token was verified."""

    token: AgentToken = field(repr=False)

    @property
    def provider(self) -> str:
        """The agent provider's identifier."""
        return self.token.iss

    @property
    def agent(self) -> str:
        """The agent identifier, `aauth:local@domain`; it stays the same at every refresh."""
        return self.token.sub

    @property
    def ps(self) -> str | None:
        """The person server the provider names for this agent."""
        return self.token.ps

    @property
    def agent_token(self) -> str:
        """The token as it is presented in Signature-Key."""
        return self.token.raw

    @property
    def exp(self) -> int:
        """When the token expires, in seconds since the epoch."""
        return self.token.exp

    def __repr__(self) -> str:
        return f"Enrollment({self.agent}, provider={self.provider}, exp={self.exp})"


async def enroll(
    outbound: Outbound,
    discovery: Discovery,
    provider: str,
    durable: SigningKey,
    key: SigningKey,
    *,
    name: str,
    ps: str | None = None,
    evidence: Evidence = approved_by_a_person,
    platform: str | None = None,
    device: str | None = None,
    on_pending: OnPending = ignore_pending,
    wait: int = DEFAULT_WAIT,
    loopback: LoopbackProfile = NO_LOOPBACK,
    clock: Callable[[], float] = time.time,
) -> Enrollment:
    """Ask `provider` for the agent `name`, wait until it decides, and give back the verified agent token for `key`.

    `durable` proves each request and keeps the name for good; asking again with the same key and name joins the request
    that is pending, or is answered at once where the agent is enrolled. `on_pending` sees every 202. Where `ps` is
    `None` the provider's choice stands. `platform` is a value of draft-11 §15.10, `device` at most 64 printable
    characters, for whoever approves. Raises `EnrollmentError`, `InvalidIdentifier`, `OutboundError`, and what the HTTP
    client raises.
    """
    check_server_identifier(provider, loopback)
    check_top_level_local(name)
    if ps is not None:
        check_server_identifier(ps, loopback)
    metadata = await _metadata(discovery, provider)
    credential = Credential(durable, hwk_header(durable.public))
    nonce = await _nonce(outbound, _endpoint(metadata, "enrollment_nonce_endpoint", loopback), credential)
    url = _endpoint(metadata, "enrollment_endpoint", loopback)
    asked = {"name": name, "nonce": nonce, "key": _jwk(key.public), "evidence": dict(evidence(nonce))}
    optional = {"ps": ps, "platform": platform, "device": device}
    asked |= {member: value for member, value in optional.items() if value is not None}
    answer = await outbound.call("POST", url, credential, json_body=asked)
    answer = await outbound.follow(answer, url, credential, on_pending=on_pending, wait=wait)
    agent = str(AgentIdentifier(name, host_of(provider)))
    token = await _verified(answer, discovery, provider, key.public, agent=agent, loopback=loopback, now=clock())
    if ps is not None and token.ps != ps:
        raise EnrollmentMismatch(f"{provider} issued a token with another person server than {ps}")
    return Enrollment(token)


async def refresh(
    outbound: Outbound,
    discovery: Discovery,
    provider: str,
    durable: SigningKey,
    key: SigningKey,
    *,
    agent: str,
    ps: str | None,
    loopback: LoopbackProfile = NO_LOOPBACK,
    clock: Callable[[], float] = time.time,
) -> Enrollment:
    """A fresh agent token for the same `agent`, bound to `key`, which may be the present one again or a new one.

    `durable` delegates to `key` for five minutes (`jkt-jwt`, Signature-Keys §3.5). `agent` and `ps` are what the agent
    token said so far, and must stay. Raises `EnrollmentError`, `OutboundError`, and what the HTTP
    client raises.
    """
    metadata = await _metadata(discovery, provider)
    url = _endpoint(metadata, "refresh_endpoint", loopback)
    now = int(clock())
    delegation = jkt_jwt_header(durable, key.public, iat=now, exp=now + DELEGATION_LIFETIME)
    answer = await outbound.call("POST", url, Credential(key, delegation), json_body={})
    answer = await outbound.follow(answer, url, Credential(durable, hwk_header(durable.public)))
    token = await _verified(answer, discovery, provider, key.public, agent=agent, loopback=loopback, now=clock())
    if token.ps != ps:
        raise EnrollmentMismatch(f"{provider} changed the person server of {agent}; enrol again if that is meant")
    return Enrollment(token)


async def withdraw(outbound: Outbound, location: str, durable: SigningKey) -> None:
    """End an enrolment that is still pending at `location`; of one that has ended already, nothing."""
    answer = await outbound.call("DELETE", location, Credential(durable, hwk_header(durable.public)))
    if answer.status not in (204, 404, 410):
        raise _refused(answer)


def _jwk(key: PublicKey) -> dict[str, str]:
    return {name: value for name, value in key.jwk.items() if name != "kid"}


async def _metadata(discovery: Discovery, provider: str) -> Metadata:
    try:
        return await discovery.metadata(provider, AGENT_DWK)
    except DiscoveryFailed as error:
        raise EnrollmentError(f"the metadata of {provider} cannot be used: {error.reason}") from error


def _endpoint(metadata: Metadata, name: str, loopback: LoopbackProfile) -> str:
    """An endpoint of this interface, which stands on the provider's own origin: a signature is made for nobody else."""
    value = metadata.document.get(name)
    if value is None:
        raise EnrollmentError(f"{metadata.issuer} does not serve this enrolment interface: it names no {name}")
    try:
        endpoint = check_endpoint(value, metadata.issuer, loopback)
    except InvalidIdentifier as error:
        raise EnrollmentError(f"the {name} of {metadata.issuer} cannot be used: {error}") from error
    if origin_of(endpoint) != metadata.issuer:
        raise EnrollmentError(f"the {name} of {metadata.issuer} is on another origin; nothing was sent there")
    return endpoint


async def _nonce(outbound: Outbound, url: str, credential: Credential) -> str:
    answer = await outbound.call("POST", url, credential)
    nonce = _document(answer).get("nonce")
    if not isinstance(nonce, str) or not 0 < len(nonce) <= 1024:
        raise EnrollmentMismatch("the provider gave no nonce")
    return nonce


def _document(answer: Answer) -> Mapping[str, Any]:
    """The JSON of a 200. Raises `EnrollmentRefused` for any other status."""
    if answer.status != 200:
        raise _refused(answer)
    try:
        return parse_json(answer.body)
    except JoseError as error:
        raise EnrollmentMismatch(f"the provider's answer: {error}") from error


async def _verified(
    answer: Answer,
    discovery: Discovery,
    provider: str,
    key: PublicKey,
    *,
    agent: str,
    loopback: LoopbackProfile,
    now: float,
) -> AgentToken:
    """The agent token of a 200, if it is this provider's, for this agent and this key, and alive (draft-11 §5.3.3)."""
    document = _document(answer)
    try:
        token = read_token(document.get("agent_token", ""), {AGENT_TYP}, loopback=loopback)
        assert isinstance(token, AgentToken)
        _check_asked(token, provider, key, agent)
        await _verify_issuer(token, discovery)
        check_lifetime(token, now)
    except TokenRejected as error:
        raise EnrollmentMismatch(f"the agent token from {provider} is refused: {error}") from error
    except DiscoveryFailed as error:
        raise EnrollmentError(f"the keys of {provider} cannot be used: {error.reason}") from error
    if document.get("agent") != token.sub:
        raise EnrollmentMismatch("the provider's answer names another agent than its token")
    return token


def _check_asked(token: AgentToken, provider: str, key: PublicKey, agent: str) -> None:
    if token.iss != provider:
        raise TokenRejected("iss is another provider")
    if token.sub != agent:
        raise TokenRejected(f"sub is not {agent}")
    if not token.cnf.same_key(key):
        raise TokenRejected("cnf is not the key it was asked for")
    if token.parent_agent is not None:
        raise TokenRejected("it is a sub-agent's")


async def _verify_issuer(token: AgentToken, discovery: Discovery) -> None:
    """draft-11 §11.5.2 step 2; where a remembered key fails, once more under what is published now (§11.4)."""
    key = await discovery.key(token.iss, token.dwk, token.kid)
    try:
        token.verify_signature(key)
    except TokenRejected:
        token.verify_signature(await discovery.key(token.iss, token.dwk, token.kid, failed=key))


_ADVICE: Final = {
    "name_taken": "choose another name",
    "access_denied": "ask whoever runs the provider",
    "denied": "the enrolment was declined at the provider",
    "expired": "nobody decided in time; enrol again",
    "gone": "that request has ended; enrol again",
    "clock_skew": "this machine's clock is ahead; set it and try again",
    "invalid_signature": "check this machine's clock and key",
    "rate_limited": "wait, then try again",
}


def _refused(answer: Answer) -> EnrollmentRefused:
    """The error that a non-200 says, in words that are safe to show: the provider's text is a stranger's."""
    try:
        body = parse_json(answer.body) if answer.body else {}
    except JoseError:
        body = {}
    try:
        signature = parse_signature_error(answer.values("signature-error"))
    except HeaderError:
        signature = None
    code = signature.error if signature is not None else _shown(body.get("error")) or "unknown"
    detail = _shown(body.get("detail"))
    said = f"the provider answered {answer.status} {code}" + (f": {detail}" if detail else "")
    advice = f" ({_ADVICE[code]})" if code in _ADVICE else ""
    retry = answer.values("retry-after")
    after = parse_retry_after(retry) if retry else None
    return EnrollmentRefused(said + advice, code=code, status=answer.status, retry_after=after)


def _shown(text: object) -> str:
    kept = text[:MAX_SHOWN] if isinstance(text, str) else ""
    return "".join(character for character in kept if character.isprintable())
