"""From a sentence to a plan, without any of the programs: what is read, what is offered, what is bought."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.demo.supply_chain.market import ITEMS, SUPPLIERS, WEEKS, Market, Offer
from aauthkit.demo.supply_chain.planning import Plan, Purchase, plan
from aauthkit.demo.supply_chain.reading import MAX_PROMPT, Line, NotUnderstood, Order, read_prompt


@pytest.mark.parametrize(
    ("prompt", "order"),
    [
        ("200 laptops within 3 weeks", Order((Line("laptop", 200),), 21)),
        (
            "We need 40 monitors, 2 docks and 1 chair in 10 days.",
            Order((Line("monitor", 40), Line("dock", 2), Line("chair", 1)), 10),
        ),
        ("1'500 keyboards", Order((Line("keyboard", 1500),))),
        ("5 laptops and then 5 Laptops more, in 1 month", Order((Line("laptop", 10),), 30)),
        ("3 boss chairs", Order((Line("boss", 3),))),
        ("10 ÖFEN", Order((Line("öfen", 10),))),
        ("0 laptops, 2 docks", Order((Line("dock", 2),))),
    ],
)
def test_a_sentence_is_numbers_and_what_they_count(prompt: str, order: Order) -> None:
    """F84: every number is of something in the order, or of the days until it must be there."""
    assert read_prompt(prompt) == order


@pytest.mark.parametrize(
    "prompt", ["", "hello", "laptops", "within 3 weeks", "0 laptops", "12", "x" * (MAX_PROMPT + 1)]
)
def test_a_sentence_without_an_order_says_how_one_is_said(prompt: str) -> None:
    with pytest.raises(NotUnderstood, match=r"(?i)say"):
        read_prompt(prompt)


@pytest.mark.parametrize("prompt", ["100001 docks", "1 a, 1 bb, 1 cc, 1 dd, 1 ee, 1 ff, 1 gg"])
def test_an_order_is_bounded(prompt: str) -> None:
    with pytest.raises(NotUnderstood, match="too much"):
        read_prompt(prompt)


@given(st.text(max_size=500))
def test_any_text_is_an_order_or_not_understood(prompt: str) -> None:
    try:
        order = read_prompt(prompt)
    except NotUnderstood:
        return
    assert all(line.quantity > 0 for line in order.lines)


def test_the_data_set_follows_from_its_seed_alone() -> None:
    """The figures are the same on every machine and with every Python."""
    assert Market("spring").offers("laptop")[0] == Offer("Alder & Sons", cents=109740, available=109, days=7)
    assert Market("spring").offers("laptop") == Market("spring").offers("laptop") != Market("autumn").offers("laptop")
    for item in ITEMS:
        assert [offer.supplier for offer in Market().offers(item)] == list(SUPPLIERS)
        assert all(offer.cents > 0 and offer.available > 0 and offer.days > 0 for offer in Market().offers(item))
        assert len(Market().weekly(item)) == WEEKS


A = Offer("A", cents=100, available=10, days=30)
B = Offer("B", cents=200, available=10, days=5)
C = Offer("C", cents=300, available=10, days=5)


def test_the_cheapest_that_are_in_time_are_bought_first() -> None:
    made = plan(Order((Line("dock", 15),), 10), {"dock": [C, A, B]})
    assert made == Plan(
        (Purchase("dock", "B", 10, 200, 5), Purchase("dock", "C", 5, 300, 5)),
        total_cents=3500,
        usual_cents=3000,
        days=5,
    )
    assert made.saved_cents == -500


def test_without_a_date_everybody_is_in_time() -> None:
    made = plan(Order((Line("dock", 15),)), {"dock": [A, B, C]})
    assert (made.total_cents, made.saved_cents, made.days) == (2000, 1000, 30)


def test_what_nobody_has_in_time_is_missing_and_costs_nothing() -> None:
    made = plan(Order((Line("dock", 25),), 10), {"dock": [A, B, C]})
    assert made.missing == (Line("dock", 5),)
    assert (made.total_cents, made.usual_cents) == (5000, 4000)
    assert plan(Order((Line("dock", 5),), 1), {"dock": [A, B, C]}) == Plan((), 0, 0, 0, (Line("dock", 5),))


@given(st.integers(1, 400), st.integers(1, 40), st.randoms(use_true_random=False))
def test_no_other_choice_of_single_pieces_is_cheaper(quantity: int, within: int, chance: random.Random) -> None:
    """Against another way to the same figure: every piece that is in time on one heap, the cheapest taken."""
    seed = str(chance.random())
    offers = Market(seed).offers("chair")
    pieces = sorted(offer.cents for offer in offers if offer.days <= within for _ in range(offer.available))[:quantity]
    made = plan(Order((Line("chair", quantity),), within), {"chair": offers})
    assert made.total_cents == sum(pieces)
    assert made.usual_cents == len(pieces) * int(statistics.median(offer.cents for offer in offers))
    assert sum(line.quantity for line in made.missing) == quantity - len(pieces)
