"""The command line against real servers of its own: `up`, `init`, `provider`, `person`, `fetch`, `inspect`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aauthkit.byhand import agent_token
from aauthkit.demo.visitor import Script
from aauthkit.egress import Egress, Http
from aauthkit.installation import Installation, port_of
from aauthkit.keys import KeyFile
from aauthkit.protocol.tokens import AGENT_TYP, AgentToken
from tests.plugins.commands import Commands, Running, all_gone, play, processes_of
from tests.plugins.signing import Issuer

pytestmark = pytest.mark.timeout(300)

PASSWORD = "correct horse, battery staple"
READS = Script("alice", PASSWORD, approves=frozenset({"orders.read"}), memory="kept")
PLACES = Script("bob", PASSWORD, approves=frozenset({"orders.read", "orders.place"}))
DENIES = Script("carol", PASSWORD, denies=frozenset({"scope"}))


def admitted(commands: Commands, name: str) -> Running:
    """`aauthkit init NAME`, once an operator has approved it."""
    enrolling = commands.start("init", name)
    enrolling.wait_for(f"until .* admits {name}")
    approved = commands.run("provider", "approve", name)
    assert approved.code == 0, approved.err
    assert enrolling.end().code == 0
    return enrolling


@dataclass
class Town:
    """`aauthkit up` and an API of one's own beside it; each test enrols agents of its own."""

    commands: Commands
    api: str

    @property
    def found(self) -> Installation:
        return Installation.load(self.commands.home)

    def agent(self, name: str) -> str:
        admitted(self.commands, name)
        return name

    def fetch(self, *words: str, script: Script) -> tuple[Running, list[str]]:
        """`aauthkit fetch`, with a person at the page; what they decided."""
        running = self.commands.start("fetch", "--show", "terminal", *words)
        decided = play(self.found.egress_file, running, script)
        running.end()
        return running, decided


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, ports_lock: Path) -> Iterator[Town]:
    commands = Commands(tmp_path_factory.mktemp("town"), ports_lock)
    found = commands.settle(commands.home, "api")
    (api,) = found.resources
    up = commands.up("--allow", api)
    shop = commands.start(
        api,
        found.person,
        str(commands.root / "api.jwks"),
        python=("-m", "aauthkit.demo.orders"),
        env=found.environment(),
        held=True,
    )
    shop.wait_to_listen(port_of(api))
    try:
        yield Town(commands, api)
        assert shop.end().code == 0
        up.send(signal.SIGTERM)
        assert up.end().code == 143
        assert all_gone(commands.home)
    finally:
        commands.clean()


# up


def test_up_says_what_it_is_and_keeps_everything_in_one_folder(commands: Commands) -> None:
    up = commands.up()
    found = Installation.load(commands.home)
    for said in (found.provider, found.person, str(found.egress_file), "loopback profile"):
        assert said in up.out
    again = commands.run("up")
    assert again.code == 1
    assert "is in use" in again.err
    assert "running already" in again.err
    up.send(signal.SIGINT)
    ended = up.end()
    assert ended.code == 130
    assert ended.err.endswith("\ninterrupted\n")
    assert all_gone(commands.home)
    assert not any((commands.root / "home").rglob("*"))


def test_up_tells_a_program_where_everything_is_and_finds_it_again(commands: Commands) -> None:
    first = commands.up("--json")
    where = json.loads(first.out)
    assert where["egress"] == str(commands.home / "egress.json")
    first.send(signal.SIGTERM)
    assert first.end().code == 143
    assert all_gone(commands.home)
    keys = (commands.home / "keys" / "person.jwks").read_bytes()
    second = commands.up("--json")
    assert json.loads(second.out) == where
    assert (commands.home / "keys" / "person.jwks").read_bytes() == keys


