"""Keys rotate while tokens are made and checked without a pause: not one is refused."""

from __future__ import annotations

from typing import Final

import pytest

from aauthkit.discovery import Discovery
from aauthkit.keys import Seal
from aauthkit.keys.stored import StoredKeys
from aauthkit.protocol.jose import parse_jwt
from aauthkit.protocol.minting import mint_person_token
from aauthkit.protocol.tokens import PERSON_DWK
from aauthkit.store import open_database
from tests.plugins.people import PS, RESOURCE, Clock, Network
from tests.plugins.signing import Issuer, new_key

pytestmark = pytest.mark.anyio

STEP: Final = 5
"""Seconds between two tokens of each replica."""
SECONDS: Final = 1500
EVERY: Final = 400
"""Seconds between two rotations."""
VERIFIERS: Final = 5


async def test_f86_keys_rotate_under_load_without_one_refused_request(database_url: str) -> None:
    """§11.4: two replicas sign, verifiers that fetch once a minute at the most ask either of them for its keys."""
    clock, seal = Clock(), Seal.key(bytes(32))
    databases = [await open_database(database_url) for _ in range(2)]
    replicas = [await StoredKeys(PS, one, lifetime=600, seal=seal, clock=clock).open() for one in databases]
    networks = [Network() for _ in range(VERIFIERS)]
    verifiers = [Discovery(network, clock=clock, jitter=lambda: 0.0) for network in networks]  # type: ignore[arg-type]
    for network in networks:
        network.publish(Issuer(PS), PERSON_DWK, person_token_endpoint=f"{PS}/person", auth_token_endpoint=f"{PS}/token")
    holder, signed, kids = new_key().public, 0, set()
    try:
        for second in range(0, SECONDS, STEP):
            if second % EVERY == EVERY // 2:
                await replicas[(second // EVERY) % 2].rotate()
                for one in replicas:  # each reads the set anew within twenty seconds
                    await one._read()
            for number, network in enumerate(networks):
                published = replicas[(number + second // STEP) % 2].jwks()
                network.documents[f"{PS}/.well-known/jwks.json"] = published
            for replica in replicas:
                now = int(clock())
                token = mint_person_token(
                    replica.current,
                    iss=PS,
                    aud=RESOURCE,
                    sub="somebody",
                    cnf=holder,
                    jti=f"t-{signed}",
                    iat=now,
                    exp=now + 600,
                )
                signed += 1
                jwt = parse_jwt(token)
                kids.add(jwt.header["kid"])
                for verifier in verifiers:
                    key = await verifier.key(PS, PERSON_DWK, str(jwt.header["kid"]))
                    jwt.jws.verify(key)
            clock.pass_(STEP)
    finally:
        for one, database in zip(replicas, databases, strict=True):
            await one.close()
            await database.close()
        for verifier in verifiers:
            await verifier.aclose()
    assert len(kids) >= SECONDS // EVERY and signed == 2 * SECONDS // STEP
    fetched = max(sum(url.endswith("jwks.json") for url in network.asked) for network in networks)
    assert fetched <= SECONDS / 60, "a verifier asks once a minute at the most"
