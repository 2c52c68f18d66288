"""The one table of wire errors, the answers and the document made of it (draft-11 §11.9, Signature-Keys §5)."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from aauthkit.protocol.headers import parse_accepted, parse_signature_error
from aauthkit.protocol.messages import Answer, Refusal
from aauthkit.protocol.problems import (
    ERRORS,
    PROBLEMS,
    SIGNATURE_ERRORS,
    ErrorCode,
    Problem,
    ProblemCode,
    SignatureCode,
    SignatureFailure,
    WireError,
)
from scripts.errors import TARGET, render

SIGNATURE_ONLY = ("signature-error", "accept-signature-scheme", "accept-signature-alg")

# What the drafts' own tables say; a house code stands below.
DRAFT_SIGNATURE = {
    "unsupported_algorithm",
    "unsupported_scheme",
    "invalid_signature",
    "invalid_input",
    "invalid_request",
    "invalid_key",
    "unknown_key",
    "issuer_missing",
    "issuer_mismatch",
    "invalid_jwt",
    "expired_jwt",
    "revoked_jwt",
    "clock_skew",
}
DRAFT_BODY = {
    "invalid_request": 400,
    "invalid_scope": 400,
    "invalid_account": 400,
    "invalid_resource_token": 400,
    "expired_resource_token": 400,
    "revoked_resource_token": 400,
    "invalid_presented_token": 400,
    "expired_presented_token": 400,
    "revoked_presented_token": 400,
    "clock_skew": 400,
    "user_unreachable": 403,
    "denied": 403,
    "abandoned": 403,
    "expired": 408,
    "revoked": 403,
    "invalid_code": 410,
    "slow_down": 429,
    "unsupported_iss": 403,
    "rate_limited": 429,
    "server_error": 500,
}


def body_of(answer: Answer) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.body)
    return body


def answers() -> list[Answer]:
    """One answer of every row, with everything a caller may add to it."""
    return [
        *(SignatureFailure(code, "detail").answer() for code in get_args(SignatureCode)),
        *(Problem(code, "detail", retry_after=3).answer() for code in get_args(ProblemCode)),
    ]


# The table


def test_every_row_has_a_status_a_meaning_and_a_section() -> None:
    for row in ERRORS:
        assert 400 <= row.status < 600
        assert row.meaning.endswith(".")
        assert row.section
        assert "|" not in row.meaning + row.section
        assert row.name == row.name.lower()


def test_no_code_stands_twice_in_one_place() -> None:
    places = [(row.where, row.name) for row in ERRORS]
    assert len(set(places)) == len(places) == len(SIGNATURE_ERRORS) + len(PROBLEMS)


def test_every_code_of_signature_keys_that_a_verifier_here_can_meet_is_served() -> None:
    """Signature-Keys §5.4; `cache_miss` belongs to a scheme that is not served."""
    assert set(SIGNATURE_ERRORS) == DRAFT_SIGNATURE


def test_every_code_of_the_draft_has_the_draft_s_status() -> None:
    """draft-11 §6.6.3, §11.9.3, §11.9.4, §11.12.3."""
    assert {name: PROBLEMS[name].status for name in DRAFT_BODY} == DRAFT_BODY


@pytest.mark.parametrize("row", [row for row in ERRORS if row.where == "signature"], ids=lambda row: row.name)
def test_every_failure_of_a_signature_is_401(row: ErrorCode) -> None:
    """draft-11 §11.3.4: where Signature-Keys would say 400."""
    assert row.status == 401


# Signature-Error


@pytest.mark.parametrize("code", get_args(SignatureCode))
def test_f14_a_signature_failure_says_so_in_its_header_and_repeats_it_in_its_body(code: SignatureCode) -> None:
    """F14, F15; Signature-Keys §5.1, §5.2."""
    answer = SignatureFailure(code, "why").answer()
    assert answer.status == 401
    read = parse_signature_error(answer.values("signature-error"))
    assert read is not None
    assert read.error == code
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("cache-control") == "no-store"
    body = body_of(answer)
    assert body == {
        "type": f"urn:ietf:params:sig-error:{code}",
        "title": SIGNATURE_ERRORS[code].meaning,
        "status": 401,
        "error": code,
        "detail": "why",
    }


def test_what_is_missing_is_listed_in_the_header() -> None:
    """Signature-Keys §5.4.5: an Inner List of Strings."""
    names = ("@method", "@authority", "@path", "signature-key", "content-digest")
    answer = SignatureFailure("invalid_input", required_input=names).answer()
    [value] = answer.values("signature-error")
    assert value == (
        'error=invalid_input, required_input=("@method" "@authority" "@path" "signature-key" "content-digest")'
    )
    read = parse_signature_error([value])
    assert read is not None
    assert read.required_input == names


def test_what_would_be_accepted_is_listed_beside_the_error() -> None:
    """Signature-Keys §4: Lists of Tokens, in the order given."""
    answer = SignatureFailure(
        "unsupported_scheme", accept_schemes=("jwt", "jkt-jwt"), accept_algs=("Ed25519", "ES256")
    ).answer()
    assert answer.header("accept-signature-scheme") == "jwt, jkt-jwt"
    assert answer.header("accept-signature-alg") == "Ed25519, ES256"
    assert parse_accepted(answer.values("accept-signature-scheme")) == ("jwt", "jkt-jwt")
    plain = SignatureFailure("unsupported_scheme").answer()
    assert not {name for name, _ in plain.headers} & set(SIGNATURE_ONLY[1:])


def test_a_failure_may_carry_more_headers() -> None:
    answer = SignatureFailure("unknown_key", headers=[("retry-after", "30")]).answer()
    assert answer.header("retry-after") == "30"


# Problem bodies


@pytest.mark.parametrize("code", get_args(ProblemCode))
def test_f15_a_problem_has_its_error_at_the_top_level(code: ProblemCode) -> None:
    """F15; draft-11 §11.9.2."""
    answer = Problem(code, "why").answer()
    row = PROBLEMS[code]
    assert answer.status == row.status
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("cache-control") == "no-store"
    assert body_of(answer) == {"title": row.meaning, "status": row.status, "error": code, "detail": "why"}


def test_no_403_and_no_problem_carries_a_header_of_signatures() -> None:
    """Signature-Keys §5.3, draft-11 §11.3.4: the signature verified."""
    for answer in answers():
        found = {name for name, _ in answer.headers} & set(SIGNATURE_ONLY)
        assert ("signature-error" in found) is (answer.status == 401)
        if answer.status != 401:
            assert not found
            assert "type" not in body_of(answer)


def test_no_answer_is_kept_by_a_cache_and_every_body_is_a_problem() -> None:
    for answer in answers():
        assert answer.header("cache-control") == "no-store"
        assert answer.values("content-type") == ["application/problem+json"]
        assert body_of(answer)["status"] == answer.status


def test_a_detail_that_is_not_given_is_not_there() -> None:
    for error in (SignatureFailure("invalid_key"), Problem("denied")):
        assert "detail" not in body_of(error.answer())


def test_retry_after_and_a_status_of_its_own() -> None:
    """draft-11 §11.8.4: a fault that passes is 503 with Retry-After."""
    answer = Problem("server_error", status=503, retry_after=7, headers=[("allow", "GET")]).answer()
    assert (answer.status, answer.header("retry-after"), answer.header("allow")) == (503, "7", "GET")
    assert body_of(answer)["status"] == 503
    assert Problem("slow_down").answer().header("retry-after") is None
    assert Problem("slow_down", retry_after=0).answer().header("retry-after") == "0"


def test_whoever_is_limited_is_told_how_long_to_wait() -> None:
    """draft-11 §11.12.3: Retry-After is required there."""
    assert Problem("rate_limited").answer().header("retry-after") == "60"
    assert Problem("rate_limited", retry_after=5).answer().header("retry-after") == "5"


def test_a_detail_outside_ascii_is_written_as_it_is() -> None:
    answer = Problem("denied", 'Zoë said "no"').answer()
    assert body_of(answer)["detail"] == 'Zoë said "no"'
    assert "Zoë".encode() in answer.body


def test_every_wire_error_is_a_refusal_that_can_be_raised() -> None:
    for error in (SignatureFailure("invalid_jwt", "why"), Problem("gone", "why")):
        with pytest.raises(Refusal) as raised:
            raise error
        assert isinstance(raised.value, WireError)
        assert str(raised.value).endswith(": why")
        assert raised.value.code in str(raised.value)
        assert raised.value.status == raised.value.answer().status


def test_an_unknown_code_cannot_be_answered() -> None:
    with pytest.raises(KeyError):
        Problem("no_such_code")  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        SignatureFailure("cache_miss")  # type: ignore[arg-type]


# The document


def test_f92_the_document_is_what_the_table_makes() -> None:
    """F92: `docs/errors.md` is made by `scripts/errors.py`."""
    assert TARGET.read_text(encoding="utf-8") == render()


def test_f92_the_document_names_every_code_with_its_status() -> None:
    """F92."""
    lines = render().splitlines()
    for row in ERRORS:
        assert sum(line.startswith(f"| `{row.name}` | {row.status} |") for line in lines) >= 1
    assert sum(line.startswith("| `") for line in lines) == len(ERRORS)
