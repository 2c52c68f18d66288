"""Every error that goes over the wire, once: its code, its status, what it means, and where the draft says so.

Code raises these, `docs/errors.md` is made from `ERRORS`, and a test holds both together. draft-11 §11.9;
Signature-Keys §5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from .evidence import Evidence
from .messages import Answer, Refusal

SignatureCode = Literal[
    "unsupported_algorithm",
    "unsupported_scheme",
    "invalid_signature",
    "invalid_input",
    "invalid_request",
    "invalid_key",
    "unknown_key",
    "issuer_missing",
    "issuer_mismatch",
    "invalid_jwt",
    "expired_jwt",
    "revoked_jwt",
    "clock_skew",
]
"""Values of `error` in `Signature-Error` (Signature-Keys §5.4); `cache_miss` is for those who issue identifiers."""

ProblemCode = Literal[
    "invalid_request",
    "invalid_scope",
    "invalid_account",
    "invalid_resource_token",
    "expired_resource_token",
    "revoked_resource_token",
    "invalid_presented_token",
    "expired_presented_token",
    "revoked_presented_token",
    "clock_skew",
    "user_unreachable",
    "access_denied",
    "not_found",
    "method_not_allowed",
    "payload_too_large",
    "unsupported_media_type",
    "denied",
    "abandoned",
    "expired",
    "revoked",
    "invalid_code",
    "mission_not_found",
    "mission_terminated",
    "interaction_unavailable",
    "gone",
    "slow_down",
    "unsupported_iss",
    "rate_limited",
    "name_taken",
    "server_error",
]
"""Values of `error` in a problem body (draft-11 §11.9.2)."""


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table: `where` is `signature` (Signature-Error) or `body` (problem details)."""

    name: str
    status: int
    meaning: str
    section: str
    where: Literal["signature", "body"]


def _signature(name: SignatureCode, meaning: str, section: str) -> ErrorCode:
    # draft-11 §11.3.4: any failure of a signature is 401, where Signature-Keys §5 would allow 400.
    return ErrorCode(name, 401, meaning, section, "signature")


def _body(name: ProblemCode, status: int, meaning: str, section: str) -> ErrorCode:
    return ErrorCode(name, status, meaning, section, "body")


ERRORS: Final[tuple[ErrorCode, ...]] = (
    _signature("unsupported_algorithm", "The key's algorithm is absent, polymorphic, or not served.", "SK §5.4.1"),
    _signature("unsupported_scheme", "This endpoint does not take the Signature-Key scheme.", "SK §5.4.2"),
    _signature("invalid_signature", "The signature is missing, malformed, too old, or does not verify.", "SK §5.4.4"),
    _signature("invalid_input", "The signature does not cover every required component.", "SK §5.4.5"),
    _signature("invalid_request", "The request is malformed apart from its signature.", "SK §5.4.6"),
    _signature("invalid_key", "The key cannot be parsed, contradicts itself, or is not trusted here.", "SK §5.4.7"),
    _signature("unknown_key", "The key is not among the signer's published keys.", "SK §5.4.8"),
    _signature("issuer_missing", "The issuer's metadata document names no issuer.", "SK §5.4.9"),
    _signature("issuer_mismatch", "The issuer's metadata document names another issuer.", "SK §5.4.10"),
    _signature("invalid_jwt", "The token in Signature-Key is malformed or does not verify.", "SK §5.4.11"),
    _signature("expired_jwt", "The token in Signature-Key has expired.", "SK §5.4.12"),
    _signature("revoked_jwt", "The token in Signature-Key was revoked by its issuer.", "SK §5.4.13"),
    _signature("clock_skew", "The signer's clock is ahead of the verifier's.", "SK §5.4.14"),
    _body("invalid_request", 400, "The request is malformed or lacks a required parameter.", "§11.9.3"),
    _body("invalid_scope", 400, "A requested scope is not one of the resource's.", "§6.6.3"),
    _body("invalid_account", 400, "The named account is not held by this person.", "§6.6.3"),
    _body("invalid_resource_token", 400, "The resource token is malformed or does not verify.", "§11.9.3"),
    _body("expired_resource_token", 400, "The resource token has expired.", "§11.9.3"),
    _body("revoked_resource_token", 400, "The resource withdrew this resource token.", "§11.9.3"),
    _body("invalid_presented_token", 400, "The presented token is malformed or does not verify.", "§11.9.3"),
    _body("expired_presented_token", 400, "The presented token has expired.", "§11.9.3"),
    _body("revoked_presented_token", 400, "The presented token was revoked.", "§11.9.3"),
    _body("clock_skew", 400, "A token in the body was issued ahead of the verifier's clock.", "§11.9.3"),
    _body("user_unreachable", 403, "The person is needed and cannot be reached.", "§11.9.3"),
    _body("access_denied", 403, "The signature is good; policy refuses the caller.", "SK §5.3"),
    _body("not_found", 404, "There is nothing here for this caller.", "§13.2"),
    _body("method_not_allowed", 405, "This path does not take this method.", "RFC 9110 §15.5.6"),
    _body("payload_too_large", 413, "The body is larger than this endpoint takes.", "RFC 9110 §15.5.14"),
    _body("unsupported_media_type", 415, "The body is not of a type this endpoint takes.", "RFC 9110 §15.5.16"),
    _body("denied", 403, "The person declined the request.", "§11.9.4"),
    _body("abandoned", 403, "The person came but did not decide.", "§11.9.4"),
    _body("expired", 408, "The request timed out.", "§11.9.4"),
    _body("revoked", 403, "A token that this request depends on was revoked.", "§11.9.4"),
    _body("invalid_code", 410, "The interaction code is not known or was used already.", "§11.9.4"),
    _body("mission_not_found", 404, "There is no such mission of this agent.", "§8.7"),
    _body("mission_terminated", 403, "The mission is permanently ended.", "§8.8"),
    _body("interaction_unavailable", 424, "There is no channel to the person: direct them yourself.", "§7.6.3"),
    _body("gone", 410, "This pending request has ended.", "§13.2"),
    _body("slow_down", 429, "Polling is too frequent: add five seconds to the interval.", "§11.9.4"),
    _body("unsupported_iss", 403, "Revocations from this caller are not accepted.", "§11.12.3"),
    _body("rate_limited", 429, "The caller has asked more often than is accepted.", "§11.12.3"),
    _body("name_taken", 409, "This agent name belongs to another durable key.", "house: enrolment"),
    _body("server_error", 500, "A fault of this server's own.", "§11.9.3"),
)

