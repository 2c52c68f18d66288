"""docs/resources.md: every block runs as it stands, and does what the page says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aauthkit.resource import Resource
from tests.plugins.documents import Document
from tests.plugins.remembering import form, page_of, path_of
from tests.plugins.resources import API, World, ask, asked
from tests.plugins.signing import NOW
from tests.unit.resource.test_wsgi import call

pytestmark = pytest.mark.anyio

PAGE = Document("resources.md")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World) -> Any:
    """Runs the block under a heading; its resource knows the test's issuers, and the test's time."""
    monkeypatch.chdir(tmp_path)
    plain = Resource.__init__

    def knowing(self: Resource, *args: Any, **options: Any) -> None:
        plain(self, *args, **{"discovery": world.discovery(), "clock": lambda: NOW, **options})

    monkeypatch.setattr(Resource, "__init__", knowing)

    def run(heading: str) -> ModuleType:
        (block,) = PAGE.blocks(heading)
        module: ModuleType = PAGE.module(monkeypatch, block)
        return module

    return run


async def test_fastapi(world: World, written: Any) -> None:
    app = written("FastAPI").app
    assert asked(await ask(app, world.unsigned())) == "person-token"
    assert asked(await ask(app, world.person().sign("GET", f"{API}/orders"))) == "auth-token"
    served = await ask(app, world.grant("orders.read").sign("GET", f"{API}/orders"))
    assert json.loads(served.body) == {"for": "p-1", "may": ["orders.read"]}


async def test_starlette(world: World, written: Any) -> None:
    app = written("Starlette").app
    assert (await ask(app, world.unsigned(target="/who"))).status == 401
    served = await ask(app, world.agent().sign("GET", f"{API}/who"))
    assert json.loads(served.body) == {"agent": "aauth:planner@agents.example"}


async def test_any_other_asgi_application(world: World, written: Any) -> None:
    app = written("Any other ASGI application").app
    served = await ask(app, world.agent().sign("GET", f"{API}/anything"))
    assert served.body == b"aauth:planner@agents.example"
    assert asked(await ask(app, world.agent().sign("GET", f"{API}/orders/7"))) == "person-token"
    assert (await ask(app, world.unsigned(target="/nowhere"))).status == 401


def test_flask(world: World, written: Any) -> None:
    app = written("Flask and WSGI").app
    assert call(app, world.unsigned(target="/who")).status == 401
    served = call(app, world.agent().sign("GET", f"{API}/who"))
    assert json.loads(served.body) == {"agent": "aauth:planner@agents.example"}


async def test_your_own_page(world: World, written: Any) -> None:
    module = written("Your own page")
    first = await ask(module.app, world.agent().sign("GET", f"{API}/mine"))
    page, code = page_of(first)
    assert (await ask(module.app, form(page, code=code))).header("location") == "/connect/0"
    assert (await ask(module.app, form("/connect/0"))).status == 303
    done = await ask(module.app, world.agent().sign("GET", API + path_of(first)))
    headers = [("authorization", f"AAuth {done.header('aauth-access')}")]
    served = await ask(module.app, world.agent().sign("GET", f"{API}/mine", headers=headers))
    assert json.loads(served.body) == {"you": "user-7"}
    await module.resource.close()


def test_every_block_is_run_by_a_test() -> None:
    run = {"FastAPI", "Starlette", "Any other ASGI application", "Flask and WSGI", "Your own page"}
    headings = re.findall(r"^## (.+)$", PAGE.text, re.M)
    assert {heading for heading in headings if PAGE.blocks(heading)} == run


def test_the_figures_on_the_page_are_those_of_the_code() -> None:
    """F92."""
    from aauthkit.resource.delivery import MAX_OF_ONE
    from aauthkit.resource.held import MAX_CALL, MAX_RESULT
    from aauthkit.resource.sealing import ROTATE_AFTER
    from aauthkit.resource.server import ENDPOINTS
    from aauthkit.resource.sessions import REPLACED_GOOD_FOR

    assert (MAX_CALL, MAX_RESULT, MAX_OF_ONE) == (64 * 1024, 1024 * 1024, 64)
    assert (ROTATE_AFTER, REPLACED_GOOD_FOR, ENDPOINTS) == (86400, 60, "/aauth")
