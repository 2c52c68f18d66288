"""Everything an agent can fail with. Each message says what to do next, and none holds a token, a key or a code."""

from __future__ import annotations

import re
from typing import Final

from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer
from .besides import beside

_CODE = re.compile(r"[a-z0-9_-]{1,64}\Z")
_TOKENLIKE = re.compile(r"[A-Za-z0-9_-]{12,}(?:\.[A-Za-z0-9_-]+){1,2}")
MAX_DETAIL: Final = 300
"""Longest explanation of another party that is kept, in characters."""


class AAuthError(Exception):
    """A call that cannot be made, or that did not come to its end. Base of all errors of this package's agents."""


class AgentUnknown(AAuthError):
    """There is no usable agent of this name on this machine."""


class NoResourceIdentifier(AAuthError):
    """The URL belongs to no resource (draft-11 §11.1.1). Nothing was sent."""


class OutsideOrigins(NoResourceIdentifier):
    """The URL is of an origin that this client was not given (`origins=`). Nothing was sent."""

    def __init__(self, origin: str) -> None:
        super().__init__(f"{origin} is not among the origins that this client may call (origins=...); nothing was sent")
        self.origin = origin


class Withdrawn(AAuthError):
    """The request was withdrawn by this agent itself, in place of an answer to a question (draft-11 §7.5.2.3)."""


class UpdateImpossible(AAuthError):
    """A person's question was to be answered by asking for something else, where that is not possible (§7.5.2.2)."""

    def __init__(self, by: str) -> None:
        super().__init__(
            f"the request that waits at {by} cannot be updated: it is for no auth token, or its resource has no "
            "authorization endpoint; answer in words, or withdraw it"
        )


class Unsignable(AAuthError):
    """The request cannot be signed as it must be. Nothing was sent (draft-11 §11.3.3)."""


class BodyTooLarge(Unsignable):
    """A body that can be read only once is longer than what is kept of it. Nothing was sent; `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body comes from a stream and is longer than {limit} bytes, so that it could be neither digested nor "
            "sent again; pass it as bytes, or raise the bound with agent.client(spool=...)"
        )
        self.limit = limit


class AgentTokenUnavailable(AAuthError):
    """The agent provider gave no agent token that can be used (draft-11 §5.3)."""


class NoPersonServer(AAuthError):
    """The resource asks for a person, and this agent acts for none (draft-11 §6.4)."""

    def __init__(self, resource: str | None = None) -> None:
        wanted = f"{resource} wants to know for whom this agent acts" if resource else "this is for a person to decide"
        super().__init__(
            f"{wanted}, and the agent has no person server; enrol it with one: aauthkit init NAME --ps URL"
        )
        self.resource = resource


class NotOffered(AAuthError):
    """The person server does not have what this needs (draft-11 §11.2.2). Nothing was sent.

    `by` is its identifier, `endpoint` what its metadata does not name, such as `mission_endpoint`.
    """

    def __init__(self, by: str, endpoint: str, older: str = "") -> None:
        super().__init__(f"{by} does not offer this: its metadata names no {endpoint}{older}")
        self.by = by
        self.endpoint = endpoint


class NobodyToAsk(AAuthError):
    """A person is needed at a page, and this agent was given no way to a person."""


class UnsupportedRequirement(AAuthError):
    """A requirement that this agent cannot satisfy, and so does not treat as satisfied (draft-11 §11.6.2)."""

    def __init__(self, value: str, status: int, by: str) -> None:
        shown = value if _CODE.match(value) else "(not a known token)"
        super().__init__(f"{by} asks with {status} for requirement={shown}, which this agent does not know how to meet")
        self.value = value
        self.status = status


class PaymentRequired(AAuthError):
    """The resource asks for authorization and payment (402, draft-11 §11.6), and this agent does not pay."""


class ChallengeLoop(AAuthError):
    """The resource goes on asking for what it was given, or for ever more; the call was ended."""


class ScopeReduced(AAuthError):
    """Less was granted than was asked for, and it does not open this route (draft-11 §11.10).

    `asked` is the scope of the resource token, `granted` that of the auth token.
    """

    def __init__(self, asked: frozenset[str], granted: frozenset[str]) -> None:
        super().__init__(
            f"{_listed(asked)} was asked for and {_listed(granted)} was granted, which does not open this route; "
            "ask the person to grant more, or call what the granted scope opens"
        )
        self.asked = asked
        self.granted = granted


def _listed(scope: frozenset[str]) -> str:
    return " ".join(sorted(scope)) or "no scope"


class ChallengeRefused(AAuthError):
    """What a resource answered is not in order, and was carried nowhere (draft-11 §6.7.3)."""


class TokenRefused(AAuthError):
    """A token that was issued to this agent and is not used, since it is not what was asked for (draft-11 §9.4.4)."""


class AnswerRefused(AAuthError):
    """An answer of the person server that is not in order, and is not used: such as a mission whose bytes are not those
    that its `s256` names (draft-11 §8.2)."""


class MissionUnknown(AAuthError):
    """No mission of this name is kept here."""


class PendingRefused(AAuthError):
    """A deferred response that cannot be followed, such as one on another origin (draft-11 §11.8.2)."""


class SignatureRefused(AAuthError):
    """A server did not accept this agent's signature or token (draft-11 §11.3.4). `code` is the Signature-Error."""

    def __init__(self, code: str, by: str, hint: str = "") -> None:
        self.code = code if _CODE.match(code) else "unknown"
        super().__init__(f"{by} refused the signature: {self.code}" + (f"; {hint}" if hint else ""))


