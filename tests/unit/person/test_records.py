"""What a person server remembers, on both engines."""

from __future__ import annotations

import anyio
import pytest

from aauthkit.person import consents, records
from aauthkit.person.consent import Revised, Standing
from aauthkit.person.records import Brought, Issued, Place
from aauthkit.store import Database

pytestmark = pytest.mark.anyio

AGENT = ("https://agents.example", "aauth:planner@agents.example")
PLACE = Place("ada", *AGENT, "https://orders.example", "scope", "work")
NOW = 1_000_000


@pytest.fixture
async def tables(database: Database) -> Database:
    await database.migrate(records.MIGRATIONS)
    return database


def decision(name: str, memory: str = "kept", decided: int = NOW) -> Standing:
    return Standing(name, frozenset({"a", "b"}), frozenset({"a"}), memory, decided)  # type: ignore[arg-type]


async def test_an_agent_has_one_person_for_good(tables: Database) -> None:
    """§13.14: whoever comes second is told whose the agent is."""
    async with tables.transaction() as tx:
        assert await records.person_of(tx, *AGENT) is None
        assert await records.bind_agent(tx, *AGENT, "ada", NOW) == "ada"
        assert await records.bind_agent(tx, *AGENT, "bob", NOW) == "ada"
    assert [agent.person for agent in await records.agents(tables)] == ["ada"]
    assert await records.agents(tables, "bob") == []


async def test_two_people_claiming_at_once_leave_one(tables: Database) -> None:
    found: list[str] = []

    async def claim(person: str) -> None:
        async with tables.transaction() as tx:
            found.append(await records.bind_agent(tx, *AGENT, person, NOW))

    async with anyio.create_task_group() as tasks:
        for person in ("ada", "bob", "eve"):
            tasks.start_soon(claim, person)
    assert len(set(found)) == 1


async def test_the_same_provider_name_elsewhere_is_another_agent(tables: Database) -> None:
    async with tables.transaction() as tx:
        await records.bind_agent(tx, *AGENT, "ada", NOW)
        assert await records.person_of(tx, "https://other.example", AGENT[1]) is None


async def test_a_directed_identifier_stays(tables: Database) -> None:
    """F25, §14.1: one for each person and resource, kept."""
    async with tables.transaction() as tx:
        first = await records.subject(tx, "ada", "https://a.example", "one", NOW)
        assert await records.subject(tx, "ada", "https://a.example", "two", NOW) == first == "one"
        assert await records.subject(tx, "ada", "https://b.example", "three", NOW) == "three"
        assert await records.subject(tx, "bob", "https://a.example", "four", NOW) == "four"
    assert await records.knows_place(tables, "ada", "https://a.example")
    assert not await records.knows_place(tables, "bob", "https://b.example")


async def test_decisions_come_newest_first_also_within_a_second(tables: Database) -> None:
    async with tables.transaction() as tx:
        for name in ("first", "second", "third"):
            await consents.note_decision(tx, PLACE, decision(name), by="browser", shown={}, over=None)
        standing = await consents.standing(tx, PLACE, tables.for_update)
    assert [one.id for one in standing] == ["third", "second", "first"]
    assert standing[0] == decision("third")


@pytest.mark.parametrize(
    "other",
    [
        Place("bob", *AGENT, "https://orders.example", "scope", "work"),
        Place("ada", "https://other.example", AGENT[1], "https://orders.example", "scope", "work"),
        Place("ada", AGENT[0], "aauth:buyer@agents.example", "https://orders.example", "scope", "work"),
        Place("ada", *AGENT, "https://mail.example", "scope", "work"),
        Place("ada", *AGENT, "https://orders.example", "identity", "work"),
        Place("ada", *AGENT, "https://orders.example", "scope", "home"),
        Place("ada", *AGENT, "https://orders.example", "scope", None),
    ],
)
async def test_a_decision_counts_at_its_own_place_alone(tables: Database, other: Place) -> None:
    """Person, agent, resource, kind and account (§11.11)."""
    async with tables.transaction() as tx:
        await consents.note_decision(tx, PLACE, decision("one"), by="browser", shown={}, over=None)
        assert await consents.standing(tx, other) == []


