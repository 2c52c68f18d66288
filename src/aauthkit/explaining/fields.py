"""How a covered header field may have been another for the signer than for the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..protocol.httpsig import content_digest
from .scene import Change, Scene, raw_member
from .wording import plain, shown

_USUAL: Final = {
    "content-type": (
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/plain;charset=UTF-8",
    ),
    "accept": ("*/*", "application/json"),
    "accept-encoding": ("gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd", "gzip", "identity"),
}
"""What clients write where they were told nothing, and what a proxy puts in its place."""


def field_changes(scene: Scene) -> list[Change]:
    """Changes of every covered field, the likely ones first."""
    found: list[Change] = []
    names = dict.fromkeys(item.name for item in scene.entry.components if not item.name.startswith("@"))
    for name in names:
        if name == "signature-key":
            found += _signature_key(scene)
            continue
        own = ", ".join(scene.request.values(name))
        seen = {own} if scene.request.values(name) else set[str]()
        for cause, value in _candidates(scene, name):
            if value not in seen and value.isascii():
                seen.add(value)
                found.append(Change(f"field {name}", cause, _said(name, value, own, scene), {name: value}))
    return found


def _said(name: str, value: str, own: str, scene: Scene) -> str:
    field, there = plain(name), bool(scene.request.values(name))
    if shown(name, value) == shown(name, own):
        return f"the field {field} was signed with another value of {len(value)} characters; the server got {len(own)}"
    got = f"the server got {shown(name, own)}" if there else "the server got none"
    return f"the field {field} was signed as {shown(name, value) or 'an empty string'}; {got}"


def _candidates(scene: Scene, name: str) -> Iterator[tuple[str, str]]:
    lines = scene.request.values(name)
    yield from _from_lines(lines, "field.joined" if name == "cookie" else "field.changed")
    if name == "content-digest" and scene.sent.body is not None:
        for algorithm in ("sha-256", "sha-512"):
            yield "field.changed" if lines else "field.missing", content_digest(scene.sent.body, algorithm)
    if name == "content-length" and scene.sent.body is not None:
        yield "field.changed", str(len(scene.sent.body))
    if name == "host":
        yield "authority", scene.request.authority
    for value in lines:
        lowered = value.lower()
        yield "field.changed", lowered
        yield "field.changed", value.partition(";")[0].strip()
        yield "field.changed", re.sub(r";\s*", "; ", value)
        yield "field.changed", re.sub(r";\s+", ";", value)
        yield "field.changed", re.sub(r",\s*", ", ", value)
        yield "field.changed", re.sub(r",\s+", ",", value)
        yield "field.changed", re.sub(r"\s+", " ", value)
    for value in _USUAL.get(name, ()):
        yield "field.changed" if lines else "field.missing", value
    if not lines:
        yield "field.missing", ""


def _from_lines(lines: list[str], piece: str) -> Iterator[tuple[str, str]]:
    """Lines that a hop joined, or that it added to the signer's; `piece` is what a parameter too many is called."""
    stripped = [line.strip() for line in lines]
    if len(lines) > 1:
        for line in stripped:
            yield "field.joined", line
        yield "field.joined", ", ".join(stripped[:-1])
        yield "field.joined", ", ".join(stripped[1:])
        yield "field.joined", ",".join(stripped)
        yield "field.joined", "; ".join(stripped)
        yield "field.joined", ", ".join(reversed(stripped))
    for line in stripped:
        parts = [part.strip() for part in line.split(",")]
        if 1 < len(parts) <= 8:
            yield "field.joined", ", ".join(parts[:-1])
            yield "field.joined", ", ".join(parts[1:])
            for part in parts:
                yield "field.joined", part
        pieces = [part.strip() for part in line.split(";")]
        if len(pieces) > 1:
            yield piece, "; ".join(pieces[:-1])


def _signature_key(scene: Scene) -> Iterator[Change]:
    """The value of Signature-Key as others write it in the line of the base."""
    whole = ", ".join(scene.request.values("signature-key"))
    label = scene.entry.label
    member = _own_member(scene)
    spaced = re.sub(r";\s*", "; ", whole)
    tight = re.sub(r"\s*([;=])\s*", r"\1", whole)
    candidates = [
        ("field.joined", f"{label}={member}", "Signature-Key was signed as one member; another was joined to it"),
        (
            "field.changed",
            spaced,
            "Signature-Key was signed with a space after each semicolon, and rewritten on the way",
        ),
        ("field.changed", tight, "Signature-Key was signed without spaces, and rewritten on the way"),
        ("base.form", member, "Signature-Key was signed without its label"),
        ("base.form", f"{label}={whole}", "Signature-Key was signed with its label twice"),
    ]
    token = re.search(r'jwt="([^"]+)"', member)
    if token is not None:
        candidates.append(("base.form", token[1], "the token alone was signed in place of the value of Signature-Key"))
    for cause, value, what in candidates:
        if value != whole and value.isascii():
            yield Change("field signature-key", cause, what, {"signature-key": value})


def _own_member(scene: Scene) -> str:
    return raw_member(scene.request.values("signature-key"), scene.entry.label) or ""
