"""The authorization endpoint: an agent asks for a scope before it calls (draft-11 §6.6).

It takes a person token and nothing else. What it gives is a resource token, or, where the resource authorizes by
itself, a session.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio.to_thread

from ..callers import Person
from ..protocol.headers import PERSON_TOKEN_REQUIRED
from ..protocol.identifiers import InvalidIdentifier, parse_scope
from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem, SignatureFailure
from ..serving import MAX_BODY, Request, verify_digest
from .challenges import Challenge
from .interactions import Ask, authorized
from .needs import Need

if TYPE_CHECKING:
    from .server import Resource

AUTHORIZE: Final = "/authorize"
MAX_ACCOUNT: Final = 255

Mode = Literal["auth-token", "session-token"]
"""What the endpoint leads to: a resource token for the person server, or a session of the resource's own."""
AccountsHook = Callable[[Person, str], bool | Awaitable[bool]]
"""Whether this person holds the account of that name; a plain function runs in a worker thread (draft-11 §11.11)."""


class Authorization:
    """The authorization endpoint of `resource`."""

    def __init__(self, resource: Resource, mode: Mode, accounts: AccountsHook | None) -> None:
        if mode not in ("auth-token", "session-token"):
            raise ValueError("authorization leads to auth-token or session-token")
        if mode == "auth-token" and not resource.issues_tokens:
            raise ValueError("a resource needs keys to hand out resource tokens")
        if mode == "session-token" and not resource.remembers:
            raise ValueError("sessions are on record: give the resource a store")
        self._resource = resource
        self._mode = mode
        self._accounts = accounts
        # A body decides what is asked for, so it is covered (§11.3.3.1 lets a server ask for that).
        self._need = Need(resource.identifier, ("person",), schemes=("jwt",), digest=True)

    async def answer(self, request: Request) -> Answer:
        """POST. Raises `SignatureFailure`, `Challenge`, and `Problem` of Table 3 (draft-11 §6.6.3)."""
        verified = await self._resource.verify(request, self._need)
        person = verified.caller
        if not isinstance(person, Person):
            raise Challenge(PERSON_TOKEN_REQUIRED)
        body = await request.read(MAX_BODY)
        check = verified.digest()
        if body and check is None:
            covered = sorted({*verified.covered, "content-digest", "content-type"})
            raise SignatureFailure("invalid_input", "the body is not covered", required_input=covered)
        verify_digest(check, body)
        scope, account = self._read(request, body)
        if account is not None and not await self._holds(person, account):
            raise Problem("invalid_account")
        if self._mode == "auth-token":
            return json_answer(200, {"resource_token": self._resource.resource_token(person, scope, account)})
        interactions = (await self._resource.remembering()).the_interactions
        outcome = await interactions.ask(Ask(person, scope, account))
        if isinstance(outcome, Answer):
            return outcome
        assert outcome.replacement is not None
        return authorized(outcome.session.scope, outcome.replacement)

    def _read(self, request: Request, raw: bytes) -> tuple[frozenset[str], str | None]:
        """The parameters; unknown ones are ignored. Raises `Problem` 400."""
        kind = (request.header("content-type") or "").split(";", 1)[0].strip().lower()
        if kind != "application/json":
            raise Problem("invalid_request", "the body must be application/json")
        try:
            body = parse_json(raw, limit=MAX_BODY)
        except JoseError as error:
            raise Problem("invalid_request", f"the body: {error}") from error
        return self._scope(body), _account(body)

    def _scope(self, body: Mapping[str, Any]) -> frozenset[str]:
        value = body.get("scope")
        if not isinstance(value, str) or not value:
            raise Problem("invalid_request", "scope is a space-separated string of scope values")
        try:
            scope = parse_scope(value)
        except InvalidIdentifier as error:
            raise Problem("invalid_request", f"scope: {error}") from error
        if not scope <= self._resource.scopes.keys():
            raise Problem("invalid_scope", "a requested scope is not one of this resource's")
        return scope

    async def _holds(self, person: Person, account: str) -> bool:
        """Whether the account is this person's; where nobody can say so it is not (§6.6.3)."""
        if self._accounts is None:
            return False
        call = self._accounts if inspect.isroutine(self._accounts) else type(self._accounts).__call__
        if inspect.iscoroutinefunction(call):
            held = self._accounts(person, account)
        else:
            held = await anyio.to_thread.run_sync(self._accounts, person, account)
        return (await held if inspect.isawaitable(held) else held) is True


def _account(body: Mapping[str, Any]) -> str | None:
    if "account" not in body:
        return None
    value = body["account"]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ACCOUNT or not value.isprintable():
        raise Problem("invalid_request", f"account is a string of 1 to {MAX_ACCOUNT} printable characters")
    return value
