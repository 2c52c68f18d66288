"""One signature to be explained: the request as the server sees it, and any base that is built from altered parts.

A `Change` alters what the verifier saw in one respect; a base under some changes is what a signer that saw it so would
have signed. Values under a change are literal: they are not normalised, since a signer that does not is a cause.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ..protocol.components import Component, ComponentError, component_value, normal_authority
from ..protocol.httpsig import SignatureInput
from ..protocol.messages import HeaderList, SignedRequest
from .captured import Captured

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

PARTS: Final = frozenset({"@method", "@scheme", "@authority", "@path", "@query"})
"""The parts of a request line; `@target-uri` and `@request-target` are made of them."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a signer may have seen or done otherwise. Two of one `axis` are never tried together.

    - `cause` names it, `what` says it in a sentence.
    - `values`: components by name, with the value that was signed; parts of the request line as `@path` and the like.
    - `literal`: values that stand in the line of one component only, whatever the part is elsewhere.
    - `params`: the text of `@signature-params` that was signed.
    - `form`: how the base as a whole was written.
    - `signature`: the bytes that were meant.
    """

    axis: str
    cause: str
    what: str
    values: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    literal: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    params: str | None = None
    form: Callable[[Sequence[tuple[str, str]], str], bytes] | None = None
    signature: bytes | None = None
    mend: str = ""


@dataclass(frozen=True)
class Scene:
    """A signature, its input, and the request that the server saw; `sent` is the request as it was captured."""

    request: SignedRequest
    entry: SignatureInput
    signature: bytes
    raw_params: str
    sent: Captured
    values: Mapping[str, str]
    """What the verifier has for each covered component, by its identifier; one that is not there has no entry."""

    @property
    def missing(self) -> list[Component]:
        """Covered components that the request does not have."""
        return [item for item in self.entry.components if str(item) not in self.values]

    def covers(self, *names: str) -> bool:
        """Whether any of these is covered, with or without parameters."""
        return any(item.name in names for item in self.entry.components)

    def rows(self, changes: Sequence[Change] = ()) -> list[tuple[str, str]] | None:
        """Component and value, line by line, under `changes`; `None` where a component has no value."""
        if not changes:
            found = [(str(item), self.values.get(str(item))) for item in self.entry.components]
            return None if any(value is None for _, value in found) else [(name, value or "") for name, value in found]
        values = {name: value for change in changes for name, value in change.values.items()}
        literal = {name: value for change in changes for name, value in change.literal.items()}
        rows: list[tuple[str, str]] = []
        for item in self.entry.components:
            value = self._value(item, values, literal)
            if value is None:
                return None
            rows.append((str(item), value))
        return rows

    def base(self, changes: Sequence[Change] = ()) -> bytes | None:
        """The signature base under `changes`, or `None` where it cannot be built."""
        rows = self.rows(changes)
        if rows is None:
            return None
        params = next((change.params for change in changes if change.params is not None), self.entry.text)
        form = next((change.form for change in changes if change.form is not None), as_specified)
        try:
            return form(rows, params)
        except UnicodeEncodeError:
            return None

    def signature_under(self, changes: Sequence[Change]) -> bytes:
        """The signature's bytes under `changes`."""
        return next((change.signature for change in changes if change.signature is not None), self.signature)

    def _value(self, item: Component, values: Mapping[str, str], literal: Mapping[str, str]) -> str | None:
        if item.bare and item.name in literal:
            return literal[item.name]
        if item.bare and item.name in values:
            return values[item.name]
        if item.bare and item.name in ("@target-uri", "@request-target"):
            return self._whole(item.name, values)
        if not item.bare and (item.name in values or item.name == "@query-param"):
            return self._parameterized(item, values)
        return self.values.get(str(item))

    def _whole(self, name: str, values: Mapping[str, str]) -> str:
        request = self.request
        path = values.get("@path", request.path)
        query = values.get("@query", "" if request.query is None else f"?{request.query}")
        if name == "@request-target":
            return f"{path}{query}"
        scheme = values.get("@scheme", request.scheme.lower())
        authority = values.get("@authority", normal_authority(request.scheme, request.authority))
        return f"{scheme}://{authority}{path}{query}"

    def _parameterized(self, item: Component, values: Mapping[str, str]) -> str | None:
        request = self.request
        path, query = values.get("@path", request.path), values.get("@query", f"?{request.query or ''}")
        headers: HeaderList = request.headers
        if item.name in values:
            headers = (*(each for each in headers if each[0] != item.name), (item.name, values[item.name]))
        altered = SignedRequest(request.method, request.scheme, request.authority, f"{path}{query}", headers)
        try:
            return component_value(altered, item)
        except ComponentError:
            return None


def as_specified(rows: Sequence[tuple[str, str]], params: str) -> bytes:
    """The base as RFC 9421 §2.5 writes it."""
    return "\n".join([*(f"{name}: {value}" for name, value in rows), f'"@signature-params": {params}']).encode("ascii")


def scene_of(request: SignedRequest, entry: SignatureInput, signature: bytes, sent: Captured) -> Scene:
    """The scene of one signature of `request`."""
    values: dict[str, str] = {}
    for item in entry.components:
        try:
            values[str(item)] = component_value(request, item)
        except ComponentError:
            continue
    raw = raw_member(request.values("signature-input"), entry.label)
    return Scene(request, entry, signature, raw or entry.text, sent, values)


def raw_member(values: Sequence[str], label: str) -> str | None:
    """The value of one member of a Dictionary as its sender wrote it, or `None`: spaces, order and all."""
    text = ", ".join(values)
    start = re.search(rf"(?:\A|,)[ \t]*{re.escape(label)}=", text)
    if start is None:
        return None
    quoted = re.compile(r'"(?:[^"\\]|\\.)*+"|,|[^",]+')
    end = start.end()
    while found := quoted.match(text, end):
        if found.group() == ",":
            break
        end = found.end()
    return text[start.end() : end].strip()


def hashed(name: str) -> Callable[[Sequence[tuple[str, str]], str], bytes]:
    """The base hashed before it was signed, as some libraries do."""
    return lambda rows, params: hashlib.new(name, as_specified(rows, params)).digest()
