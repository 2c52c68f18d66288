"""Own answers of the kinds that need no clock and no issuer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..protocol import headers, httpsig, identifiers, jose
from ..protocol.components import ComponentError
from ..protocol.messages import Answer, Refusal, SignedRequest
from ..protocol.metadata import MetadataError, read_metadata
from ..protocol.missions import MissionRejected, read_blob
from ..protocol.plain_form import sign_plain
from ..protocol.problems import Problem, SignatureFailure
from ..protocol.signature_key import (
    DelegatedKey,
    HeaderKey,
    JwksUriKey,
    JwtKey,
    parse_signature_key,
    read_member,
)
from .pack import Pack
from .requests import refused

Given = Mapping[str, Any]
Found = dict[str, Any]


def _error(code: str) -> Found:
    return {"error": {"code": code}}


def _signed(given: Given) -> SignedRequest:
    wire = given["request"]
    fields = tuple((name.lower(), value) for name, value in wire["headers"])
    return SignedRequest(wire["method"], wire["scheme"], given["authority"], wire["target"], fields)


def base(given: Given, _pack: Pack) -> Found:
    """The signature base of a request."""
    try:
        (entry,) = httpsig.parse_signature_input([given["signature_input"]]).values()
        return {"result": {"base": httpsig.signature_base(_signed(given), entry).decode()}}
    except (httpsig.SignatureSyntaxError, ComponentError):
        return _error("no_base")


def sign(given: Given, pack: Pack) -> Found:
    """The three fields that sign a request: by the short way in plain form, and by the long way in any."""
    request, key_pair = _signed(given), jose.SigningKey.from_jwk(pack.keys[given["key"]])
    signature_key, nonce = f"{given['label']}={given['signature_key']}", given.get("nonce")
    short = None
    ordered = given["covered"][-1:] == ["signature-key"] and given["label"] == "sig" and "expires" not in given
    if ordered and len(dict(request.headers)) == len(request.headers):
        short = sign_plain(
            request,
            dict(request.headers),
            key_pair,
            signature_key=signature_key,
            names=tuple(name for name in given["covered"] if name != "signature-key"),
            created=given["created"],
            nonce=nonce,
        )
    try:
        fields = httpsig.sign_request(
            request,
            key_pair,
            signature_key=signature_key,
            components=given["covered"],
            created=given["created"],
            nonce=nonce,
            expires=given.get("expires"),
            label=given["label"],
        )
    except ComponentError:
        if short is not None:
            raise AssertionError("the short way signs what cannot be signed") from None
        return _error("not_signed")
    if short is not None and dict(short) != dict(fields):
        raise AssertionError("the short way signs otherwise than the long one")
    return {"result": {"fields": dict(fields)}}


def digest(given: Given, _pack: Pack) -> Found:
    """Whether a body is the one that Content-Digest speaks of."""
    try:
        httpsig.check_content_digest(given["values"], base64.b64decode(given["body"]))
    except httpsig.DigestMismatch:
        return _error("digest_mismatch")
    return {"result": {}}


def key(given: Given, _pack: Pack) -> Found:
    """A key by itself, one of a set, or a private one."""
    try:
        if "private" in given:
            found: jose.PublicKey | None = jose.SigningKey.from_jwk(given["private"]).public
        elif "jwks" in given:
            found = jose.key_from_jwks(given["jwks"], given["kid"])
        else:
            found = jose.parse_jwk(given["jwk"])
    except jose.KeyRejected as error:
        return _error(error.code)
    if found is None:
        return _error("unknown_key")
    return {"result": {"alg": found.alg, "thumbprint": found.thumbprint}}


def _same_code(value: Any, given: Given) -> None:
    if not identifiers.same_code(value, given["entered"]):
        raise identifiers.InvalidIdentifier("another code")


_IDENTIFIERS: Final[Mapping[str, Callable[[Any, Given], object]]] = {
    "server": lambda value, _: identifiers.check_server_identifier(value),
    "agent": lambda value, _: identifiers.parse_agent_identifier(value),
    "local": lambda value, _: identifiers.check_top_level_local(value),
    "endpoint": lambda value, _: identifiers.check_endpoint(value, "https://ps.example"),
    "url": lambda value, _: identifiers.check_endpoint(value, "https://ps.example", query=True),
    "scope": lambda value, _: identifiers.parse_scope(value),
    "code": _same_code,
}


def identifier(given: Given, _pack: Pack) -> Found:
    """Whether something is the identifier it is given as."""
    try:
        _IDENTIFIERS[given["type"]](given["value"], given)
    except identifiers.InvalidIdentifier:
        return _error("invalid")
    return {"result": {}}


def metadata(given: Given, _pack: Pack) -> Found:
    """A metadata document that was fetched."""
    try:
        document = jose.parse_json(given["body"])
        found = read_metadata(given["document"], given["issuer"], document)
    except jose.JoseError:
        return _error("invalid_metadata")
    except MetadataError as error:
        return _error("invalid_metadata" if error.code == "unknown_key" else error.code)
    return {
        "result": {
            "issuer": found.issuer,
            "access_mode": found.access_mode,
            "signature_window": found.integer("signature_window", 60),
            "additional_signature_components": list(found.strings("additional_signature_components")),
            "scope_descriptions": found.scope_descriptions,
            "localhost_callback_allowed": found.flag("localhost_callback_allowed"),
        }
    }


def signature_key(given: Given, _pack: Pack) -> Found:
    """Every member of Signature-Key."""
    members: dict[str, Any] = {}
    try:
        for label, member in parse_signature_key(given["values"]).items():
            members[label] = {"scheme": member.scheme}
            try:
                presented = read_member(member)
            except SignatureFailure as failure:
                if failure.code != "unsupported_scheme":
                    raise
                continue
            if isinstance(presented, JwtKey):
                members[label]["typ"] = presented.jwt.header.get("typ")
            elif isinstance(presented, JwksUriKey):
                members[label] |= {"id": presented.id, "dwk": presented.dwk, "kid": presented.kid}
            else:
                assert isinstance(presented, HeaderKey | DelegatedKey)
                members[label]["key"] = presented.key.thumbprint
    except SignatureFailure as failure:
        return _error(failure.code)
    return {"result": {"members": members}}


def _requirement(values: Sequence[str]) -> Found:
    found = headers.parse_requirement(values)
    if found is None:
        return {"requirement": None}
    needed = {"auth-token": ("resource-token",), "interaction": ("url", "code")}.get(found.value, ())
    said = {name: found.text(name) for name in needed}
    if "url" in said:
        identifiers.check_endpoint(said["url"], "https://ps.example")
    return {"requirement": found.value, **said}


def _signature_error(values: Sequence[str]) -> Found:
    found = headers.parse_signature_error(values)
    if found is None:
        return {"error": None}
    return {"error": found.error, "required_input": list(found.required_input)}


def _accepted(values: Sequence[str]) -> Found:
    found = headers.parse_accepted(values)
    return {"values": list(found) if found is not None else None}


def _capabilities(values: Sequence[str]) -> Found:
    return {"values": sorted(headers.parse_capabilities(values) & set(headers.CAPABILITIES))}


_FIELDS: Final[Mapping[str, Callable[[Sequence[str]], Found]]] = {
    "aauth-requirement": _requirement,
    "aauth-access": lambda values: {"token": headers.parse_session_token(values)},
    "aauth-capabilities": _capabilities,
    "authorization": lambda values: {"token": headers.parse_authorization(values)},
    "signature-error": _signature_error,
    "accept-signature-scheme": _accepted,
    "accept-signature-alg": _accepted,
    "link": lambda values: {"resources": list(headers.parse_resource_links(values))},
    "retry-after": lambda values: {"seconds": headers.parse_retry_after(values)},
}


def field(given: Given, _pack: Pack) -> Found:
    """A header field, as its recipient reads it."""
    try:
        return {"result": _FIELDS[given["name"]](given["values"])}
    except (headers.HeaderError, identifiers.InvalidIdentifier):
        return _error("malformed")


def response(given: Given, _pack: Pack) -> Found:
    """An answer, as an agent reads it."""
    from ..agent.errors import refusal
    from ..outbound import OutboundError, read_pending

    wire = given["response"]
    fields = tuple((name.lower(), value) for name, value in wire["headers"])
    answer = Answer(wire["status"], fields, base64.b64decode(wire["body"]))
    if given.get("to") == "revocation":
        return _report(answer)
    if answer.status != 202:
        found = refusal("the server", answer)
        return {"result": {"error": found.code, "status": found.status}}
    try:
        pending = read_pending(answer, given["url"])
    except OutboundError:
        return _error("pending_refused")
    asked = pending.requirement
    return {
        "result": {
            "pending": pending.location,
            "retry_after": pending.retry_after,
            "status": pending.status,
            "requirement": asked.value if asked is not None else None,
        }
    }


def _report(answer: Answer) -> Found:
    from ..revocation.outcomes import MalformedReport, read_report

    try:
        return {"result": {"downstream": [entry.document() for entry in read_report(answer)]}}
    except MalformedReport:
        return _error("revocation_unavailable")


def error(given: Given, _pack: Pack) -> Found:
    """The answer that carries an error."""
    refusal: Refusal = (
        SignatureFailure(
            given["code"],
            required_input=given.get("required_input"),
            accept_schemes=given.get("accept_schemes"),
            accept_algs=given.get("accept_algs"),
        )
        if given["where"] == "signature-error"
        else Problem(given["code"])
    )
    answer = refusal.answer()
    return {"result": {"status": answer.status, "headers": dict(answer.headers), "body": json.loads(answer.body)}}


def body(given: Given, _pack: Pack) -> Found:
    """The body of a request, as its endpoint reads it."""
    try:
        from ..person import requests as asked
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("aauthkit"):
            raise
        if given["type"] != "revocation":
            return {"skip": f"a person server needs aauthkit[server]: {error}"}
    from ..revocation.outcomes import read_revocation

    try:
        document = jose.parse_json(base64.b64decode(given["body"]))
    except jose.JoseError:
        return refused(Problem("invalid_request"))
    try:
        if given["type"] == "revocation":
            jti, exp = read_revocation(document)
            return {"result": {"jti": jti, "exp": exp}}
        if given["type"] == "person-token-request":
            return {"result": {"resource": asked.read_person_token_request(document, identifiers.NO_LOOPBACK).resource}}
        if given["type"] == "auth-token-request":
            asked.read_auth_token_request(document)
        else:
            asked.read_action(document)
    except Refusal as refusal:
        return refused(refusal)
    return {"result": {}}


def mission(given: Given, _pack: Pack) -> Found:
    """A mission blob, as whoever holds it reads it."""
    try:
        found = read_blob(base64.b64decode(given["blob"]), s256=given["s256"])
    except MissionRejected:
        return _error("mission_rejected")
    return {
        "result": {
            "s256": found.s256,
            "agent": found.agent,
            "approved_at": _number(found.approved_at),
            "expires_at": _number(found.expires_at),
            "tools": [tool.name for tool in found.approved_tools],
            "resources": list(found.approved_resources),
            "approves": {name: found.approves_tool(name) for name in ("WebSearch", "Delete")},
        }
    }


def _number(time: float | None) -> float | int | None:
    return int(time) if time is not None and time.is_integer() else time
