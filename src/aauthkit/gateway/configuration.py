"""The gateway's one file, in YAML, checked whole: every mistake is told with its line.

resources:
  - identifier: https://api.example
    upstream: http://127.0.0.1:8000
    keys: keys/api.jwks
    scopes: {orders.read: See your orders}
    person_servers: [https://ps.example]
    agent_providers: any
    open: [GET /health]
    routes:
      - match: GET /orders
        need: {level: grant, scope: [orders.read]}
    rules:
      - name: trusted providers
        require: agent.provider in ["https://agents.example"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from ..protocol.identifiers import NO_LOOPBACK, InvalidIdentifier, LoopbackProfile, check_server_identifier
from ..trust import ANY, Issuers
from .rules import EFFECTS, Rule, RuleError, make_rule

MAX_FILE: Final = 1024 * 1024
LEVELS: Final = ("key", "agent", "person", "grant")
BODIES: Final = ("signed", "buffer", "none")

RouteBody = Literal["signed", "buffer", "none"]


class ConfigurationError(ValueError):
    """A file that cannot be used: each mistake with its line."""

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        super().__init__("\n".join(f"line {line}: {what}" for line, what in sorted(mistakes)))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Route:
    """What one path needs; `match` as in `PathNeeds`. `deliver` is how an auth token is asked for."""

    match: str
    level: Literal["key", "agent", "person", "grant"]
    scope: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    deliver: Literal["401", "202"] = "401"
    body: RouteBody = "none"


@dataclass(frozen=True, slots=True)
class ResourceConfiguration:
    """One resource behind the gateway. `path_prefix` names it in the HTTP check, and is stripped byte for byte."""

    identifier: str
    upstream: str
    origin: str
    path_prefix: str
    keys: Path
    person_servers: Issuers
    agent_providers: Issuers
    scopes: Mapping[str, str] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything the gateway stands on."""

    resources: tuple[ResourceConfiguration, ...]

    def by_prefix(self, path: str) -> ResourceConfiguration | None:
        """The resource that a path of the HTTP check belongs to."""
        found = [one for one in self.resources if path.startswith(f"{one.path_prefix}/")]
        return max(found, key=lambda one: len(one.path_prefix), default=None)


class _Reader:
    """Walks the nodes of a YAML document, and collects mistakes instead of ending at the first."""

    def __init__(self, folder: Path, loopback: LoopbackProfile) -> None:
        self.folder = folder
        self.loopback = loopback
        self.mistakes: list[tuple[int, str]] = []

    def wrong(self, node: Any, what: str) -> None:
        self.mistakes.append((node.start_mark.line + 1, what))

    def mapping(self, node: Any, known: tuple[str, ...], needed: tuple[str, ...] = ()) -> dict[str, Any]:
        """Member name to node; unknown, doubled and missing ones are mistakes."""
        if node.id != "mapping":
            self.wrong(node, "a mapping is expected here")
            return {}
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in found:
                self.wrong(key, f"{key.value} stands here twice")
            elif known and key.value not in known:
                self.wrong(key, f"there is no {key.value!r} here; there are {', '.join(known)}")
            else:
                found[key.value] = value
        for name in needed:
            if name not in found:
                self.wrong(node, f"{name} is missing")
        return found

    def items(self, node: Any) -> list[Any]:
        if node is None:
            return []
        if node.id != "sequence":
            self.wrong(node, "a list is expected here")
            return []
        return list(node.value)

    def text(self, node: Any, check: Callable[[str], str | None] = lambda _value: None) -> str:
        if node.id != "scalar":
            self.wrong(node, "a text is expected here")
            return ""
        value: str = node.value
        reason = check(value)
        if reason is not None:
            self.wrong(node, reason)
        return value

    def one_of(self, node: Any, offered: tuple[str, ...]) -> str:
        return self.text(node, lambda value: None if value in offered else f"one of {', '.join(offered)} is expected")

    def identifier(self, node: Any) -> str:
        def check(value: str) -> str | None:
            try:
                check_server_identifier(value, self.loopback)
            except InvalidIdentifier as error:
                return str(error)
            return None

        return self.text(node, check)

    def issuers(self, node: Any) -> Issuers:
        """`any`, or a list of identifiers."""
        if node.id == "scalar" and node.value == "any":
            return ANY
        return frozenset(self.identifier(one) for one in self.items(node))


def read_configuration(text: str, *, folder: Path = Path(), loopback: LoopbackProfile = NO_LOOPBACK) -> Configuration:
    """The configuration in a text; relative paths are below `folder`. Raises `ConfigurationError`."""
    import yaml

    if len(text) > MAX_FILE:
        raise ConfigurationError([(1, f"the file is longer than {MAX_FILE} characters")])
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigurationError([((mark.line + 1) if mark else 1, str(getattr(error, "problem", error)))]) from error
    reader = _Reader(folder, loopback)
    if document is None:
        raise ConfigurationError([(1, "the file is empty")])
    top = reader.mapping(document, ("resources",), ("resources",))
    resources = tuple(_resource(reader, node) for node in reader.items(top.get("resources")))
    if not resources and not reader.mistakes:
        reader.wrong(document, "there is no resource")
    for name in ("identifier", "path_prefix"):
        values = [getattr(one, name) for one in resources]
        if len(set(values)) != len(values):
            reader.wrong(document, f"two resources have the same {name}")
    if reader.mistakes:
        raise ConfigurationError(reader.mistakes)
    return Configuration(resources)


