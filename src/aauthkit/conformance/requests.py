"""Own answers of the kind `request`: a signed request at a server, or at a route of a resource."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from ..callers import Agent, Caller, Delegate, Grant, Person, Pseudonym, Server
from ..discovery import Discovery, DiscoveryFailed
from ..protocol.headers import Requirement
from ..protocol.jose import SigningKey
from ..protocol.messages import Refusal
from ..protocol.problems import WireError
from ..serving import BytesBody, Request, verify_digest
from ..trust import ANY, Issuers, Trust
from ..verification import Accepts, Verified, Verifier, never_revoked
from .documents import Clock, Table
from .pack import Pack

RESOURCE_KEY = "api-1"


def request_of(wire: Mapping[str, Any]) -> Request:
    """A request as it stands in a vector."""
    headers = tuple((name.lower(), value) for name, value in wire["headers"])
    return Request(wire["method"], wire["target"], headers, BytesBody(base64.b64decode(wire["body"])))


def trust_of(trusted: Mapping[str, Any] | None) -> Trust:
    """Who is trusted, by metadata document; everybody where nothing is said."""

    def issuers(dwk: str) -> Issuers:
        return ANY if trusted is None else frozenset(trusted.get(dwk, ()))

    return Trust(
        agent_providers=issuers("aauth-agent.json"),
        person_servers=issuers("aauth-person.json"),
        access_servers=issuers("aauth-access.json"),
        resources=issuers("aauth-resource.json"),
    )


def revocations(given: Mapping[str, Any]) -> Callable[[str, str], bool]:
    """Whether a token is revoked, as a vector says."""
    revoked = {(iss, jti) for iss, jti in given.get("revoked", ())}
    return lambda iss, jti: (iss, jti) in revoked


async def discovery_of(given: Mapping[str, Any], clock: Clock) -> Discovery:
    """Keys as the vector's documents have them, with what was known before."""
    table = Table(given["documents"])
    discovery = Discovery(table, clock=clock)
    known = given.get("cached")
    if known is not None:
        table.documents, clock.now = known["documents"], known["time"]
        for iss, dwk, kid in known["keys"]:
            try:
                await discovery.key(iss, dwk, kid)
            except DiscoveryFailed:
                continue
        table.documents, clock.now = given["documents"], given["time"]
    return discovery


def who(caller: Caller) -> dict[str, Any]:
    """The caller as a vector names it."""
    if isinstance(caller, Pseudonym):
        return {"level": "key", "key": caller.thumbprint}
    if isinstance(caller, Server):
        return {"level": "server", "iss": caller.iss, "dwk": caller.dwk, "key": caller.key.thumbprint}
    if isinstance(caller, Delegate):
        return {"level": "delegate", "durable": caller.durable.thumbprint, "key": caller.key.thumbprint}
    assert isinstance(caller, Agent | Person | Grant)
    token: Any = caller.proof
    found = {"iss": token.iss, "sub": token.sub, "jti": token.jti, "key": caller.key.thumbprint}
    for name in ("ps", "tenant", "mission_s256", "account", "parent_agent"):
        if getattr(token, name, None) is not None:
            found[name] = getattr(token, name)
    if isinstance(caller, Agent):
        return {"level": "agent", **found}
    if isinstance(caller, Person):
        return {"level": "person", **found}
    return {"level": "grant", **found, "scope": sorted(caller.scope)}


def refused(refusal: Refusal) -> dict[str, Any]:
    """A refusal as a vector names it: its code, and the answer that carries it."""
    answer = refusal.answer()
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    requirement = getattr(refusal, "requirement", None)
    code = f"requirement:{requirement.value}" if isinstance(requirement, Requirement) else "refused"
    if isinstance(refusal, WireError):
        code = refusal.code
    return {"error": {"code": code, "status": answer.status, "headers": headers}}


def accepts_of(server: Mapping[str, Any]) -> Accepts:
    """What the endpoint of a vector takes."""
    return Accepts(
        tuple(server["schemes"]),
        frozenset(server["token_types"]),
        frozenset(server["documents"]),
        body=server["body"],
        query=server["query"],
        components=tuple(server["components"]),
    )


class _Revocations:
    """What is revoked; nothing, until `now` is called."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._asked: Callable[[str, str], bool] = never_revoked

    def now(self) -> None:
        """From here on it is as the vector says."""
        self._asked = revocations(self._given)

    def __call__(self, iss: str, jti: str) -> bool:
        """Whether this token is revoked."""
        return self._asked(iss, jti)


async def _at_endpoint(given: Mapping[str, Any], clock: Clock) -> Callable[[Mapping[str, Any]], Awaitable[Verified]]:
    server, revoked = given["server"], _Revocations(given)
    verifier = Verifier(
        server["identifier"],
        discovery=await discovery_of(given, clock),
        trust=trust_of(server.get("trusted")),
        window=server["window"],
        is_revoked=revoked,
        clock=clock,
    )
    for each in given.get("before", ()):
        clock.now = each["time"]
        earlier = request_of(each["request"]).as_signed(server["identifier"])
        with suppress(Refusal):
            await verifier.verify(earlier, accepts_of(each.get("server", server)))
    clock.now = given["time"]
    revoked.now()

    async def verify(wire: Mapping[str, Any]) -> Verified:
        request = request_of(wire)
        verified = await verifier.verify(request.as_signed(server["identifier"]), accepts_of(server))
        verify_digest(verified.digest(), await request.read())
        return verified

    return verify


async def _at_route(
    given: Mapping[str, Any], clock: Clock, pack: Pack
) -> Callable[[Mapping[str, Any]], Awaitable[Verified]]:
    from ..keys import FixedKey
    from ..resource import Resource

    server, need = given["server"], given["need"]
    resource = Resource(
        server["identifier"],
        person_servers=ANY,
        agent_providers=ANY,
        keys=FixedKey(SigningKey.from_jwk(pack.keys[RESOURCE_KEY])),
        scopes={"orders.read": "Read orders", "orders.write": "Write orders"},
        discovery=await discovery_of(given, clock),
        signature_window=server["window"],
        is_revoked=revocations(given),
        clock=clock,
    )
    level, scope = need["level"], need["scope"]
    wanted = resource.grant(*scope) if level == "grant" else getattr(resource, level)()

    async def decide(wire: Mapping[str, Any]) -> Verified:
        await resource.start()
        try:
            return await resource.decide(request_of(wire), wanted)
        finally:
            await resource.close()

    return decide


async def verify(given: Mapping[str, Any], pack: Pack) -> dict[str, Any]:
    """The answer to a vector of the kind `request`."""
    clock = Clock(given["time"])
    verdict = await (_at_route(given, clock, pack) if "need" in given else _at_endpoint(given, clock))
    try:
        verified = await verdict(given["request"])
    except Refusal as refusal:
        return refused(refusal)
    return {"result": who(verified.caller)}
