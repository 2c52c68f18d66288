"""Every captured request is explained as what is wrong with it, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aauthkit.explaining import Explanation, belief_of, explain, read_capture, signer_base, tell
from aauthkit.protocol.jose import parse_jwk

FOLDER = Path(__file__).parent / "captured"
CASES: dict[str, dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text())


def explained(name: str, **settings: Any) -> Explanation:
    case = CASES[name]
    captured = read_capture((FOLDER / name).read_bytes())
    base = case.get("signer_base")
    keys = [parse_jwk({"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": x}) for x in case.get("keys", ())]
    return explain(
        captured,
        belief_of(captured, **case["believes"]),
        signer_base=signer_base((FOLDER / base).read_bytes()) if base else None,
        keys=keys,
        **settings,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_captured_request_is_explained_as_what_is_wrong_with_it(name: str) -> None:
    explanation = explained(name)
    assert [each.name for each in explanation.causes] == CASES[name]["causes"]
    assert all(each.certain is CASES[name]["certain"] for each in explanation.causes)
    assert explanation.verdict is (CASES[name].get("verdict", not CASES[name]["causes"]))
    assert CASES[name].get("says", "").lower() in tell(explanation).lower()
