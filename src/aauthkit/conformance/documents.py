"""What a verifier would find by URL: a table in place of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..egress import EgressError, Http
from ..protocol.messages import Answer


class Table(Http):
    """An `Http` that answers from a table; any other URL is out of reach."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.documents = documents

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeout: float,
        limit: int,
        guarded: bool = True,
    ) -> Answer:
        """The answer that stands in the table."""
        found = self.documents.get(url)
        if found is None:
            raise EgressError(f"nothing stands at {url}", "unreachable")
        return answer_of(found)


class Clock:
    """A clock that is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time it is set to."""
        return self.now


def answer_of(found: Mapping[str, Any]) -> Answer:
    """A response as it stands in a vector: a body is text."""
    headers = tuple((str(name).lower(), str(value)) for name, value in found.get("headers", ()))
    return Answer(int(found["status"]), headers, str(found["body"]).encode())
