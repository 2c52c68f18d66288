"""What a resource offers and what an agent lacks for it, before anything is asked (draft-11 §11.2.4, §11.2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

from ..discovery import Discovery, DiscoveryFailed
from ..egress import EgressError
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
    resource = resource_of(url, standing.loopback)
    try:
        return _of(await connections.discovery.metadata(resource, RESOURCE_DWK), _own(resource), standing)
    except DiscoveryFailed as error:
        found = await _linked(url, connections, standing.loopback)
        if found is None:
            raise Unreachable(f"{resource} describes no resource ({error.reason}), and {url} links to none") from error
    return _of(await _metadata(found, connections.discovery), url, standing)


def _own(resource: str) -> str:
    return f"{resource}/.well-known/{RESOURCE_DWK}"


async def _metadata(resource: str, discovery: Discovery) -> Metadata:
    try:
        return await discovery.metadata(resource, RESOURCE_DWK)
    except DiscoveryFailed as error:
        raise Unreachable(f"the metadata of {resource} cannot be used: {error.reason}") from error


async def _linked(url: str, connections: Connections, loopback: LoopbackProfile) -> str | None:
    """The resource that a page names in its `Link` field, or in an HTML `link` (draft-11 §11.2.5)."""
    try:
        answer = await connections.http.send("GET", url, timeout=10.0, limit=LONGEST_PAGE)
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


def _of(metadata: Metadata, found_at: str, standing: Standing) -> Description:
    place, now = standing.place(standing.identity, metadata.issuer), standing.clock()
    standing.recall(standing.identity, place)
    grant = standing.wallet.grant(place, now)
    held = grant.granted if grant is not None else frozenset()
    declared = metadata.text("access_mode")
    mode = declared if declared in MODES else None
    named = {**dict.fromkeys(metadata.strings("scopes_supported"), ""), **metadata.scope_descriptions}
    scopes = tuple(Offered(scope, words, scope in held) for scope, words in named.items())
    return Description(
        metadata.issuer,
        found_at,
        metadata.text("name"),
        metadata.text("description"),
        mode,
        scopes,
        tuple(_lacks(mode, place, standing, now)),
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
