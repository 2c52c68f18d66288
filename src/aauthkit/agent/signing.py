"""One request to a resource, signed: what is covered, and the nonce (draft-11 §11.3.3, RFC 9421 §2.3)."""

from __future__ import annotations

from ..outbound import sign_outgoing
from ..protocol.httpsig import content_digest
from ..protocol.jose import b64url_encode
from ..protocol.messages import SignedRequest
from .caches import Held
from .errors import Unsignable
from .standing import Options, Standing


def signature_fields(
    standing: Standing,
    options: Options,
    resource: str,
    message: SignedRequest,
    body: bytes,
    held: Held,
    asked_for: tuple[str, ...],
) -> tuple[tuple[str, str], ...]:
    """The fields that sign `message` with what is `held`; `asked_for` are components that the resource must have.

    Raises `Unsignable`; then nothing is sent (draft-11 §11.3.3, F35).
    """
    wanted = (*standing.profiles.components(resource), *asked_for)
    digest: list[tuple[str, str]] = []
    if not body and "content-digest" in wanted and not message.values("content-digest"):
        digest.append(("content-digest", content_digest(body)))
    message = message.with_headers(digest)
    # A field that this message does not have cannot be covered; the resource says so if it must have it.
    components = [name for name in wanted if name.startswith("@") or message.values(name) or name in asked_for]
    nonce = b64url_encode(standing.random_bytes(12)) if options.nonce else None
    now = standing.clocks.at(resource)
    try:
        signed = sign_outgoing(message, held.credential, now=now, body=body, nonce=nonce, components=components)
    except ValueError as error:
        raise Unsignable(f"the request to {resource} cannot be signed and was not sent: {error}") from error
    return (*digest, *signed)
