"""One text of SQL for both engines."""

from __future__ import annotations

import pytest

from aauthkit.store import StoreError
from aauthkit.store.statements import parse


def test_a_name_gets_one_number_wherever_it_stands() -> None:
    statement = parse("SELECT id FROM t WHERE a = :one AND b = :two AND c = :one")
    assert statement.numbered == "SELECT id FROM t WHERE a = $1 AND b = $2 AND c = $1"
    assert statement.names == ("one", "two")


@pytest.mark.parametrize(
    "untouched",
    [
        "SELECT ':a'",
        "SELECT 'it''s :a'",
        'SELECT ":a" FROM t',
        "SELECT id::text FROM t",
        "SELECT 1 -- :a and it's :b\n",
        "SELECT 1 /* :a ' */",
        "SELECT a[1:2] FROM t",
    ],
)
def test_quoted_text_casts_and_comments_are_left_alone(untouched: str) -> None:
    statement = parse(untouched)
    assert statement.numbered == untouched
    assert statement.names == ()


def test_a_parameter_after_quoted_text_or_with_a_cast_is_still_one() -> None:
    assert parse("SELECT ':a', :a::text, \":b\", :b").numbered == "SELECT ':a', $1::text, \":b\", $2"


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1 AS one", True),
        ("  select 'DELETE' AS word", True),
        ("/* INSERT */ SELECT replace(a, 'x', 'y') AS b FROM t", True),
        ("WITH a AS (SELECT 1 AS one) SELECT one FROM a", True),
        ("WITH a AS (DELETE FROM t RETURNING id) SELECT id FROM a", False),
        ("WITH a AS (SELECT 1 AS one) INSERT INTO t SELECT one FROM a", False),
        ("SELECT id FROM t FOR UPDATE", False),
        ("INSERT INTO t (id) VALUES (1) RETURNING id", False),
        ("CREATE TABLE t (id TEXT)", False),
    ],
)
def test_only_what_certainly_changes_nothing_counts_as_reading(sql: str, reads: bool) -> None:
    assert parse(sql).reads is reads


def test_a_statement_is_read_once() -> None:
    assert parse("SELECT :a AS a FROM t") is parse("SELECT :a AS a FROM t")


@pytest.mark.parametrize("sql", ["SELECT 1; DELETE FROM t", "SELECT 1;;"])
def test_two_statements_in_one_text_are_refused(sql: str) -> None:
    with pytest.raises(StoreError, match="one statement"):
        parse(sql)


def test_a_semicolon_at_the_end_or_in_quotes_is_no_second_statement() -> None:
    assert parse("SELECT ';' AS a;").reads


@pytest.mark.parametrize("sql", ["BEGIN", "commit", " ROLLBACK", "SAVEPOINT a", "/* */ END"])
def test_a_transaction_is_not_controlled_by_hand(sql: str) -> None:
    with pytest.raises(StoreError, match=r"transaction\(\)"):
        parse(sql)


@pytest.mark.parametrize("params", [{}, {"a": 1, "b": 2}, {"A": 1}])
def test_parameters_missing_or_misspelt_or_too_many_are_refused(params: dict[str, int]) -> None:
    with pytest.raises(StoreError, match=r"names \['a'\]"):
        parse("SELECT id FROM t WHERE id = :a").admit(params)


@pytest.mark.parametrize("value", [1.5, b"bytes", ["list"], 2**63, -(2**63) - 1, "nul\0", "\ud800"])
def test_a_value_that_one_engine_would_refuse_or_misread_is_refused_unseen(value: object) -> None:
    with pytest.raises(StoreError, match=":secret") as refusal:
        parse("SELECT id FROM t WHERE id = :secret").admit({"secret": value})
    assert str(value) not in str(refusal.value)


@pytest.mark.parametrize("value", ["", "ünïcode ☃ 𝄞", 0, True, 2**63 - 1, -(2**63), None])
def test_texts_numbers_of_64_bits_and_null_are_values(value: object) -> None:
    parse("SELECT id FROM t WHERE id = :value").admit({"value": value})