class ClockSkew(SignatureRefused):
    """This machine's clock, or that of whoever issued the token, is ahead of the server's."""


def signature_refusal(code: str, by: str, window: int, answer: Answer | None = None) -> SignatureRefused:
    """The error for a Signature-Error that nothing could be done about; `window` as the resource declares it.

    `answer` may tell more: that its sender speaks an older draft, or where it is in their log.
    """
    more = beside(answer) if answer is not None else ""
    if code == "clock_skew":
        return ClockSkew(code, by, f"this machine's clock, or the issuer's, is ahead; set it{more}")
    hints = {
        "invalid_signature": f"is this machine's clock within {window} s of the server's? Check it and call again",
        "unknown_key": "the resource could not get the issuer's keys; try again later",
        "invalid_key": "the resource does not trust this agent's provider or person server",
        "invalid_input": "the resource wants something covered that this request does not have",
    }
    return SignatureRefused(code, by, f"{hints.get(code, '')}{more}".strip())


class RequestRefused(AAuthError):
    """A person server or provider answered with an error (draft-11 §11.9.3, §11.9.4).

    `code` is its `error` (empty where it names none), `status` the HTTP status, and `detail` its own explanation:
    untrusted text of bounded length, for a person who looks into it.
    """

    def __init__(self, by: str, status: int, code: str, detail: str, meaning: str = "") -> None:
        named = f" {code}" if code else ""
        super().__init__(f"{by} answered {status}{named}" + (f": {meaning}" if meaning else ""))
        self.by = by
        self.status = status
        self.code = code
        self.detail = detail
        self.at_callback = False
        """Whether it was the person's browser that brought the error back (draft-11 §7.3.1), and not an answer."""


class Denied(RequestRefused):
    """The person said no (draft-11 §11.9.4)."""


class Abandoned(RequestRefused):
    """The person came to the page and left without deciding."""


class Expired(RequestRefused):
    """Nobody decided in time, or a token lapsed while somebody thought about it."""


class Revoked(RequestRefused):
    """A token that the request depends on was revoked."""


class UserUnreachable(RequestRefused):
    """A person is needed and the person server has no way to them."""


class InteractionUnavailable(RequestRefused):
    """The person server has no way to the person for this; the agent sends them there itself (draft-11 §7.6.3)."""


class MissionNotFound(RequestRefused):
    """There is no such mission of this agent at its person server (draft-11 §8.7)."""


