"""`aauthkit demo --headless` as a stranger runs it: the whole story, twice in one folder, and every way it can end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aauthkit.demo.refusals import ATTEMPTS, BESIDES
from aauthkit.installation import Installation
from tests.plugins.commands import PATIENCE, Commands, Ran, all_gone, files_below, ports_of

pytestmark = pytest.mark.timeout(400)  # the first test that needs the two runs waits for both

TIMES = 2
STORY = [
    "Starting an agent provider, a person server and a shop's API, three processes",
    "Loopback profile: http between them, on this machine only. Ctrl-C ends it all.",
    "1. An agent gets an identity of its own",
    "two keys, the durable one is shown to the provider alone",
    "2. The same call, step by step",
    "signed by a bare key",
    '"you are": "the holder of key',
    "✓ agent token from provider.localhost",
    '"prices": {"chair": 120',
    "3. A person: may this agent act for you at this shop?",
    "← 202 requirement=interaction",
    "the page opens, with the code",
    "✓ person token from person.localhost",
    '"you are": "somebody\'s agent"',
    "4. A grant: what may it do there?",
    "← 401 requirement=auth-token",
    "⇒ the resource token is in order, and goes to person.localhost",
    "✓ auth token from person.localhost",
    '"you may": ["orders.read"]',
    "two decisions in one visit; 1 of 2 things were granted",
    "5. From now on: one request, no question",
    '"you are": "an authorized agent"',
    "6. What was not granted stays shut",
    "✓ ScopeReduced",
    "7. What must fail, tried for real",
    *(f"✓ {what}: {status} {code}" for what, _, status, code in ATTEMPTS),
    *(f"✓ {what}: 4" for what in BESIDES),
    "8. An errand",
    "is approved: the agent compared its text with its name",
    "spell-check: granted, nobody was asked",
    "Pay 120 €: denied, nobody was asked: amounts: euros is at most 50 each time",
    "SendMail: granted by the person",
    "answered in the person's own words",
    "a record of what it did stands in the mission's log",
    "the mission is completed",
    "9. Stopped",
    "aauthkit person agents stop aauth:shopper",
    ": recorded",
    "its next call: 403 denied: the person stopped this agent",
    "aauthkit audit verify",
    "as they were written",
    "10. A supply chain begins",
]
DECIDED = [
    "and approves the agent's acting as them there",
    "and approves 1 of 2 things",
    "and approves the mission",
    "and allows it",
    "and answers",
    "and approves 1 of 1 things",
]
"""What the person does: told when their browser has its answer, which may be after the agent has its own."""
LAST = r"all as expected, \d+ s: \d+ agents, 4 steps, \d+ decisions, .*\b1 of 2 granted, \d+ refusals"


@dataclass(frozen=True)
class Runs:
    """Two headless runs in one folder, made once for all tests of this module and for all workers.

    `keys` are the key files after each.
    """

    root: Path
    runs: list[Ran]
    keys: list[dict[str, str]]

    @property
    def folder(self) -> Path:
        return self.root / "demo"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, ports_lock: Path) -> Runs:
    root = ports_lock.parent / "two-runs"
    with ports_lock.with_name("two-runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = root / "runs.json"
        if not kept.exists():
            root.mkdir()
            commands = Commands(root, ports_lock)
            told: list[Any] = []
            with commands.choosing_ports():
                for _ in range(TIMES):
                    ran = commands.run("demo", "--headless", "--folder", "demo")
                    keys = {path.name: path.read_text() for path in (root / "demo" / "keys").iterdir()}
                    told.append([[ran.code, ran.out, ran.err], keys])
            kept.write_text(json.dumps(told))
        told = json.loads(kept.read_text())
        return Runs(root, [Ran(*ran) for ran, _ in told], [keys for _, keys in told])


@pytest.mark.parametrize("run", range(TIMES))
def test_the_whole_story_is_told_in_order_each_time(runs: Runs, run: int) -> None:
    ran = runs.runs[run]
    assert (ran.code, ran.err) == (0, "")
    unfolded = re.sub(r"\n {6}(?=\S)|\n {4}(?=[a-z])", " ", ran.out)
    position = 0
    for said in STORY:
        found = unfolded.find(said, position)
        assert found >= 0, f"{said!r} is not told after {unfolded[max(0, position - 200) : position]!r}"
        position = found
    assert [said for said in DECIDED if said not in unfolded] == []
    assert re.fullmatch(LAST, ran.out.splitlines()[-1])


CHAIN = [
    "10. A supply chain begins: a page, two agents and a tool, four more processes",
    "pat opens the page, and runs the example",
    "… buying-desk",
    "· Supply-chain agent was asked on behalf of a person",
    "· Market-analysis agent was asked by aauth:supply-chain@provider.localhost",
    "· Pricing tool has 5 offers for laptop",
    "as it follows from the data set",
    "✓ Supply-chain agent was called by A2A, on behalf of the person",
    "✓ Market-analysis agent was called by A2A, as itself, not yet on behalf of the person",
    "✓ Pricing tool was called by MCP, as itself, not yet on behalf of the person",
    "pat types another sentence",
    "as it follows from the data set",
    "✓ another browser looking at pat's run: 404",
    "✓ a field that the form does not have: 400",
    "✓ an unsigned message to the supply-chain agent: 401",
    "✓ a message of an agent that acts for nobody: 401",
]


@pytest.mark.parametrize("run", range(TIMES))
def test_the_supply_chain_is_told_after_it_and_counted_in_the_last_line(runs: Runs, run: int) -> None:
    """F84: two sentences and their figures, each compared with the data set; three hops, two of them on one's own."""
    ran = runs.runs[run]
    position = ran.out.index("7. What must fail")
    for said in CHAIN:
        assert said in ran.out[position:], f"{said!r} is not told after {ran.out[max(0, position - 200) : position]!r}"
        position = ran.out.index(said, position) + 1
    assert re.search(r"5 agents, 4 steps, 9 decisions, 2 runs, 3 hops, .*17 refusals", ran.out.splitlines()[-1])


