"""The vector pack, explained: no request in it is explained wrongly, and few that bytes decide are not explained."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aauthkit.explaining import Explanation, explain, read_capture
from aauthkit.explaining.belief import Belief
from aauthkit.protocol.problems import SIGNATURE_ERRORS
from tests.plugins.machine import PROJECT

FILES = sorted((PROJECT / "vectors").glob("*.json"))
OTHERS_DECIDE = {
    "unknown_key",
    "issuer_missing",
    "issuer_mismatch",
    "revoked_jwt",
    "invalid_key",
    "unsupported_algorithm",
    "invalid_jwt",
    "invalid_signature",
}
"""Codes that also stand for what bytes do not show: published keys, trust, revocations, a replay."""


def vectors(kind: str) -> list[dict[str, Any]]:
    found = [json.loads(file.read_text()) for file in FILES]
    return [
        each for pack in found if isinstance(pack, dict) for each in pack.get("vectors", ()) if each["kind"] == kind
    ]


REQUESTS = vectors("request")


def explained(vector: dict[str, Any]) -> Explanation:
    given, server = vector["input"], vector["input"]["server"]
    captured = read_capture(json.dumps(vector).encode())
    belief = Belief(
        scheme="https",
        authority=server["identifier"].removeprefix("https://"),
        target=captured.target,
        identifier=server["identifier"],
        now=given["time"],
        window=server["window"],
        schemes=tuple(server["schemes"]),
        token_types=frozenset(server["token_types"]),
        components=tuple(server["components"]),
        body=server["body"],
        query=server["query"],
    )
    return explain(captured, belief, budget=40)


@pytest.mark.skipif(not REQUESTS, reason="the vector pack is not in the tree")
def test_a_certain_cause_is_never_a_wrong_one_and_few_are_missed() -> None:
    wrong: list[str] = []
    missed: list[str] = []
    for vector in REQUESTS:
        expected, explanation = vector["expected"], explained(vector)
        code = expected["error"]["code"] if "error" in expected else None
        code = code if code in SIGNATURE_ERRORS else None  # a requirement answers a good signature
        main = explanation.main
        if code is None:
            if main is not None and main.name != "digest":  # whether the body is compared is a step of its own
                wrong.append(f"{vector['id']}: in order, explained as {main.name}")
        elif main is not None and main.code != code:
            wrong.append(f"{vector['id']}: {code}, explained as {main.name} ({main.code})")
        elif main is None:
            missed.append(vector["id"])
            if code not in OTHERS_DECIDE:
                wrong.append(f"{vector['id']}: {code}, not explained")
    assert not wrong
    assert len(missed) <= len(REQUESTS) // 8
