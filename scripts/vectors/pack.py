"""What a vector is while the pack is made: its parts, the recipe it can be signed anew from, and how it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .keys import KEYS
from .messages import BASE, NOW, Message, Signing
from .stricter import choice
from .world import AP, API, PS, Spec, documents, presents

ALL_TYPES = ["aa-agent+jwt", "aa-auth+jwt", "aa-person+jwt"]
GET = Message()
Change = tuple[str, ...]
"""After signing: `("set", name, value)`, `("add", name, value)`, `("drop", name)`, `("method", m)`, `("target", t)`."""


@dataclass
class Pack:
    """The vectors of one file, in order."""

    group: str
    about: str
    vectors: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        id: str,
        title: str,
        kind: str,
        sections: str,
        given: dict[str, Any],
        expected: dict[str, Any],
        *,
        stricter: str | None = None,
        live: dict[str, Any] | None = None,
    ) -> None:
        """One vector. `sections` are separated by commas; a plain one is of the protocol, `SK` of Signature-Keys."""
        plain = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in title)
        vector: dict[str, Any] = {"id": id, "title": plain, "kind": kind, "sections": _sections(sections)}
        if stricter or choice(id):
            vector["stricter"] = stricter or choice(id)
        vector |= {"input": given, "expected": expected}
        if live is not None:
            vector["live"] = live
        self.vectors.append(vector)

    def text(self) -> str:
        """The file."""
        return json.dumps({"group": self.group, "about": self.about, "vectors": self.vectors}, indent=1) + "\n"


def _sections(text: str) -> list[str]:
    def one(each: str) -> str:
        document, _, section = each.rpartition(" ")
        return f"{document} §{section}".strip()

    return [one(each) for each in text.split(", ")]


def accepted(**result: Any) -> dict[str, Any]:
    return {"result": result}


def refused(code: str, status: int | None = None, *also: str, **headers: str) -> dict[str, Any]:
    """Refused with this code; `also` are codes that the documents allow as well."""
    error: dict[str, Any] = {"code": code}
    if status is not None:
        error["status"] = status
    if also:
        error["also"] = list(also)
    if headers:
        error["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"error": error}


def unsigned(code: str, *also: str, **headers: str) -> dict[str, Any]:
    """401 with Signature-Error."""
    made = refused(code, 401, *also, **headers)
    made["error"].setdefault("headers", {})["signature-error"] = f"error={code}"
    return made


def changed(message: Message, changes: Sequence[Change]) -> Message:
    for what, *words in changes:
        if what == "set":
            message = message.setting(words[0], words[1])
        elif what == "add":
            message = message.adding((words[0], words[1]))
        elif what == "drop":
            message = message.without(words[0])
        else:
            message = replace(message, **{what: words[0]})
    return message


def server(**more: Any) -> dict[str, Any]:
    """What the server under test is, and takes."""
    return {
        "identifier": API,
        "schemes": ["jwt"],
        "token_types": ALL_TYPES,
        "documents": [],
        "body": True,
        "query": True,
        "components": [],
        "window": 60,
        **more,
    }


def request_input(message: Message, at: dict[str, Any], issuers: Sequence[str], **more: Any) -> dict[str, Any]:
    return {
        "time": more.pop("time", NOW),
        "server": at,
        **({"need": more.pop("need")} if "need" in more else {}),
        "request": message.wire(),
        "documents": documents(*issuers),
        **more,
    }


_LEVELS = {"aa-agent+jwt": "agent", "aa-person+jwt": "person", "aa-auth+jwt": "grant"}


def who(made: Spec) -> dict[str, Any]:
    """Who is verified by this token."""
    claims = made.claims
    found = {"level": _LEVELS[made.header["typ"]], "iss": claims["iss"], "sub": claims["sub"], "jti": claims["jti"]}
    for name in ("ps", "tenant", "mission_s256", "account", "parent_agent"):
        if name in claims:
            found[name] = claims[name]
    if found["level"] == "person":
        found["ps"] = claims["iss"]
    if found["level"] == "grant":
        found["scope"] = sorted(claims.get("scope", "").split())
    for key in KEYS.values():
        if claims["cnf"]["jwk"].get("x") == key.jwk["x"]:
            found["key"] = key.thumbprint
    return found


@dataclass
class Requests:
    """Adds vectors of the kind `request` to a file."""

    pack: Pack

    def add(
        self,
        id: str,
        title: str,
        sections: str,
        outcome: dict[str, Any] | None = None,
        *,
        by: Spec | str,
        scheme: str = "jwt",
        key: str = "agent-1",
        message: Message = GET,
        covered: Sequence[str] = BASE,
        params: Sequence[tuple[str, Any]] = (("created", NOW),),
        label: str = "sig",
        values: dict[str, str] | None = None,
        changes: Sequence[Change] = (),
        at: dict[str, Any] | None = None,
        issuers: Sequence[str] = (AP, PS),
        stricter: str | None = None,
        live: bool | str = False,
        **more: Any,
    ) -> Message:
        """`by` is what Signature-Key presents: a token, or the value itself; without `outcome` it must be accepted.

        `live` says that the case does not hang on its time, and at a route of which level it can be tried.
        """
        shown = presents(by, scheme) if isinstance(by, Spec) else by
        signing = Signing(KEYS[key], shown, tuple(covered), tuple(params), label, values or {})
        sent = changed(signing.sign(message), changes)
        if outcome is None:
            assert isinstance(by, Spec)
            outcome = accepted(**who(by))
        recipe = None
        if live:
            level = live if isinstance(live, str) else _LEVELS[by.header["typ"]] if isinstance(by, Spec) else "agent"
            recipe = self._recipe(by, signing, message, changes, level, scheme)
        given = request_input(sent, at or server(), issuers, **more)
        self.pack.add(id, title, "request", sections, given, outcome, stricter=stricter, live=recipe)
        return sent

    @staticmethod
    def _recipe(
        by: Spec | str, signing: Signing, message: Message, changes: Sequence[Change], level: str, scheme: str
    ) -> dict[str, Any]:
        def moved(value: Any) -> Any:
            return {"now": value - NOW} if type(value) is int else value

        recipe: dict[str, Any] = {
            "level": level,
            "request": message.wire(),
            "key": signing.key.name,
            "label": signing.label,
            "presents": {"scheme": scheme, "token": by.again()} if isinstance(by, Spec) else {"value": by},
            "covered": list(signing.covered),
            "params": [[name, moved(value)] for name, value in signing.params],
            "changes": [list(change) for change in changes],
        }
        if signing.values:
            recipe["values"] = signing.values
        return recipe


def body_text(body: bytes) -> str:
    return base64.b64encode(body).decode()
