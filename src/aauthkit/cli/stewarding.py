"""`aauthkit person agents|missions|rules`: what whoever runs a person server does beside it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..accounts import MIGRATIONS as ACCOUNT_TABLES
from ..accounts import Accounts
from ..inspection import plain
from ..person.missions import Reason
from ..person.records import BoundAgent
from ..person.rules import EMPTY, RuleBook, read_rules
from ..person.steward import Steward
from ..policy import PolicyError
from ..protocol.identifiers import InvalidIdentifier, parse_agent_identifier
from ..protocol.problems import Problem
from .failing import CalledWrongly, CommandError
from .serving import add_server, records

MAX_RECORDINGS = 64 * 1024 * 1024
REASONS: tuple[Reason, ...] = ("revoked", "administrative", "superseded")

Act = Callable[["Desk", argparse.Namespace], Awaitable[None]]


class Desk:
    """A server's steward and its people, for one command."""

    def __init__(self, steward: Steward, accounts: Accounts) -> None:
        self.steward = steward
        self.accounts = accounts

    async def person(self, name: str) -> str:
        """The account of this name. Raises `CommandError`."""
        account = await self.accounts.find(name)
        if account is None:
            raise CommandError(f"nobody here is called {name}", "`aauthkit person list` says who has an account")
        return account.id

    async def names(self) -> Mapping[str, str]:
        """What each account is called."""
        return {one.id: one.name for one in await self.accounts.list()}

    async def agent(self, sub: str) -> BoundAgent:
        """The agent of this identifier that has a person. Raises `CommandError`."""
        found = [one for one in await self.steward.agents() if one.sub == sub]
        if not found:
            raise CommandError(f"no agent here is called {sub}", "`aauthkit person agents list` names them")
        return found[0]


def configure(below: Any) -> None:
    """Add the commands below `person`."""
    for name, act, words in (
        ("disable", _disable, "switch an account off: its sessions end, and all that its agents have"),
        ("enable", _enable, "switch an account on again"),
    ):
        _command(below, name, act, words).add_argument("person", metavar="NAME", help="what they sign in with")
    _configure_agents(below.add_parser("agents", help="look at agents, bind, stop, start and release them"))
    _configure_missions(below.add_parser("missions", help="look at missions, and end one"))
    _configure_rules(below.add_parser("rules", help="list, set, clear and test what is decided before a person is"))


def _command(below: Any, name: str, act: Act, words: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = below.add_parser(
        name, help=words, description=words[0].upper() + words[1:] + "."
    )
    command.add_argument("--json", action="store_true", help="the outcome for a program")
    add_server(command)
    command.set_defaults(run=run, act=act)
    return command


def _below(parser: argparse.ArgumentParser) -> Any:
    return parser.add_subparsers(dest="what", metavar="ACTION", required=True, title="actions")


def _configure_agents(parser: argparse.ArgumentParser) -> None:
    below = _below(parser)
    _command(below, "list", _agents, "the agents that have a person, and which of them are stopped")
    bind = _command(below, "bind", _bind, "give an agent its person ahead of its first request")
    bind.add_argument("agent", metavar="AGENT", help="aauth:name@provider")
    bind.add_argument("person", metavar="PERSON", help="what they sign in with")
    bind.add_argument("--provider", metavar="URL", help="its provider, where that is not https:// and its domain")
    for name, act, words in (
        ("stop", _stop, "end what an agent has, and refuse it until it is started"),
        ("start", _start, "let a stopped agent ask again"),
        ("release", _release, "let an agent have no person any more: it may be bound anew"),
    ):
        _command(below, name, act, words).add_argument("agent", metavar="AGENT", help="aauth:name@provider")


def _configure_missions(parser: argparse.ArgumentParser) -> None:
    below = _below(parser)
    _command(below, "list", _missions, "the missions of a person").add_argument("person", metavar="PERSON")
    _command(below, "log", _log, "what happened in a mission, in order").add_argument("mission", metavar="S256")
    end = _command(below, "end", _end, "end a mission, with all that was issued under it")
    end.add_argument("person", metavar="PERSON")
    end.add_argument("mission", metavar="S256")
    end.add_argument("--reason", choices=REASONS, default="administrative")


def _configure_rules(parser: argparse.ArgumentParser) -> None:
    below = _below(parser)
    _command(below, "list", _rules, "the rules in force")
    _command(below, "set", _set, "put the rules of a file in force").add_argument("file", metavar="FILE")
    _command(below, "clear", _clear, "let no rule be in force: people are asked about everything")
    _command(below, "record", _record, "print what was decided, a line of JSON each, for `test`")
    test = _command(below, "test", _test, "say what the rules of a file would have changed")
    test.add_argument("file", metavar="FILE")
    test.add_argument("--recordings", metavar="FILE", help="lines of `record`; without it those on record here")


def run(options: argparse.Namespace) -> int:
    """One operation beside a running person server."""

    async def act() -> None:
        async with records(options, "person") as (issuer, database, local):
            await database.migrate(ACCOUNT_TABLES)
            steward = Steward(issuer, database)
            await steward.prepare()
            accounts = Accounts(database, issuer=issuer, loopback=local)
            steward.watch(accounts)
            await options.act(Desk(steward, accounts), options)

    try:
        asyncio.run(act())
    except Problem as refusal:
        raise CommandError(refusal.detail or refusal.row.meaning) from refusal
    except PolicyError as error:
        raise CommandError(f"the rules cannot be used: {error}", "nothing was changed") from error
    return 0


def _when(at: int | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _told(options: argparse.Namespace, document: Any, text: str) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False) if options.json else text)


