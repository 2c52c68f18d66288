"""What is fuzzed: one function per parser, from bytes to nothing.

A target returns where the parser accepts or refuses with its own error, after it compared what was accepted with what
is written again. Any other exception is a finding. The same functions are run by the property tests, so they need
nothing that is not installed with the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aauthkit.discovery import Discovery
from aauthkit.protocol import headers, missions, tokens
from aauthkit.protocol.components import ComponentError
from aauthkit.protocol.httpsig import (
    DigestCheck,
    DigestMismatch,
    SignatureSyntaxError,
    parse_signature_input,
    parse_signatures,
    signature_base,
)
from aauthkit.protocol.identifiers import (
    InvalidIdentifier,
    LoopbackProfile,
    check_endpoint,
    check_server_identifier,
    fold_code,
    format_scope,
    origin_of,
    parse_agent_identifier,
    parse_scope,
    same_code,
)
from aauthkit.protocol.jose import (
    BadSignature,
    JoseError,
    b64url_decode,
    b64url_encode,
    key_from_jwks,
    parse_json,
    parse_jwk,
    parse_jwt,
)
from aauthkit.protocol.messages import SignedRequest
from aauthkit.protocol.metadata import MetadataError, read_metadata
from aauthkit.protocol.plain_form import read_plain
from aauthkit.protocol.problems import SignatureFailure
from aauthkit.protocol.signature_key import SERVED_SCHEMES, parse_signature_key, read_member
from aauthkit.protocol.structured import (
    FieldError,
    InnerList,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_inner_list,
    serialize_item,
    serialize_list,
)
from aauthkit.trust import ANY, Trust
from aauthkit.verification import Accepts, KeyNeeded, Verified, Verifier

NOW: Final = 1_795_000_000
API: Final = "https://api.example"
LOOPBACK: Final = LoopbackProfile(frozenset({"http://person.localhost:8701"}))
DOCUMENTS: Final = (tokens.AGENT_DWK, tokens.PERSON_DWK, tokens.ACCESS_DWK, tokens.RESOURCE_DWK)
TOKEN_TYPES: Final = (tokens.AGENT_TYP, tokens.PERSON_TYP, tokens.RESOURCE_TYP, tokens.AUTH_TYP)


def field_lines(data: bytes) -> list[str]:
    """Bytes as the lines of one header field: as a server hands them over, one character for each byte."""
    return [line.decode("latin-1") for line in data.split(b"\n")]


def structured_fields(data: bytes) -> None:
    """RFC 9651: what is parsed is written again, and parsed as the same."""
    lines = field_lines(data)
    for duplicates in (True, False):
        try:
            members = parse_dictionary(lines, duplicates=duplicates)
        except FieldError:
            continue
        if members:
            assert parse_dictionary([serialize_dictionary(members)]) == members
    try:
        listed = parse_list(lines, duplicates=False)
    except FieldError:
        pass
    else:
        if listed:
            assert parse_list([serialize_list(listed)]) == listed
        for member in listed:
            if isinstance(member[0], list):
                inner: InnerList = (member[0], member[1])
                assert parse_list([serialize_inner_list(inner)]) == [member]
    try:
        item = parse_item(lines[0], duplicates=False)
    except FieldError:
        return
    assert parse_item(serialize_item(*item)) == item


def signature_input(data: bytes) -> None:
    """`Signature-Input` and `Signature` (RFC 9421 §4): accepted members are written as they are compared."""
    lines = field_lines(data)
    try:
        members = parse_signature_input(lines)
    except SignatureSyntaxError:
        members = {}
    for label, entry in members.items():
        again = parse_signature_input([f"{label}={entry.text}"])
        assert again[label].components == entry.components
        assert again[label].text == entry.text
        for read in (entry.integer, entry.text_of):
            for name in ("created", "expires", "keyid", "nonce"):
                try:
                    read(name)
                except SignatureSyntaxError:
                    pass
        request = SignedRequest("POST", "https", "api.example", "/a;b?c=d&%e9", (("x", data[:64].decode("latin-1")),))
        try:
            signature_base(request, entry)
        except ComponentError:
            pass
    for tolerant in (True, False):
        try:
            parse_signatures(lines, accept_base64url=tolerant)
        except SignatureSyntaxError:
            pass


def signature_key(data: bytes) -> None:
    """`Signature-Key` (Signature-Keys §3): every member is read, or refused with an error that can be answered."""
    try:
        members = parse_signature_key(field_lines(data))
    except SignatureFailure as error:
        error.answer()
        return
    for member in members.values():
        try:
            read_member(member)
        except SignatureFailure as error:
            error.answer()


def jws(data: bytes) -> None:
    """Compact JWS and the four tokens (RFC 7515; draft-11 §11.5): nothing but the errors of their own."""
    text = data.decode("latin-1")
    try:
        assert b64url_encode(b64url_decode(text)) == text
    except JoseError:
        pass
    try:
        jwt = parse_jwt(text)
    except JoseError:
        jwt = None
    if jwt is None and data.count(b"\n") == 1:
        # Header and claims as JSON, so that a mutation of either reaches the claims' own readers.
        header, claims = data.split(b"\n")
        text = f"{b64url_encode(header)}.{b64url_encode(claims)}.{b64url_encode(bytes(64))}"
    for profile in (LoopbackProfile(), LOOPBACK):
        try:
            token = tokens.read_token(text, TOKEN_TYPES, loopback=profile)
            tokens.check_lifetime(token, NOW)
        except tokens.TokenRejected:
            pass


def json_document(data: bytes) -> None:
    """A JSON object, and what is read out of one: a JWK, a JWKS, a mission blob."""
    try:
        document = parse_json(data)
    except JoseError:
        return
    for jwk in (document, document.get("jwk")):
        try:
            key = parse_jwk(jwk)
            assert parse_jwk(key.jwk) == key
            key.verify(b"message", bytes(64))
        except (JoseError, BadSignature):
            pass
    try:
        key_from_jwks(document, "k")
    except JoseError:
        pass
    try:
        mission = missions.read_blob(data)
    except missions.MissionRejected:
        pass
    else:
        assert mission.s256 == missions.mission_s256(data)


def metadata(data: bytes) -> None:
    """The four metadata documents (draft-11 §11.2), and whatever is asked of one that was accepted."""
    try:
        document = parse_json(data)
    except JoseError:
        return
    issuer = document.get("issuer")
    for dwk in DOCUMENTS:
        for profile in (LoopbackProfile(), LOOPBACK):
            try:
                read = read_metadata(dwk, issuer if isinstance(issuer, str) else API, document, loopback=profile)
            except MetadataError:
                continue
            assert read.issuer == document["issuer"]
            for name in list(document)[:64]:
                read.text(name), read.endpoint(name), read.strings(name), read.flag(name), read.integer(name, 1)
            assert isinstance(read.access_mode, str)
            assert isinstance(read.scope_descriptions, dict)


def aauth_headers(data: bytes) -> None:
    """`AAuth-*`, `Authorization`, `Signature-Error`, `Accept-Signature-*`, `Link`, `Prefer`, `Retry-After`."""
    lines = field_lines(data)
    readers: tuple[Callable[[list[str]], Any], ...] = (
        headers.parse_signature_error,
        headers.parse_accepted,
        headers.parse_session_token,
        headers.parse_authorization,
        headers.parse_resource_links,
    )
    for reader in readers:
        try:
            reader(lines)
        except headers.HeaderError:
            pass
    assert 0 <= headers.parse_wait(lines) <= headers.MAX_WAIT
    assert 0 <= headers.parse_retry_after(lines) <= headers.MAX_RETRY_AFTER
    declared = headers.parse_capabilities(lines)
    if declared:
        assert headers.parse_capabilities([headers.capabilities_header(tuple(sorted(declared)))[1]]) == declared
    try:
        requirement = headers.parse_requirement(lines)
        if requirement is not None:
            again = headers.parse_requirement([requirement.header()[1]])
            assert again == requirement
            requirement.text("url")
    except headers.HeaderError:
        pass


def identifiers(data: bytes) -> None:
    """Server and agent identifiers, endpoints, scopes, codes (draft-11 §5.2, §11.1, §11.6.3.1, §11.10)."""
    text = data.decode("utf-8", "replace")
    for profile in (LoopbackProfile(), LOOPBACK):
        try:
            assert check_server_identifier(text, profile) == text
        except InvalidIdentifier:
            pass
        try:
            assert check_endpoint(text, API, profile) == text
            origin_of(text)
        except InvalidIdentifier:
            pass
    try:
        assert str(parse_agent_identifier(text)) == text
    except InvalidIdentifier:
        pass
    try:
        scope = parse_scope(text)
        assert parse_scope(format_scope(scope)) == scope
    except InvalidIdentifier:
        pass
    assert same_code(text, text)
    assert fold_code(fold_code(text)) == fold_code(text)


def content_digest(data: bytes) -> None:
    """`Content-Digest` (RFC 9530): a field and a body, with a line between."""
    field, _, body = data.partition(b"\n\n")
    try:
        check = DigestCheck(field_lines(field))
        check.update(body)
        check.finish()
    except DigestMismatch:
        pass


class _NoNetwork:
    async def send(self, method: str, url: str, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"fetched {url}")


def _verifier() -> Verifier:
    clock: Callable[[], float] = lambda: float(NOW)  # noqa: E731
    discovery = Discovery(_NoNetwork(), clock=clock)  # type: ignore[arg-type]
    trust = Trust(agent_providers=ANY, person_servers=ANY)
    return Verifier(API, discovery=discovery, trust=trust, clock=clock, replay_methods=lambda _: False)


_VERIFIER: Final = _verifier()
_ACCEPTS: Final = Accepts(SERVED_SCHEMES, frozenset(TOKEN_TYPES), frozenset(DOCUMENTS))


def _request(data: bytes) -> SignedRequest:
    """First line method and target, then header lines; a name is what stands before the first colon."""
    first, *lines = field_lines(data)
    method, _, target = first.partition(" ")
    pairs = [line.partition(":") for line in lines[:64]]
    fields = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return SignedRequest(method or "GET", "https", "api.example", target or "/", fields)


def signed_request(data: bytes) -> None:
    """The way in (draft-11 §11.3.4): a verified caller, an error that can be answered, or a key to be fetched.

    The quick way for the plain form and the walk in full have one verdict.
    """
    request = _request(data)
    read_plain(request)
    assert _verdict(request, _VERIFIER.verify_now) == _verdict(request, _walk)


def _walk(request: SignedRequest, accepts: Accepts) -> Verified:
    return _VERIFIER._walk(request, accepts, float(NOW), {})


def _verdict(request: SignedRequest, verify: Callable[[SignedRequest, Accepts], Verified]) -> object:
    try:
        verified = verify(request, _ACCEPTS)
    except SignatureFailure as error:
        return error.answer()
    except KeyNeeded as need:
        return need.name
    try:
        verified.digest()
    except SignatureFailure as error:
        error.answer()
    return verified.caller, verified.covered, verified.created, verified.base


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "structured-fields": structured_fields,
    "signature-input": signature_input,
    "signature-key": signature_key,
    "jws": jws,
    "json": json_document,
    "metadata": metadata,
    "aauth-headers": aauth_headers,
    "identifiers": identifiers,
    "content-digest": content_digest,
    "signed-request": signed_request,
}
"""Every target by the name of its corpus."""
