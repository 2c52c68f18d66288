"""The list of every MUST is true: against the drafts where they lie at hand, against code, tests and documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.conformance import checking, drafts, evidence
from scripts.conformance.document import document
from scripts.conformance.listing import Fault, ListError, Requirement, read_faults, read_requirements
from scripts.conformance.tracing import unrun

DRAFT = """\
Front matter, where a party MUST do nothing yet.

2.  Words

Nothing binds here, e.g. a SHOULD.  A reader MUST
read on (as in Section 3).  It ends.

2.1.  A list

A party MUST:

1.  Parse a thing
2.  Reject what is not one, which MUST NOT be kept
3.  Answer

3.  More words

*  name (REQUIRED): A string.  MUST NOT be empty.
| code | MUST stop |
"""
PASSING = "tests/unit/test_conformance.py::test_the_list_is_true"
ROW = Requirement(
    "P11-2-1", "0" * 16, "Readers read on", ("all",), "obeyed", ("protocol.jose.parse_jwk",), (PASSING,), (PASSING,)
)


def test_the_list_is_true() -> None:
    """What `python -m scripts.conformance check` says of code, tests and documents, which is nothing."""
    assert checking.own_findings() == []


def test_the_list_is_that_of_the_drafts(spec_dir: Path) -> None:
    """And of the drafts: each obliging sentence by its hash, and each fault by its identifier."""
    assert checking.drafts_findings(spec_dir) == []


def test_nothing_of_ours_is_unproved() -> None:
    rows, allowed = read_requirements()
    assert not allowed
    assert {row.status for row in rows} == {"obeyed", "not-built", "not-ours"}


def test_a_sentence_is_found_in_its_section_by_its_words() -> None:
    found = drafts.sentences("P11", DRAFT)
    assert [(one.id, one.text) for one in found if not one.step] == [
        ("P11-2-1", "A reader MUST read on (as in Section 3)."),
        ("P11-2.1-1", "A party MUST:"),
        ("P11-2.1-2", "Reject what is not one, which MUST NOT be kept"),
        ("P11-3-1", "*  name (REQUIRED): A string."),
        ("P11-3-2", "MUST NOT be empty."),
        ("P11-3-3", "| code | MUST stop |"),
    ]


def test_the_steps_under_an_obligation_are_obligations() -> None:
    found = drafts.sentences("P11", DRAFT)
    assert [(one.id, one.text) for one in found if one.step] == [
        ("P11-2.1-1.1", "1.  Parse a thing"),
        ("P11-2.1-1.3", "3.  Answer"),
    ]


def test_a_hash_is_of_words_and_not_of_their_lines() -> None:
    assert drafts.sentence_hash("A reader MUST\n   read on.") == drafts.sentence_hash("A reader MUST read on.")
    assert drafts.sentence_hash("the revoca- tion") == drafts.sentence_hash("the revoca-tion")
    assert drafts.sentence_hash("A reader MUST read on.") != drafts.sentence_hash("A reader MUST NOT read on.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hash": "1" * 16}, "has changed"),
        ({"id": "P11-9-9"}, "the draft does not"),
    ],
)
def test_a_list_that_differs_from_its_draft_is_told_both_ways(change: dict[str, str], said: str) -> None:
    rows = [
        Requirement(one.id, one.hash, "Words", ("all",), "obeyed", ROW.code, ROW.positive, ROW.negative)
        for one in drafts.sentences("P11", DRAFT)
    ]
    assert list(checking.against_drafts(rows, drafts.sentences("P11", DRAFT))) == []
    rows[0] = replace(rows[0], **change)
    found = list(checking.against_drafts(rows, drafts.sentences("P11", DRAFT)))
    assert any(said in line for line in found)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (replace(ROW, code=("protocol.jose.no_such_thing",)), "no function"),
        (replace(ROW, code=("no.such.room",)), "no function"),
        (replace(ROW, positive=("tests/unit/test_conformance.py::test_gone",)), "no test"),
        (replace(ROW, negative=()), "a positive and a negative test"),
        (replace(ROW, positive=()), "a positive and a negative test"),
        (replace(ROW, status="unproved"), "not among those that may be"),
    ],
)
def test_a_rule_without_its_function_or_a_test_is_told(row: Requirement, said: str) -> None:
    assert list(checking.against_code([ROW], frozenset())) == []
    assert any(said in line for line in checking.against_code([row], frozenset()))


def test_the_list_of_what_is_unproved_only_shrinks() -> None:
    unproved = replace(ROW, status="unproved", negative=())
    assert list(checking.against_code([unproved], frozenset({ROW.id}))) == []
    assert any("only shrinks" in line for line in checking.against_code([ROW], frozenset({ROW.id})))


@pytest.mark.parametrize(
    "row",
    [
        'status = "done"',
        'status = "not-built"',
        'status = "not-ours"\nreason = "x"\ncode = ["protocol.jose.parse_jwk"]',
        'status = "obeyed"\nreason = "x"\ncode = ["protocol.jose.parse_jwk"]',
        'status = "obeyed"',
        'status = "obeyed"\ncolour = "red"',
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "requirements.toml"
    path.write_text(f'[[requirement]]\nid = "P11-2-1"\nhash = "0"\nrule = "x"\nroles = ["all"]\n{row}\n', "utf-8")
    with pytest.raises(ListError):
        read_requirements(path)


def test_a_rule_whose_tests_run_none_of_its_functions_is_told() -> None:
    called = {PASSING: {"protocol.jose.parse_jwk", "protocol.jose.PublicKey.verify"}}
    assert unrun([ROW], called) == []
    assert unrun([replace(ROW, code=("protocol.jose.parse_jws", "protocol.jose.parse_jwk"))], called) == []
    assert unrun([replace(ROW, code=("protocol.jose.KeyRejected",))], called) == []
    elsewhere = unrun([replace(ROW, code=("protocol.jose.parse_jws",))], called)
    assert [line.partition(" tests")[0] for line in elsewhere] == ["P11-2-1: its positive", "P11-2-1: its negative"]
    assert len(unrun([ROW], {})) == 2


def test_a_fault_needs_a_test_that_carries_it() -> None:
    assert list(checking.against_faults([Fault("F01", "x", (), "later")])) == []
    assert list(checking.against_faults([Fault("F01", "x")])) == ["F01: no test carries it"]
    assert any("does not carry" in line for line in checking.against_faults([Fault("F01", "x", (PASSING,))]))
    assert any("no test" in line for line in checking.against_faults([Fault("F01", "x", ("tests/x.py::test_x",))]))


def test_a_list_of_faults_that_differs_is_told_both_ways() -> None:
    ours, theirs = [Fault("F01", "x"), Fault("F93", "x")], "| F01 | a | b |\n| F02 | a | b |\n"
    assert list(checking.against_fault_list(ours, theirs)) == [
        "F02: not in conformance/faults.toml",
        "F93: in conformance/faults.toml alone",
    ]


def test_the_document_counts_and_names_everything() -> None:
    rows, _ = read_requirements()
    text = document(rows, read_faults())
    assert all(f"| {row.id} |" in text for row in rows)
    assert "| sentences and steps |" in text
    assert text == document(rows, read_faults())


def test_the_security_page_names_tests() -> None:
    """docs/security.md: each threat with a test that shows what stops it, and every one of them is there."""
    named = evidence.named_in(evidence.SECURITY)
    assert len(named) >= 40
    assert named <= evidence.known_names()
