"""The README is true: its code runs as it stands, its commands parse, and what it links to is there."""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
import sys
import time
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aauthkit.agent import Errand
from aauthkit.cli import COMMANDS, main, parser
from aauthkit.store import open_database
from tests.plugins.machine import PROJECT
from tests.plugins.tls import Authority
from tests.plugins.visiting import PATIENCE, Someone
from tests.plugins.world import API, PS, World, open_world

README = (PROJECT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SHOWN = re.compile(rf"({PS}/interaction/[\w-]+)\?code=([\w-]+)")


def blocks(language: str) -> list[str]:
    return [text for named, text in BLOCK.findall(README) if named == language]


def under(heading: str) -> str:
    """The code block that stands under this heading."""
    found = BLOCK.search(README, README.index(f"\n## {heading}\n"))
    assert found is not None and found[1] == "python"
    return str(found[2])


def module_of(block: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Python block of the README as the module of a user's application."""
    module = ModuleType("from_the_readme")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(block, "README.md", "exec"), module.__dict__)
    return module


async def run_inside_an_async_function(block: str) -> dict[str, Any]:
    """A block in which `async with` stands, run as it is; what it has defined."""
    names: dict[str, Any] = {}
    await eval(compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    return names


@asynccontextmanager
async def the_readmes_world(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, ModuleType]]:
    """The README's API under its name, an enrolled `planner`, and an environment that says where everything is."""
    made: list[ModuleType] = []

    def api(world: World) -> Any:
        monkeypatch.setenv("AAUTHKIT_EGRESS", str(world.egress_file))
        monkeypatch.setenv("AAUTHKIT_HOME", str(world.home))
        monkeypatch.chdir(folder)
        made.append(module_of(under("An API"), monkeypatch))
        return made[0].app

    database = await open_database("sqlite://:memory:")
    async with open_world(authority, folder, database, clock=time.time, api=api) as world:
        await world.admit("planner")
        yield world, made[0]
    await database.close()


async def shown(capsys: pytest.CaptureFixture[str]) -> Errand:
    """Where the agent sends its person: what it prints in the terminal."""
    printed = ""
    async with asyncio.timeout(PATIENCE):
        while (found := SHOWN.search(printed)) is None:
            await asyncio.sleep(0.02)
            printed += capsys.readouterr().err
    assert f"{PS} needs you to decide" in printed
    assert f"The page must show the code {found[2]}." in printed
    assert "█" in printed or "▀" in printed, "a QR code"
    return Errand(found[0], found[1], found[2], "interaction", PS)


@pytest.mark.anyio
async def test_the_agent_and_the_api_of_the_readme_meet(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both blocks from its own text, over TLS under the names they stand there with; a person approves less."""
    monkeypatch.setenv("SSH_CONNECTION", "a terminal, wherever this runs")
    monkeypatch.delenv("DISPLAY", raising=False)
    async with the_readmes_world(authority, tmp_path, monkeypatch) as (world, api):
        ada: Someone = await world.person("Ada")
        running = asyncio.create_task(run_inside_an_async_function(under("An agent")))
        page = await ada.comes(await shown(capsys))
        assert "planner wants to act as you" in page.heading
        await ada.approves()
        page = await ada.finds()
        assert "See your orders" in page.text and "Place orders for you" in page.text
        await ada.approves("orders.read")
        names = await running
        assert names["agent"].identifier == "aauth:planner@agents.example"
        response = names["r"]
        sub = next(one.sub for one in await world.ps.steward.issued() if one.aud == API)
        assert response.status_code == 200
        assert response.json() == {"orders": ["chair", "lamp"], "for": sub, "may": ["orders.read"]}
        assert response.extensions["aauth"]["granted"] == {"orders.read"}
        assert (tmp_path / "keys" / "api.jwks").stat().st_mode & 0o777 == 0o600
        assert api.resource.identifier == API
        assert capsys.readouterr().err == ""
        with names["agent"].sync_client() as http:
            response = await asyncio.to_thread(http.get, f"{API}/orders")
        assert response.json()["may"] == ["orders.read"]


@pytest.mark.anyio
async def test_what_is_missing_never_reaches_the_readmes_handler(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes unsigned gets one answer that says what is missing, with the link to the metadata."""
    async with the_readmes_world(authority, tmp_path, monkeypatch) as (world, _):
        stranger = world.visitor("nobody")
        page = await stranger.opens(f"{API}/orders")
        assert (page.status, world.api.statuses("GET", "/orders")) == (401, [401])
        assert "chair" not in page.text


def lines_of(program: str) -> list[list[str]]:
    """The command lines of the shell blocks that run this program: the words after it, without comments."""
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == program]


def mentions_of(program: str) -> list[list[str]]:
    """The same between backticks, where a line may be told in part."""
    return [shlex.split(text) for text in re.findall(rf"(?<!`)`{program} ([^`\n]+)`", README)]


@pytest.mark.parametrize("words", lines_of("aauthkit"), ids=" ".join)
def test_a_command_line_parses_as_it_stands(words: list[str]) -> None:
    assert parser(words[0]).parse_args(words).run


@pytest.mark.parametrize("words", [*lines_of("aauthkit"), *mentions_of("aauthkit")], ids=" ".join)
def test_a_command_has_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if words[0] == "COMMAND":
        assert words == ["COMMAND", "--help"]
        return
    path = words[:2] if words[0] in ("provider", "person") else words[:1]
    with pytest.raises(SystemExit) as ended:
        main([*path, "--help"])
    assert ended.value.code == 0
    assert f"usage: aauthkit {' '.join(path)}" in capsys.readouterr().out


def test_every_command_line_was_looked_at() -> None:
    """The blocks hold nothing but what the tests here know how to check, and name every command but one."""
    programs = {line.split(" ")[0] for block in blocks("sh") for line in block.splitlines() if line}
    assert programs == {"make", "pip", "aauthkit"}
    assert {words[0] for words in [*lines_of("aauthkit"), *mentions_of("aauthkit")]} >= COMMANDS.keys() - {"person"}


@pytest.mark.parametrize("words", [*lines_of("make"), *mentions_of("make")], ids=" ".join)
def test_a_target_of_the_readme_is_in_the_makefile(words: list[str]) -> None:
    target, *settings = words
    makefile = (PROJECT / "Makefile").read_text()
    assert re.search(rf"^{re.escape(target)}:", makefile, re.M)
    for setting in settings:
        assert re.search(rf"^{setting.partition('=')[0]} \?=", makefile, re.M)


def test_what_is_installed_is_this_distribution_with_an_extra_it_has() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    for words in lines_of("pip"):
        assert words[0] == "install"
        name, _, extra = words[1].rstrip("]").partition("[")
        assert name == project["name"]
        assert extra in project["optional-dependencies"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)\s]+)\)", README))))
def test_a_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert "://" not in target, "check by hand, and list it here"
    assert (PROJECT / target.partition("#")[0]).is_file()
