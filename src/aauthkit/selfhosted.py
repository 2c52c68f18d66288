"""An agent that is its own agent provider: a key file, and two documents that its owner publishes under a domain.

draft-11 §5.1; the bootstrap draft's self-hosted agents. Nobody is enrolled and nothing is served: whoever can publish
under the domain is the provider. The published key signs the agent tokens; what they are bound to is the agent's own
ephemeral key, as everywhere else, so that requests are never signed by the key that the domain vouches for.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from .discovery import Discovery, DiscoveryFailed
from .enrollment import Enrollment, EnrollmentError
from .keys import KeyFile, Keys
from .protocol.identifiers import (
    NO_LOOPBACK,
    AgentIdentifier,
    LoopbackProfile,
    check_server_identifier,
    check_top_level_local,
    host_of,
)
from .protocol.jose import ALGORITHMS, SigningKey, b64url_encode
from .protocol.metadata import WELL_KNOWN
from .protocol.minting import mint_agent_token
from .protocol.tokens import AGENT_DWK, AGENT_TYP, AgentToken, read_token

LIFETIME: Final = 3600
"""Seconds that an agent token lives which an agent mints for itself."""
_JWKS: Final = f"{WELL_KNOWN}jwks.json"
PUBLISHED: Final = (f"{WELL_KNOWN}{AGENT_DWK}", _JWKS)
"""Where the two documents stand, below the domain."""


class NotPublished(EnrollmentError):
    """The key that would sign is not among those published under the domain; the message says what to do."""


class SelfHosted:
    """The agent provider `issuer`, for agents that run with its key file. `keys` signs, `documents` are for its domain.

    A key that signs must have been published: `keys` rotates as slowly as its owner publishes.
    """

    def __init__(
        self,
        issuer: str,
        keys: Keys,
        *,
        loopback: LoopbackProfile = NO_LOOPBACK,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.issuer = check_server_identifier(issuer, loopback)
        self.keys = keys
        self._loopback = loopback
        self._clock = clock
        self._random = random_bytes

    def identifier(self, name: str) -> str:
        """The identifier of the agent `name` (draft-11 §5.2). Raises `InvalidIdentifier`."""
        return str(AgentIdentifier(check_top_level_local(name), host_of(self.issuer)))

    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """What is to be published, by path: metadata (draft-11 §11.2.1) and the public keys."""
        metadata = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}{_JWKS}",
            "accept_signature_algs": list(ALGORITHMS),
        }
        return dict(zip(PUBLISHED, (metadata, self.keys.jwks()), strict=True))

    def publish(self, folder: Path) -> list[Path]:
        """Write the documents below `folder`, which stands for the root of the domain; where they are now.

        Each is replaced whole, so that a web server over that folder never serves half of one.
        """
        written: list[Path] = []
        for path, document in self.documents().items():
            target = folder / path.removeprefix("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
            temporary.write_text(json.dumps(document, indent=1) + "\n")
            os.replace(temporary, target)
            written.append(target)
        return written

    async def issue(self, discovery: Discovery, key: SigningKey, *, agent: str, ps: str | None) -> Enrollment:
        """An agent token for `agent`, bound to `key` (draft-11 §5.3.1). Raises `NotPublished`.

        Whether the signing key is published is looked up as others do; a domain out of reach is no reason to wait.
        """
        signing = self.keys.current
        await self._check_published(discovery, signing)
        iat = int(self._clock())
        raw = mint_agent_token(
            signing,
            iss=self.issuer,
            sub=agent,
            cnf=key.public,
            jti=b64url_encode(self._random(16)),
            iat=iat,
            exp=iat + LIFETIME,
            ps=ps,
        )
        token = read_token(raw, {AGENT_TYP}, loopback=self._loopback)
        assert isinstance(token, AgentToken)
        return Enrollment(token)

    async def _check_published(self, discovery: Discovery, signing: SigningKey) -> None:
        try:
            await discovery.key(self.issuer, AGENT_DWK, signing.kid)
        except DiscoveryFailed as error:
            if error.unreachable:
                return
            where = self.keys.path if isinstance(self.keys, KeyFile) else "its keys"
            raise NotPublished(
                f"{self.issuer} does not publish the key {signing.kid} of {where} ({error.reason}): "
                f"upload what `aauthkit init` wrote, and see that {self.issuer}{PUBLISHED[0]} shows it"
            ) from error
