"""A case made anew: the same faults, at another time, between other parties."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.components import Component
from ..protocol.httpsig import SignatureInput, signature_base
from ..protocol.identifiers import host_of
from ..protocol.jose import SigningKey, b64url_encode
from ..protocol.messages import SignedRequest
from ..protocol.structured import serialize_inner_list
from .pack import Pack, PackError, Vector

PATH: Final = "/orders"
"""The path of the pack's own resource, in whose place the path of the server under test comes."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Who stands for whom: identifiers of the pack, and those that the server under test meets."""

    names: Mapping[str, str] = field(default_factory=dict)

    def moved(self, text: str) -> str:
        """`text` with every identifier of the pack, and every agent of its domain, as it is here."""
        for name in sorted(self.names, key=len, reverse=True):
            text = text.replace(name, self.names[name]).replace(f"@{host_of(name)}", f"@{host_of(self.names[name])}")
        return text


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it is sent; `target` is in origin form."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


def _timed(value: Any, now: int) -> Any:
    if isinstance(value, dict):
        return (
            now + value["now"] if set(value) == {"now"} else {name: _timed(each, now) for name, each in value.items()}
        )
    return [_timed(each, now) for each in value] if isinstance(value, list) else value


def _key(pack: Pack, name: str) -> SigningKey:
    return SigningKey.from_jwk(pack.keys[name])


def _token(pack: Pack, token: Mapping[str, Any], parties: Parties, now: int) -> str:
    """A token as its recipe says, also a wrong one: nothing is added and nothing is checked."""
    claims = json.loads(parties.moved(json.dumps(_timed(token["claims"], now))))
    parts = [b64url_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (token["header"], claims)]
    text = ".".join(parts)
    return f"{text}.{b64url_encode(_key(pack, token['key']).sign(text.encode()))}"


def _presented(pack: Pack, recipe: Mapping[str, Any], parties: Parties, now: int) -> str:
    shown = recipe["presents"]
    if "value" in shown:
        return f"{recipe['label']}={parties.moved(shown['value'])}"
    return f'{recipe["label"]}={shown["scheme"]};jwt="{_token(pack, shown["token"], parties, now)}"'


def _moved_target(target: str, path: str) -> str:
    return path + target[len(PATH) :] if target.startswith(PATH) else path


def _changed(sent: Sent, changes: list[list[str]], path: str) -> Sent:
    method, target, headers = sent.method, sent.target, list(sent.headers)
    for what, *words in changes:
        if what == "set":
            places = [place for place, (name, _) in enumerate(headers) if name == words[0].lower()]
            if places:
                headers[places[0]] = (words[0].lower(), words[1])
        elif what == "add":
            headers.append((words[0].lower(), words[1]))
        elif what == "drop":
            headers = [pair for pair in headers if pair[0] != words[0].lower()]
        elif what == "method":
            method = words[0]
        else:
            target = _moved_target(words[0], path)
    return Sent(method, target, tuple(headers), sent.body)


def made_anew(vector: Vector, pack: Pack, *, parties: Parties, origin: str, path: str, now: int) -> Sent:
    """The request of `vector`, signed at `now` for the route `path` of `origin`. Raises `PackError`."""
    recipe = vector.live
    if recipe is None:
        raise PackError(f"{vector.id} hangs on its own time, and cannot be made anew")
    wire = recipe["request"]
    scheme, _, authority = origin.partition("://")
    headers = tuple((name.lower(), value) for name, value in wire["headers"])
    plain = SignedRequest(wire["method"], scheme, authority, _moved_target(wire["target"], path), headers)
    keyed = plain.with_headers([("signature-key", _presented(pack, recipe, parties, now))])
    covered = tuple(Component(name) for name in recipe["covered"])
    params = {name: _timed(value, now) for name, value in recipe["params"]}
    text = serialize_inner_list(([(name, {}) for name in recipe["covered"]], params))
    entry = SignatureInput(recipe["label"], covered, params, text)
    signature = base64.b64encode(_key(pack, recipe["key"]).sign(signature_base(keyed, entry))).decode()
    fields = (
        *keyed.headers,
        ("signature-input", f"{recipe['label']}={text}"),
        ("signature", f"{recipe['label']}=:{signature}:"),
    )
    sent = Sent(wire["method"], plain.target, fields, base64.b64decode(wire["body"]))
    return _changed(sent, recipe["changes"], path)
