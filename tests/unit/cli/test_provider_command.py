"""`aauthkit provider suspend`, `resume` and `end`, beside a provider's records."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from aauthkit.cli import main
from aauthkit.store import open_database
from tests.plugins.enrolling import PERSON_SERVER, PROVIDER, Applicant, serving
from tests.plugins.tls import Clock

Out = pytest.CaptureFixture[str]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A provider's database with `planner`, who has a person server and a token, and `loner`, who has none."""
    path = tmp_path / "provider.db"

    async def fill() -> None:
        import time

        database = await open_database(path)
        clock = Clock(int(time.time()))
        async with serving(database, clock) as provider:
            await Applicant(provider, clock).enrolled(ps=PERSON_SERVER)
            await Applicant(provider, clock, name="loner").enrolled()
        await database.close()

    asyncio.run(fill())
    return path


def ran(out: Out, records: Path, *words: str) -> tuple[int, str, str]:
    code = main(["provider", *words, "--issuer", PROVIDER, "--database", str(records)])
    read = out.readouterr()
    return code, read.out, read.err


def outcome(out: Out, records: Path, *words: str) -> Any:
    code, told, err = ran(out, records, *words, "--json")
    assert code == 0, err
    return json.loads(told)


@pytest.mark.parametrize(("verb", "state"), [("suspend", "suspended"), ("end", "ended")])
def test_it_says_what_becomes_of_the_agent_and_its_tokens(records: Path, capsys: Out, verb: str, state: str) -> None:
    told = outcome(capsys, records, verb, "planner")
    assert (told["name"], told["state"]) == ("planner", state)
    (revocation,) = told["revocations"]
    assert (revocation["recipient"], revocation["state"]) == (PERSON_SERVER, "waiting")
    code, text, _ = ran(capsys, records, verb, "planner")
    assert code == 0
    assert f"revokes at {PERSON_SERVER}: 1" in text


def test_an_agent_without_a_person_server_keeps_what_it_has_for_now(records: Path, capsys: Out) -> None:
    _, text, _ = ran(capsys, records, "suspend", "loner")
    assert "serves until it expires" in text


def test_a_suspended_agent_is_resumed_and_an_ended_one_is_not(records: Path, capsys: Out) -> None:
    outcome(capsys, records, "suspend", "planner")
    assert outcome(capsys, records, "resume", "planner")["state"] == "active"
    outcome(capsys, records, "end", "planner")
    code, _, err = ran(capsys, records, "resume", "planner")
    assert code == 1
    assert "for good" in err


@pytest.mark.parametrize("verb", ["suspend", "resume", "end"])
def test_a_name_that_nobody_has_is_an_error(records: Path, capsys: Out, verb: str) -> None:
    code, _, err = ran(capsys, records, verb, "nobody")
    assert code == 1
    assert "no agent named 'nobody'" in err
