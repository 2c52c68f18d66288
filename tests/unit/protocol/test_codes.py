"""Interaction codes: Crockford's alphabet, 40 bits, hyphens that mean nothing, letters that are read as digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.identifiers import CODE_SYMBOLS, CROCKFORD, fold_code, new_code, same_code


def test_the_alphabet_is_crockford_s() -> None:
    """draft-11 §11.6.3.1."""
    assert CROCKFORD == "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert len(set(CROCKFORD)) == 32
    assert not set("ILOU") & set(CROCKFORD)


def test_f60_a_code_carries_40_bits_of_the_source_given() -> None:
    """F60; draft-11 §11.6.3.1: at least 8 symbols, each drawn on its own."""
    assert CODE_SYMBOLS * 5 >= 40
    drawn = iter("A1B2C3D4")
    asked: list[str] = []

    def choose(alphabet: str) -> str:
        asked.append(alphabet)
        return next(drawn)

    assert new_code(choose) == "A1B2-C3D4"
    assert asked == [CROCKFORD] * 8


@pytest.mark.parametrize("index", range(32))
def test_every_symbol_survives_folding_and_a_url(index: int) -> None:
    code = new_code(lambda alphabet: alphabet[index])
    assert fold_code(code) == CROCKFORD[index] * 8
    assert code.replace("-", "").isalnum()
    assert code.isascii()


SAME = ["A1B2-C3D4", "a1b2-c3d4", "A1B2C3D4", "a1b2c3d4", "A-1-B-2-C-3-D-4", "-A1B2-C3D4-", "AiB2C3D4", "ALb2-c3d4"]
OTHERS = ["", "-", "A1B2", "A1B2-C3D", "A1B2-C3D5", "A1B2-C3D4X", "A1B2 C3D4", "A1B2_C3D4", "D4C3-B2A1", "U1B2C3D4"]


@pytest.mark.parametrize("typed", SAME)
def test_a_code_is_the_same_in_any_case_with_any_hyphens_and_its_aliases(typed: str) -> None:
    """draft-11 §11.6.3.1: hyphens stripped, case folded, I and L are 1, O is 0."""
    assert same_code(typed, "A1B2-C3D4")
    assert same_code("A1B2-C3D4", typed)


def test_the_letter_o_is_a_zero() -> None:
    assert same_code("oO0o-0OoO", "0000-0000")


@pytest.mark.parametrize("typed", OTHERS)
def test_any_other_code_is_another(typed: str) -> None:
    assert not same_code(typed, "A1B2-C3D4")


def test_a_code_is_folded_within_a_bound() -> None:
    assert len(fold_code("A" * 10_000)) == 64
    assert not same_code("A1B2-C3D4" + "-" * 60 + "junk", "A1B2-C3D4")


@pytest.mark.parametrize("typed", ["\u0131", "\uff11", "\u017f", "\ufb01", "\u0661"])
def test_no_letter_or_digit_of_another_script_is_folded_to_one_of_ours(typed: str) -> None:
    assert fold_code(typed) == typed


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts_can_be_compared(left: str, right: str) -> None:
    assert same_code(left, left)
    assert same_code(left, right) == (fold_code(left) == fold_code(right))


def test_a_text_that_cannot_be_encoded_is_compared_as_well() -> None:
    assert not same_code("\ud800", "A1B2-C3D4")