RATE_LIMITED_RETRY_AFTER: Final = 60
"""Seconds that `rate_limited` says to wait where its caller names none: the field is required (draft-11 §11.12.3)."""

SIGNATURE_ERRORS: Final = {row.name: row for row in ERRORS if row.where == "signature"}
PROBLEMS: Final = {row.name: row for row in ERRORS if row.where == "body"}

assert set(SIGNATURE_ERRORS) == set(get_args(SignatureCode))
assert set(PROBLEMS) == set(get_args(ProblemCode))


CORRELATION: Final = "x-correlation-id"
"""The header field that names an occurrence in a server's log."""


def _problem(body: dict[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


class WireError(Refusal):
    """An error of the protocol. `detail` is for the developer who reads the answer and never holds a secret."""

    def __init__(self, row: ErrorCode, detail: str | None, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"{row.name}: {detail or row.meaning}")
        self.row = row
        self.detail = detail
        self.headers = tuple(headers)
        self.correlation: str | None = None
        """Under which this occurrence stands in the server's log, a UUID; the answer then tells it, too."""

    def _told(self, headers: list[tuple[str, str]], body: dict[str, object]) -> Answer:
        """The answer with these, and the correlation id in both (RFC 9457 §3.1.5): an answer to HEAD has no body."""
        if self.detail:
            body["detail"] = self.detail
        if self.correlation is not None:
            headers.append((CORRELATION, self.correlation))
            body["instance"] = f"urn:uuid:{self.correlation}"
        return Answer(self.status, tuple(headers), _problem(body))

    @property
    def code(self) -> str:
        """The value of `error`."""
        return self.row.name

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.row.status


class SignatureFailure(WireError):
    """401 with `Signature-Error`: the signature, or the token in Signature-Key, was not accepted (draft-11 §11.3.4)."""

    def __init__(
        self,
        code: SignatureCode,
        detail: str | None = None,
        *,
        required_input: Sequence[str] | None = None,
        accept_schemes: Sequence[str] | None = None,
        accept_algs: Sequence[str] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(SIGNATURE_ERRORS[code], detail, headers)
        self.required_input = required_input
        self.accept_schemes = accept_schemes
        self.accept_algs = accept_algs
        self.evidence: Evidence | None = None
        """What the verifier had in hand, for the log; never part of the answer."""

    def answer(self) -> Answer:
        """The header is authoritative, the body a courtesy (Signature-Keys §5.1, §5.2)."""
        value = f"error={self.code}"
        if self.required_input is not None:
            value += ", required_input=(" + " ".join(f'"{name}"' for name in self.required_input) + ")"
        headers = [("signature-error", value)]
        if self.accept_schemes is not None:
            headers.append(("accept-signature-scheme", ", ".join(self.accept_schemes)))
        if self.accept_algs is not None:
            headers.append(("accept-signature-alg", ", ".join(self.accept_algs)))
        headers += [("content-type", "application/problem+json"), ("cache-control", "no-store"), *self.headers]
        body: dict[str, object] = {
            "type": f"urn:ietf:params:sig-error:{self.code}",
            "title": self.row.meaning,
            "status": self.status,
            "error": self.code,
        }
        return self._told(headers, body)


def evidence_of(failure: SignatureFailure) -> Evidence | None:
    """What the verifier attached to `failure`, or to the refusal that it was made from."""
    origin = failure.__cause__
    return failure.evidence or (origin.evidence if isinstance(origin, SignatureFailure) else None)


class Problem(WireError):
    """An error body of RFC 9457 with the `error` member that decides (draft-11 §11.9.2).

    `members` are further ones of the body, such as a mission's status (§8.8). Never carries Signature-Error or
    Accept-Signature-*: the signature verified (Signature-Keys §5.3).
    """

    def __init__(
        self,
        code: ProblemCode,
        detail: str | None = None,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(PROBLEMS[code], detail, headers)
        self.members = dict(members or {})
        self._status = status
        if code == "rate_limited" and retry_after is None:
            retry_after = RATE_LIMITED_RETRY_AFTER
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status: the table's, but 503 for a `server_error` that will pass (draft-11 §11.8.4)."""
        return self._status or self.row.status

    def answer(self) -> Answer:
        """The problem as a response."""
        headers = [("content-type", "application/problem+json"), ("cache-control", "no-store"), *self.headers]
        if self.retry_after is not None:
            headers.append(("retry-after", str(self.retry_after)))
        body: dict[str, object] = {
            "title": self.row.meaning,
            "status": self.status,
            "error": self.code,
            **self.members,
        }
        return self._told(headers, body)
