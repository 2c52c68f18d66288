"""The mission blob and its identifier: what a person approved, byte for byte (draft-11 §8.2, §8.2.1).

A blob is written once, by the person server that approved it, and read wherever somebody holds it: unknown members are
kept in the bytes and ignored by the reader.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from .identifiers import (
    NO_LOOPBACK,
    InvalidIdentifier,
    LoopbackProfile,
    check_server_identifier,
    parse_agent_identifier,
)
from .jose import b64url_encode, parse_json

MAX_BLOB: Final = 64 * 1024
"""Largest blob that is read, in bytes."""
MAX_DESCRIPTION: Final = 16 * 1024
"""Longest description, in characters."""
MAX_TOOLS: Final = 64
MAX_RESOURCES: Final = 64
MAX_TOOL_NAME: Final = 128
MAX_TOOL_TEXT: Final = 1024

_S256 = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)


class MissionRejected(ValueError):
    """A blob, or a part of one, that is not what draft-11 §8.2 describes; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something an agent does without a remote resource; `description` is Markdown of a stranger (draft-11 §8.1)."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Mission:
    """A blob that was read. Times are seconds since the epoch.

    `members` holds the whole document, with those a companion specification may define.
    """

    s256: str
    agent: str
    approved_at: float
    description: str = field(repr=False)
    expires_at: float | None = None
    approved_tools: tuple[Tool, ...] = ()
    approved_resources: tuple[str, ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def approves_tool(self, name: str) -> bool:
        """Whether a tool may be used without asking at the permission endpoint (draft-11 §8.2)."""
        return any(tool.name == name for tool in self.approved_tools)


def mission_s256(blob: bytes) -> str:
    """The identifier of the mission whose blob is these bytes: base64url of their SHA-256 (draft-11 §8.2.1)."""
    return b64url_encode(hashlib.sha256(blob).digest())


def is_mission_s256(value: object) -> bool:
    """Whether `value` has the form of a mission identifier; one that decodes to more than 32 bytes has not."""
    return isinstance(value, str) and _S256.match(value) is not None and value[-1] in "AEIMQUYcgkosw048"


def format_time(now: float) -> str:
    """Seconds since the epoch, as an ISO 8601 timestamp in UTC; with milliseconds where they are not whole."""
    whole = float(now).is_integer()
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds" if whole else "milliseconds")
    return text.replace("+00:00", "Z")


def parse_time(value: object) -> float:
    """An ISO 8601 timestamp with a zone, as seconds since the epoch. Raises `MissionRejected`."""
    if not isinstance(value, str) or not _TIME.match(value):
        raise MissionRejected("a time is an ISO 8601 timestamp with date, time and zone")
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError as error:
        raise MissionRejected("a time names no moment") from error


def read_tools(value: object) -> tuple[Tool, ...]:
    """An array of tool objects with names that differ (draft-11 §8.1). Raises `MissionRejected`."""
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise MissionRejected(f"tools are an array of at most {MAX_TOOLS} objects")
    tools = tuple(_tool(one) for one in value)
    if len({tool.name for tool in tools}) != len(tools):
        raise MissionRejected("two tools have the same name")
    return tools


def _tool(value: object) -> Tool:
    name = value.get("name") if isinstance(value, Mapping) else None
    words = value.get("description", "") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or not 0 < len(name) <= MAX_TOOL_NAME or not name.isprintable():
        raise MissionRejected(f"a tool has a name of 1 to {MAX_TOOL_NAME} printable characters")
    if not isinstance(words, str) or len(words) > MAX_TOOL_TEXT or "\0" in words:
        raise MissionRejected(f"the description of a tool is a string of at most {MAX_TOOL_TEXT} characters")
    return Tool(name, words)


def read_resources(value: object, loopback: LoopbackProfile | None) -> tuple[str, ...]:
    """An array of server identifiers, each once (draft-11 §8.1, §11.1.1). Raises `MissionRejected`.

    With no profile at all they are taken as they stand: for what was checked when it was written.
    """
    if not isinstance(value, list) or len(value) > MAX_RESOURCES:
        raise MissionRejected(f"resources are an array of at most {MAX_RESOURCES} server identifiers")
    if loopback is None:
        return tuple(dict.fromkeys(str(one) for one in value))
    try:
        return tuple(dict.fromkeys(check_server_identifier(one, loopback) for one in value))
    except InvalidIdentifier as error:
        raise MissionRejected(f"resources: {error}") from error


def write_blob(
    *,
    agent: str,
    approved_at: float,
    description: str,
    expires_at: float | None = None,
    approved_tools: Sequence[Tool] = (),
    approved_resources: Sequence[str] = (),
    further: Mapping[str, Any] | None = None,
) -> bytes:
    """The blob, in the bytes that are to be kept, hashed and given out (draft-11 §8.2, §8.2.1).

    `further` are members beside those of the draft, which they cannot replace.
    """
    blob: dict[str, Any] = {"agent": agent, "approved_at": format_time(approved_at)}
    if expires_at is not None:
        blob["expires_at"] = format_time(expires_at)
    blob["description"] = description
    if approved_tools:
        blob["approved_tools"] = [{"name": tool.name, "description": tool.description} for tool in approved_tools]
    if approved_resources:
        blob["approved_resources"] = list(approved_resources)
    return json.dumps({**(further or {}), **blob}, ensure_ascii=False, separators=(",", ":")).encode()


def read_blob(blob: bytes, *, s256: str | None = None, loopback: LoopbackProfile | None = NO_LOOPBACK) -> Mission:
    """The mission in a blob, after its identifier was compared where it is given (draft-11 §8.2).

    Raises `MissionRejected`.
    """
    if len(blob) > MAX_BLOB:
        raise MissionRejected(f"the blob is longer than {MAX_BLOB} bytes")
    name = mission_s256(blob)
    if s256 is not None and s256 != name:
        raise MissionRejected("the blob is not the one that its s256 names")
    try:
        members = parse_json(blob, limit=MAX_BLOB)
    except ValueError as error:
        raise MissionRejected("the blob is no JSON object") from error
    expires = members.get("expires_at")
    return Mission(
        s256=name,
        agent=_agent(members.get("agent")),
        approved_at=parse_time(members.get("approved_at")),
        description=_description(members.get("description")),
        expires_at=parse_time(expires) if "expires_at" in members else None,
        approved_tools=read_tools(members.get("approved_tools", [])),
        approved_resources=read_resources(members.get("approved_resources", []), loopback),
        members=members,
    )


def _agent(value: object) -> str:
    try:
        if isinstance(value, str):
            parse_agent_identifier(value)
            return value
    except InvalidIdentifier as error:
        raise MissionRejected(f"agent: {error}") from error
    raise MissionRejected("the blob names no agent")


def _description(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_DESCRIPTION:
        raise MissionRejected(f"the description is a string of 1 to {MAX_DESCRIPTION} characters")
    return value