def test_a_second_run_signs_the_same_person_in_and_enrols_a_new_agent(runs: Runs) -> None:
    first, second = runs.runs
    assert "pat makes an account" in first.out
    assert "pat signs in" in second.out
    assert "makes an account" not in second.out
    assert "aauth:shopper-2@provider.localhost" in second.out
    names = {path.stem for path in (runs.folder / "agents").iterdir()}
    assert names >= {"shopper", "shopper-2", "eavesdropper", "eavesdropper-2"}


def test_a_second_run_keeps_keys_and_the_shops_name_for_the_person(runs: Runs) -> None:
    assert set(runs.keys[0]) >= {"provider.jwks", "person.jwks", "orders.jwks"}
    assert runs.keys[0] == runs.keys[1]
    customers = [re.findall(r'"customer": "([\w-]+)"', run.out)[0] for run in runs.runs]
    assert customers[0] == customers[1]


def test_no_line_is_wider_than_a_terminal(runs: Runs) -> None:
    assert not [line for run in runs.runs for line in run.out.splitlines() if len(line) > 100]


def test_no_token_is_shown(runs: Runs) -> None:
    assert not [run for run in runs.runs if "eyJ" in run.out]


def test_nothing_is_left_behind_but_the_folder(runs: Runs) -> None:
    assert all_gone(runs.folder)
    assert {name.partition("/")[0] for name in files_below(runs.root)} == {"demo", "runs.json"}


def test_what_is_kept_is_for_its_owner_only(runs: Runs) -> None:
    assert runs.folder.stat().st_mode & 0o077 == 0
    secret = [path for path in runs.folder.rglob("*") if path.suffix in (".json", ".jwks", ".db")]
    assert secret
    assert not [path for path in secret if path.stat().st_mode & 0o077]


def test_f87_no_log_holds_a_token_a_key_a_code_or_a_password(runs: Runs) -> None:
    """F87."""
    logs = "\n".join(path.read_text() for path in (runs.folder / "logs").iterdir())
    assert logs.count("Started server process") >= 3 * TIMES
    codes = re.findall(r"the code ([0-9A-Z]{4}-[0-9A-Z]{4})", "".join(run.out for run in runs.runs))
    assert len(codes) >= TIMES
    passwords = [json.loads((runs.folder / "scripted-person.json").read_text())["password"]]
    files = [*(runs.folder / "keys").iterdir(), *(runs.folder / "agents").iterdir()]
    private = [found for path in files for found in re.findall(r'"d": ?"([\w-]+)"', path.read_text())]
    assert len(private) >= 3 + 2 * TIMES
    for secret in ("eyJ", "Signature", "signature-key", "Cookie", "/pending/", "code=", *codes, *passwords, *private):
        assert secret not in logs


def test_every_process_says_at_start_that_the_loopback_profile_is_on(runs: Runs) -> None:
    found = Installation.load(runs.folder)
    for name in ("provider", "person", "orders"):
        log = (runs.folder / "logs" / f"{name}.log").read_text()
        (line,) = {line.partition(" aauthkit.")[2] for line in log.splitlines() if "aauthkit.running: loopback" in line}
        assert all(origin in line for origin in found.loopback.origins)


# Ways to end