class MissionTerminated(RequestRefused):
    """The mission has ended for good, and nothing more is done under it (draft-11 §8.8).

    `reason` is the server's, such as `completed`, `revoked` or `expired`; empty where it says none. The list is open:
    `expired` invites proposing a new mission, `revoked` does not.
    """

    reason: str = ""

    @classmethod
    def known(cls, by: str, reason: str) -> MissionTerminated:
        """For a mission of which that is known here already; nothing was sent."""
        error = cls(by, 403, "mission_terminated", "", _ended(reason))
        error.reason = reason
        return error


class PendingGone(RequestRefused):
    """The pending request has ended and its answer was fetched already (draft-11 §13.2)."""


class InteractionFailed(RequestRefused):
    """The page that the person was sent to does not work (draft-11 §7.3.1). `code` is the callback's `error`."""


class Unreachable(AAuthError):
    """A person server or provider could not be reached, or its documents could not be read; trying again may help."""


_REFUSALS: Final[dict[str, tuple[type[RequestRefused], str]]] = {
    "denied": (Denied, "the person declined the request"),
    "abandoned": (Abandoned, "the person came to the page but did not decide; the call can be made again"),
    "expired": (Expired, "nobody decided in time; the call can be made again"),
    "revoked": (Revoked, "a token this request depends on was revoked"),
    "user_unreachable": (UserUnreachable, "a person is needed; give the agent a way to one"),
    "interaction_unavailable": (InteractionUnavailable, "it has no way to the person; send them there yourself"),
    "mission_not_found": (MissionNotFound, "there is no such mission of this agent"),
    "invalid_code": (PendingGone, "the code was mistyped too often or used before; make the call again"),
    "gone": (PendingGone, "this request has ended; make the call again"),
}


_CALLBACK_ERRORS: Final[dict[str, tuple[type[RequestRefused], int, str, str]]] = {
    "access_denied": (Denied, 403, "denied", _REFUSALS["denied"][1]),
    "user_abandoned": (Abandoned, 403, "abandoned", _REFUSALS["abandoned"][1]),
    "interaction_expired": (Expired, 408, "expired", _REFUSALS["expired"][1]),
    "server_error": (InteractionFailed, 500, "server_error", "the page failed; make the call again later"),
    "temporarily_unavailable": (
        InteractionFailed,
        503,
        "temporarily_unavailable",
        "the page does not work at the moment; make the call again in a while",
    ),
}
"""Table 6, as the polling error that each stands for (draft-11 §7.2.3)."""


def callback_error(by: str, error: str) -> RequestRefused:
    """The error with which a person's browser came back from a page of `by` (draft-11 §7.3.1)."""
    unknown = (InteractionFailed, 500, error if _CODE.match(error) else "", "the page did not come to its end")
    kind, status, code, meaning = _CALLBACK_ERRORS.get(error, unknown)
    refused = kind(by, status, code, "", meaning)
    refused.at_callback = True
    return refused


def _ended(reason: str) -> str:
    what = f"the mission has ended ({reason})" if reason else "the mission has ended"
    return f"{what}; propose a new one to go on" if reason in ("expired", "superseded") else what


def refusal(by: str, answer: Answer) -> RequestRefused:
    """The error that an answer of a person server or provider stands for; the `error` member decides (§11.9.2)."""
    try:
        body = parse_json(answer.body) if answer.body else {}
    except JoseError:
        body = {}
    code = body.get("error")
    code = code if isinstance(code, str) and _CODE.match(code) else ""
    if not code:
        code = {408: "expired", 410: "gone"}.get(answer.status, "")
    kind, meaning = _REFUSALS.get(code, (RequestRefused, ""))
    if code == "mission_terminated":
        reason = body.get("termination_reason")
        terminated = MissionTerminated.known(by, reason if isinstance(reason, str) and _CODE.match(reason) else "")
        terminated.detail = detail_of(body.get("detail"))
        return terminated
    return kind(by, answer.status, code, detail_of(body.get("detail")), f"{meaning}{beside(answer)}".strip())


def detail_of(value: object) -> str:
    """Another party's explanation made harmless: one line, bounded, without anything that looks like a token."""
    if not isinstance(value, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in value[: 2 * MAX_DETAIL])
    return _TOKENLIKE.sub("…", printable)[:MAX_DETAIL]
