"""What an agent brings that no token answers, read from its body: missions, actions, questions (draft-11 §7.6 to §8.5).

Unknown parameters are ignored, known ones are typed and bounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_endpoint, fold_code
from ..protocol.missions import (
    MAX_BLOB,
    MAX_DESCRIPTION,
    MissionRejected,
    Tool,
    parse_time,
    read_resources,
    read_tools,
)
from ..protocol.problems import Problem
from .about import Action, MissionCompletion, MissionUpdate, Query, Relay
from .limits import MEMBER, read_limits
from .requests import Declared, read_declared, read_mission, required_text, text_of

MAX_ACTION: Final = 256
MAX_WORDS: Final = 4096
MAX_PARAMETERS: Final = 8192
"""Longest `parameters` and `result`, in bytes of JSON."""
MAX_WAIT: Final = 3600
MAX_PROPOSAL: Final = MAX_BLOB - 16 * 1024
"""Longest proposal, in bytes: what is approved is written into a blob, with some more in it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mission as it was proposed (draft-11 §8.1). `expires` is in seconds since the epoch."""

    description: str = field(repr=False)
    tools: tuple[Tool, ...]
    resources: tuple[str, ...]
    limits: dict[str, Any]
    expires: int | None
    declared: Declared


def read_proposal(body: Mapping[str, Any], loopback: LoopbackProfile, now: float) -> Proposal:
    """The body of a request to the mission endpoint. Raises `Problem` `invalid_request`."""
    declared = read_declared(body)
    try:
        expires = int(parse_time(body["expires_at"])) if "expires_at" in body else None
        proposal = Proposal(
            description=required_text(body, "description", MAX_DESCRIPTION),
            tools=read_tools(body.get("tools", [])),
            resources=read_resources(body.get("resources", []), loopback),
            limits=read_limits(body[MEMBER], loopback).document() if MEMBER in body else {},
            expires=expires,
            declared=declared,
        )
    except MissionRejected as error:
        raise Problem("invalid_request", str(error)) from error
    if expires is not None and expires <= now:
        raise Problem("invalid_request", "expires_at is past")
    written = [proposal.description, [(tool.name, tool.description) for tool in proposal.tools], *proposal.resources]
    if len(json.dumps([written, proposal.limits], ensure_ascii=False).encode()) > MAX_PROPOSAL:
        raise Problem("invalid_request", f"the proposal is longer than {MAX_PROPOSAL} bytes")
    return proposal


def read_mission_action(body: Mapping[str, Any]) -> tuple[MissionUpdate | MissionCompletion, Declared]:
    """The body of a request to a mission's own URL. Raises `Problem` `invalid_request`, also for no known action."""
    action = body.get("action")
    if action == "update":
        return MissionUpdate(required_text(body, "description", MAX_DESCRIPTION)), read_declared(body)
    if action == "completion":
        return MissionCompletion(required_text(body, "summary", MAX_DESCRIPTION)), read_declared(body)
    raise Problem("invalid_request", "action is missing, or neither update nor completion")


def read_permission(body: Mapping[str, Any]) -> tuple[Action, str | None, Declared]:
    """The body of a request to the permission endpoint: the action, and its mission (draft-11 §7.7.1)."""
    action = Action(
        action=_action(body),
        description=text_of(body, "description", MAX_WORDS),
        parameters=_object(body, "parameters"),
    )
    return action, read_mission(body), read_declared(body)


def read_audit(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The body of a request to the audit endpoint: the mission, and what is put in its log (draft-11 §7.8.1)."""
    mission = read_mission(body, required=True)
    assert mission is not None
    entry: dict[str, Any] = {"action": _action(body)}
    words = text_of(body, "description", MAX_WORDS)
    if words is not None:
        entry["description"] = words
    for name in ("parameters", "result"):
        if name in body:
            entry[name] = _object(body, name)
    return mission, entry


def read_interaction(
    body: Mapping[str, Any], loopback: LoopbackProfile, issuer: str, now: float
) -> tuple[Query | Relay, str | None, Declared]:
    """The body of a request to the interaction endpoint: what it is about, and its mission (draft-11 §7.6.1)."""
    sort = body.get("type")
    words = text_of(body, "description", MAX_WORDS)
    mission, declared = read_mission(body), read_declared(body)
    if sort == "question":
        return Query(required_text(body, "question", MAX_WORDS), words), mission, declared
    if sort not in ("interaction", "payment"):
        raise Problem("invalid_request", "type is one of interaction, payment, question")
    try:
        url = check_endpoint(required_text(body, "url", 2048), issuer, loopback)
    except InvalidIdentifier as error:
        raise Problem("invalid_request", f"url: {error}") from error
    code = text_of(body, "code", 64)
    if code is not None and not fold_code(code).isalnum():
        raise Problem("invalid_request", "code is an interaction code")
    wait = body.get("max_wait")
    if wait is not None and (type(wait) is not int or not 0 <= wait <= MAX_WAIT):
        raise Problem("invalid_request", f"max_wait is a whole number of seconds, up to {MAX_WAIT}")
    return Relay(sort, url, code, words, None if wait is None else int(now) + wait), mission, declared


def _action(body: Mapping[str, Any]) -> str:
    action = required_text(body, "action", MAX_ACTION)
    if not action.isprintable():
        raise Problem("invalid_request", "action holds a character that is not printable")
    return action


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, dict) or len(json.dumps(value)) > MAX_PARAMETERS:
        raise Problem("invalid_request", f"{name} is an object of at most {MAX_PARAMETERS} bytes")
    return value
