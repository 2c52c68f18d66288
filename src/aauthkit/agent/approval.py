"""What a person server answers to a proposal, looked at before the mission is used (draft-11 §8.2, §8.2.1).

Plain functions over bytes; whose keys signed the person tokens is verified by whoever keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..protocol.identifiers import LoopbackProfile
from ..protocol.jose import JoseError, b64url_decode, parse_json
from ..protocol.messages import Answer
from ..protocol.missions import MAX_RESOURCES, MissionRejected, is_mission_s256, read_blob
from .errors import AnswerRefused
from .kept import KeptMission

MAX_CAPABILITIES: Final = 16
_CAPABILITY = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")


def document_of(answer: Answer, by: str) -> Mapping[str, Any]:
    """The JSON object in an answer of the person server `by`. Raises `AnswerRefused`."""
    try:
        return parse_json(answer.body)
    except JoseError as error:
        raise AnswerRefused(f"the answer of {by} is not a JSON document: {error}") from error


def text_in(document: Mapping[str, Any], name: str, by: str) -> str:
    """A member that is a string. Raises `AnswerRefused`."""
    value = document.get(name)
    if not isinstance(value, str):
        raise AnswerRefused(f"the answer of {by} holds no {name}")
    return value


def digest_in(document: Mapping[str, Any], by: str) -> str:
    """The member `s256`, in form. Raises `AnswerRefused`."""
    s256 = text_in(document, "s256", by)
    if not is_mission_s256(s256):
        raise AnswerRefused(f"the s256 that {by} answers is not the digest of anything (draft-11 §8.2.1)")
    return s256


def read_approval(document: Mapping[str, Any], *, by: str, agent: str, loopback: LoopbackProfile) -> KeptMission:
    """The mission that was approved, its bytes compared with its identifier, and for this agent (draft-11 §8.2).

    Raises `AnswerRefused`.
    """
    s256 = digest_in(document, by)
    try:
        blob = b64url_decode(document.get("mission"))
        terms = read_blob(blob, s256=s256, loopback=loopback)
    except (JoseError, MissionRejected) as error:
        raise AnswerRefused(f"the mission that {by} answers is not used: {error} (draft-11 §8.2)") from error
    if terms.agent != agent:
        raise AnswerRefused(f"the mission that {by} answers is another agent's, and is not used (draft-11 §8.2)")
    return KeptMission(by, blob, terms, _capabilities(document.get("capabilities")))


def _capabilities(value: object) -> tuple[str, ...]:
    """Those that may stand in a header field; what is not known there is ignored by its reader (draft-11 §11.7)."""
    named = value if isinstance(value, list) else []
    known = [one for one in named if isinstance(one, str) and _CAPABILITY.match(one)]
    return tuple(dict.fromkeys(known))[:MAX_CAPABILITIES]


def person_tokens_in(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Resources with the person tokens that came with the approval, not yet looked at."""
    value = document.get("person_tokens")
    tokens = value.items() if isinstance(value, Mapping) else ()
    return [(resource, raw) for resource, raw in tokens if isinstance(raw, str)][:MAX_RESOURCES]
