"""The gateway's one file, in YAML, checked whole: every mistake is told with its line.

listener: {address: "0.0.0.0:8443", certificate: tls/chain.pem, key: tls/key.pem, check: grpc}
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
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from ..policy import Amount, PolicyError
from ..protocol.identifiers import NO_LOOPBACK, InvalidIdentifier, LoopbackProfile, check_server_identifier
from ..running import Listen, RunningError
from ..trust import ANY, Issuers
from .limits import Limit
from .rules import AMOUNTS, EFFECTS, Level, Rule, RuleError, make_rule

MAX_FILE: Final = 1024 * 1024
LEVELS: Final = ("key", "agent", "person", "grant")
BODIES: Final = ("signed", "buffer", "none")

CHECKS: Final = ("grpc", "http")
AUTHORIZATIONS: Final = ("auth-token", "session-token")
STORE: Final = "gateway.db"
"""Where records are kept beside the file, unless it says otherwise."""
DEADLINE: Final = 300
"""Seconds that an upstream may be silent, unless the file says otherwise."""
BODY_BYTES: Final = 64 * 1024
"""Largest body that is buffered, unless the file says otherwise: one that is held may not be larger."""

Check = Literal["grpc", "http"]
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
    limits: tuple[Limit, ...] = ()
    store: str = ""
    shadow: bool = False
    authorization: Literal["auth-token", "session-token"] | None = None
    deadline: int = DEADLINE
    body_bytes: int = BODY_BYTES
    upstream_ca: Path | None = None
    upstream_certificate: Path | None = None
    upstream_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the proxy listens, with which certificate, how it asks, and which further fields signatures may cover."""

    address: Listen = field(default_factory=lambda: Listen("127.0.0.1", 8443))
    certificate: Path | None = None
    key: Path | None = None
    check: Check = "grpc"
    covered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything the gateway stands on."""

    resources: tuple[ResourceConfiguration, ...]
    listener: Listener = field(default_factory=Listener)

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

    def flag(self, node: Any) -> bool:
        return node is not None and self.one_of(node, ("true", "false")) == "true"

    def whole(self, node: Any, default: int) -> int:
        """A whole number above nothing."""
        if node is None:
            return default
        text = self.text(node, lambda value: None if _is_whole(value) else "a whole number above 0 is expected")
        return int(text) if _is_whole(text) else default

    def file(self, node: Any) -> Path | None:
        return self.folder / self.text(node) if node is not None else None

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
    top = reader.mapping(document, ("listener", "resources"), ("resources",))
    listener = _listener(reader, top["listener"]) if "listener" in top else Listener()
    resources = tuple(_resource(reader, node) for node in reader.items(top.get("resources")))
    if not resources and not reader.mistakes:
        reader.wrong(document, "there is no resource")
    for name in ("identifier", "path_prefix"):
        values = [getattr(one, name) for one in resources]
        if len(set(values)) != len(values):
            reader.wrong(document, f"two resources have the same {name}")
    if reader.mistakes:
        raise ConfigurationError(reader.mistakes)
    return Configuration(resources, listener)


def _listener(reader: _Reader, node: Any) -> Listener:
    found = reader.mapping(node, ("address", "certificate", "key", "check", "covered"), ("address",))
    if ("certificate" in found) != ("key" in found):
        reader.wrong(node, "certificate and key go together")
    address = Listener().address
    if "address" in found:
        try:
            address = Listen.parse(reader.text(found["address"]))
        except RunningError as error:
            reader.wrong(found["address"], str(error))
    return Listener(
        address=address,
        certificate=reader.file(found.get("certificate")),
        key=reader.file(found.get("key")),
        check=reader.one_of(found["check"], CHECKS) if "check" in found else "grpc",  # type: ignore[arg-type]
        covered=tuple(reader.text(one, _field) for one in reader.items(found.get("covered"))),
    )


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
    "limits",
    "store",
    "shadow",
    "authorization",
    "deadline",
    "body_bytes",
    "upstream_ca",
    "upstream_certificate",
    "upstream_key",
)


def _resource(reader: _Reader, node: Any) -> ResourceConfiguration:
    needed = ("identifier", "upstream", "keys", "person_servers", "agent_providers")
    found = reader.mapping(node, _RESOURCE, needed)
    nobody: Issuers = frozenset()
    identifier = reader.identifier(found["identifier"]) if "identifier" in found else ""
    scopes = reader.mapping(found["scopes"], ()) if "scopes" in found else {}
    described = {name: reader.text(words) for name, words in scopes.items()}
    routes = tuple(_route(reader, one, described) for one in reader.items(found.get("routes")))
    matches = {one.match: one for one in routes}
    if ("upstream_certificate" in found) != ("upstream_key" in found):
        reader.wrong(node, "upstream_certificate and upstream_key go together")
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
        routes=routes,
        rules=tuple(rule for one in reader.items(found.get("rules")) if (rule := _rule(reader, one)) is not None),
        limits=_limits(reader, found.get("limits"), matches),
        **_options(reader, found),
    )


def _options(reader: _Reader, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a resource need not say."""
    store = reader.text(found["store"]) if "store" in found else STORE
    return {
        "store": store if "://" in store else str(reader.folder / store),
        "shadow": reader.flag(found.get("shadow")),
        "authorization": reader.one_of(found["authorization"], AUTHORIZATIONS) if "authorization" in found else None,
        "deadline": reader.whole(found.get("deadline"), DEADLINE),
        "body_bytes": reader.whole(found.get("body_bytes"), BODY_BYTES),
        "upstream_ca": reader.file(found.get("upstream_ca")),
        "upstream_certificate": reader.file(found.get("upstream_certificate")),
        "upstream_key": reader.file(found.get("upstream_key")),
    }


