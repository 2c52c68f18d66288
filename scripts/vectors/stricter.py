"""Cases in which the documents leave a choice, and this pack wants one of the two: what they say."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

_IAT = "§11.5.2 lets a verifier refuse a token that was issued ahead of its clock; this one does"
_ALONE = "RFC 7517 §4.2 and §4.3 leave the use of a key to whoever uses it; here a key for something else is refused"
_PRIVATE = "RFC 7517 says nothing of it; a public key with its private part is no secret any more"
_NAME = "§5.2 asks for a domain name; an address is none, and is refused here"

CHOICES: Final[dict[str, str]] = {
    "*-iat-ahead": _IAT,
    "pair-ahead": _IAT,
    "pair-presented-ahead": _IAT,
    "jkt-ahead": "Signature-Keys §3.5 step 9 leaves iat to the verifier's policy",
    "agent-exp-huge": "§5.3.1 says SHOULD NOT of a life beyond a day; here it is refused",
    "agent-sub-elsewhere": "§5.2 says whose domain it is, and does not say who looks",
    "agent-sub-address": _NAME,
    "agent-address": _NAME,
    "pair-long-lived": "§6.7.1 says SHOULD NOT of a life beyond five minutes; here it is refused",
    "mint-agent-too-long": "§5.3.1 says SHOULD NOT of a life beyond a day",
    "mint-resource-too-long": "§6.7.1 says SHOULD NOT of a life beyond five minutes",
    "*-cnf-private": _PRIVATE,
    "hwk-private": _PRIVATE,
    "*-cnf-use-enc": _ALONE,
    "*-cnf-ops-sign": _ALONE,
    "key-use-*": _ALONE,
    "key-ops*": _ALONE,
    "jws-b64": "RFC 7797 is not asked for",
    "mission-tools-twice": "§8.1 does not say that names differ; here they must",
}


def choice(id: str) -> str | None:
    """What the documents say where they leave this case open."""
    return next((words for name, words in CHOICES.items() if fnmatchcase(id, name)), None)
