"""Whether a form was posted by a page of ours, in the session it was made for (draft-11 §13.13)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from ..protocol.jose import b64url_encode
from ..protocol.problems import Problem
from ..serving import Request

CSRF_FIELD: Final = "csrf"
"""The form field that carries the session's token."""


def csrf_of(session_id: str) -> str:
    """The token for the forms of a session: it follows from the session's secret, so nothing more has to be kept."""
    return b64url_encode(hmac.digest(session_id.encode(), b"aauthkit csrf", hashlib.sha256))


def check_origin(request: Request, issuer: str) -> None:
    """Return if a page of `issuer` sent the request; raise `Problem` 403 otherwise, also where nothing says so.

    Every browser names the origin of a POST. `null` says nothing by itself; `Sec-Fetch-Site` may say the rest.
    """
    origins = request.values("origin")
    sites = request.values("sec-fetch-site")
    ours = (
        len(origins) <= 1
        and all(site == "same-origin" for site in sites)
        and (origins == [issuer] or (bool(sites) and origins in ([], ["null"])))
    )
    if not ours:
        raise Problem("access_denied", "this form was not sent from a page of this server")


def check_token(csrf: str, form: Mapping[str, str] | Mapping[str, Sequence[str]]) -> None:
    """Return if the form carries this token, once; raise `Problem` 403 otherwise."""
    value = form.get(CSRF_FIELD, "")
    values = [value] if isinstance(value, str) else list(value)
    sent = values[0] if len(values) == 1 else ""
    if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), csrf.encode()):
        raise Problem("access_denied", "this form does not belong to this session")