def _is_whole(value: str) -> bool:
    return value.isascii() and value.isdecimal() and 0 < len(value) < 13 and int(value) > 0


def _field(value: str) -> str | None:
    good = value and value == value.lower() and value.replace("-", "").isalnum()
    return None if good else "a field name in lower case is expected"


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
    deliver = reader.one_of(found["deliver"], ("401", "202")) if "deliver" in found else "401"
    body = reader.one_of(found["body"], BODIES) if "body" in found else "none"
    if deliver == "202" and (level != "grant" or body != "buffer"):
        reader.wrong(node, "a call that is held needs the level grant and body: buffer")
    return Route(
        match=reader.text(found["match"], _match) if "match" in found else "/",
        level=level,  # type: ignore[arg-type]
        scope=named["scope"],
        optional=named["optional"],
        deliver=deliver,  # type: ignore[arg-type]
        body=body,  # type: ignore[arg-type]
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
            shadow=reader.flag(found.get("shadow")),
        )
    except RuleError as error:
        reader.wrong(found[effects[0]], str(error))
        return None


_LIMIT: Final = ("name", "calls", "amount", "most", "per", "levels", "routes", "of_key")


def _limits(reader: _Reader, node: Any, routes: Mapping[str, Route]) -> tuple[Limit, ...]:
    limits = tuple(limit for one in reader.items(node) if (limit := _limit(reader, one, routes)) is not None)
    names = [limit.name for limit in limits]
    if len(set(names)) != len(names):
        reader.wrong(node, "two limits have the same name: they would share their counters")
    return limits


def _limit(reader: _Reader, node: Any, routes: Mapping[str, Route]) -> Limit | None:
    """`calls: 100`, or `amount:` an expression and `most:` how much of it, both in `per` seconds."""
    found = reader.mapping(node, _LIMIT, ("name", "per"))
    if ("calls" in found) == ("amount" in found) or ("amount" in found) != ("most" in found):
        reader.wrong(node, "a limit has either calls, or amount and most")
        return None
    levels = tuple(reader.one_of(one, LEVELS) for one in reader.items(found.get("levels"))) or LEVELS
    amounts = _amounts(reader, found["amount"], levels) if "amount" in found else None
    named = tuple(reader.one_of(one, tuple(routes)) for one in reader.items(found.get("routes")))
    if "amount" in found and not (named and all(routes[one].body == "buffer" for one in named if one in routes)):
        reader.wrong(node, "an amount is read from the body: it names its routes, and each has body: buffer")
    return Limit(
        name=reader.text(found["name"]) if "name" in found else "",
        most=reader.whole(found.get("calls", found.get("most")), 1),
        per=reader.whole(found.get("per"), 1),
        levels=levels,  # type: ignore[arg-type]
        routes=named,
        amounts=amounts,
        of_key=reader.whole(found["of_key"], 1) if "of_key" in found else None,
    )


def _amounts(reader: _Reader, node: Any, levels: tuple[str, ...]) -> Mapping[Level, Amount]:
    text = reader.text(node)
    amounts: dict[Level, Amount] = {}
    for level in cast("tuple[Level, ...]", levels):
        try:
            amounts[level] = AMOUNTS[level].compile_amount(text)
        except PolicyError as error:
            reader.wrong(node, str(error))
            break
    return amounts