def test_the_death_of_up_is_the_death_of_its_servers(commands: Commands) -> None:
    up = commands.up()
    assert len(processes_of(commands.home)) in (0, 2)
    up.send(signal.SIGKILL)
    up.end()
    assert all_gone(commands.home)


def test_a_server_that_dies_ends_up_with_its_name_and_log(commands: Commands) -> None:
    up = commands.up()
    log = (commands.home / "logs" / "person.log").read_text()
    process = re.search(r"Started server process \[(\d+)\]", log)
    assert process is not None
    os.kill(int(process[1]), signal.SIGKILL)
    ended = up.end()
    assert ended.code == 1
    assert "the person ended by itself" in ended.err
    assert str(commands.home / "logs" / "person.log") in ended.err
    assert all_gone(commands.home)


def test_an_api_that_cannot_be_listed_is_refused(commands: Commands) -> None:
    commands.settle(commands.home)
    refused = commands.run("up", "--allow", "https://api.example")
    assert refused.code == 1
    assert "http://NAME.localhost:PORT" in refused.err


def test_every_server_says_at_start_that_the_loopback_profile_is_on(commands: Commands) -> None:
    commands.up()
    for name in ("provider", "person"):
        assert "loopback profile on" in (commands.home / "logs" / f"{name}.log").read_text()


# init and provider


def test_an_agent_is_admitted_by_the_key_that_it_shows(commands: Commands) -> None:
    commands.up()
    nobody = commands.run("provider", "list")
    assert (nobody.code, nobody.out) == (0, "no agent, and none waits\n")
    enrolling = commands.start("init", "planner", "--device", "a laptop", "--json")
    key = enrolling.wait_for(r"durable key is (\S+):")[1]
    enrolling.wait_for("in another terminal: aauthkit provider approve planner")
    listed = commands.run("provider", "list")
    assert "planner waits" in listed.out
    assert f"durable key {key}" in listed.out
    assert "a laptop" in listed.out
    asked = commands.run("provider", "list", "--json").json["waiting"][0]
    assert (asked["name"], asked["thumbprint"]) == ("planner", key)
    assert commands.run("provider", "approve", asked["id"]).code == 0
    enrolled = enrolling.end()
    assert enrolled.code == 0
    assert enrolled.json["agent"] == "aauth:planner@provider.localhost"
    assert enrolled.json["person_server"] == Installation.load(commands.home).person
    assert Path(enrolled.json["file"]).is_file()
    assert "planner is active" in commands.run("provider", "list").out
    again = commands.run("init", "planner")
    assert (again.code, "is enrolled" in again.out) == (0, True)


def test_an_enrolment_that_was_interrupted_goes_on_under_the_same_key(commands: Commands) -> None:
    commands.up()
    keys = []
    for _ in range(2):
        enrolling = commands.start("init", "planner")
        keys.append(enrolling.wait_for(r"durable key is (\S+):")[1])
        enrolling.wait_for("until .* admits planner")
        if len(keys) == 1:
            enrolling.send(signal.SIGINT)
            assert enrolling.end().code == 130
    assert keys[0] == keys[1]
    assert len(commands.run("provider", "list", "--json").json["waiting"]) == 1
    assert "was turned down" in commands.run("provider", "deny", "planner").out
    declined = enrolling.end()
    assert declined.code == 1
    assert "declined at the provider" in declined.err


def test_a_name_never_goes_to_another_key(commands: Commands, tmp_path: Path) -> None:
    commands.up()
    admitted(commands, "planner")
    found = Installation.load(commands.home)
    elsewhere = commands.run(
        "init",
        "planner",
        "--home",
        str(tmp_path / "elsewhere"),
        "--provider",
        found.provider,
        env={"AAUTHKIT_EGRESS": str(found.egress_file)},
    )
    assert elsewhere.code == 1
    assert "name_taken" in elsewhere.err
    assert "has ended" in commands.run("provider", "end", "planner").out
    assert "planner is ended" in commands.run("provider", "list").out
    refused = commands.run("fetch", "--as", "agent", found.person)
    assert refused.code == 1
    assert "access_denied" in refused.err


