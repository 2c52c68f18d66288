"""What an agent must not do, where no other test says it: by its section of draft-11 or Signature-Keys (SK)."""

from __future__ import annotations

import pytest

from aauthkit.agent import Expired, RequestRefused, SignatureRefused
from aauthkit.agent.answering import question_of
from aauthkit.agent.errors import AAuthError, MissionTerminated, PendingRefused, refusal
from aauthkit.outbound import Pending
from aauthkit.protocol.messages import Answer, json_answer
from tests.plugins.simulators import OpenClient, Parties, json_body
from tests.plugins.tls import Reply

pytestmark = pytest.mark.anyio

ORDERS = "https://api.example/orders"
AGENT_URL = "https://api.example/agent"
PERSON_URL = "https://api.example/person"
ELSEWHERE = "https://docs.example/.well-known/aauth-resource.json"


async def test_5_1_without_an_agent_token_nothing_is_sent(parties: Parties, open_client: OpenClient) -> None:
    """§5.1: an agent obtains its token before it takes part."""
    await parties.provider.stop()
    with pytest.raises(AAuthError):
        await open_client(parties.agent()).get(AGENT_URL)
    assert parties.resource.count("/agent") == 0
    assert parties.ps.person_requests == 0


@pytest.mark.parametrize("hint", ["", " Ada  Lovelace <ada@example> ", "Ädä\u202e", None])
async def test_6_7_1_a_login_hint_is_the_resources_and_nobody_elses(
    parties: Parties, open_client: OpenClient, hint: str | None
) -> None:
    """§6.7.1: it is passed on to the letter or the resource token is refused; and none is made up."""
    if hint is not None:
        parties.resource.resource_claims["login_hint"] = hint
    try:
        await open_client(parties.agent()).get(ORDERS)
    except AAuthError:
        assert all("login_hint" not in body for _, body in parties.ps.bodies)
        return
    assert parties.ps.bodies[-1][1].get("login_hint") == hint


async def test_7_2_1_nothing_of_the_machine_is_told_unasked(parties: Parties, open_client: OpenClient) -> None:
    """§7.2.1: `device` and `platform` are what the user chose to say."""
    await open_client(parties.agent()).get(ORDERS)
    assert parties.ps.bodies
    assert not any({"device", "platform", "justification", "login_hint"} & body.keys() for _, body in parties.ps.bodies)


@pytest.mark.parametrize("body", [{}, {"clarification": ""}, {"clarification": " "}, {"clarification": 7}])
def test_7_5_1_a_clarification_without_its_question_is_refused(body: dict[str, object]) -> None:
    """§7.5.1: the body holds the question, as text."""
    with pytest.raises(PendingRefused):
        question_of(Pending("https://ps.example/pending/x", 5, "pending", None, body), "https://ps.example")


async def test_11_2_5_a_link_is_no_requirement(parties: Parties, open_client: OpenClient) -> None:
    """§11.2.5: what a 401 asks for stands in AAuth-Requirement; one with a link alone is the caller's."""
    docs = await parties.another_resource("docs.example")
    linked = Reply(401, (("link", f'<{ELSEWHERE}>; rel="aauth-resource"'),), b"no")
    parties.resource.script["/agent"] = [linked]
    response = await open_client(parties.agent()).get(AGENT_URL)
    assert (response.status, response.content) == (401, b"no")
    assert docs.requests == []
    assert parties.ps.person_requests == 0


async def test_11_9_1_a_signature_error_in_a_body_alone_is_none(parties: Parties, open_client: OpenClient) -> None:
    """§11.9.1, SK §5.1: the header is what is read. The body asks for another component; nothing is sent again."""
    body = {"error": "invalid_input", "required_input": ["content-digest"], "type": "urn:ietf:params:sig-error:x"}
    parties.resource.script["/agent"] = [json_body(body, status=401)]
    response = await open_client(parties.agent()).get(AGENT_URL)
    assert response.status == 401
    assert parties.resource.count("/agent") == 1


def test_11_9_2_a_problem_type_decides_nothing() -> None:
    """§11.9.2: `error` decides, whatever `type` and `title` say; without it no known end is read out of them."""
    misleading = {"type": "urn:ietf:params:sig-error:denied", "title": "denied", "error": "expired"}
    assert isinstance(refusal("https://ps.example", json_answer(408, misleading)), Expired)
    bare = refusal("https://ps.example", json_answer(403, {"type": "https://x.example/denied", "title": "denied"}))
    assert type(bare) is RequestRefused
    assert bare.code == ""


@pytest.mark.parametrize("offered", ["brand-new, jwt", "cached, hwk, jwt", "cached", "hwk"])
async def test_sk_4_1_no_other_scheme_is_taken_up_because_it_was_offered(
    parties: Parties, open_client: OpenClient, offered: str
) -> None:
    """SK §4.1, §4.9, §6.2, draft-11 §11.3.2: unknown tokens are ignored; `cached` needs an identifier."""
    refused = [("signature-error", "error=unsupported_scheme"), ("accept-signature-scheme", offered)]
    parties.resource.script["/agent"] = [Reply(401, tuple(refused), b"")] * 3
    with pytest.raises(SignatureRefused):
        await open_client(parties.agent()).get(AGENT_URL)
    sent = [one for one in parties.resource.requests if one.target == "/agent"]
    assert len(sent) == 1
    assert str(sent[0].header("signature-key")).startswith("sig=jwt;")


def test_13_2_an_answer_that_is_gone_is_no_other_end() -> None:
    """§11.8.4, §13.2: 410 is told apart from every refusal that a fresh request would meet again."""
    assert refusal("https://ps.example", Answer(410)).status == 410


@pytest.mark.parametrize("reason", ["volcano", "active", "", None, 7, ["expired"], "x" * 5000, "a\x1b[2J"])
def test_8_6_a_reason_that_is_not_known_leaves_a_mission_terminated(reason: object) -> None:
    """§8.6: the list of reasons is open; whatever it says, the mission is over and the reason is words alone."""
    body = {"error": "mission_terminated", "mission_status": "terminated", "termination_reason": reason}
    over = refusal("https://ps.example", json_answer(403, body))
    assert isinstance(over, MissionTerminated)
    assert over.reason == (reason if reason in ("volcano", "active") else "")