async def _agents(desk: Desk, options: argparse.Namespace) -> None:
    names, found = await desk.names(), await desk.steward.agents()
    people = [names.get(one.person, "somebody who is gone") for one in found]
    told = [
        {"agent": one.sub, "provider": one.iss, "person": person, "since": one.since, "stopped": one.stopped}
        for one, person in zip(found, people, strict=True)
    ]
    lines = [
        f"{one.sub}  of {plain(person)}  since {_when(one.since)}"
        + (f"  STOPPED {_when(one.stopped)}" if one.stopped is not None else "")
        for one, person in zip(found, people, strict=True)
    ]
    _told(options, told, "\n".join(lines) or "no agent has a person yet")


async def _disable(desk: Desk, options: argparse.Namespace) -> None:
    await _switch(desk, options, disabled=True)


async def _enable(desk: Desk, options: argparse.Namespace) -> None:
    await _switch(desk, options, disabled=False)


async def _switch(desk: Desk, options: argparse.Namespace, *, disabled: bool) -> None:
    await desk.person(options.person)
    await desk.accounts.set_disabled(options.person, disabled)
    state = "off: sessions and what its agents have ended" if disabled else "on"
    _told(options, {"person": options.person, "disabled": disabled}, f"{options.person} is switched {state}")


async def _bind(desk: Desk, options: argparse.Namespace) -> None:
    try:
        domain = parse_agent_identifier(options.agent).domain
    except InvalidIdentifier as error:
        raise CalledWrongly(str(error)) from error
    provider = options.provider or f"https://{domain}"
    await desk.steward.bind(provider, options.agent, await desk.person(options.person))
    _told(options, {"agent": options.agent, "person": options.person}, f"{options.agent} acts for {options.person}")


async def _stop(desk: Desk, options: argparse.Namespace) -> None:
    agent = await desk.agent(options.agent)
    await desk.steward.stop(agent.person, agent.iss, agent.sub)
    told = await desk.steward.deliveries(agent.iss, agent.sub)
    places = sorted({one.recipient for one in told})
    text = f"{agent.sub} is stopped; the running server tells {', '.join(places) or 'nobody, for it has nothing'}"
    _told(options, {"agent": agent.sub, "stopped": True, "recipients": places}, text)


async def _start(desk: Desk, options: argparse.Namespace) -> None:
    agent = await desk.agent(options.agent)
    await desk.steward.start(agent.person, agent.iss, agent.sub)
    _told(options, {"agent": agent.sub, "stopped": False}, f"{agent.sub} may ask again")


