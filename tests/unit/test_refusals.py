"""What servers note of refused signatures: why, under an id that the caller has too, at a bounded cost (F87)."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from aauthkit.protocol.messages import Answer
from aauthkit.protocol.problems import CORRELATION, Problem, SignatureFailure
from aauthkit.refusals import Refusals
from aauthkit.serving import BytesBody, Request, Route, Routes
from aauthkit.verification import Accepts
from tests.plugins.signing import NOW, new_key, sign, with_header, with_target
from tests.plugins.verifying import ACCEPTS, API, World

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

LOG = "aauthkit.refusals"


class Tick:
    """A clock that moves when it is told to, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def notes(**settings: Any) -> tuple[Refusals, Tick]:
    clock = Tick()
    return Refusals(clock=clock, random_bytes=lambda length: bytes(range(length)), **settings), clock


async def refusal(world: World, request: Request, accepts: Accepts = ACCEPTS) -> SignatureFailure:
    with pytest.raises(SignatureFailure) as caught:
        await world.verify(request, accepts)
    return caught.value


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOG]


async def test_the_log_and_the_answer_have_one_id_and_the_log_has_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    failure = await refusal(world, with_target(world.agent().sign("GET", f"{API}/api/orders"), "/orders"))
    recording, _ = notes()
    recording.note(failure)
    answer = failure.answer()
    assert answer.header(CORRELATION) == "00010203-0405-4607-8809-0a0b0c0d0e0f"
    assert json.loads(answer.body)["instance"] == f"urn:uuid:{answer.header(CORRELATION)}"
    (line,) = told(caplog)
    assert line.startswith(f"refused {answer.header(CORRELATION)}: invalid_signature (GET {API}/orders): ")
    assert "path.prefix (certain): @path was signed as /api/orders; the server saw /orders -> Tell the server" in line


async def test_a_refusal_is_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    failure = SignatureFailure("invalid_signature", "the body does not match Content-Digest")
    recording, _ = notes()
    recording.note(failure)
    recording.note(failure)
    assert len(told(caplog)) == 1
    assert "digest (certain)" in told(caplog)[0]


async def test_an_unsigned_request_and_other_refusals_are_not_noted(caplog: pytest.LogCaptureFixture) -> None:
    recording, _ = notes()
    recording.note(await refusal(World(), Request("GET", "/orders", (("host", "api.example"),))))
    recording.note(Problem("not_found"))
    assert not told(caplog)
    assert CORRELATION not in dict((await refusal(World(), Request("GET", "/orders", ()))).answer().headers)


async def test_the_whole_text_is_there_for_debugging_and_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """F87."""
    caplog.set_level(logging.DEBUG, LOG)
    world = World()
    session = ("authorization", "AAuth c2Vzc2lvbi10b2tlbi1vZi1hLXBlcnNvbg")
    signed = world.grant().sign("GET", f"{API}/api/orders?code=WXYZ-9876", headers=[session])
    recording, _ = notes()
    recording.note(await refusal(world, with_target(signed, "/orders?code=WXYZ-9876")))
    brief, whole = sorted(told(caplog), key=len)
    assert '"@path"' in whole and "← as it was signed" in whole
    token = re.search(r'jwt="([^"]+)"', dict(signed.headers)["signature-key"])
    assert token is not None
    for secret in (token[1], *(part[:24] for part in token[1].split(".")), session[1][6:22], "WXYZ-9876"):
        assert secret not in brief + whole


# Trust, revocation, replay: what bytes do not show is the verifier's own word


async def test_what_bytes_do_not_show_is_told_as_the_verifier_said_it(caplog: pytest.LogCaptureFixture) -> None:
    recording, _ = notes()
    revoked = World(is_revoked=lambda _iss, _jti: True)
    recording.note(await refusal(revoked, revoked.agent().sign("GET", f"{API}/a")))
    world = World()
    again = world.agent().sign("POST", f"{API}/a")
    await world.verify(again)
    recording.note(await refusal(world, again))
    first, second = told(caplog)
    assert "revoked (certain): the token was revoked by its issuer -> Begin anew" in first
    assert "replayed (certain): this very request was received before -> Sign every request anew" in second


async def test_a_key_that_had_to_be_fetched_is_the_one_that_candidates_are_verified_under(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from tests.plugins.signing import Signer

    world = World()
    accepts = Accepts(("jwks_uri",), dwks=frozenset({"aauth-person.json"}))
    signer = Signer.server(world.person_server, "aauth-person.json")
    failure = await refusal(world, with_target(signer.sign("GET", f"{API}/revoke/"), "/revoke"), accepts)
    recording, _ = notes()
    recording.note(failure)
    assert "path.normalised (certain)" in told(caplog)[0]


# Bounds


async def test_searches_are_few_a_second_and_the_rest_is_told_without_one(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    signature_key = world.agent().signature_key
    recording, clock = notes(searches=2, explanations=20)
    failures = [await refusal(world, sign("GET", f"{API}/{n}", new_key(), signature_key)) for n in range(6)]
    for failure in failures[:4]:
        recording.note(failure)
    assert ["not looked into" in line for line in told(caplog)] == [False, False, True, True]
    clock.now += 0.5
    for failure in failures[4:]:
        recording.note(failure)
    assert ["not looked into" in line for line in told(caplog)[4:]] == [False, True]
    assert all(failure.correlation for failure in failures)


async def test_explanations_of_any_kind_are_bounded_too(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    late = world.agent().sign("GET", f"{API}/a", now=NOW - 600)
    recording, _ = notes(explanations=3)
    for _ in range(5):
        recording.note(await refusal(world, late))
    assert ["not looked into" in line for line in told(caplog)] == [False, False, False, True, True]
    assert "clock.behind (certain)" in told(caplog)[0]


async def test_where_nobody_listens_nothing_is_worked_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, LOG)
    world = World()
    recording, _ = notes(searches=0, explanations=0)
    failure = await refusal(world, sign("GET", f"{API}/a", new_key(), world.agent().signature_key))
    recording.note(failure)
    assert failure.correlation is not None and not told(caplog)


# Tables of paths


async def test_a_table_of_paths_notes_what_its_handlers_refuse(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    async def serve(request: Request) -> Answer:
        await world.verify(request)
        return Answer(200)

    routes = Routes(Route("GET", "/orders", serve))
    answer = await routes.answer(with_target(world.agent().sign("GET", f"{API}/orders/"), "/orders"))
    (line,) = told(caplog)
    assert answer.status == 401 and str(answer.header(CORRELATION)) in line
    assert "path.normalised" in line


async def test_f87_a_fault_has_an_id_in_the_log_and_in_the_answer_and_nothing_else_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F87."""

    async def fail(_request: Request) -> Answer:
        raise RuntimeError("the database password is 1234")

    answer = await Routes(Route("GET", "/a", fail)).answer(Request("GET", "/a", (), BytesBody()))
    assert answer.status == 500 and b"1234" not in answer.body
    correlation = json.loads(answer.body)["instance"].removeprefix("urn:uuid:")
    assert any(correlation in record.getMessage() for record in caplog.records)


async def test_a_line_break_in_a_field_makes_no_second_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    request = with_header(world.agent().sign("GET", f"{API}/a"), "signature", "sig=:AA\x0bAA:\nfaked entry")
    recording, _ = notes()
    recording.note(await refusal(world, request))
    assert all("\n" not in line for line in told(caplog))
