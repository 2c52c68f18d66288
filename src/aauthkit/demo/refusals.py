"""What must fail, tried for real against the running servers: each refusal with the reason its server gives."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from ..agent import Agent
from ..byhand import Prepared, agent_credential, bare_credential, prepare
from ..egress import Http
from ..outbound import Credential
from ..protocol.headers import parse_requirement, parse_signature_error
from ..protocol.messages import Answer
from .stage import Stage
from .visitor import Visitor


@dataclass(frozen=True, slots=True)
class Thief:
    """Somebody between the lines: has seen the agent's requests, and has an agent and a key of their own."""

    stage: Stage
    http: Http
    agent: Credential
    other: Credential

    def signed(self, method: str, url: str, body: bytes = b"", *, by: Credential | None = None) -> Prepared:
        """A request as an agent signs it."""
        headers = [("content-type", "application/json")] if body else []
        return prepare(method, url, by or self.agent, self.stage.egress, headers=headers, body=body)

    async def send(self, request: Prepared) -> Answer:
        """Send a request, changed or not."""
        return await request.send(self.http)


Attempt = Callable[[Thief], Awaitable[Answer]]


async def _unsigned(thief: Thief) -> Answer:
    return await thief.send(Prepared("GET", f"{thief.stage.shop}/orders", ()))


async def _stolen_token(thief: Thief) -> Answer:
    stolen = Credential(bare_credential().key, thief.agent.signature_key)
    return await thief.send(thief.signed("GET", f"{thief.stage.shop}/shop", by=stolen))


async def _changed_path(thief: Thief) -> Answer:
    request = thief.signed("GET", f"{thief.stage.shop}/shop")
    return await thief.send(replace(request, url=f"{thief.stage.shop}/orders"))


async def _changed_query(thief: Thief) -> Answer:
    request = thief.signed("GET", f"{thief.stage.shop}/shop?page=1")
    return await thief.send(replace(request, url=f"{thief.stage.shop}/shop?page=2"))


async def _added_query(thief: Thief) -> Answer:
    request = thief.signed("GET", f"{thief.stage.shop}/shop")
    return await thief.send(replace(request, url=f"{thief.stage.shop}/shop?admin=1"))


async def _changed_body(thief: Thief) -> Answer:
    request = thief.signed("POST", f"{thief.stage.found.person}/person", _asking(thief))
    return await thief.send(replace(request, body=request.body.replace(b"orders", b"evil-x")))


async def _relayed(thief: Thief) -> Answer:
    request = thief.signed("GET", f"{thief.stage.found.person}/shop")
    return await thief.send(replace(request, url=f"{thief.stage.shop}/shop"))


async def _replayed(thief: Thief) -> Answer:
    request = thief.signed("POST", f"{thief.stage.found.person}/person", b'{"resource": "nonsense"}')
    await thief.send(request)
    return await thief.send(request)


def _asking(thief: Thief) -> bytes:
    return json.dumps({"resource": thief.stage.shop, "capabilities": ["interaction"], "prompt": "consent"}).encode()


ATTEMPTS: tuple[tuple[str, Attempt, int, str], ...] = (
    ("no signature at all", _unsigned, 401, "invalid_signature"),
    ("a stolen token without its key", _stolen_token, 401, "invalid_signature"),
    ("a changed path", _changed_path, 401, "invalid_signature"),
    ("a changed query", _changed_query, 401, "invalid_signature"),
    ("a query added to a request that had none", _added_query, 401, "invalid_input"),
    ("a changed body", _changed_body, 401, "invalid_signature"),
    ("a request relayed to another host", _relayed, 401, "invalid_signature"),
    ("the same unsafe request twice", _replayed, 401, "invalid_signature"),
)


BESIDES: tuple[str, ...] = (
    "another agent polling what is not its own",
    "a second use of the code, from another browser",
    "polling what was withdrawn",
)
"""What is tried around one pending request."""


async def refuse_all(stage: Stage, agent: Agent, http: Http) -> None:
    """Every attempt, and its refusal. Raises `DemonstrationFailed` if one gets through."""
    stage.narrator.chapter("7. What must fail, tried for real")
    home = stage.found.root
    eavesdropper = await stage.enroll("eavesdropper")
    mine = await agent_credential(agent.name, http, stage.egress, home=home)
    theirs = await agent_credential(eavesdropper.name, http, stage.egress, home=home)
    thief = Thief(stage, http, mine, theirs)
    for what, attempt, status, code in ATTEMPTS:
        answer = await attempt(thief)
        _refused(stage, what, answer, status, code)
    await _pending(stage, thief)


async def _pending(stage: Stage, thief: Thief) -> None:
    """A pending request of an agent that has no person yet: polled by another, and its code used by two browsers."""
    asked = await thief.send(thief.signed("POST", f"{stage.found.person}/person", _asking(thief), by=thief.other))
    stage.expect("a request that needs a person", asked.status, 202)
    location = urljoin(stage.found.person, asked.header("location") or "")
    stolen = await thief.send(thief.signed("GET", location))
    _refused(stage, BESIDES[0], stolen, 404, "not_found")
    requirement = parse_requirement(asked.values("aauth-requirement"))
    stage.expect("what it needs", requirement.value if requirement else None, "interaction")
    assert requirement is not None
    await _code_twice(stage, requirement.text("url"), requirement.text("code"))
    withdrawn = await thief.send(thief.signed("DELETE", location, by=thief.other))
    stage.expect("the agent withdraws its request", withdrawn.status, 204)
    gone = await thief.send(thief.signed("GET", location, by=thief.other))
    _refused(stage, BESIDES[2], gone, 410, "gone")


async def _code_twice(stage: Stage, url: str, code: str) -> None:
    first, second = Visitor(stage.egress), Visitor(stage.egress)
    try:
        page = await first.get(f"{url}?code={code}")
        late = await second.get(f"{url}?code={code}")
        used = await first.post(page, page.form("/interaction/"), page.form("/interaction/").fields)
        stage.expect("the first use of a code leads to sign-in", "/signin" in used.url, True)
        again = await second.post(late, late.form("/interaction/"), late.form("/interaction/").fields)
    finally:
        await first.close()
        await second.close()
    stage.expect("a second use of a code", again.status, 410)
    stage.narrator.good(f"{BESIDES[1]}: {again.status}")
    stage.narrator.aside(again.heading)
    stage.count("refusal")


def _refused(stage: Stage, what: str, answer: Answer, status: int, code: str) -> None:
    error = parse_signature_error(answer.values("signature-error"))
    body = json.loads(answer.body) if answer.body else {}
    seen = error.error if error is not None else body.get("error")
    stage.expect(what, (answer.status, seen), (status, code))
    stage.narrator.good(f"{what}: {answer.status} {seen}")
    stage.narrator.aside(str(body.get("detail", body.get("title", ""))))
    stage.count("refusal")


__all__ = ["ATTEMPTS", "BESIDES", "Thief", "refuse_all"]
