"""What a resource offers and what an agent lacks for it, before anything is asked (draft-11 §11.2.4, §11.2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

from ..discovery import Discovery, DiscoveryFailed
from ..egress import Egress, EgressError, Http
from ..protocol.headers import parse_resource_links
from ..protocol.identifiers import LoopbackProfile
from ..protocol.metadata import Metadata
from ..protocol.tokens import RESOURCE_DWK
from .caches import Place
from .connections import Connections
from .errors import Unreachable
from .origins import resource_of
from .profiles import WANTS_A_PERSON
from .standing import Standing

MODES = ("agent-token", "person-token", "session-token", "auth-token")
"""The access modes there are (draft-11 §11.2.4)."""
LONGEST_PAGE = 256 * 1024
LACKED_BY_NOBODY: Final[Mapping[str | None, tuple[str, ...]]] = {
    None: ("agent token",),
    "agent-token": ("agent token",),
    "person-token": ("agent token", "person server", "person token"),
    "session-token": ("agent token", "session token"),
    "auth-token": ("agent token", "person server", "person token", "auth token"),
}
"""What a caller without any token lacks in each access mode, in the order in which it is had."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A scope, in the resource's words, and whether this agent holds it. `words` is a stranger's text, or empty."""

    scope: str
    words: str
    held: bool


@dataclass(frozen=True, slots=True)
class Description:
    """A resource as it describes itself; every text is a stranger's.

    `found_at` is where its metadata was found: its own well-known place, or the page whose link names it (AG-03).
    `access_mode` is `None` where it declares none. `lacks` says what this agent needs yet, in order; empty: nothing.
    """

    resource: str
    found_at: str
    name: str | None
    description: str | None
    access_mode: str | None
    scopes: tuple[Offered, ...]
    lacks: tuple[str, ...]
    authorization_endpoint: str | None


async def describe(url: str, standing: Standing, connections: Connections) -> Description:
    """The description of the resource at `url`, or of the one that `url` links to. Nothing that is sent is signed.

    Raises `NoResourceIdentifier`, and `Unreachable` where there is no description.
    """
    found, found_at = await _find(url, connections.http, connections.discovery, standing.loopback)
    identity = standing.identities.known()
    place, now = standing.place(identity, found.issuer), standing.clock()
    standing.recall(identity, place)
    grant = standing.wallet.grant(place, now)
    lacks = _lacks(_mode(found), place, standing, now)
    return _of(found, found_at, grant.granted if grant is not None else frozenset(), lacks)


async def describe_for_nobody(url: str, egress: Egress) -> Description:
    """The same for whoever signs with a bare key, or as a server: what they lack is all that an agent has.

    Raises as `describe`.
    """
    async with Http(egress) as http:
        discovery = Discovery(http)
        try:
            found, found_at = await _find(url, http, discovery, egress.loopback)
        finally:
            await discovery.aclose()
    return _of(found, found_at, frozenset(), LACKED_BY_NOBODY[_mode(found)])


async def _find(url: str, http: Http, discovery: Discovery, loopback: LoopbackProfile) -> tuple[Metadata, str]:
    """The metadata of the resource at `url`, or of the one that `url` links to, and where it was found."""
    resource = resource_of(url, loopback)
    try:
        return await discovery.metadata(resource, RESOURCE_DWK), _own(resource)
    except DiscoveryFailed as error:
        found = await _linked(url, http, loopback)
        if found is None:
            raise Unreachable(f"{resource} describes no resource ({error.reason}), and {url} links to none") from error
    return await _metadata(found, discovery), url


def _own(resource: str) -> str:
    return f"{resource}/.well-known/{RESOURCE_DWK}"


async def _metadata(resource: str, discovery: Discovery) -> Metadata:
    try:
        return await discovery.metadata(resource, RESOURCE_DWK)
    except DiscoveryFailed as error:
        raise Unreachable(f"the metadata of {resource} cannot be used: {error.reason}") from error


async def _linked(url: str, http: Http, loopback: LoopbackProfile) -> str | None:
    """The resource that a page names in its `Link` field, or in an HTML `link` (draft-11 §11.2.5)."""
    try:
        answer = await http.send("GET", url, timeout=10.0, limit=LONGEST_PAGE)
    except EgressError as error:
        raise Unreachable(f"{url} could not be read: {error.reason}") from error
    named = list(parse_resource_links(answer.values("link"), loopback))
    if not named and (answer.header("content-type") or "").split(";", 1)[0].strip().lower() == "text/html":
        page = _Links()
        page.feed(answer.body.decode("utf-8", "replace"))
        named = list(parse_resource_links(page.fields, loopback))
    return named[0] if named else None


class _Links(HTMLParser):
    """The `link` elements of a page, written as `Link` fields, so that the same rules hold for both."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        href, rel = named.get("href") or "", named.get("rel") or ""
        if tag == "link" and "aauth-resource" in rel.lower().split() and '"' not in rel:
            self.fields.append(f'<{href}>; rel="{rel}"')


def _mode(metadata: Metadata) -> str | None:
    declared = metadata.text("access_mode")
    return declared if declared in MODES else None


def _of(metadata: Metadata, found_at: str, held: frozenset[str], lacks: Sequence[str]) -> Description:
    named = {**dict.fromkeys(metadata.strings("scopes_supported"), ""), **metadata.scope_descriptions}
    scopes = tuple(Offered(scope, words, scope in held) for scope, words in named.items())
    return Description(
        metadata.issuer,
        found_at,
        metadata.text("name"),
        metadata.text("description"),
        _mode(metadata),
        scopes,
        tuple(lacks),
        metadata.endpoint("authorization_endpoint"),
    )


def _lacks(mode: str | None, place: Place, standing: Standing, now: float) -> list[str]:
    """What is needed yet for a first call in this mode, in the order in which it is had."""
    lacking = []
    wallet = standing.wallet
    if standing.identity.now() is None:
        lacking.append("agent token")
    if mode in WANTS_A_PERSON:
        if standing.person_server is None:
            return [*lacking, "person server"]
        if wallet.person(place, now) is None and wallet.grant(place, now) is None:
            lacking.append("person token")
    if mode == "auth-token" and wallet.grant(place, now) is None:
        lacking.append("auth token")
    if mode == "session-token" and wallet.session(place) is None:
        lacking.append("session token")
    return lacking
