"""Which answers are the protocol's and wait for something (draft-11 §11.8). Every other one is the caller's."""

from __future__ import annotations

from typing import Final

from ..outbound import OutboundError, Pending, read_pending
from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_endpoint
from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer, HeaderList, header_values
from .errors import PendingRefused
from .origins import resource_of

LONGEST: Final = 64 * 1024
"""Most bytes of an answer that is the protocol's own."""
NOTICE: Final = 4096
"""Most bytes of the answer that says that an authorization is done (draft-11 §6.6.1)."""


def in_whole_form(headers: HeaderList) -> bool:
    """Whether a 202 without a requirement has every field of a deferred response (draft-11 §11.8.2)."""
    no_store = any("no-store" in value.lower() for value in header_values(headers, "cache-control"))
    names = {name for name, _ in headers}
    return no_store and _is_json(headers, LONGEST) and {"location", "retry-after"} <= names


def is_notice(headers: HeaderList) -> bool:
    """Whether an answer may be one that says `authorized` and nothing else (draft-11 §6.6.1)."""
    return _is_json(headers, NOTICE) and bool(header_values(headers, "content-length"))


def _is_json(headers: HeaderList, longest: int) -> bool:
    kind = (header_values(headers, "content-type") or [""])[0].split(";", 1)[0].strip().lower()
    length = (header_values(headers, "content-length") or ["0"])[0].strip()
    return kind == "application/json" and length.isdecimal() and int(length[:12]) <= longest


def status_of(answer: Answer) -> str | None:
    """The `status` member of a JSON body, if it has one."""
    try:
        status = parse_json(answer.body).get("status")
    except JoseError:
        return None
    return status if isinstance(status, str) else None


def pending_at(answer: Answer, url: str, resource: str, loopback: LoopbackProfile) -> Pending:
    """The pending state of a 202, its URL in form and on the resource's own origin (draft-11 §11.8.2, F37).

    Raises `PendingRefused`.
    """
    try:
        pending = read_pending(answer, url)
        check_endpoint(pending.location, resource, loopback, query=True)
        if resource_of(pending.location, loopback) != resource:
            raise OutboundError("the pending URL is on another origin")
    except (OutboundError, InvalidIdentifier) as error:
        raise PendingRefused(f"{resource}: {error}") from error
    return pending
