"""A person server among its parties, for tests: agents of a provider, a resource, and people with browsers.

Provider and resource are simulators behind one stand-in for the network; each of them lies where a test tells it to.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from aauthkit.accounts import Accounts
from aauthkit.discovery import Discovery
from aauthkit.egress import Egress, EgressError
from aauthkit.keys import FixedKey
from aauthkit.outbound import Outbound
from aauthkit.person import PersonServer, Shown
from aauthkit.protocol.headers import Requirement, parse_requirement
from aauthkit.protocol.identifiers import NO_LOOPBACK, LoopbackProfile, authority_of
from aauthkit.protocol.jose import SigningKey, parse_jwt
from aauthkit.protocol.messages import Answer
from aauthkit.serving import BytesBody, Request
from aauthkit.store import Database, open_database
from aauthkit.trust import ANY, Trust
from tests.plugins.browsing import Page
from tests.plugins.signing import NOW, Issuer, Signer, new_key

PS = "https://person.example"
PROVIDER = "https://agents.example"
RESOURCE = "https://orders.example"
CALLBACK = f"{PROVIDER}/callback"
SCOPES = {
    "orders.read": "See your orders",
    "orders.place": "Place orders for you, up to 500 €",
    "orders.cancel": "Cancel your orders",
}
PASSWORD = "correct horse, battery staple"


class QuickHasher:
    """Hashes nothing: the hashing of passwords is tested where it is done."""

    def hash(self, password: str) -> str:
        return f"plain:{password}"

    def matches(self, encoded: str, password: str) -> bool:
        return encoded == f"plain:{password}"

    def outdated(self, encoded: str) -> bool:
        return False

    def decoy(self) -> str:
        return "none"


class Clock:
    """The time, which passes when a test says so."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class Network:
    """What discovery fetches: documents by URL, and hosts that are down. Counts what was asked for."""

    def __init__(self, loopback: LoopbackProfile = NO_LOOPBACK) -> None:
        self.egress = Egress(loopback=loopback)
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.down: set[str] = set()
        self.asked: list[str] = []
        self.posts: dict[str, Answer] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def send(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeout: float = 10,
        limit: int = 0,
        guarded: bool = True,
    ) -> Answer:
        self.asked.append(url)
        if method == "POST" and url in self.posts:
            self.sent.append((url, json.loads(body)))
            return self.posts[url]
        if urlsplit(url).hostname in self.down:
            raise EgressError("out of reach", "unreachable")
        if url not in self.documents:
            return Answer(404, (("content-type", "text/plain"),), b"nothing")
        content = json.dumps(self.documents[url]).encode()
        return Answer(200, (("content-type", "application/json"), ("cache-control", "max-age=3600")), content)

    def publish(self, issuer: Issuer, dwk: str, /, **members: Any) -> None:
        """An issuer's metadata and keys. A member given as `None` is left out."""
        base = {"issuer": issuer.iss, "jwks_uri": f"{issuer.iss}/.well-known/jwks.json", **members}
        document = {name: value for name, value in base.items() if value is not None}
        self.documents[f"{issuer.iss}/.well-known/{dwk}"] = document
        self.documents[f"{issuer.iss}/.well-known/jwks.json"] = issuer.jwks()


@dataclass
class AgentParty:
    """An agent with its current key and agent token; `claims` override those of the token."""

    world: World
    name: str = "planner"
    key: SigningKey = field(default_factory=new_key)
    claims: dict[str, Any] = field(default_factory=dict)
    token: str = ""

    def __post_init__(self) -> None:
        if not self.token:
            self.renew()

    def renew(self, key: SigningKey | None = None) -> None:
        """A fresh agent token, also for another key."""
        self.key = key or self.key
        claims = {"ps": self.world.ps_issuer, **self.claims}
        now = int(self.world.clock())
        self.token = self.world.provider.agent_token(self.key.public, name=self.name, now=now, **claims)

    @property
    def signer(self) -> Signer:
        return Signer.token(self.key, self.token)

    @property
    def sub(self) -> str:
        claims: str = parse_jwt(self.token).claims["sub"]
        return claims

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, **knobs: Any) -> Answer:
        """A signed request to the person server."""
        content = json.dumps(body).encode() if body is not None else b""
        url = path if "://" in path else f"{self.world.ps_issuer}{path}"
        request = self.signer.sign(method, url, body=content, now=int(self.world.clock()), **knobs)
        return await self.world.server.answer(request)

    async def ask_person_token(self, resource: str = RESOURCE, **parameters: Any) -> Answer:
        body = {"resource": resource, "capabilities": ["interaction"], **parameters}
        return await self.send("POST", "/person", {k: v for k, v in body.items() if v is not None})

    async def ask_auth_token(self, resource_token: str, presented_token: str, **parameters: Any) -> Answer:
        body = {
            "resource_token": resource_token,
            "presented_token": presented_token,
            "capabilities": ["interaction"],
            **parameters,
        }
        return await self.send("POST", "/token", {k: v for k, v in body.items() if v is not None})

    async def poll(self, answer: Answer, **knobs: Any) -> Answer:
        """Look again at where a 202 said."""
        location = answer.header("location")
        assert location is not None
        return await self.send("GET", location, **knobs)

    async def say(self, answer: Answer, action: str | None = "clarification_response", **members: Any) -> Answer:
        """POST to where a 202 said: an answer to the person's question, or another request."""
        location = answer.header("location")
        assert location is not None
        return await self.send("POST", location, {**({"action": action} if action else {}), **members})

    def challenged(
        self, presented: str, scope: str = "orders.read", issuer: Issuer | None = None, **claims: Any
    ) -> str:
        """The resource token that the resource answers this presented token with."""
        shown = parse_jwt(presented).claims
        return (issuer or self.world.resource).resource_token(
            **{
                "aud": self.world.ps_issuer,
                "sub": shown["sub"],
                "presented_jti": shown["jti"],
                "agent_jkt": self.key.public.thumbprint,
                "scope": scope,
                "now": int(self.world.clock()),
                **claims,
            }
        )