@pytest.mark.parametrize("action", ["approve", "deny", "end"])
def test_a_decision_about_nobody_says_so(action: str, commands: Commands) -> None:
    commands.settle(commands.home)
    refused = commands.run("provider", action, "nobody", "--json")
    assert refused.code == 1
    assert refused.json["error"]["kind"] == "AdministrationError"


@pytest.mark.parametrize("name", ["a b", "Ä", "a+b", "../x", "x" * 300])
def test_what_cannot_be_an_agents_name_is_refused_and_nothing_is_kept(name: str, commands: Commands) -> None:
    commands.settle(commands.home)
    refused = commands.run("init", name)
    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert not (commands.home / "agents").exists()


def test_a_command_says_that_the_servers_are_not_running(commands: Commands) -> None:
    commands.settle(commands.home)
    refused = commands.run("init", "planner")
    assert refused.code == 1
    assert "start with `aauthkit up`" in refused.err


# fetch


def test_fetch_brings_the_person_and_goes_on_with_what_they_grant(town: Town) -> None:
    orders = ("--agent", town.agent("planner"), f"{town.api}/orders")
    read, decided = town.fetch(*orders, script=READS)
    assert read.process.returncode == 0, read.err
    assert decided == ["identity", "scope"]
    assert json.loads(read.out)["you may"] == ["orders.read"]
    for told in ("→ GET", "← 401 requirement=auth-token", "✓ person token", "⇒ the resource token", "✓ auth token"):
        assert told in read.err
    assert "█" in read.err, "a QR code"
    assert "eyJ" not in read.err + read.out

    quiet = town.commands.run("fetch", "-q", "--json", *orders)
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.json["status"] == 200
    assert quiet.json["aauth"]["granted"] == ["orders.read"]
    assert quiet.json["aauth"]["reduced"] is True

    typed = ("-H", "Content-Type: application/json", "-d", '{"item": "lamp"}')
    short = town.commands.run("fetch", "--json", *typed, *orders)
    assert short.code == 1
    assert short.json["error"]["kind"] in ("Denied", "ScopeReduced")

    asked = town.commands.start("fetch", "--ask", "--show", "terminal", *orders)
    asked.wait_for("it has appeared on the person's open page|must show the code")
    asked.send(signal.SIGINT)
    assert asked.end().code == 130


def test_fetch_sends_a_body_that_the_person_allowed(town: Town) -> None:
    typed = ("-H", "Content-Type: application/json", "-d", '{"item": "lamp"}')
    placed, decided = town.fetch("--agent", town.agent("buyer"), *typed, f"{town.api}/orders", script=PLACES)
    assert decided == ["identity", "scope"], placed.err
    assert json.loads(placed.out)["ordered"] == {"item": "lamp", "quantity": 1}


def test_fetch_ends_in_one_line_when_the_person_says_no(town: Town) -> None:
    words = ("--agent", town.agent("refused"), "--why", "*please*", f"{town.api}/orders")
    denied, decided = town.fetch(*words, script=DENIES)
    assert decided == ["identity", "scope"]
    assert denied.process.returncode == 1
    assert "the person declined the request" in denied.err
    assert "Traceback" not in denied.err


def test_fetch_is_interrupted_while_the_person_thinks(town: Town) -> None:
    agent = town.agent("impatient")
    running = town.commands.start("fetch", "--agent", agent, "--show", "terminal", f"{town.api}/orders")
    running.wait_for("must show the code")
    running.send(signal.SIGINT)
    assert running.end().code == 130


