"""Cases of `mission`: a mission blob as whoever holds it reads it, and the identifier that its bytes have (§8.2)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .keys import b64
from .pack import Pack, accepted, body_text, refused
from .world import AGENT, API

BLOB: dict[str, Any] = {
    "agent": AGENT,
    "approved_at": "2026-11-25T10:00:00Z",
    "expires_at": "2026-12-25T10:00:00Z",
    "description": "Plan a trip to **Lisbon**.",
    "approved_tools": [{"name": "WebSearch", "description": "Search the web"}],
    "approved_resources": [API],
}
OURS = "a bound of ours"


def missions() -> Pack:
    pack = Pack("mission", "Mission blobs: their form, and the identifier that their very bytes have (§8.2, §8.2.1).")
    _whole(pack)
    _members(pack)
    _tools(pack)
    return pack


def _add(pack: Pack, id: str, title: str, blob: bytes, ok: dict[str, Any] | None, **more: Any) -> None:
    given = {"blob": body_text(blob), "s256": more.pop("s256", b64(hashlib.sha256(blob).digest()))}
    outcome = accepted(**ok) if ok is not None else refused("mission_rejected")
    pack.add(f"mission-{id}", title, "mission", more.pop("sections", "8.2"), given, outcome, **more)


def changed(**changes: Any) -> bytes:
    kept = {name: value for name, value in {**BLOB, **changes}.items() if value is not Ellipsis}
    return json.dumps(kept, ensure_ascii=False).encode()


def _whole(pack: Pack) -> None:
    whole = changed()
    found = {
        "s256": b64(hashlib.sha256(whole).digest()),
        "agent": AGENT,
        "approved_at": 1795600800,
        "expires_at": 1798192800,
        "tools": ["WebSearch"],
        "resources": [API],
        "approves": {"WebSearch": True, "Delete": False},
    }
    _add(pack, "good", "A blob in order", whole, found, sections="8.2, 8.2.1")
    spaced = json.dumps(BLOB, indent=2).encode()
    other = {"s256": b64(hashlib.sha256(spaced).digest())}
    _add(pack, "spaces", "The same members in other bytes are another mission", spaced, other, sections="8.2.1")
    _add(pack, "other-s256", "The identifier of other bytes", whole, None, s256=other["s256"], sections="8.2, 8.2.1")
    _add(pack, "unknown", "Members that are not known are ignored", changed(zz={"a": [1]}), {"agent": AGENT})
    least = {"agent": AGENT, "tools": [], "resources": []}
    lean = changed(expires_at=..., approved_tools=..., approved_resources=...)
    _add(pack, "least", "Only what must be there", lean, least)
    for id, blob in (("array", b"[]"), ("page", b"<html>"), ("empty", b"")):
        _add(pack, id, f"The blob is {id}", blob, None)
    _add(pack, "large", "A blob of seventy thousand bytes", changed(zz="y" * 70_000), None, stricter=OURS)


def _members(pack: Pack) -> None:
    for id, member, value in (
        ("no-agent", "agent", ...),
        ("agent-number", "agent", 7),
        ("agent-bad", "agent", "planner"),
        ("no-approved-at", "approved_at", ...),
        ("approved-at-number", "approved_at", 1795600800),
        ("approved-at-date", "approved_at", "2026-11-25"),
        ("approved-at-no-zone", "approved_at", "2026-11-25T10:00:00"),
        ("approved-at-no-moment", "approved_at", "2026-13-45T10:00:00Z"),
        ("expires-at-null", "expires_at", None),
        ("no-description", "description", ...),
        ("description-empty", "description", ""),
        ("description-number", "description", 7),
        ("resources-object", "approved_resources", {}),
        ("resources-http", "approved_resources", ["http://api.example"]),
    ):
        _add(pack, id, f"{member}: {id}", changed(**{member: value}), None)
    for id, member, value in (
        ("description-long", "description", "y" * 17_000),
        ("resources-many", "approved_resources", [f"https://r{n}.example" for n in range(65)]),
    ):
        _add(pack, id, f"{member}: {id}", changed(**{member: value}), None, stricter=OURS)
    later = changed(approved_at="2026-11-25T12:00:00.5+02:00")
    _add(pack, "offset", "A time with a fraction and an offset", later, {"approved_at": 1795600800.5})


def _tools(pack: Pack) -> None:
    tool = {"name": "WebSearch"}
    for id, value in (
        ("object", {}),
        ("string", ["WebSearch"]),
        ("no-name", [{"description": "x"}]),
        ("name-number", [{"name": 7}]),
        ("name-empty", [{"name": ""}]),
        ("name-control", [{"name": "a\nb"}]),
        ("description-number", [{**tool, "description": 7}]),
        ("description-nul", [{**tool, "description": "a\0b"}]),
        ("twice", [tool, tool]),
    ):
        _add(pack, f"tools-{id}", f"approved_tools: {id}", changed(approved_tools=value), None)
    for id, value in (
        ("many", [{"name": f"t{n}"} for n in range(65)]),
        ("name-long", [{"name": "y" * 129}]),
        ("description-long", [{**tool, "description": "y" * 1025}]),
    ):
        _add(pack, f"tools-{id}", f"approved_tools: {id}", changed(approved_tools=value), None, stricter=OURS)
