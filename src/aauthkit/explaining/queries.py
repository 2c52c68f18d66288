"""How the query may have been another for the signer than for the server: order, parts, encoding, its question mark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode

from .places import PATH_HEADERS
from .scene import Change, Scene
from .wording import shown

MAX_ORDERED: Final = 4
"""Parameters of which every order is tried; of more, sorted and reversed alone."""
MAX_DROPPED: Final = 12
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def query_changes(scene: Scene) -> list[Change]:
    """Changes of the query, the likely ones first."""
    if not scene.covers("@query", "@target-uri", "@request-target", "@query-param"):
        return []
    own = scene.request.query
    now = "?" if own is None else f"?{own}"
    seen = {now}
    found: list[Change] = []
    for cause, query in _candidates(scene, own or ""):
        value = f"?{query}"
        if value not in seen and value.isascii():
            seen.add(value)
            found.append(Change("query", cause, _said(value, now), {"@query": value}))
    for cause, value in _lines(own, scene):
        found.append(Change("query", cause, _said(value, now), literal={"@query": value}))
    if scene.covers("@target-uri", "@request-target"):
        said = "the target was signed without its query"
        found.append(Change("query", "query.added", said, {"@query": ""}))
    return found


def _said(value: str, now: str) -> str:
    written = shown("@query", value) or "an empty string"
    return f"@query was signed as {written}; the server saw {shown('@query', now)}"


def _lines(own: str | None, scene: Scene) -> Iterator[tuple[str, str]]:
    if own is not None:
        yield "query.mark", own
    sent = scene.sent.target.partition("?")[2]
    if sent and sent != own:
        yield "query.mark", sent
    if own is None:
        yield "query.mark", ""


def _candidates(scene: Scene, own: str) -> Iterator[tuple[str, str]]:
    sent = scene.sent.target.partition("?")[2]
    if sent != own:
        yield query_cause(sent, own), sent
    for name in PATH_HEADERS:
        for value in scene.request.values(name):
            told = value.partition("?")[2]
            if told:
                yield query_cause(told, own), told
    parts = own.split("&") if own else []
    yield from _encoded(own)
    yield from _ordered(parts)
    for index in range(min(len(parts), MAX_DROPPED)):
        yield "query.added", "&".join([*parts[:index], *parts[index + 1 :]])
    for cut in range(1, min(len(parts), MAX_DROPPED)):
        yield "query.added", "&".join(parts[:cut])
    yield "query.added", ""
    yield "query.added", own.rstrip("&=")


def _ordered(parts: list[str]) -> Iterator[tuple[str, str]]:
    if len(parts) < 2:
        return
    yield "query.order", "&".join(sorted(parts))
    yield "query.order", "&".join(sorted(parts, key=lambda part: part.partition("=")[0]))
    yield "query.order", "&".join(reversed(parts))
    if len(parts) <= MAX_ORDERED:
        for order in permutations(parts):
            yield "query.order", "&".join(order)


def _encoded(own: str) -> Iterator[tuple[str, str]]:
    """The query as libraries and proxies write it anew."""
    if not own:
        return
    cause = "query.encoding"
    yield cause, own.replace("+", "%20")
    yield cause, own.replace("%20", "+")
    yield cause, _ESCAPE.sub(lambda found: found.group().upper(), own)
    yield cause, _ESCAPE.sub(lambda found: found.group().lower(), own)
    yield cause, own.replace("%2C", ",").replace("%2c", ",")
    yield cause, own.replace(",", "%2C")
    yield cause, own.replace(":", "%3A").replace("/", "%2F")
    yield cause, unquote(own, "latin-1")
    yield cause, quote(own, safe="=&%")
    yield cause, quote(own, safe="=&")
    yield cause, own.replace("%7E", "~").replace("%7e", "~")
    yield cause, own.replace("~", "%7E")
    yield cause, re.sub(r"=(?=&|\Z)", "", own)
    yield cause, "&".join(part if "=" in part else f"{part}=" for part in own.split("&"))
    try:
        pairs = parse_qsl(own, keep_blank_values=True, max_num_fields=256)
    except ValueError:
        return
    yield cause, urlencode(pairs, quote_via=quote)
    yield cause, urlencode(pairs, quote_via=quote_plus)
    yield cause, urlencode(pairs, quote_via=quote, safe="/:,@!$'()*;")
    full = [pair for pair in pairs if pair[1]]
    if full != pairs:
        yield "query.dropped", urlencode(full, quote_via=quote_plus)


def query_cause(value: str, own: str) -> str:
    """What two queries differ in, as far as one look tells."""
    wanted, had = value.split("&") if value else [], own.split("&") if own else []
    if sorted(wanted) == sorted(had):
        return "query.order"
    if set(had) < set(wanted):
        return "query.dropped"
    if set(wanted) < set(had):
        return "query.added"
    return "query.encoding" if unquote(value.replace("+", " ")) == unquote(own.replace("+", " ")) else "query"
