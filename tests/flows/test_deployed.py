"""Servers run by their own options, under https identifiers behind something that ends TLS, and their operator."""

from __future__ import annotations

import http.client
import json
import re
import signal
import stat
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import pytest

from aauthkit.demo.visitor import Page, _page
from tests.plugins.commands import Commands, Running, listening, own_ports

PROVIDER = "https://agents.example"
PERSON = "https://ps.example"
OLD, NEW = "correct horse, battery staple", "a quite different sentence"


@dataclass
class Server:
    """One server's process, reached as the proxy before it reaches it."""

    running: Running
    issuer: str
    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookie: str = ""

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
        headers = {"host": urlsplit(self.issuer).netloc, "x-forwarded-proto": "https"}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            headers |= {"origin": self.issuer, "content-type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=urlencode(form) if form is not None else None, headers=headers)
            answer = connection.getresponse()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    self.set_cookie = value
                    key, _, kept = value.partition(";")[0].partition("=")
                    self.cookies[key] = kept
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, fields, answer.read().decode()
        finally:
            connection.close()

    def json(self, path: str) -> dict[str, object]:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        document: dict[str, object] = json.loads(body)
        return document

    def page(self, method: str, path: str, form: dict[str, str] | None = None) -> Page:
        status, headers, body = self.ask(method, path, form)
        if status == 303:
            return self.page("GET", headers["location"])
        import httpx2

        return _page(httpx2.Response(status, text=body, request=httpx2.Request(method, f"{self.issuer}{path}")))

    def submit(self, page: Page, action: str, **entered: str) -> Page:
        form = page.form(action)
        assert entered.keys() <= dict(form.fields).keys()
        return self.page("POST", action, {**dict(form.fields), **entered})


def started(commands: Commands, role: str, issuer: str, *words: str, env: dict[str, str] | None = None) -> Server:
    port = next(own_ports)
    files = ("--database", f"{role}.db", "--keys", f"{role}.jwks", "--listen", str(port))
    running = commands.start(role, "serve", "--issuer", issuer, *files, *words, env=env)
    running.wait_for("Application startup complete")
    running.wait_to_listen(port)
    return Server(running, issuer, port)


@pytest.fixture
def person(commands: Commands) -> Server:
    return started(commands, "person", PERSON, "--agent-provider", PROVIDER, "--resource", "any", "--name", "Acme")


def operator(commands: Commands, *words: str, stdin: str = "") -> str:
    ran = commands.run("person", *words, "--issuer", PERSON, "--database", "person.db", stdin=stdin)
    assert ran.code == 0, ran.err
    return ran.out


def test_a_provider_of_its_own_answers_with_its_metadata_and_keeps_its_keys(commands: Commands) -> None:
    words = ("--person-server", PERSON, "--name", "Acme agents")
    first = started(commands, "provider", PROVIDER, *words)
    metadata = first.json("/.well-known/aauth-agent.json")
    assert (metadata["issuer"], metadata["name"]) == (PROVIDER, "Acme agents")
    keys = first.json("/.well-known/jwks.json")
    assert stat.S_IMODE((commands.root / "provider.jwks").stat().st_mode) == 0o600
    first.running.send(signal.SIGTERM)
    first.running.end()
    assert not listening(first.port)
    second = started(commands, "provider", PROVIDER, *words)
    assert second.json("/.well-known/jwks.json") == keys
    assert "loopback" not in second.running.err
    listed = commands.run("provider", "list", "--issuer", PROVIDER, "--database", "provider.db", "--json")
    assert listed.json == {"waiting": [], "agents": []}


def test_a_person_server_of_its_own_answers_with_its_metadata(person: Server) -> None:
    metadata = person.json("/.well-known/aauth-person.json")
    assert (metadata["issuer"], metadata["name"]) == (PERSON, "Acme")
    assert metadata["person_token_endpoint"] == f"{PERSON}/person"


def test_sign_up_is_closed_where_no_loopback_profile_is_on(person: Server) -> None:
    page = person.page("GET", "/signup")
    assert "by invitation" in page.text
    assert not [form for form in page.forms if "/signup" in form.action]
    assert page.link("/signup") is None
    assert person.page("GET", "/signin").link("/signup") is None


def test_an_invitation_leads_to_an_account_once(person: Server, commands: Commands) -> None:
    assert operator(commands, "list") == "nobody has an account yet\n"
    url = json.loads(operator(commands, "invite", "--days", "1", "--json"))["url"]
    assert url.startswith(f"{PERSON}/signup?invite=")
    path = url.removeprefix(PERSON)
    home = person.submit(person.page("GET", path), "/signup", name="ann", password=OLD)
    assert home.heading == "What waits for you"
    assert person.set_cookie.startswith("__Host-")
    assert "Secure" in person.set_cookie
    assert operator(commands, "list") == "ann\n"

    person.cookies.clear()
    again = person.submit(person.page("GET", path), "/signup", name="bob", password=OLD)
    assert again.status == 403
    assert [one["name"] for one in json.loads(operator(commands, "list", "--json"))] == ["ann"]


def test_an_invitation_is_printed_with_what_it_is_good_for(person: Server, commands: Commands) -> None:
    assert re.fullmatch(
        rf"for one person, once, within 7 days:\n  {PERSON}/signup\?invite=\S+\n", operator(commands, "invite")
    )


def test_an_operator_sets_a_password_beside_the_running_server(person: Server, commands: Commands) -> None:
    path = json.loads(operator(commands, "invite", "--json"))["url"].removeprefix(PERSON)
    person.submit(person.page("GET", path), "/signup", name="ann", password=OLD)
    assert operator(commands, "passwd", "ann", stdin=f"{NEW}\n") == "the password of ann is set\n"
    person.cookies.clear()
    assert person.submit(person.page("GET", "/signin"), "/signin", name="ann", password=OLD).status == 403
    assert person.submit(person.page("GET", "/signin"), "/signin", name="ann", password=NEW).status == 200
    for words, stdin, code in ((("nobody",), NEW, 1), (("ann",), "short\n", 1), (("ann",), "", 2)):
        place = ("--issuer", PERSON, "--database", "person.db", "--json")
        refused = commands.run("person", "passwd", *words, *place, stdin=stdin)
        assert refused.code == code
        assert refused.json["error"]["message"]


# The loopback profile


@pytest.mark.parametrize("role", ["provider", "person"])
def test_the_loopback_profile_is_logged_and_listens_on_loopback_alone(role: str, commands: Commands) -> None:
    found = commands.settle(commands.home)
    issuer = found.provider if role == "provider" else found.person
    trusted = {
        "provider": ("--person-server", found.person),
        "person": ("--agent-provider", found.provider, "--resource", "any"),
    }[role]
    profile = {"AAUTHKIT_EGRESS": str(found.egress_file)}
    words = ("--database", f"{role}.db", "--keys", f"{role}.jwks", *trusted)
    for named in (issuer, "https://elsewhere.example"):
        for host in ("0.0.0.0", "[::]", "192.0.2.1"):
            listen = f"{host}:{next(own_ports)}"
            refused = commands.run(role, "serve", "--issuer", named, "--listen", listen, *words, env=profile)
            assert refused.code == 1
            assert "Listen on 127.0.0.1, or run without the profile" in refused.err
            assert "Traceback" not in refused.err
    assert not (commands.root / f"{role}.db").exists()
    served = started(commands, role, issuer, *trusted, env=profile)
    assert f"aauthkit.running: loopback profile on: http is accepted for {found.person}" in served.running.err


# What cannot be run


def test_a_server_that_cannot_start_says_why_in_one_line(commands: Commands) -> None:
    (commands.root / "open.jwks").write_text('{"keys": []}')
    (commands.root / "open.jwks").chmod(0o644)
    (commands.root / "text.db").write_text("this is not a database, and rather long for one " * 9)
    (commands.root / "text.db").chmod(0o600)
    port = next(own_ports)
    for database, keys, said in (
        ("mysql://db/x", "new.jwks", "postgresql://host/name"),
        ("text.db", "new.jwks", "database"),
        ("tmp", "new.jwks", "tmp"),
        ("postgresql://127.0.0.1:1/x", "new.jwks", ""),
        ("new.db", "open.jwks", "open.jwks"),
    ):
        place = ("--database", database, "--keys", keys, "--listen", str(port), "--person-server", "any")
        refused = commands.run("provider", "serve", "--issuer", PROVIDER, *place)
        assert refused.code == 1, refused.err
        assert said in refused.err
        assert re.search(r"^aauthkit: the server did not start: .+", refused.err, re.MULTILINE), refused.err
        assert "Traceback" not in refused.err, refused.err


def test_a_port_in_use_is_told_at_once(person: Server, commands: Commands) -> None:
    place = ("--database", "b.db", "--keys", "b.jwks", "--listen", str(person.port), "--person-server", "any")
    refused = commands.run("provider", "serve", "--issuer", PROVIDER, *place)
    assert refused.code == 1
    assert f"could not listen on 127.0.0.1:{person.port}" in refused.err
