"""A person asks before they decide, and the agent answers (draft-11 §7.5, §11.7)."""

from __future__ import annotations

import io

import pytest

from aauthkit.agent import Question, RequestRefused, TerminalAnswers, UnsupportedRequirement, Withdrawn
from aauthkit.protocol.headers import Requirement, parse_capabilities
from aauthkit.protocol.jose import parse_json
from tests.plugins.simulators import AGENT, OpenClient, Parties, deferred, json_body, problem
from tests.plugins.tls import Received, Reply

pytestmark = pytest.mark.anyio

PERSON_URL = "https://api.example/person"
CLARIFICATION = Requirement("clarification")


class Asking:
    """A pending request at the person server whose person asks `questions`, and then agrees."""

    def __init__(self, parties: Parties, *questions: str, loses: int = 0) -> None:
        self.parties = parties
        self.questions = list(questions)
        self.loses = loses
        self.posts: list[dict[str, object]] = []
        self.deleted = 0
        parties.ps.script["/person_token_endpoint"] = [self.asks]
        parties.ps.script["/pending/q"] = [self.polled] * 20

    def asks(self, _request: Received) -> Reply:
        body = {"clarification": self.questions[0], "timeout": 30, "options": ["yes", 7, "no"]}
        return deferred("/pending/q", CLARIFICATION, **body)

    def polled(self, request: Received) -> Reply:
        caller = self.parties.ps.verify(request)
        if request.method == "DELETE":
            self.deleted += 1
            return Reply(204, (), b"")
        if request.method == "POST":
            self.posts.append(parse_json(request.body))
            self.questions.pop(0)
            return json_body({"status": "pending"})
        if self.questions:
            return self.asks(request)
        return self.parties.ps._person(caller, {"resource": self.parties.resource.iss})  # type: ignore[arg-type]


async def test_f38_a_question_is_answered_with_its_action_and_polling_goes_on(
    parties: Parties, open_client: OpenClient
) -> None:
    """F38, §7.5.2.1, AG-50: the answer is signed with the agent token, its body covered."""
    asking, asked = Asking(parties, "Why?", "Why so much?"), []

    async def answer(question: Question) -> str:
        asked.append(question)
        return f"because of {len(asked)}"

    assert (await open_client(parties.agent(), answer=answer).get(PERSON_URL)).status == 200
    assert [one.text for one in asked] == ["Why?", "Why so much?"]
    assert (asked[0].who, asked[0].options, asked[0].timeout) == (parties.ps.iss, ("yes", "no"), 30.0)
    assert asking.posts == [
        {"action": "clarification_response", "clarification_response": f"because of {n}"} for n in (1, 2)
    ]
    posts = [one for one in parties.ps.seen if one.request.method == "POST"]
    assert all({"content-digest", "content-type"} <= set(one.covered) for one in posts)


async def test_a_plain_function_answers_too(parties: Parties, open_client: OpenClient) -> None:
    asking = Asking(parties, "Why?")
    assert (await open_client(parties.agent(), answer=lambda _: "so").get(PERSON_URL)).status == 200
    assert len(asking.posts) == 1


async def test_clarification_is_a_capability_only_where_somebody_answers(
    parties: Parties, open_client: OpenClient
) -> None:
    """§11.7, AG-10: in the header, and in the body of what is asked of the person server."""
    for answer, expected in ((None, {"interaction"}), (lambda _: "so", {"interaction", "clarification"})):
        await open_client(parties.agent(), answer=answer).get(PERSON_URL)
        declared = parties.resource.requests[-1].header("aauth-capabilities") or ""
        assert parse_capabilities([declared]) == expected
        assert set(parties.ps.bodies[-1][1]["capabilities"]) == expected


async def test_without_anybody_who_answers_a_question_is_an_error(parties: Parties, open_client: OpenClient) -> None:
    """§11.6.2: never taken as satisfiable."""
    asking = Asking(parties, "Why?")
    with pytest.raises(UnsupportedRequirement):
        await open_client(parties.agent()).get(PERSON_URL)
    assert asking.posts == []


async def test_no_answer_withdraws_the_request(parties: Parties, open_client: OpenClient) -> None:
    """§7.5.2.3: a signed DELETE."""
    asking = Asking(parties, "Why?")
    with pytest.raises(Withdrawn):
        await open_client(parties.agent(), answer=lambda _: None).get(PERSON_URL)
    assert (asking.deleted, asking.posts) == (1, [])


async def test_an_answer_that_is_refused_is_a_typed_error(parties: Parties, open_client: OpenClient) -> None:
    """§7.5.3: rounds are limited."""
    Asking(parties, "Why?")
    parties.ps.script["/pending/q"] = [problem("invalid_request")]
    with pytest.raises(RequestRefused):
        await open_client(parties.agent(), answer=lambda _: "so").get(PERSON_URL)


async def test_a_question_of_a_resource_is_answered_there(parties: Parties, open_client: OpenClient) -> None:
    posts: list[dict[str, object]] = []

    def takes(request: Received) -> Reply:
        parties.resource.verify(request)
        posts.append(parse_json(request.body))
        return json_body({"status": "pending"})

    parties.resource.needs["/agent"] = AGENT
    parties.resource.script["/agent"] = [deferred("/pending/q", CLARIFICATION, clarification="Which?")]
    parties.resource.script["/pending/q"] = [takes, json_body({"done": 1})]
    response = await open_client(parties.agent(), answer=lambda _: "that").get("https://api.example/agent")
    assert response.json() == {"done": 1}
    assert posts == [{"action": "clarification_response", "clarification_response": "that"}]


async def test_the_terminal_shows_a_question_without_its_control_characters() -> None:
    out = io.StringIO()
    ask = TerminalAnswers(io.StringIO("for the invoice\n"), out)
    said = await ask(Question("Why\x1b[31m?\nAnd how?", "https://person.example", ("a\x07",)))
    assert said == "for the invoice"
    assert "Why [31m?" in out.getvalue() and "\x1b" not in out.getvalue() and "\x07" not in out.getvalue()
    assert await TerminalAnswers(io.StringIO("\n"), out)(Question("Why?", "x")) is None
