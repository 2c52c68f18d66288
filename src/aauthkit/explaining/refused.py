"""The explanation that a server makes of its own refusal, from what its verifier had in hand.

The refusal's own code is the verdict. Where bytes alone do not show why (trust, revocation, a replay), its reason
stands.
"""

from __future__ import annotations

from typing import Final

from ..protocol.evidence import Evidence
from ..protocol.problems import SignatureFailure, evidence_of
from .belief import Belief
from .captured import Captured
from .causes import Cause, cause
from .explanation import Explanation
from .walking import explain
from .wording import plain, shortened

_BY_CODE: Final = {
    "unknown_key": "key.unknown",
    "issuer_missing": "issuer",
    "issuer_mismatch": "issuer",
    "revoked_jwt": "revoked",
    "invalid_key": "key.invalid",
    "expired_jwt": "token.expired",
    "clock_skew": "clock.ahead",
    "invalid_jwt": "token.malformed",
    "unsupported_scheme": "scheme",
    "unsupported_algorithm": "key.algorithm",
    "invalid_input": "coverage",
}
_BY_DETAIL: Final = (
    ("the body does not match", "digest"),
    ("a body came with a request", "digest"),
    ("Content-Digest", "digest"),
    ("this very request was received before", "replayed"),
    ("the signer is not one that this server trusts", "trust"),
    ("the token's issuer is not one that this server trusts", "trust"),
)
"""Reasons that bytes do not show, by how they begin."""


def believed(evidence: Evidence) -> Belief:
    """What the verifier took for granted."""
    request = evidence.request
    return Belief(
        request.scheme,
        request.authority,
        request.target,
        identifier=evidence.identifier,
        now=evidence.now,
        window=evidence.window,
        schemes=evidence.schemes,
        token_types=evidence.token_types,
        components=evidence.components,
        body=evidence.body,
        query=evidence.query,
        accept_base64url=evidence.accept_base64url,
        loopback=evidence.loopback,
    )


def explain_refusal(failure: SignatureFailure, *, budget: int) -> Explanation:
    """Why a server refused: what bytes show, if that leads to the same code, else the refusal's own reason."""
    evidence = evidence_of(failure)
    own = reason(failure)
    if evidence is None or own.name in ("trust", "replayed", "digest", "revoked"):
        return Explanation(False, (own,))
    request = evidence.request
    captured = Captured(request.method, request.target, request.headers, None, request.scheme, request.authority)
    # Where the walk ended before the signature, nobody asks what is wrong with that.
    spent = budget if evidence.key is not None else 0
    found = explain(captured, believed(evidence), resolved=evidence.key, budget=spent)
    if found.main is None or found.main.code != failure.code:
        return Explanation(False, (own, *found.causes), found.facts, found.rows)
    return found


def reason(failure: SignatureFailure) -> Cause:
    """The refusal itself as a cause, by its code and its detail."""
    detail = failure.detail or failure.row.meaning
    name = next((name for start, name in _BY_DETAIL if detail.startswith(start)), None)
    name = name or _BY_CODE.get(failure.code, "refused")
    return cause(name, plain(shortened(detail)), code=failure.code, section=failure.row.section)
