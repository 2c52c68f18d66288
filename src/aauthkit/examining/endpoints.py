"""What each endpoint of a server says to a stranger: 401 with Signature-Error, and nothing else (draft-11 §11.3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..egress import EgressError, Http
from ..explaining.dialects import older_answer
from ..protocol.headers import HeaderError, parse_requirement, parse_signature_error
from .findings import Examination

ASKED: Final = (
    "person_token_endpoint",
    "auth_token_endpoint",
    "authorization_endpoint",
    "revocation_endpoint",
    "permission_endpoint",
    "audit_endpoint",
    "mission_endpoint",
    "interaction_endpoint",
    "enrollment_endpoint",
    "refresh_endpoint",
)
"""Endpoints that take signed requests by POST."""
LIMIT: Final = 64 * 1024


def listed_endpoints(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Those of a metadata document that are asked."""
    for name in ASKED:
        url = document.get(name)
        if isinstance(url, str):
            yield name, url


async def examine_endpoint(found: Examination, http: Http, name: str, url: str, *, timeout: float) -> None:
    """Ask one endpoint, unsigned and without a body."""
    try:
        answer = await http.send("POST", url, timeout=timeout, limit=LIMIT, guarded=False)
    except EgressError as error:
        found.bad("endpoint", f"{name} cannot be asked: {error}", "see that the metadata names where it is served")
        return
    for older in older_answer(answer):
        found.bad("endpoint", f"{name}: {older.said}", f"in -11: {older.instead}")
    try:
        error_field = parse_signature_error(answer.values("signature-error"))
        requirement = parse_requirement(answer.values("aauth-requirement"))
    except HeaderError as error:
        found.bad("endpoint", f"{name}: {error}", "write the field as its section has it")
        return
    if answer.status == 401 and error_field is not None:
        code = error_field.error
        if code == "invalid_signature":
            found.good("endpoint", f"{name} refuses an unsigned request as it should")
        else:
            text = f"{name} answers an unsigned request with {code}"
            found.warn("endpoint", text, "it is invalid_signature (draft-11 §11.3.4 step 1)")
    elif answer.status == 401:
        told = " and names a requirement" if requirement is not None else ""
        text = f"{name} answers 401{told}, but without Signature-Error"
        found.bad("endpoint", text, "every signature failure carries that field (draft-11 §11.3.4)")
    elif answer.status in (404, 405):
        text = f"{name} is in the metadata, and POST to it is {answer.status}"
        found.bad("endpoint", text, "serve it, or take it out of the metadata; see whether a proxy passes the path on")
    elif answer.status < 300:
        found.bad("endpoint", f"{name} took an unsigned request ({answer.status})", "verify before anything else")
    elif answer.status >= 500:
        found.bad("endpoint", f"{name} fails on an unsigned request ({answer.status})", "see the server's log")
    else:
        found.bad(
            "endpoint", f"{name} answers an unsigned request with {answer.status}", "it is 401 (draft-11 §11.3.4)"
        )