_RESOURCE: Final = (
    "identifier",
    "upstream",
    "origin",
    "path_prefix",
    "keys",
    "person_servers",
    "agent_providers",
    "scopes",
    "open",
    "routes",
    "rules",
)


def _resource(reader: _Reader, node: Any) -> ResourceConfiguration:
    needed = ("identifier", "upstream", "keys", "person_servers", "agent_providers")
    found = reader.mapping(node, _RESOURCE, needed)
    nobody: Issuers = frozenset()
    identifier = reader.identifier(found["identifier"]) if "identifier" in found else ""
    scopes = reader.mapping(found["scopes"], ()) if "scopes" in found else {}
    described = {name: reader.text(words) for name, words in scopes.items()}
    return ResourceConfiguration(
        identifier=identifier,
        upstream=reader.text(found["upstream"], _upstream) if "upstream" in found else "",
        origin=reader.text(found["origin"]) if "origin" in found else identifier,
        path_prefix=reader.text(found["path_prefix"], _prefix)
        if "path_prefix" in found
        else f"/{urlsplit(identifier).hostname}",
        keys=reader.folder / (reader.text(found["keys"]) if "keys" in found else ""),
        person_servers=reader.issuers(found["person_servers"]) if "person_servers" in found else nobody,
        agent_providers=reader.issuers(found["agent_providers"]) if "agent_providers" in found else nobody,
        scopes=described,
        open=tuple(reader.text(one, _match) for one in reader.items(found.get("open"))),
        routes=tuple(_route(reader, one, described) for one in reader.items(found.get("routes"))),
        rules=tuple(rule for one in reader.items(found.get("rules")) if (rule := _rule(reader, one)) is not None),
    )


def _upstream(value: str) -> str | None:
    parts = urlsplit(value)
    good = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and not parts.query
    return None if good else "an upstream is http:// or https://, a host and a port"


def _prefix(value: str) -> str | None:
    good = value.startswith("/") and not value.endswith("/") and "//" not in value and value.isprintable()
    return None if good else "a path prefix begins with / and does not end with it"


def _match(value: str) -> str | None:
    verb, space, path = value.rpartition(" ")
    good = path.startswith("/") and (not space or verb.isupper())
    return None if good else "a match is `/path` or `METHOD /path`"


def _route(reader: _Reader, node: Any, scopes: Mapping[str, str]) -> Route:
    found = reader.mapping(node, ("match", "need", "deliver", "body"), ("match", "need"))
    need = reader.mapping(found["need"], ("level", "scope", "optional"), ("level",)) if "need" in found else {}
    level = reader.one_of(need["level"], LEVELS) if "level" in need else "agent"
    named: dict[str, tuple[str, ...]] = {}
    for name in ("scope", "optional"):
        values = []
        for one in reader.items(need.get(name)):
            known = tuple(scopes)
            values.append(reader.one_of(one, known) if known else reader.text(one, lambda _v: "there are no scopes"))
        named[name] = tuple(values)
    if level == "grant" and not (named["scope"] or named["optional"]):
        reader.wrong(node, "a grant names at least one scope")
    if level != "grant" and (named["scope"] or named["optional"]):
        reader.wrong(node, f"the level {level} has no scope")
    return Route(
        match=reader.text(found["match"], _match) if "match" in found else "/",
        level=level,  # type: ignore[arg-type]
        scope=named["scope"],
        optional=named["optional"],
        deliver=reader.one_of(found["deliver"], ("401", "202")) if "deliver" in found else "401",  # type: ignore[arg-type]
        body=reader.one_of(found["body"], BODIES) if "body" in found else "none",  # type: ignore[arg-type]
    )


def _rule(reader: _Reader, node: Any) -> Rule | None:
    found = reader.mapping(node, ("name", *EFFECTS, "level", "reason", "shadow"), ("name",))
    effects = [effect for effect in EFFECTS if effect in found]
    if len(effects) != 1:
        reader.wrong(node, f"a rule has exactly one of {', '.join(EFFECTS)}")
        return None
    try:
        return make_rule(
            name=reader.text(found["name"]) if "name" in found else "",
            effect=effects[0],
            condition=reader.text(found[effects[0]]),
            level=reader.one_of(found["level"], LEVELS) if "level" in found else None,
            reason=reader.text(found["reason"]) if "reason" in found else None,
            shadow=reader.one_of(found["shadow"], ("true", "false")) == "true" if "shadow" in found else False,
        )
    except RuleError as error:
        reader.wrong(found[effects[0]], str(error))
        return None