def ended_by(number: int, commands: Commands) -> Ran:
    demo = commands.demo()
    demo.wait_for("3. A person")
    demo.send(number)
    return demo.end()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_a_signal_to_the_supervisor_ends_it_all(number: int, code: int, commands: Commands) -> None:
    ran = ended_by(number, commands)
    assert ran.code == code
    assert "Traceback" not in ran.err
    assert all_gone(commands.root / "demo")
    assert {name.partition("/")[0] for name in files_below(commands.root)} == {"demo"}


def test_the_death_of_one_server_fails_the_demonstration_by_name(commands: Commands) -> None:
    demo = commands.demo()
    demo.wait_for("2. The same call")
    log = (commands.root / "demo" / "logs" / "orders.log").read_text()
    process = re.search(r"Started server process \[(\d+)\]", log)
    assert process is not None
    os.kill(int(process[1]), signal.SIGKILL)
    ran = demo.end()
    assert ran.code == 1
    assert "the orders ended by itself" in ran.err
    assert all_gone(commands.root / "demo")


DIFFERENT = """
import sys
from aauthkit.demo import story
real = story._by_hand
async def other(stage, http, level, credential, members):
    await real(stage, http, level, credential, {*members, "discount"})
story._by_hand = other
from aauthkit.cli import main
sys.exit(main())
"""


def test_anything_that_differs_fails_the_demonstration(commands: Commands) -> None:
    ran = commands.demo(python=("-c", DIFFERENT)).end()
    assert ran.code == 1
    assert "aauthkit: not as expected: the answer's members: expected" in ran.err
    assert "discount" in ran.err
    assert str(commands.root / "demo" / "logs") in ran.err
    assert "all as expected" not in ran.out
    assert all_gone(commands.root / "demo")


OPEN_DOOR = """
import sys
from aauthkit.demo import refusals, story
from aauthkit.demo.refusals import Prepared
async def welcome(thief):
    return await thief.send(thief.signed("GET", f"{thief.stage.shop}/shop"))
story.refuse_all.__globals__["ATTEMPTS"] = (("a request that is in order", welcome, 401, "invalid_signature"),)
async def nobody(*_): pass
story._with_a_person = nobody
from aauthkit.cli import main
sys.exit(main())
"""


def test_an_attempt_that_gets_through_fails_the_demonstration(commands: Commands) -> None:
    ran = commands.demo(python=("-c", OPEN_DOOR)).end()
    assert ran.code == 1
    assert "a request that is in order: expected (401, 'invalid_signature'), saw (200, None)" in ran.err


# Folders and ports


@contextlib.contextmanager
def occupied(*ports: int) -> Iterator[None]:
    """Somebody listens on these ports."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            server = stack.enter_context(socket.socket())
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    server.bind(("127.0.0.1", port))
                    break
                except OSError:
                    assert time.monotonic() < deadline, f"somebody else has port {port}"
                    time.sleep(0.1)
            server.listen()
        yield


def test_a_port_that_is_taken_is_another_at_the_first_run_and_an_error_later(commands: Commands) -> None:
    with commands.choosing_ports():
        with occupied(8701, 8703):
            demo = commands.start("demo", "--headless", "--folder", "demo")
            demo.wait_for("2. The same call")
        ports = ports_of(commands.root / "demo")
        assert not {8701, 8703} & set(ports)
        assert len(set(ports)) == len(ports)
        demo.send(signal.SIGINT)
        assert demo.end().code == 130
        assert all_gone(commands.root / "demo")
        with occupied(ports[1]):
            later = commands.run("demo", "--headless", "--folder", "demo")
    assert later.code == 1
    assert f"port {ports[1]}, where person should listen, is in use" in later.err
    assert "--folder OTHER" in later.err
    assert all_gone(commands.root / "demo")


def test_a_folder_with_something_else_in_it_is_left_alone(commands: Commands) -> None:
    (commands.root / "mine").mkdir()
    (commands.root / "mine" / "notes").write_text("mine")
    commands.settle(commands.home, "api")
    (commands.root / "file").write_text("")
    for folder, said in ((commands.root / "mine", "something else"), (commands.home, "not a demonstration's")):
        before = files_below(commands.root)
        refused = commands.run("demo", "--headless", "--folder", str(folder))
        assert refused.code == 1
        assert said in refused.err
        assert files_below(commands.root) == before
    refused = commands.run("demo", "--headless", "--folder", "file")
    assert (refused.code, "Traceback" in refused.err) == (1, False)


def test_the_person_is_played_or_shown_the_way_but_not_both(commands: Commands) -> None:
    refused = commands.run("demo", "--headless", "--show", "terminal")
    assert refused.code == 2
    assert "not allowed with" in refused.err