async def granted(agent: AgentParty, browser: Browser, token: str, asked: str, *granted: str) -> str:
    """The auth token the person lets the agent have, remembered until they take it back."""
    answer = await agent.ask_auth_token(agent.challenged(token, asked), token)
    if answer.status == 202:
        await browser.open_next()
        await browser.decide("approved", *granted, memory="kept")
        answer = await agent.poll(answer)
    assert answer.status == 200, answer.body
    value: str = body(answer)["auth_token"]
    return value


class Browser:
    """A person's browser: cookies, forms, redirects on the server's own site, and an `Origin` on every POST."""

    def __init__(self, world: World, address: str = "198.51.100.7") -> None:
        self.world = world
        self.cookies: dict[str, str] = {}
        self.address = address
        self.page: Page | None = None
        self.left: str | None = None

    def _headers(self, more: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        fields = [("host", authority_of(self.world.ps_issuer)), ("accept", "text/html")]
        return (*fields, *([("cookie", cookie)] if cookie else []), *more)

    async def _exchange(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b""
    ) -> Answer:
        request = Request(method, target, self._headers(headers), BytesBody(body), self.address)
        answer = await self.world.server.answer(request)
        for line in answer.values("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]
        return answer

    async def get(self, path: str) -> Page:
        """Open a page and follow redirects; one that leads elsewhere is where the browser `left` to."""
        answer = await self._exchange("GET", path, ())
        return await self._follow(path, answer)

    async def _follow(self, path: str, answer: Answer) -> Page:
        for _ in range(5):
            location = answer.header("location")
            if answer.status != 303 or location is None:
                break
            if "://" in location:
                self.left = location
                break
            path = location.partition("#")[0]
            answer = await self._exchange("GET", path, ())
        self.page = Page(path, answer)
        return self.page

    async def post(
        self, path: str, fields: Sequence[tuple[str, str]], *, origin: str | None = None, headers: Sequence[Any] = ()
    ) -> Page:
        """Send a form."""
        sent = [("content-type", "application/x-www-form-urlencoded"), *headers]
        if origin != "":
            sent.append(("origin", origin or self.world.ps_issuer))
        answer = await self._exchange("POST", path, sent, urlencode(fields).encode())
        return await self._follow(path, answer)

    async def submit(self, action: str, button: str | None = None, **filled: str | list[str]) -> Page:
        """Fill the form of the page in and press a button (the value of `verdict`)."""
        assert self.page is not None
        form = self.page.form(action)
        values = [(name, value) for name, value in form.fields if name not in filled]
        for name, value in filled.items():
            values += [(name, each) for each in ([value] if isinstance(value, str) else value)]
        if button is not None:
            assert ("verdict", button) in form.buttons
            values.append(("verdict", button))
        return await self.post(form.action, values)

    async def open_interaction(self, answer: Answer, callback: str | None = None) -> Page:
        """Go where a 202 sends the person, and press the one button there."""
        found = requirement(answer)
        assert found is not None and found.value == "interaction", found
        path = found.text("url").removeprefix(self.world.ps_issuer)
        query = {"code": found.text("code"), **({"callback": callback} if callback else {})}
        await self.get(f"{path}?{urlencode(query)}")
        return await self.submit("/interaction/")

    async def sign_up(self, name: str = "Ada") -> Page:
        if self.page is None or not self.page.has_form("/signup"):
            await self.get("/signup")
        return await self.submit("/signup", name=name, password=PASSWORD)

    async def sign_in(self, name: str = "Ada", password: str = PASSWORD) -> Page:
        if self.page is None or not self.page.has_form("/signin"):
            await self.get("/signin")
        assert self.page is not None
        if not self.page.has_form("/signin"):
            return self.page  # signed in as they are
        return await self.submit("/signin", name=name, password=password)

    async def decide(self, button: str, *scope: str, memory: str = "once") -> Page:
        """Answer the question on the page."""
        return await self.submit("/decide/", button, memory=memory, scope=list(scope))

    async def ask(self, question: str) -> Page:
        """Ask the agent something before deciding."""
        assert self.page is not None
        return await self.submit(f"{self.page.url.partition('?')[0]}/ask", question=question)

    async def open_next(self) -> Page:
        """From home to the question that has waited longest."""
        page = await self.get("/")
        return await self.get(next(link for link in page.links if link.startswith("/decide/")))

    async def beat(self) -> Page:
        """The sign of life of an open page."""
        assert self.page is not None
        token = self.page.html.partition('data-token="')[2].partition('"')[0]
        return await self.post("/alive", [("csrf", token)])


def requirement(answer: Answer) -> Requirement | None:
    return parse_requirement(answer.values("aauth-requirement"))


def body(answer: Answer) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(answer.body)
    return value


def error_of(answer: Answer) -> tuple[int, str]:
    """Status and `error` of a refusal."""
    return answer.status, body(answer)["error"]


def claims_of(token: str) -> Mapping[str, Any]:
    return parse_jwt(token).claims


class World:
    """One person server with everybody around it."""

    def __init__(
        self, database: Database, *, issuer: str = PS, loopback: LoopbackProfile = NO_LOOPBACK, **options: Any
    ) -> None:
        self.ps_issuer = issuer
        self.clock = Clock()
        self.provider = Issuer(PROVIDER)
        self.resource = Issuer(RESOURCE)
        self.network = Network(loopback)
        self.network.publish(
            self.provider,
            "aauth-agent.json",
            name="Example Agents",
            callback_endpoint=CALLBACK,
            localhost_callback_allowed=True,
        )
        self.publish_resource()
        self.key = new_key()
        self.database = database
        self.loopback = loopback
        self.options = options
        self.servers: list[PersonServer] = []
        self.server = self.make_server(database)

    def publish_resource(self, **members: Any) -> None:
        self.network.publish(
            self.resource,
            "aauth-resource.json",
            **{
                "name": "Orders",
                "description": "Keeps **your orders**.",
                "access_mode": "auth-token",
                "scope_descriptions": SCOPES,
                **members,
            },
        )

    def make_server(self, database: Database) -> PersonServer:
        """Another process of the same server: same keys, same records, nothing remembered."""
        accounts = Accounts(
            database,
            issuer=self.ps_issuer,
            loopback=self.ps_issuer in self.loopback.origins,
            open_sign_up=True,
            clock=self.clock,
            hasher=QuickHasher(),
        )
        options: dict[str, Any] = {
            "trust": Trust(agent_providers=[PROVIDER], resources=ANY),
            "accounts": accounts,
            "outbound": Outbound(self.network, clock=self.clock),  # type: ignore[arg-type]
            **self.options,
        }
        made = PersonServer(
            self.ps_issuer,
            keys=FixedKey(self.key),
            database=database,
            discovery=Discovery(self.network, clock=self.clock, jitter=lambda: 0.0),  # type: ignore[arg-type]
            loopback=self.loopback,
            shown=Shown("Home"),
            clock=self.clock,
            **options,
        )
        self.servers.append(made)
        return made

    async def close(self) -> None:
        """End every process."""
        for server in self.servers:
            await server.close()

    def agent(self, name: str = "planner", **claims: Any) -> AgentParty:
        return AgentParty(self, name, claims=claims)

    async def revoke(
        self, token: str, issuer: Issuer | None = None, dwk: str = "aauth-agent.json", **knobs: Any
    ) -> Answer:
        """An issuer revokes a token of its own; the provider, unless another is named."""
        claims = parse_jwt(token).claims
        content = json.dumps({"jti": claims["jti"], "exp": claims["exp"], **knobs}).encode()
        signer = Signer.server(issuer or self.provider, dwk)
        url = f"{self.ps_issuer}/revoke"
        return await self.server.answer(signer.sign("POST", url, body=content, now=int(self.clock())))

    async def introduced(
        self, agent: AgentParty | None = None, browser: Browser | None = None, memory: str = "kept"
    ) -> tuple[AgentParty, Browser, str]:
        """An agent whose person has agreed to it at the resource: agent, browser, person token."""
        agent, browser = agent or self.agent(), browser or Browser(self)
        answer = await agent.ask_person_token()
        await browser.open_interaction(answer)
        if browser.page is not None and browser.page.has_form("/signin"):
            await browser.get("/signup")
            await browser.sign_up()
        await browser.decide("approved", memory=memory)
        terminal = await agent.poll(answer)
        assert terminal.status == 200, terminal.body
        return agent, browser, body(terminal)["person_token"]


MakeWorld = Callable[..., Any]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """A person server, on each engine in turn."""
    made = World(database)
    await made.server.start()
    yield made
    await made.close()


@pytest.fixture
async def quick_world() -> AsyncIterator[World]:
    """A person server on SQLite in memory, for what no engine decides."""
    database = await open_database("sqlite://:memory:")
    made = World(database)
    await made.server.start()
    yield made
    await made.close()
    await database.close()