async def test_only_its_own_person_takes_a_decision_back_and_once(tables: Database) -> None:
    """F81, F83."""
    async with tables.transaction() as tx:
        await consents.note_decision(tx, PLACE, decision("one"), by="browser", shown={"agent_sub": "x"}, over=None)
    async with tables.transaction() as tx:
        assert await consents.take_back(tx, "bob", "one", NOW) is None
        assert [one.id for one in await consents.allowed(tx, "ada", NOW)] == ["one"]
        taken = await consents.take_back(tx, "ada", "one", NOW)
        assert taken is not None and taken.place == PLACE
        assert await consents.take_back(tx, "ada", "one", NOW) is None
        assert await consents.standing(tx, PLACE) == [] and await consents.allowed(tx, "ada", NOW) == []


async def test_what_is_left_of_a_decision_is_written_down(tables: Database) -> None:
    async with tables.transaction() as tx:
        await consents.note_decision(tx, PLACE, decision("one"), by="browser", shown={}, over=None)
        await consents.note_decision(tx, PLACE, decision("two"), by="browser", shown={}, over=None)
        left = [Revised("one", frozenset({"a"}), frozenset({"a"})), Revised("two", frozenset(), frozenset())]
        await consents.revise(tx, left, NOW)
        standing = await consents.standing(tx, PLACE)
    assert [(one.id, one.asked) for one in standing] == [("one", frozenset({"a"}))]


async def test_a_grant_for_once_is_used_once(tables: Database) -> None:
    async with tables.transaction() as tx:
        await consents.note_decision(tx, PLACE, decision("one", "once"), by="browser", shown={}, over=None)
        await consents.use_once(tx, "one", "key", NOW + 60)
        await consents.use_once(tx, "one", "another", NOW + 90)
        standing = await consents.standing(tx, PLACE)
    assert (standing[0].key, standing[0].ends) == ("key", NOW + 60)


async def test_records_of_tokens_are_kept_past_their_expiry_and_then_forgotten(tables: Database) -> None:
    """§7.1 Retention, §11.12.4 Records."""
    issued = Issued(
        jti="t1",
        typ="aa-auth+jwt",
        person="ada",
        agent_iss=AGENT[0],
        agent_sub=AGENT[1],
        jkt="thumbprint",
        aud="https://orders.example",
        sub="s",
        scope=frozenset({"a"}),
        account="work",
        issued=NOW,
        exp=NOW + 60,
        agent_jti="at",
        decisions=("one", "two"),
        presented_jti="pt",
        resource_jti="rt",
    )
    async with tables.transaction() as tx:
        await records.note_issued(tx, issued)
        await records.note_agent_token(tx, AGENT[0], "at", AGENT[1], NOW + 60)
        await records.note_agent_token(tx, AGENT[0], "at", AGENT[1], NOW + 60)
        await records.forget(tx, NOW + 60 + records.KEPT)
        assert await records.find_issued(tx, "t1") == issued
        assert await records.issued(tx, "ada") == [issued] and await records.issued(tx, "bob") == []
        await records.forget(tx, NOW + 61 + records.KEPT)
        assert await records.find_issued(tx, "t1") is None
        assert await tx.fetch_one("SELECT * FROM person_agent_tokens") is None


async def test_a_database_holds_the_people_of_one_server(tables: Database) -> None:
    async with tables.transaction() as tx:
        assert await records.claim_database(tx, "https://one.example") == "https://one.example"
        assert await records.claim_database(tx, "https://two.example") == "https://one.example"


