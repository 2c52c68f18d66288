"""The form in which nearly every signed request comes, read and written without the parser of structured fields.

*Plain form* is this, to the byte: no field of the message stands twice; there is one signature, under one label; it
covers the base components and whatever else by bare names; its parameters are `created`, then `nonce` or nothing; its
64 bytes are canonical base64; the key is that of a token (`jwt`).

    Signature-Input: sig=("@method" "@authority" "@path" "signature-key");created=1795000000;nonce="c2FtcGxl"
    Signature: sig=:MEQCIA5…==:
    Signature-Key: sig=jwt;jwt="eyJ0eXAi…"

Nothing is refused here: for whatever differs the answer is `None`, *another form*, and the parsers of `httpsig` and
`signature_key` decide. They stay the reference: what is read here, they read alike. Two things make it quick. The list
of covered components is one of very few in a verifier's life, so the reference parses it once and its text is then
looked up; and what remains, `created` and `nonce`, is one pattern.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from .components import DERIVED, is_field_name
from .httpsig import BASE_COMPONENTS, BODY_COMPONENTS, SignatureSyntaxError, parse_signature_input
from .jose import SigningKey
from .messages import SignedRequest

MAX_INPUT: Final = 2048
"""Longest `Signature-Input` that is looked at here, in characters."""
MAX_COVERS: Final = 256
"""Lists of covered components that are remembered, each no longer than `MAX_INPUT`."""
QUERY_COMPONENTS: Final = frozenset({"@query", "@target-uri", "@request-target"})
"""Each of them covers the whole query."""

# Canonical as RFC 9651 §4.1 writes them: an Integer without leading zeros, a String without escapes.
_PARAMS = re.compile(r';created=([1-9][0-9]{0,14})(?:;nonce="[ !#-\[\]-~]*")?')
_LAST_OF_64: Final = frozenset("AQgw")
"""The 86th symbol of 64 bytes in base64 carries two bits: any other symbol has stray ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """A list of covered components in plain form, and how the signature base over them is put together."""

    head: str
    """`Signature-Input` up to the bracket that closes the list, without it."""
    names: frozenset[str]
    body: bool
    """Whether a body is covered: its digest and its type."""
    query: bool
    """Whether the query is."""
    signature_prefix: str
    key_prefix: str
    parts: tuple[tuple[str, Callable[[SignedRequest], str] | None], ...]
    """The components besides `signature-key`: name, and how it is derived; `None` for a field."""
    key_at: int
    """Where `signature-key` stands among them."""
    template: str

    def base(self, request: SignedRequest, fields: Mapping[str, str], signature_key: str, params: str) -> bytes | None:
        """The signature base (RFC 9421 §2.5), or `None` where a value is not there or not plainly written.

        `signature_key` is taken as it is: printable ASCII without blanks around it.
        """
        try:
            values = [fields[name].strip(" ") if derive is None else derive(request) for name, derive in self.parts]
        except KeyError:
            return None
        written = "".join(values)
        if not (written.isascii() and written.isprintable()):
            return None
        values.insert(self.key_at, signature_key)
        return (self.template % (*values, params)).encode("ascii")


class PlainSignature(NamedTuple):
    """The signature of a request in plain form, taken apart and not yet verified."""

    cover: Cover
    params: str
    """The signature's parameters as they are signed, with their semicolons."""
    created: int
    signature: bytes
    token: str
    """What `Signature-Key` presents, as it stands there."""
    signature_key: str
    fields: Mapping[str, str]
    """The request's fields, each of which stands once."""

    def base(self, request: SignedRequest) -> bytes | None:
        """The signature base, if the token is one that was read: then `signature_key` is printable ASCII."""
        return self.cover.base(request, self.fields, self.signature_key, self.params)


def read_plain(request: SignedRequest) -> PlainSignature | None:
    """The signature of `request`, or `None` where it has none or one in another form."""
    fields = dict(request.headers)
    if len(fields) != len(request.headers):
        return None
    try:
        signature_input, signature, signature_key = (
            fields["signature-input"],
            fields["signature"],
            fields["signature-key"],
        )
    except KeyError:
        return None
    head, _, params = signature_input.partition(")")
    match = _PARAMS.fullmatch(params)
    if match is None or len(signature_input) > MAX_INPUT:
        return None
    cover = _cover(head)
    if cover is None or not (signature_key.startswith(cover.key_prefix) and signature_key.endswith('"')):
        return None
    raw = _signature(signature, cover.signature_prefix)
    if raw is None:
        return None
    token = signature_key[len(cover.key_prefix) : -1]
    return PlainSignature(cover, params, int(match[1]), raw, token, signature_key, fields)


