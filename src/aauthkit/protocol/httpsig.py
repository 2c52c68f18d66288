"""HTTP Message Signatures (RFC 9421) as draft-11 §11.3 profiles them, and Content-Digest (RFC 9530).

Pure: a request and a key in, headers out; a request in, a signature base out. Which components are required, which keys
count and what the time is belongs to `verification`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .components import Component, ComponentError, component_value
from .jose import BadSignature, PublicKey, SigningKey
from .messages import SignedRequest
from .structured import (
    Bare,
    FieldError,
    Item,
    Token,
    parse_dictionary,
    serialize_inner_list,
    serialize_item,
)

BASE_COMPONENTS: Final = ("@method", "@authority", "@path", "signature-key")
"""What every signature covers (draft-11 §11.3.3.1)."""
BODY_COMPONENTS: Final = ("content-digest", "content-type")
"""What it covers besides, where a body goes to a person server, an access server or a revocation endpoint."""
MAX_LABELS: Final = 8
MAX_COMPONENTS: Final = 64
MAX_NONCE: Final = 256

_BYTES = re.compile(r"=:[^:]*")  # one class to the next colon: linear, whatever the field holds
_TO_STANDARD: Final = {ord("-"): "+", ord("_"): "/"}


class SignatureSyntaxError(ValueError):
    """`Signature-Input` or `Signature` is not what RFC 9421 §4 says."""


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """One member of `Signature-Input`, ready to be compared: covered components and parameters (RFC 9421 §4.1)."""

    label: str
    components: tuple[Component, ...]
    params: dict[str, Bare] = field(repr=False)
    text: str
    """The value of `@signature-params`."""

    @property
    def bare_names(self) -> frozenset[str]:
        """Names covered without parameters, the only ones that satisfy a requirement."""
        return frozenset(item.name for item in self.components if item.bare)

    def integer(self, name: str) -> int | None:
        """An Integer parameter, or `None` where it is absent. Raises `SignatureSyntaxError` on any other type."""
        value = self.params.get(name)
        if value is None:
            return None
        if type(value) is not int:
            raise SignatureSyntaxError(f"{name} is not an Integer")
        return value

    def text_of(self, name: str) -> str | None:
        """A String parameter, or `None` where it is absent. Raises `SignatureSyntaxError` on any other type."""
        value = self.params.get(name)
        if value is not None and type(value) is not str:
            raise SignatureSyntaxError(f"{name} is not a String")
        return value


def _component(item: Item) -> Component:
    name, params = item
    if type(name) is not str:
        raise SignatureSyntaxError("Signature-Input: a covered component is named by a String")
    return Component(name, tuple(params.items()))


def parse_signature_input(values: Sequence[str]) -> dict[str, SignatureInput]:
    """Every member of `Signature-Input`, in order. Raises `SignatureSyntaxError`, also on any duplicate."""
    try:
        members = parse_dictionary(values, duplicates=False)
    except FieldError as error:
        raise SignatureSyntaxError(f"Signature-Input: {error}") from error
    if len(members) > MAX_LABELS:
        raise SignatureSyntaxError(f"Signature-Input: more than {MAX_LABELS} signatures")
    return {label: _one_input(label, member) for label, member in members.items()}


def _one_input(label: str, member: Any) -> SignatureInput:
    items, params = member
    if not isinstance(items, list):
        raise SignatureSyntaxError(f"Signature-Input: the member {label!r} is not an Inner List")
    if len(items) > MAX_COMPONENTS:
        raise SignatureSyntaxError(f"Signature-Input: more than {MAX_COMPONENTS} components")
    components = tuple(_component(item) for item in items)
    if len({component.identity for component in components}) != len(components):
        raise SignatureSyntaxError("Signature-Input: a component is covered twice")
    return SignatureInput(label, components, params, serialize_inner_list((items, params)))


def parse_signatures(values: Sequence[str], *, accept_base64url: bool = False) -> dict[str, bytes]:
    """Every member of `Signature`. Raises `SignatureSyntaxError`.

    The bytes are standard base64 (RFC 9421 §4.2, RFC 9651 §4.2.7). The URL-safe alphabet that some signers write is
    refused by name, unless `accept_base64url` is set.
    """
    standard = [_BYTES.sub(lambda match: match.group().translate(_TO_STANDARD), value) for value in values]
    if standard != list(values) and not accept_base64url:
        raise SignatureSyntaxError("Signature: the bytes are base64url; RFC 9651 wants standard base64, with padding")
    values = standard
    try:
        members = parse_dictionary(values, duplicates=False)
    except FieldError as error:
        raise SignatureSyntaxError(f"Signature: {error}") from error
    signatures: dict[str, bytes] = {}
    for label, (value, params) in members.items():
        if not isinstance(value, bytes) or params:
            raise SignatureSyntaxError(f"Signature: the member {label!r} is not a bare byte sequence")
        signatures[label] = value
    return signatures


def signature_base(request: SignedRequest, entry: SignatureInput) -> bytes:
    """What is signed (RFC 9421 §2.5). Raises `ComponentError` if a covered component is not there."""
    return _base(entry, [component_value(request, item) for item in entry.components])


def _base(entry: SignatureInput, values: Sequence[str]) -> bytes:
    lines = [f"{item}: {value}" for item, value in zip(entry.components, values, strict=True)]
    return "\n".join([*lines, f'"@signature-params": {entry.text}']).encode("ascii")


_MISTAKES: Final[Mapping[str, tuple[Callable[[SignedRequest], str], str]]] = {
    "@query": (lambda r: r.query or "", "@query was signed without its leading question mark (RFC 9421 §2.2.7)"),
    "@path": (lambda r: f"{r.path}?{r.query or ''}", "@path was signed with the query in it (RFC 9421 §2.2.6)"),
}


def known_mistake(request: SignedRequest, entry: SignatureInput, key: PublicKey, signature: bytes) -> str | None:
    """For a signature that did not verify: the mistake of its signer, if it is one that is widely made.

    Tells a developer the cause; the signature stays refused. `None` where no known mistake explains it.
    """
    for name, (wrong, reason) in _MISTAKES.items():
        if name not in entry.bare_names or (name == "@path" and request.query is None):
            continue
        values = [
            wrong(request) if item.bare and item.name == name else component_value(request, item)
            for item in entry.components
        ]
        try:
            key.verify(_base(entry, values), signature)
        except (BadSignature, UnicodeEncodeError):
            continue
        return reason
    return None


def sign_request(
    request: SignedRequest,
    key: SigningKey,
    *,
    signature_key: str,
    components: Iterable[str | Component],
    created: int,
    nonce: str | None = None,
    expires: int | None = None,
    label: str = "sig",
) -> tuple[tuple[str, str], ...]:
    """The three fields that sign `request`: Signature-Key, Signature-Input, Signature (draft-11 §11.3.3).

    `components` are those to cover, each once however often it is named; `signature-key` is added. No `alg` and no
    `keyid` is written (§11.3.3.2). Raises `ComponentError` if a component is not in the request or a value cannot be
    written; then nothing must be sent.
    """
    named = [item if isinstance(item, Component) else Component(item) for item in components]
    wanted = list({item.identity: item for item in (*named, Component("signature-key"))}.values())
    params: dict[str, Bare] = {"created": created}
    if expires is not None:
        params["expires"] = expires
    if nonce is not None:
        params["nonce"] = nonce
    items: list[Item] = [(item.name, dict(item.params)) for item in wanted]
    try:
        text = serialize_inner_list((items, params))
    except FieldError as error:
        raise ComponentError(f"Signature-Input cannot be written: {error}") from error
    entry = SignatureInput(label, tuple(wanted), params, text)
    keyed = request.with_headers([("signature-key", signature_key)])
    signature = key.sign(signature_base(keyed, entry))
    return (
        ("signature-key", signature_key),
        ("signature-input", f"{label}={text}"),
        ("signature", f"{label}=:{base64.b64encode(signature).decode('ascii')}:"),
    )


_DIGESTS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_PLAIN_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=):\Z")
"""The one digest that nearly every request has, read without the parser; any other form goes through it."""


class DigestMismatch(ValueError):
    """The body is not the one that Content-Digest speaks of, or no known algorithm is named."""


def content_digest(body: bytes, algorithm: str = "sha-256") -> str:
    """The value of `Content-Digest` for `body` (RFC 9530 §2)."""
    digest = b2a_base64(_DIGESTS[algorithm](body).digest(), newline=False).decode("ascii")
    return f"{algorithm}=:{digest}:"


class DigestCheck:
    """Compares a body, fed in pieces, with its Content-Digest: at least one known algorithm, and all known match."""

    def __init__(self, values: Sequence[str]) -> None:
        plain = _PLAIN_DIGEST.match(values[0]) if len(values) == 1 else None
        if plain is not None:
            self._expected: list[tuple[Any, bytes]] = [(hashlib.sha256(), a2b_base64(plain[1]))]
            return
        try:
            members = parse_dictionary(values, duplicates=False)
        except FieldError as error:
            raise DigestMismatch(f"Content-Digest: {error}") from error
        self._expected = []
        for name, (value, _) in members.items():
            if name in _DIGESTS:
                if not isinstance(value, bytes):
                    raise DigestMismatch(f"Content-Digest: {name} is not a byte sequence")
                self._expected.append((_DIGESTS[name](), value))
        if not self._expected:
            raise DigestMismatch("Content-Digest names neither sha-256 nor sha-512")

    def update(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        for digest, _ in self._expected:
            digest.update(chunk)

    def finish(self) -> None:
        """After the last piece: return if every known digest matches, raise `DigestMismatch` otherwise."""
        for digest, value in self._expected:
            if not hmac.compare_digest(digest.digest(), value):
                raise DigestMismatch("the body does not match Content-Digest")


def check_content_digest(values: Sequence[str], body: bytes) -> None:
    """Return if `body` matches every known digest of the field; raise `DigestMismatch` otherwise."""
    check = DigestCheck(values)
    check.update(body)
    check.finish()


def signature_key_value(scheme: str, params: dict[str, Bare], label: str = "sig") -> str:
    """The value of `Signature-Key` for one signature (Signature-Keys §3)."""
    return f"{label}={serialize_item(Token(scheme), params)}"
