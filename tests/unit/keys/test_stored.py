"""A key set that replicas share in their database, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from aauthkit.keys import PUBLISHED_BEFORE, KeyFileError, Seal
from aauthkit.keys.stored import StoredKeys
from aauthkit.protocol.jose import b64url_encode, key_from_jwks
from aauthkit.store import Database
from tests.plugins.people import Clock

pytestmark = pytest.mark.anyio

SECRET = b"k" * 32


class Replicas:
    """Two processes of one server."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock()
        self.both = [self.make() for _ in range(2)]

    def make(self, secret: bytes = SECRET) -> StoredKeys:
        return StoredKeys("person", self.database, seal=Seal.key(secret), clock=self.clock)


@pytest.fixture
async def replicas(database: Database) -> AsyncIterator[Replicas]:
    made = Replicas(database)
    async with anyio.create_task_group() as tasks:
        for keys in made.both:
            tasks.start_soon(keys.open)
    yield made
    for keys in made.both:
        await keys.close()


async def test_replicas_that_start_at_once_have_one_key(replicas: Replicas) -> None:
    one, two = replicas.both
    assert one.current.kid == two.current.kid
    assert one.jwks() == two.jwks()


async def test_all_publish_a_key_before_any_signs_with_it(replicas: Replicas) -> None:
    """F13, §11.4: two minutes, in every replica."""
    one, two = replicas.both
    before = one.current.kid
    fresh = await one.rotate()
    with anyio.fail_after(20):
        while key_from_jwks(two.jwks(), fresh) is None:
            await anyio.sleep(0.01)
    replicas.clock.pass_(PUBLISHED_BEFORE - 1)
    assert {keys.current.kid for keys in replicas.both} == {before}
    replicas.clock.pass_(1)
    assert {keys.current.kid for keys in replicas.both} == {fresh}
    assert all(key_from_jwks(keys.jwks(), before) is not None for keys in replicas.both)


async def test_replicas_that_rotate_at_once_make_one_key(replicas: Replicas) -> None:
    made: list[str] = []

    async def rotate(keys: StoredKeys) -> None:
        made.append(await keys.rotate())

    async with anyio.create_task_group() as tasks:
        for keys in replicas.both:
            tasks.start_soon(rotate, keys)
    assert len(set(made)) == 1


async def test_whoever_has_the_database_has_no_key(replicas: Replicas) -> None:
    """A stolen database reveals nothing that signs."""
    row = await replicas.database.fetch_one("SELECT document FROM key_sets")
    assert row is not None
    private = b64url_encode(replicas.both[0].current.secret)
    assert private not in row["document"] and '"d"' not in row["document"]
    with pytest.raises(KeyFileError):
        await replicas.make(b"x" * 32).open()


async def test_a_key_set_in_a_database_is_sealed_or_refused(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AAUTHKIT_KEYS_PASSPHRASE", "AAUTHKIT_KEYS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KeyFileError, match="has to be sealed"):
        await StoredKeys("person", replicas.database).open()


async def test_nothing_signs_before_it_was_opened(replicas: Replicas) -> None:
    with pytest.raises(RuntimeError):
        _ = replicas.make().current


async def test_an_operator_sees_each_key_and_makes_no_set_by_a_slip(replicas: Replicas) -> None:
    one, _ = replicas.both
    fresh = await one.rotate()
    assert [(key.kid, key.state) for key in one.standing()] == [(fresh, "next"), (one.current.kid, "current")]
    other = StoredKeys("another", replicas.database, seal=Seal.key(SECRET), clock=replicas.clock)
    with pytest.raises(KeyFileError, match="holds no key set another"):
        await other.open(make=False)


async def test_a_clock_that_steps_forth_and_back_leaves_the_set_as_it_was(replicas: Replicas) -> None:
    """F86: what a wrong time showed is forgotten with it."""
    one, _ = replicas.both
    before = one.current.kid
    await one.rotate()
    published = one.jwks()
    replicas.clock.pass_(5 * 24 * 3600)
    assert one.current.kid != before and len(one.jwks()["keys"]) == 1
    replicas.clock.pass_(-5 * 24 * 3600)
    assert one.current.kid == before and one.jwks() == published