def plainly_covered(plain: PlainSignature, target: str, *, body: bool, query: bool) -> bool:
    """Whether a body, a query and an `Authorization` that are there are covered, besides the base components.

    `body` and `query` say whether the first two need to be (draft-11 §11.3.4 step 2; §6.3 for the third, which is asked
    here of every scheme).
    """
    cover, fields = plain.cover, plain.fields
    if body and not cover.body and ("transfer-encoding" in fields or fields.get("content-length", "0").strip() != "0"):
        return False
    if query and not cover.query and "?" in target:
        return False
    return "authorization" not in fields or "authorization" in cover.names


def _signature(value: str, prefix: str) -> bytes | None:
    """The 64 bytes of `prefix` + base64 + `:`, canonical; `None` for any other text."""
    start = len(prefix)
    if len(value) != start + 89 or not value.startswith(prefix) or value[-4] not in _LAST_OF_64 or value[-1] != ":":
        return None
    try:
        raw = a2b_base64(value[start:-1], strict_mode=True)
    except ValueError:
        return None
    return raw if len(raw) == 64 else None


@lru_cache(maxsize=MAX_COVERS)
def _cover(head: str) -> Cover | None:
    """What `head` covers, by the reference parser; `None` if it is not what that parser would write, or too little."""
    try:
        inputs = parse_signature_input([f"{head})"])
    except SignatureSyntaxError:
        return None
    if len(inputs) != 1:
        return None
    label, entry = inputs.popitem()
    names = [component.name for component in entry.components if component.bare]
    plain = f"{label}={entry.text}" == f"{head})" and len(names) == len(entry.components)
    if not plain or not entry.bare_names.issuperset(BASE_COMPONENTS):
        return None
    if not all(name in DERIVED or is_field_name(name) for name in names):
        return None
    lines = [f'"{name}": '.replace("%", "%%") + "%s" for name in names]
    last = f'"@signature-params": {entry.text}'.replace("%", "%%") + "%s"
    return Cover(
        head,
        entry.bare_names,
        entry.bare_names.issuperset(BODY_COMPONENTS),
        not entry.bare_names.isdisjoint(QUERY_COMPONENTS),
        f"{label}=:",
        f'{label}=jwt;jwt="',
        tuple((name, DERIVED.get(name)) for name in names if name != "signature-key"),
        names.index("signature-key"),
        "\n".join([*lines, last]),
    )


@lru_cache(maxsize=MAX_COVERS)
def _cover_of(names: tuple[str, ...]) -> Cover | None:
    """What a signer covers: `names`, then `signature-key`."""
    return _cover('sig=("' + '" "'.join((*names, "signature-key")) + '"')


def sign_plain(
    request: SignedRequest,
    fields: Mapping[str, str],
    key: SigningKey,
    *,
    signature_key: str,
    names: tuple[str, ...],
    created: int,
    nonce: str | None,
) -> tuple[tuple[str, str], ...] | None:
    """What `httpsig.sign_request` gives for the same arguments, or `None` where it has to decide.

    `fields` are those of `request`, each of which stands once; `signature_key` is printable ASCII without blanks around
    it; `names` are those to cover besides `signature-key`, each once.
    """
    cover = _cover_of(names)
    params = f";created={created}" if nonce is None else f';created={created};nonce="{nonce}"'
    if cover is None or "signature-key" in fields or not _PARAMS.fullmatch(params):
        return None
    base = cover.base(request, fields, signature_key, params)
    if base is None:
        return None
    signature = b2a_base64(key.sign(base), newline=False).decode("ascii")
    return (
        ("signature-key", signature_key),
        ("signature-input", f"{cover.head}){params}"),
        ("signature", f"sig=:{signature}:"),
    )


def is_plain_value(value: str) -> bool:
    """Whether a field value is signed just as it is: printable ASCII, with no blank around it."""
    return value.isascii() and value.isprintable() and value.strip(" ") == value
