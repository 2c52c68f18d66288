"""What a resource refuses is noted under the id that the caller gets, behind ASGI and WSGI, before and in the body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import CORRELATION
from aauthkit.resource.asgi import AAuthMiddleware
from aauthkit.resource.bodies import BUFFERED_BODY
from aauthkit.resource.wsgi import AAuthWsgi
from tests.plugins.resources import World, ask
from tests.plugins.signing import with_target
from tests.unit.resource.test_bodies import LARGE, Reader
from tests.unit.resource.test_wsgi import call

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

URL = "https://api.example/orders"


@pytest.fixture
def world() -> World:
    return World()


def noted(caplog: pytest.LogCaptureFixture, answer: Answer) -> str:
    """The one line that the log has of this refusal."""
    (line,) = [each.getMessage() for each in caplog.records if each.name == "aauthkit.refusals"]
    correlation = answer.header(CORRELATION)
    assert answer.status == 401 and line.startswith(f"refused {correlation}: invalid_signature")
    if answer.body:
        assert json.loads(answer.body)["instance"] == f"urn:uuid:{correlation}"
    return line


def wsgi_echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


async def test_a_signature_for_another_path_is_noted_also_for_head(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer to HEAD has no body, so the id is in a field as well."""
    resource = world.resource()
    need = resource.agent()
    app = AAuthMiddleware(Reader(), resource, lambda _scope: need)
    request = with_target(world.agent().sign("HEAD", f"{URL}/"), "/orders")
    assert "path.normalised (certain)" in noted(caplog, await ask(app, request))


@pytest.mark.parametrize("body", [b'{"n":1}', LARGE], ids=["held", "streamed"])
async def test_a_changed_body_is_noted_before_the_route_runs_and_while_it_does(
    world: World, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    resource = world.resource()
    need = resource.agent()
    app = AAuthMiddleware(Reader(swallow=len(body) > BUFFERED_BODY), resource, lambda _scope: need)
    answer = await ask(app, world.agent().sign("POST", URL, body=body), chunks=[body[:-1] + b"!"])
    assert "digest (certain): the body does not match Content-Digest -> Let no hop change the body" in noted(
        caplog, answer
    )


@pytest.mark.parametrize("body", [b'{"n":1}', LARGE], ids=["held", "streamed"])
def test_the_same_behind_wsgi(world: World, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    resource = world.resource()
    need = resource.agent()
    app = AAuthWsgi(wsgi_echo, resource, lambda _environ: need)
    answer = call(app, world.agent().sign("POST", URL, body=body), body=body[:-1] + b"!")
    assert "digest (certain)" in noted(caplog, answer)


def test_a_path_behind_wsgi_is_explained_with_the_prefix_that_the_resource_lacks(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    resource = world.resource()
    need = resource.agent()
    app = AAuthWsgi(wsgi_echo, resource, lambda _environ: need)
    answer = call(app, with_target(world.agent().sign("GET", "https://api.example/api/orders"), "/orders"))
    assert "path_prefix='/api'" in noted(caplog, answer)


async def test_a_challenge_after_a_good_signature_is_not_noted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    resource = world.resource()
    need = resource.person()
    app = AAuthMiddleware(Reader(), resource, lambda _scope: need)
    answer = await ask(app, world.agent().sign("GET", URL))
    assert answer.status == 401 and answer.header(CORRELATION) is None
    assert not [each for each in caplog.records if each.name == "aauthkit.refusals"]
