"""Requests and answers as values: what every role server takes and gives.

Nothing here reads a socket. Header names are lower case and keep the order in which they came; values are text
with one character per byte (ISO 8859-1), as RFC 9421 §2.1 wants them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

HeaderList = tuple[tuple[str, str], ...]
_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def header_values(headers: HeaderList, name: str) -> list[str]:
    """Every value of the field `name` (lower case), in the order of the message."""
    return [value for key, value in headers if key == name]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature is made over and checked against (RFC 9421 §2.2).

    `authority` is the one the verifier is configured with, never what the request said of itself: that comparison is
    what keeps one host from relaying a request to another. `target` is the request target exactly as it was received,
    in origin form: raw path, then `?` and the raw query where there is one.
    """

    method: str
    scheme: str
    authority: str
    target: str
    headers: HeaderList = field(repr=False)

    def values(self, name: str) -> list[str]:
        """Every value of the field `name` (lower case)."""
        return header_values(self.headers, name)

    @property
    def path(self) -> str:
        """The raw path; an empty one is `/` (RFC 9421 §2.2.6)."""
        return self.target.partition("?")[0] or "/"

    @property
    def query(self) -> str | None:
        """The raw query without its `?`, or `None` where the target has none."""
        _, mark, query = self.target.partition("?")
        return query if mark else None

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> SignedRequest:
        """The same request with these fields after its own."""
        return replace(self, headers=(*self.headers, *headers))


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whole: what a role server gives back, and what an agent gets from a server it calls itself."""

    status: int
    headers: HeaderList = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The first value of the field `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)

    def values(self, name: str) -> list[str]:
        """Every value of the field `name` (lower case)."""
        return header_values(self.headers, name)

    def with_headers(self, *headers: tuple[str, str]) -> Answer:
        """The same answer with these fields after its own."""
        return replace(self, headers=(*self.headers, *headers))


def json_answer(status: int, value: Mapping[str, Any], *headers: tuple[str, str]) -> Answer:
    """`value` as `application/json`, never stored by a cache unless `headers` say otherwise."""
    fields = (("content-type", "application/json"), *headers)
    if all(name != "cache-control" for name, _ in headers):
        fields = (*fields, ("cache-control", "no-store"))
    return Answer(status, fields, _written(value).encode())


class Refusal(Exception):
    """Anything that ends a request with an answer of its own: an error of the protocol, or a challenge."""

    def answer(self) -> Answer:
        """The response that says so."""
        raise NotImplementedError
