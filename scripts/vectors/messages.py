"""Requests as they stand on the wire, and the signatures over them: a base builder of the pack's own (RFC 9421 §2.5).

It knows the components that the pack covers and nothing else; what a verifier must refuse is made by hand from these.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .keys import Key

NOW = 1_795_000_000
BASE = ("@method", "@authority", "@path", "signature-key")


@dataclass(frozen=True)
class Message:
    """One request."""

    method: str = "GET"
    target: str = "/orders"
    authority: str = "api.example"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    scheme: str = "https"

    def lines(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def adding(self, *fields: tuple[str, str]) -> Message:
        return replace(self, headers=(*self.headers, *fields))

    def without(self, name: str) -> Message:
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() != name))

    def setting(self, name: str, value: str) -> Message:
        """The same request with another value in the first field of this name, in its place."""
        done, fields = False, []
        for key, old in self.headers:
            fields.append((key, value if key.lower() == name and not done else old))
            done = done or key.lower() == name
        return replace(self, headers=tuple(fields if done else (*fields, (name, value))))

    def wire(self) -> dict[str, Any]:
        """As it stands in a vector."""
        return {
            "method": self.method,
            "scheme": self.scheme,
            "target": self.target,
            "headers": [list(pair) for pair in self.headers],
            "body": base64.b64encode(self.body).decode(),
        }


def component(message: Message, name: str) -> str:
    """The value of a component without parameters."""
    path, mark, query = message.target.partition("?")
    authority = message.authority.lower().removesuffix(":443")
    derived = {
        "@method": message.method,
        "@authority": authority,
        "@scheme": message.scheme,
        "@path": path or "/",
        "@query": f"?{query}",
        "@request-target": message.target,
        "@target-uri": f"{message.scheme}://{authority}{path or '/'}{mark}{query}",
    }
    if name in derived:
        return derived[name]
    values = message.lines(name)
    if not values:
        raise KeyError(name)
    return ", ".join(" ".join(line.strip(" \t") for line in value.split("\r\n")).strip(" \t") for value in values)


def parameters(covered: Sequence[str], params: Sequence[tuple[str, Any]]) -> str:
    """The value of `@signature-params`; a covered name with a semicolon is taken as it is written."""
    inner = " ".join(name if name.startswith('"') else f'"{name}"' for name in covered)
    return f"({inner})" + "".join(
        f';{name}="{value}"' if isinstance(value, str) else f";{name}={value}" for name, value in params
    )


def base(message: Message, covered: Sequence[str], params: str, values: dict[str, str] | None = None) -> bytes:
    """The signature base; `values` gives the value of what `component` does not know, or gives another."""
    lines = []
    for name in covered:
        written = name if name.startswith('"') else f'"{name}"'
        value = (values or {}).get(name)
        lines.append(f"{written}: {component(message, name) if value is None else value}")
    return "\n".join([*lines, f'"@signature-params": {params}']).encode("ascii")


@dataclass(frozen=True)
class Signing:
    """How one signature is made."""

    key: Key
    presents: str
    """The value of Signature-Key, without its label."""
    covered: tuple[str, ...] = BASE
    params: tuple[tuple[str, Any], ...] = (("created", NOW),)
    label: str = "sig"
    values: dict[str, str] = field(default_factory=dict)

    def sign(self, message: Message) -> Message:
        """The three fields, after the others."""
        keyed = message.adding(("Signature-Key", f"{self.label}={self.presents}"))
        text = parameters(self.covered, self.params)
        made = base64.b64encode(self.key.sign(base(keyed, self.covered, text, self.values))).decode()
        return keyed.adding(("Signature-Input", f"{self.label}={text}"), ("Signature", f"{self.label}=:{made}:"))


def digest(body: bytes, algorithm: str = "sha-256") -> str:
    """Content-Digest (RFC 9530)."""
    made = getattr(hashlib, algorithm.replace("-", ""))(body).digest()
    return f"{algorithm}=:{base64.b64encode(made).decode()}:"


def with_body(message: Message, body: bytes, kind: str = "application/json") -> Message:
    """The request with a body and what belongs to it."""
    return replace(message, body=body).adding(
        ("Content-Type", kind), ("Content-Length", str(len(body))), ("Content-Digest", digest(body))
    )
