"""Rules are checked whole when they are loaded: unknown names, impossible levels, and what is for people alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aauthkit.person.facts import VOCABULARIES
from aauthkit.person.rules import read_rules
from aauthkit.policy import PolicyError, Shape

NAMES = {name: shape for vocabulary in VOCABULARIES.values() for name, shape in vocabulary.variables.items()}


def rule(**members: str) -> str:
    given = {"name": '"one"', "kinds": '["scope"]', "then": '"never"', **members}
    return "[[rule]]\n" + "".join(f"{name} = {value}\n" for name, value in given.items() if value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (rule(name=""), "rule 1: name"),
        (rule(then='"allow"'), "then is one of"),
        (rule(kinds='["gateway"]'), "kinds are some of"),
        (rule(kinds="[]"), "kinds are some of"),
        (rule(when="'grant.scop == []'"), "undefined field 'scop'"),
        (rule(when="'chain.size() > 1'"), "undeclared reference to 'chain'"),
        (rule(when="'mcp.tool == \"x\"'"), "undeclared reference to 'mcp"),
        (rule(kinds='["identity"]', when="'\"x\" in grant.scope'"), "at the level 'identity'"),
        (rule(when="'grant.scope'"), "gives no boolean"),
        (rule(when="'grant.scope =='"), "Syntax error"),
        (rule(kinds='["completion"]', then='"may decide"'), "for people alone"),
        (rule(kinds='["question", "relay"]', then='"may decide"'), "for people alone"),
        (rule(kinds='["mission"]', resource='"https://a.example"'), "identity and scope only"),
        (rule(kinds='["identity"]', scope='"x"'), "scope only"),
        (rule(shadow='"yes"'), "true or false"),
        (rule(whem="'true'"), "no 'whem' in a rule"),
        (rule() + rule(), "two rules have the name"),
        ("rule = 1", "tables"),
        ("[rules]", "no 'rules' here"),
        ("[[rule", "end of an array"),
    ],
)
def test_what_can_never_be_meant_fails_at_load(text: str, why: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_rules(text)
    assert why in str(caught.value)


def test_the_digest_of_a_rule_is_that_of_its_text() -> None:
    one, two = read_rules(rule()).rules[0], read_rules(rule(then='"must ask"')).rules[0]
    assert one.sha256 != two.sha256 and one.sha256 == read_rules("# x\n" + rule()).rules[0].sha256


def test_a_rule_in_shadow_says_nothing_but_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    facts = {"request": {"kind": "scope"}, "agent": {"id": "aauth:a@b.example"}, "grant": {"scope": ["x"]}, "now": 1}
    caplog.set_level("INFO")
    assert read_rules(rule(shadow="true")).ruling("scope", facts) is None
    assert "in shadow, would say never" in caplog.text
    ruling = read_rules(rule()).ruling("scope", facts)
    assert ruling is not None and ruling.level == "never"


PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()


def test_the_rules_on_the_page_can_be_set() -> None:
    book = read_rules(PAGE.partition("```toml\n")[2].partition("```")[0])
    assert [rule.then for rule in book.rules] == ["may decide", "never", "may decide"]
    paid = {"name": "Pay", "parameters": {"price": 3}}
    assert book.rules[2].speaks("permission", {"action": paid}) is True
    assert book.rules[2].speaks("permission", {"action": {**paid, "parameters": {}}}) is False


def test_the_page_names_every_field_and_no_other() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    told = {
        row[1].strip(" `"): set(re.findall(r"`([a-z0-9_]+)`", row[2])) for row in rows if row[1].strip(" `") in NAMES
    }
    assert told == {name: (set(shape.fields) if isinstance(shape, Shape) else set()) for name, shape in NAMES.items()}
