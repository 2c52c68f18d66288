"""A signature that a server refuses is explained in its log, under the id that the caller got: at every server."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aauthkit.byhand import bare_credential, prepare
from aauthkit.egress import Http
from aauthkit.protocol.problems import CORRELATION
from tests.plugins.world import API, PROVIDER, PS, World

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

PLACES = {
    "resource": ("GET", f"{API}/orders/", f"{API}/orders", b""),
    "person server": ("POST", f"{PS}/person/", f"{PS}/person", b"{}"),
    "revocation endpoint": ("POST", f"{PS}/revoke/", f"{PS}/revoke", b"{}"),
    "provider": ("POST", f"{PROVIDER}/enrollment/nonce/", f"{PROVIDER}/enrollment/nonce", b""),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_refused_signature_is_explained_under_the_id_that_the_caller_got(
    quick_real_world: World, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """§11.9.2; F87."""
    world = quick_real_world
    method, signed, sent, body = PLACES[place]
    await world.admit("planner")
    credential = (await world.by_hand("planner")).credential if place != "provider" else bare_credential()
    fields = [("content-type", "application/json")] if body else []
    prepared = prepare(method, signed, credential, world.egress, headers=fields, body=body, now=world.clock())
    async with Http(world.egress) as http:
        answer = await replace(prepared, url=sent).send(http)
    assert answer.status == 401
    correlation = answer.header(CORRELATION)
    assert json.loads(answer.body)["instance"] == f"urn:uuid:{correlation}"
    (line,) = [each.getMessage() for each in caplog.records if each.name == "aauthkit.refusals"]
    assert f"refused {correlation}: " in line
    wanted = "scheme (certain)" if place == "revocation endpoint" else "path.normalised (certain)"
    assert wanted in line
    assert not any(part in line for part in credential.signature_key.split('"')[1].split("."))