async def test_an_answered_resource_token_is_remembered_until_it_cannot_come_again(tables: Database) -> None:
    iss = "https://orders.example"
    async with tables.transaction() as tx:
        assert await records.find_brought(tx, iss, "rt") is None
        await records.note_answered(tx, iss, "rt", NOW, issued="t1")
        assert await records.find_brought(tx, iss, "rt") == Brought(None, "t1", prompted=False)
        # Asked about anew, its answer is the one that is to come.
        await records.note_waiting(tx, iss, "rt", NOW, pending="p1", prompted=True)
        assert await records.find_brought(tx, iss, "rt") == Brought("p1", None, prompted=True)
        await records.note_waiting(tx, iss, "rt", NOW, pending="p1", prompted=False)
        await records.note_waiting(tx, iss, "other", NOW, pending="p1", prompted=False)
        await records.answer_waiting(tx, "p1", "t2")
        assert await records.find_brought(tx, iss, "rt") == Brought("p1", "t2", prompted=True)
        assert await records.find_brought(tx, iss, "other") == Brought("p1", "t2", prompted=False)
        assert await records.find_brought(tx, "https://elsewhere.example", "rt") is None
        await records.note_answered(tx, iss, "rt", NOW, issued="t3")
        assert await records.find_brought(tx, iss, "rt") == Brought("p1", "t3", prompted=False)
        await records.forget(tx, NOW + records.BROUGHT_KEPT)
        assert await records.find_brought(tx, iss, "rt") is not None
        await records.forget(tx, NOW + records.BROUGHT_KEPT + 1)
        assert await records.find_brought(tx, iss, "rt") is None


async def test_decisions_are_kept_as_evidence_and_then_forgotten(tables: Database) -> None:
    """What stands is kept for good; what is over, by itself or by the person, for a year (or as long as told)."""
    async with tables.transaction() as tx:
        for name, memory in (("kept", "kept"), ("once", "once"), ("today", "today"), ("refused", "kept")):
            over = NOW if name == "refused" else None
            await consents.note_decision(tx, PLACE, decision(name, memory), by="browser", shown={}, over=over)

        async def left(now: int, kept: int = consents.KEPT) -> set[str]:
            await consents.forget(tx, now, kept)
            return {row["id"] for row in await tx.fetch_all("SELECT id FROM person_decisions")}

        everything = {"kept", "once", "today", "refused"}
        assert await left(NOW + consents.LONGEST) == everything
        assert len(await consents.standing(tx, PLACE)) == 3
        run_out = NOW + consents.LONGEST + 1
        assert await left(run_out) == everything
        assert [one.id for one in await consents.standing(tx, PLACE)] == ["kept"]  # the rest has run out by itself
        assert await left(NOW + consents.KEPT) == everything
        assert await left(NOW + consents.KEPT + 1) == {"kept", "once", "today"}
        assert await left(run_out + consents.KEPT + 1) == {"kept"}
        await consents.take_back(tx, "ada", "kept", run_out)
        assert await left(run_out + 60, kept=60) == {"kept"}
        assert await left(run_out + 61, kept=60) == set()


async def test_the_tables_of_before_are_brought_up_to_date(database: Database) -> None:
    """A database of the first version keeps what is in it."""
    await database.migrate(records.MIGRATIONS[:1])
    async with database.transaction() as tx:
        await tx.execute(
            """INSERT INTO person_decisions (id, person, agent_iss, agent_sub, resource, kind, account, asked, granted,
                                             memory, decided, number, decided_by, shown)
               VALUES ('one', :person, :agent_iss, :agent_sub, :resource, :kind, :account, 'a b', 'a', 'kept', 1, 1,
                       'browser', '{}')""",
            **{name: value for name, value in PLACE.params().items() if name != "mission"},
        )
        await tx.execute(
            """INSERT INTO person_issued (jti, typ, person, agent_iss, agent_sub, jkt, aud, sub, scope, account, issued,
                                          exp, decisions, agent_jti)
               VALUES ('t', 'aa-auth+jwt', 'ada', 'i', 's', 'k', 'a', 'p', '', '', 1, 2, 'one', 'at')"""
        )
    await database.migrate(records.MIGRATIONS)
    issued = await records.find_issued(database, "t")
    assert issued is not None and issued.revoked is None and issued.decisions == ("one",)
    assert [one.id for one in await consents.standing(database, PLACE)] == ["one"]