def test_the_steps_of_the_scale_by_hand(town: Town) -> None:
    agent, shop = town.agent("climber"), f"{town.api}/shop"
    by_key = town.commands.run("fetch", "--as", "key", shop)
    assert (by_key.code, set(json.loads(by_key.out))) == (0, {"you are", "catalogue"})
    assert "signed by a bare key" in by_key.err
    by_agent = town.commands.run("fetch", "--as", "agent", "--agent", agent, "-q", "--json", shop)
    assert set(json.loads(by_agent.json["body"])) == {"you are", "catalogue", "prices"}
    shown = town.commands.run("fetch", "--as", "agent", "--agent", agent, "-i", f"{town.api}/orders")
    assert shown.code == 1
    assert shown.out.startswith("HTTP 401\n")
    assert "aauth-requirement: requirement=person-token" in shown.out
    assert "← 401 requirement=person-token" in shown.err


def test_a_resource_is_described_to_whoever_as_names(town: Town) -> None:
    """`--describe` calls nothing, whoever would sign; only an agent needs one."""
    orders = f"{town.api}/orders"
    for level in (("--as", "key"), ("--as", "server")):
        shown = town.commands.run("fetch", "--describe", *level, "-q", "--json", orders)
        assert shown.code == 0, shown.err
        assert (shown.json["resource"], shown.json["lacks"][0]) == (town.api, "agent token")
        assert "orders.read" in [scope["scope"] for scope in shown.json["scopes"]]
    agent = town.agent("curious")
    shown = town.commands.run("fetch", "--describe", "--as", "agent", "--agent", agent, "-q", orders)
    assert (shown.code, shown.out.splitlines()[0]) == (0, town.api)
    assert "you lack" in shown.out


def test_fetch_sends_a_body_from_a_file_or_standard_input(town: Town) -> None:
    (town.commands.root / "body").write_text("{")
    for data, stdin in (("@body", ""), ("-", "{")):
        sent = town.commands.run("fetch", "--as", "key", "-q", "-d", data, f"{town.api}/nowhere", stdin=stdin)
        assert (sent.code, "Not Found" in sent.out) == (1, True)
    missing = town.commands.run("fetch", "-d", "@missing", f"{town.api}/orders")
    assert (missing.code, "missing: No such file" in missing.err) == (1, True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://nowhere.invalid/x", "has no address"),
        ("http://api.example/", "cannot be an AAuth resource"),
        ("https://127.0.0.1/", "is not the name of a resource"),
        ("ftp://api.example/", "use https://"),
    ],
)
def test_fetch_says_in_one_line_why_it_does_not_get_there(url: str, said: str, town: Town) -> None:
    found = town.found
    if "lost" not in [file.stem for file in (found.root / "agents").glob("*.json")]:
        town.agent("lost")
    for level in ((), ("--as", "agent")):
        refused = town.commands.run("fetch", "-q", *level, "--agent", "lost", url)
        assert refused.code == 1
        assert "Traceback" not in refused.err
        assert refused.err.startswith("aauthkit: ")
        assert level or said in refused.err


def test_several_agents_are_told_apart(town: Town) -> None:
    first, second = town.agent("left"), town.agent("right")
    which = town.commands.run("fetch", f"{town.api}/shop")
    assert which.code == 2
    assert first in which.err
    assert second in which.err
    assert town.commands.run("fetch", "--as", "agent", "--agent", second, f"{town.api}/shop").code == 0
    unknown = town.commands.run("fetch", "--agent", "third", f"{town.api}/shop")
    assert (unknown.code, "aauthkit init third" in unknown.err) == (1, True)


# inspect


def real_token(found: Installation, name: str) -> AgentToken:
    async def get() -> AgentToken:
        egress = Egress.from_file(found.egress_file)
        async with Http(egress) as http:
            _, token = await agent_token(name, http, egress, home=found.root)
            return token

    return asyncio.run(get())


