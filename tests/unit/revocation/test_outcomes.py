"""Outcomes as entries of a server's own report (draft-11 §11.12.3)."""

from __future__ import annotations

import json

import pytest

from aauthkit.protocol.messages import json_answer
from aauthkit.revocation import Downstream, Outcome
from aauthkit.revocation.outcomes import MAX_DOWNSTREAM, MalformedReport, finished, read_report

API = "https://api.example"


def test_an_outcome_is_an_entry_and_its_error_stands_only_where_it_was_not_recorded() -> None:
    assert Outcome(API, "recorded").entry == Downstream(API)
    assert Outcome(API, "revocation_unavailable", "it answered 500").entry.document() == {
        "recipient": API,
        "error": "revocation_unavailable",
    }


def test_a_report_that_was_written_is_read_as_it_was() -> None:
    entries = (Downstream(API), Downstream(API, "revocation_unsupported"))
    assert read_report(finished(entries)) == entries
    assert read_report(finished()) == ()


def test_a_report_without_end_is_refused() -> None:
    entries = [{"recipient": API}] * (MAX_DOWNSTREAM + 1)
    assert len(json.dumps(entries)) < 256 * 1024
    with pytest.raises(MalformedReport, match="too long"):
        read_report(json_answer(200, {"downstream": entries}))
    assert len(read_report(json_answer(200, {"downstream": entries[1:]}))) == MAX_DOWNSTREAM