async def _release(desk: Desk, options: argparse.Namespace) -> None:
    agent = await desk.agent(options.agent)
    await desk.steward.release(agent.person, agent.iss, agent.sub)
    _told(options, {"agent": agent.sub, "person": None}, f"{agent.sub} has no person any more")


async def _missions(desk: Desk, options: argparse.Namespace) -> None:
    found = await desk.steward.missions(await desk.person(options.person))
    now = datetime.now(UTC).timestamp()
    told = [
        {"s256": one.s256, "agent": one.agent_sub, "approved": one.approved, "ended": one.ended_as(now)}
        for one in found
    ]
    lines = [f"{one.s256}  {one.agent_sub}  {_when(one.approved)}  {one.ended_as(now) or 'active'}" for one in found]
    _told(options, told, "\n".join(lines) or "no mission yet")


async def _log(desk: Desk, options: argparse.Namespace) -> None:
    found = await desk.steward.mission_log(options.mission)
    if not found:
        raise CommandError(f"there is no mission {options.mission}")
    told = [{"number": one.number, "at": one.at, "kind": one.kind, **one.entry} for one in found]
    lines = [f"{one.number:4}  {_when(one.at)}  {one.kind:13}  {plain(json.dumps(one.entry))[:200]}" for one in found]
    _told(options, told, "\n".join(lines))


async def _end(desk: Desk, options: argparse.Namespace) -> None:
    await desk.steward.end_mission(await desk.person(options.person), options.mission, options.reason)
    _told(options, {"s256": options.mission, "ended": options.reason}, f"the mission is ended ({options.reason})")


async def _rules(desk: Desk, options: argparse.Namespace) -> None:
    book = await desk.steward.rules()
    told = [{"name": one.name, "kinds": one.kinds, "then": one.then, "sha256": one.sha256} for one in book.rules]
    _told(options, told, book.text.rstrip() or "no rule is in force: people are asked about everything")


def _read(path: str) -> RuleBook:
    try:
        return read_rules(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error


async def _set(desk: Desk, options: argparse.Namespace) -> None:
    book = _read(options.file)
    await desk.steward.set_rules(book)
    count = len(book.rules)
    _told(options, {"rules": count, "sha256": book.sha256}, f"{count} rule{'s' if count != 1 else ''} in force")


async def _clear(desk: Desk, options: argparse.Namespace) -> None:
    await desk.steward.set_rules(EMPTY)
    _told(options, {"rules": 0}, "no rule is in force any more")


async def _record(desk: Desk, _options: argparse.Namespace) -> None:
    for one in await desk.steward.recordings():
        print(json.dumps(one, ensure_ascii=False, separators=(",", ":")))


async def _test(desk: Desk, options: argparse.Namespace) -> None:
    book = _read(options.file)
    recordings = _recordings(options.recordings) if options.recordings else await desk.steward.recordings()
    changes = [change for one in recordings if (change := _change(book, one)) is not None]
    lines = [f"{one['was']:8} -> {one['now']:10} by {one['rule']}: {plain(one['what'])}" for one in changes]
    text = "\n".join([*lines, f"{len(changes)} of {len(recordings)} recorded decisions would be others"])
    _told(options, {"recordings": len(recordings), "changes": changes}, text)


def _recordings(path: str) -> list[Mapping[str, Any]]:
    try:
        text = sys.stdin.read(MAX_RECORDINGS) if path == "-" else Path(path).read_text()
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} holds no recordings: {error}") from error


def _change(book: RuleBook, recording: Mapping[str, Any]) -> dict[str, str] | None:
    """What the rules would have made of a recorded request, where that is not what came of it."""
    ruling = book.ruling(recording["level"], recording["facts"])
    says = {"may decide": "approved", "never": "denied", "must ask": "asked", None: "asked"}
    now = says[ruling.level if ruling is not None else None]
    was = recording["outcome"] if recording["by"] != "person" else "asked"
    if now == was:
        return None
    facts = recording["facts"]
    resource = facts.get("resource", {}).get("id", "")
    what = " ".join([facts["agent"]["id"], recording["level"], resource, *facts.get("grant", {}).get("scope", [])])
    return {"was": was, "now": now, "rule": ruling.rule if ruling is not None else "no rule", "what": what}
