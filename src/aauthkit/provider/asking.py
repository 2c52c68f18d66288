"""The body of an enrolment, read strictly (docs/enrollment.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_server_identifier, check_top_level_local
from ..protocol.jose import KeyRejected, PublicKey, parse_jwk
from ..protocol.problems import Problem

PLATFORMS: Final = ("web", "mobile", "desktop", "workload", "self-hosted")
"""draft-11 §15.10."""
MAX_DEVICE: Final = 64
"""Longest `device`, in characters (draft-11 §7.2)."""
MAX_NONCE: Final = 128


@dataclass(frozen=True, slots=True)
class EnrollmentAsk:
    """What an agent asks for: a name, and a token for `key`. Agent-asserted, but in form."""

    name: str
    nonce: str = field(repr=False)
    key: PublicKey
    evidence_type: str
    evidence: Mapping[str, Any] = field(repr=False)
    ps: str | None = None
    platform: str | None = None
    device: str | None = None


def read_ask(body: Mapping[str, Any], durable: PublicKey, loopback: LoopbackProfile) -> EnrollmentAsk:
    """The ask in `body`, signed by `durable`; members that are not known are ignored. Raises `Problem` 400."""
    evidence = body.get("evidence")
    if not isinstance(evidence, Mapping) or not isinstance(evidence.get("type"), str):
        raise Problem("invalid_request", "evidence must be an object with a type")
    return EnrollmentAsk(
        name=_name(_text(body, "name", 255)),
        nonce=_text(body, "nonce", MAX_NONCE),
        key=read_ephemeral(body.get("key"), durable),
        evidence_type=evidence["type"],
        evidence=evidence,
        ps=_server(_text(body, "ps", 512), loopback) if "ps" in body else None,
        platform=_platform(_text(body, "platform", 32)) if "platform" in body else None,
        device=_text(body, "device", MAX_DEVICE) if "device" in body else None,
    )


def read_ephemeral(jwk: object, durable: PublicKey) -> PublicKey:
    """The key that a token is asked for. Raises `Problem` 400, also if it is the durable key itself."""
    try:
        key = parse_jwk(jwk)
    except KeyRejected as error:
        raise Problem("invalid_request", f"key: {error}") from error
    check_apart(key, durable)
    return key


def check_apart(key: PublicKey, durable: PublicKey) -> None:
    """Return if these are two keys: the durable one is shown to the provider alone. Raises `Problem` 400 otherwise."""
    if key.thumbprint == durable.thumbprint:
        raise Problem("invalid_request", "the ephemeral key must not be the durable key")


def _text(body: Mapping[str, Any], name: str, limit: int) -> str:
    value = body.get(name)
    if type(value) is not str or not 0 < len(value) <= limit or not value.isprintable():
        raise Problem("invalid_request", f"{name} must be a string of 1 to {limit} printable characters")
    return value


def _name(value: str) -> str:
    try:
        return check_top_level_local(value)
    except InvalidIdentifier as error:
        raise Problem("invalid_request", f"name: {error}") from error


def _server(value: str, loopback: LoopbackProfile) -> str:
    try:
        return check_server_identifier(value, loopback)
    except InvalidIdentifier as error:
        raise Problem("invalid_request", f"ps: {error}") from error


def _platform(value: str) -> str:
    if value not in PLATFORMS:
        raise Problem("invalid_request", "platform must be one of " + ", ".join(PLATFORMS))
    return value