def test_inspect_verifies_a_token_under_its_issuers_published_key(town: Town) -> None:
    token = real_token(town.found, town.agent("genuine"))
    good = town.commands.run("inspect", stdin=token.raw)
    assert good.code == 0, good.out
    assert good.out.startswith("agent token (aa-agent+jwt), §5.3\n")
    assert "✓ the signature verifies under key" in good.out
    assert good.out.endswith("in order: it would verify\n")
    offline = town.commands.run("inspect", "--offline", "--json", token.raw)
    assert (offline.code, offline.json["valid"]) == (0, None)

    head, claims, signature = token.raw.split(".")
    other = "A" if signature[10] != "A" else "B"
    bad = town.commands.run("inspect", f"{head}.{claims}.{signature[:10]}{other}{signature[11:]}")
    assert bad.code == 1
    assert bad.out.endswith("not in order: it would be refused\n")


def test_inspect_says_what_is_wrong_with_a_token(town: Town) -> None:
    found, token = town.found, real_token(town.found, town.agent("broken"))
    issuer = Issuer(found.provider, KeyFile(found.root / "keys" / "provider.jwks").current)
    now = int(time.time())
    claims: dict[str, Any] = {**token.claims}
    for changed, said in (
        ({"iat": now - 7200, "exp": now - 3600}, "expired_jwt"),
        ({"iat": now + 7200, "exp": now + 9000}, "clock_skew"),
        ({"sub": "aauth:planner@elsewhere.example"}, "✗"),
    ):
        report = town.commands.run("inspect", issuer.mint(AGENT_TYP, {**claims, **changed}))
        assert report.code == 1
        assert said in report.out
    wrong = town.commands.run("inspect", "--json", issuer.mint("JWT", claims))
    assert wrong.code == 1
    assert wrong.json["valid"] is False


def test_inspect_reads_what_a_server_publishes(town: Town) -> None:
    server = town.commands.run("inspect", town.found.person)
    assert server.code == 0
    assert "metadata of a person server" in server.out
    document = town.commands.run("inspect", f"{town.api}/.well-known/aauth-resource.json", "--json")
    assert (document.code, document.json["valid"]) == (0, True)
    keys = town.commands.run("fetch", "-q", "--as", "key", f"{town.api}/.well-known/jwks.json")
    assert "✓ key 1: Ed25519" in town.commands.run("inspect", stdin=keys.out).out


def test_inspect_of_a_server_that_is_down_leaves_the_question_open(commands: Commands) -> None:
    found = commands.settle(commands.home)
    report = commands.run("inspect", "--json", found.person)
    assert (report.code, report.json["valid"]) == (0, None)


@pytest.mark.parametrize("garbage", ["x", "a.b.c", "{", "\x00\x1b[2J", "https://", "Signature: ?", "{}" * 9, "é" * 100])
def test_inspect_of_garbage_is_a_report(garbage: str, commands: Commands) -> None:
    report = commands.run("inspect", stdin=garbage)
    assert report.code == 1
    assert report.err == ""
    assert "\x1b" not in report.out
    assert report.out.endswith("not in order: it would be refused\n")


def test_inspect_reads_no_more_than_a_protocol_can_hold(commands: Commands) -> None:
    refused = commands.run("inspect", stdin="x" * (513 * 1024))
    assert (refused.code, "longer than 512 KiB" in refused.err) == (1, True)
    assert commands.run("inspect", stdin="").code == 2


# pipes


def test_a_reader_that_goes_away_ends_the_command_quietly(commands: Commands) -> None:
    for words in ("--help", "inspect --help", "inspect --offline x"):
        line = f'"$0" -m aauthkit {words} | true; echo "${{PIPESTATUS[0]}}"'
        import subprocess
        import sys

        ran = subprocess.run(
            ["bash", "-c", f"sleep 0.1; {line}", sys.executable],
            capture_output=True,
            text=True,
            env=commands.environment(PYTHONUNBUFFERED=""),
            cwd=commands.root,
        )
        assert ran.stderr == ""
        assert ran.stdout.strip() in ("0", "1", "141")
