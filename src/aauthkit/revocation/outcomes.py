"""What a revocation is, and what became of it: the values of draft-11 §11.12, and its bodies read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile, is_server_identifier
from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer, json_answer
from ..protocol.problems import Problem
from ..protocol.tokens import MAX_TIME

Failure = Literal["revocation_unsupported", "revocation_unavailable"]
"""How a downstream revocation ends where it was not recorded (draft-11 §11.12.3).

`revocation_unsupported`: the party takes none, and honours the tokens until their `exp`. `revocation_unavailable`: it
could not be told, and may be told again later.
"""
Status = Literal["recorded", "revocation_unsupported", "revocation_unavailable"]

MAX_JTI: Final = 255
"""Longest `jti`, in characters: what a token may have."""
MAX_DOWNSTREAM: Final = 4096
"""Most entries of a report that are read."""
_FAILURES: Final = ("revocation_unsupported", "revocation_unavailable")


@dataclass(frozen=True, slots=True)
class Revocation:
    """A token that its issuer revoked. `iss` and `dwk` are the identity and role that signed; `exp` is the token's."""

    iss: str
    dwk: str
    jti: str
    exp: int


@dataclass(frozen=True, slots=True)
class Downstream:
    """What became of a cascade at one party; `error` is `None` where it was recorded there."""

    recipient: str
    error: Failure | None = None

    def document(self) -> dict[str, str]:
        """As an entry of a report."""
        return {"recipient": self.recipient} | ({"error": self.error} if self.error is not None else {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a revocation that was sent to `recipient`.

    `downstream` is what an access server reported of its own cascade. `reason` is for whoever runs the sender, and
    holds no word of the recipient's beyond an error code. `retry_after` is in seconds, where the recipient named one.
    """

    recipient: str
    status: Status
    reason: str = ""
    downstream: tuple[Downstream, ...] = ()
    retry_after: int | None = None

    @property
    def entry(self) -> Downstream:
        """As an entry of this server's own report."""
        return Downstream(self.recipient, None if self.status == "recorded" else self.status)


def read_revocation(body: Mapping[str, Any]) -> tuple[str, int]:
    """`jti` and `exp` of a revocation request (draft-11 §11.12.1). Raises `Problem` 400."""
    jti, exp = body.get("jti"), body.get("exp")
    if type(jti) is not str or not 0 < len(jti) <= MAX_JTI or not jti.isprintable():
        raise Problem("invalid_request", f"jti must be a string of 1 to {MAX_JTI} printable characters")
    if type(exp) is not int or not 0 <= exp < MAX_TIME:
        raise Problem("invalid_request", "exp must be the token's own expiration, in whole seconds")
    return jti, exp


class MalformedReport(ValueError):
    """A 200 whose body is not in the form of draft-11 §11.12.3."""


def finished(downstream: Sequence[Downstream] = ()) -> Answer:
    """The terminal 200: a report, or no body and then no Content-Type (draft-11 §11.12.3)."""
    if not downstream:
        return Answer(200, (("cache-control", "no-store"),))
    return json_answer(200, {"downstream": [entry.document() for entry in downstream]})


def read_report(answer: Answer, loopback: LoopbackProfile = NO_LOOPBACK) -> tuple[Downstream, ...]:
    """What a 200 reports; an absent body reports nothing (draft-11 §11.12.3). Raises `MalformedReport`."""
    if not answer.body:
        return ()
    kind = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MalformedReport("a body that is not application/json")
    try:
        entries = parse_json(answer.body).get("downstream", [])
    except JoseError as error:
        raise MalformedReport("a body that is no JSON object") from error
    if not isinstance(entries, list) or len(entries) > MAX_DOWNSTREAM:
        raise MalformedReport("a downstream that is no list, or too long")
    return tuple(_entry(each, loopback) for each in entries)


def _entry(value: object, loopback: LoopbackProfile) -> Downstream:
    """One entry of a report; an error that is not known says no more than that it was not recorded."""
    recipient = value.get("recipient") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not is_server_identifier(recipient, loopback):
        raise MalformedReport("an entry of downstream names no recipient")
    if "error" not in value:
        return Downstream(str(recipient))
    error = value["error"] if value["error"] in _FAILURES else "revocation_unavailable"
    return Downstream(str(recipient), cast("Failure", error))
