"""What a person server must refuse, where no other test says it: each rule by its section of draft-11."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aauthkit.person.proposals import read_audit, read_interaction, read_mission_action, read_permission
from aauthkit.person.requests import read_person_token_request
from aauthkit.protocol.identifiers import NO_LOOPBACK
from aauthkit.protocol.missions import MissionRejected, mission_s256, read_blob, write_blob
from aauthkit.protocol.problems import Problem
from aauthkit.serving import Request
from tests.plugins.people import PS, AgentParty, World, error_of
from tests.plugins.signing import Signer, new_key

NOW = 1_795_000_000
S256 = mission_s256(b"{}")
Body = Mapping[str, Any]
BLOB = {
    "agent": "aauth:planner@agents.example",
    "approved_at": "2026-11-18T12:00:00Z",
    "description": "Plan a trip",
}


def refused(read: Callable[[Body], object], body: Body) -> None:
    with pytest.raises(Problem) as caught:
        read(body)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)


def interaction(body: Body) -> object:
    return read_interaction(body, NO_LOOPBACK, "https://ps.example", NOW)


@pytest.mark.parametrize("body", [{}, {"resource": None}, {"resource": ""}, {"scope": "orders.read"}])
def test_7_1_without_a_resource_there_is_no_person_token(body: Body) -> None:
    """§7.1: `resource` is required."""
    refused(lambda given: read_person_token_request(given, NO_LOOPBACK), body)


@pytest.mark.parametrize("body", [{}, {"question": "Why?"}, {"type": None, "question": "Why?"}, {"type": ["question"]}])
def test_7_6_1_an_interaction_needs_a_type(body: Body) -> None:
    """§7.6.1: `type` is required."""
    refused(interaction, body)
    assert interaction({"type": "question", "question": "Why?"})


@pytest.mark.parametrize("body", [{}, {"action": ""}, {"action": 7}, {"action": None}, {"action": "a\nb"}])
def test_7_7_1_a_permission_needs_an_action(body: Body) -> None:
    """§7.7.1: `action` is required."""
    refused(read_permission, body)
    action, mission, _ = read_permission({"action": "SendEmail"})
    assert (action.action, mission) == ("SendEmail", None)


@pytest.mark.parametrize(
    "body",
    [{}, {"mission_s256": S256}, {"action": "Search"}, {"mission_s256": "x", "action": "Search"}]
    + [{"mission_s256": S256, "action": wrong} for wrong in ("", 7, None)],
)
def test_7_8_1_a_record_needs_its_mission_and_its_action(body: Body) -> None:
    """§7.8.1: both are required."""
    refused(read_audit, body)
    assert read_audit({"mission_s256": S256, "action": "Search"}) == (S256, {"action": "Search"})


@pytest.mark.parametrize(
    "body",
    [
        {"action": "update"},
        {"action": "update", "description": ""},
        {"action": "update", "description": 7},
        {"action": "update", "summary": "done"},
        {"action": "completion"},
        {"action": "completion", "summary": ""},
        {"action": "completion", "summary": None},
        {"action": "completion", "description": "done"},
    ],
)
def test_8_4_and_8_5_an_update_and_a_completion_say_in_words_what_they_are(body: Body) -> None:
    """§8.4 `description`, §8.5 `summary`: each required, and none stands in for the other."""
    refused(read_mission_action, body)


def test_8_2_a_blob_under_another_name_is_refused() -> None:
    """§8.2, §8.2.1: a mission is named by the digest of its very bytes; the same JSON in other bytes is another one."""
    blob = write_blob(agent=BLOB["agent"], approved_at=NOW, description=BLOB["description"])
    name = mission_s256(blob)
    assert read_blob(blob, s256=name).s256 == name
    spaced = json.dumps(json.loads(blob)).encode()
    assert json.loads(spaced) == json.loads(blob)
    for other, asked in ((spaced, name), (blob + b" ", name), (blob, mission_s256(spaced)), (blob, name + "=")):
        with pytest.raises(MissionRejected, match="s256"):
            read_blob(other, s256=asked)


@pytest.mark.parametrize("missing", ["agent", "approved_at", "description"])
def test_8_2_a_blob_that_lacks_a_member_is_refused(missing: str) -> None:
    """§8.2: what a blob MUST include."""
    assert read_blob(json.dumps(BLOB).encode()).description == "Plan a trip"
    for value in (None, "", 7):
        with pytest.raises(MissionRejected):
            read_blob(json.dumps({**BLOB, missing: value}).encode())
    with pytest.raises(MissionRejected):
        read_blob(json.dumps({name: value for name, value in BLOB.items() if name != missing}).encode())


def test_8_2_members_of_a_blob_that_are_not_known_are_ignored_and_kept() -> None:
    """§8.2, §11.7: a companion specification may define more."""
    blob = json.dumps({**BLOB, "budget": {"EUR": 400}, "approver": "x"}).encode()
    mission = read_blob(blob)
    assert mission.members["budget"] == {"EUR": 400}
    assert (mission.agent, mission.approved_tools, mission.expires_at) == (BLOB["agent"], (), None)


@pytest.mark.anyio
async def test_10_2_2_f61_a_sub_agents_own_request_is_refused(world: World) -> None:
    """F61, §10.2.2: whoever has a parent asks for nothing itself, at either endpoint; its parent does."""
    agent, _, token = await world.introduced()
    child = AgentParty(world, "helper", agent.key, {"parent_agent": agent.sub})
    for answer in (await child.ask_person_token(), await child.ask_auth_token(agent.challenged(token), token)):
        assert error_of(answer) == (400, "invalid_request")
    assert (await agent.ask_person_token()).status == 200


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/mission", f"/mission/{S256}", "/permission", "/audit", "/interaction"])
async def test_7_6_to_8_1_an_agent_token_and_its_signature_are_what_is_taken(world: World, path: str) -> None:
    """§7.6.1, §7.7.1, §7.8.1, §8.1: unsigned, under another token or scheme, with the body uncovered: 401."""
    agent, _, token = await world.introduced()
    now, url, content = int(world.clock()), f"{PS}{path}", b"{}"

    async def refusal(request: Request) -> str:
        answer = await world.server.answer(request)
        assert answer.status == 401
        return str(answer.header("signature-error")).partition(",")[0]

    signer = agent.signer
    unsigned = Request("POST", path, (("host", "person.example"), ("content-type", "application/json")))
    assert await refusal(unsigned) == "error=invalid_signature"
    shown = Signer.token(agent.key, token).sign("POST", url, body=content, now=now)
    assert await refusal(shown) == "error=invalid_jwt"
    bare = Signer.bare(agent.key).sign("POST", url, body=content, now=now)
    assert await refusal(bare) == "error=unsupported_scheme"
    loose = signer.sign("POST", url, body=content, now=now, drop=["content-digest"])
    assert await refusal(loose) == "error=invalid_input"
    stolen = Signer(new_key(), signer.signature_key).sign("POST", url, body=content, now=now)
    assert await refusal(stolen) == "error=invalid_signature"
