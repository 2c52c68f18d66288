"""Revoking at another party: one signed request in the issuer's own name, and its answer read (draft-11 §11.12.3)."""

from __future__ import annotations

import asyncio
from typing import Final

from ..discovery import Discovery, DiscoveryFailed
from ..egress import EgressError
from ..keys import Keys
from ..outbound import Credential, Outbound, OutboundError, Pending
from ..protocol.headers import parse_retry_after
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from ..protocol.jose import JoseError, parse_json
from ..protocol.messages import Answer
from ..protocol.problems import ERRORS
from .outcomes import Downstream, MalformedReport, Outcome, Status, read_report

WAIT: Final = 20
"""Seconds the recipient is asked to hold the request and each poll (`Prefer: wait`)."""
PATIENCE: Final = 300.0
"""Seconds until a recipient that still says 202 counts as one that could not be told."""
MAX_POLLS: Final = 120
_KNOWN_ERRORS: Final = frozenset(row.name for row in ERRORS)


class Revoker:
    """Revokes tokens that `issuer` issued in the role of `dwk`, signing in its own name (draft-11 §11.12.1)."""

    def __init__(
        self,
        issuer: str,
        dwk: str,
        keys: Keys,
        *,
        discovery: Discovery,
        outbound: Outbound,
        loopback: LoopbackProfile = NO_LOOPBACK,
        patience: float = PATIENCE,
    ) -> None:
        self.issuer = issuer
        self.dwk = dwk
        self._keys = keys
        self._discovery = discovery
        self._outbound = outbound
        self._loopback = loopback
        self._patience = patience

    async def revoke_at(self, recipient: str, dwk: str, jti: str, exp: int, *, wait: int = WAIT) -> Outcome:
        """Revoke the token `jti`, which ends at `exp`, at the server `recipient` in its role `dwk`.

        Follows a 202 to its end. Never raises for what the recipient does: every failure is an outcome.
        """
        try:
            async with asyncio.timeout(self._patience):
                endpoint = await self._endpoint(recipient, dwk)
                if endpoint is None:
                    return Outcome(recipient, "revocation_unsupported", "it publishes no revocation_endpoint")
                return self._read(recipient, await self._send(endpoint, jti, exp, wait))
        except DiscoveryFailed as error:
            return _unavailable(recipient, f"its metadata: {error.reason}", error.retry_after)
        except EgressError as error:
            return _unavailable(recipient, error.reason)
        except OutboundError as error:
            return _unavailable(recipient, str(error))
        except TimeoutError:
            return _unavailable(recipient, "it did not come to an end in time")

    async def _endpoint(self, recipient: str, dwk: str) -> str | None:
        """Where the recipient takes revocations; one that published nothing may do so by now."""
        metadata = await self._discovery.metadata(recipient, dwk)
        if metadata.endpoint("revocation_endpoint") is None:
            metadata = await self._discovery.metadata(recipient, dwk, refresh=True)
        return metadata.endpoint("revocation_endpoint")

    async def _credential(self) -> Credential:
        return Credential.from_server(self._keys.current, self.issuer, self.dwk)

    async def _send(self, endpoint: str, jti: str, exp: int, wait: int) -> Answer:
        polls = 0

        async def bounded(_pending: Pending) -> None:
            nonlocal polls
            polls += 1
            if polls > MAX_POLLS:
                raise OutboundError("it has been polled often enough")

        body = {"jti": jti, "exp": exp}
        answer = await self._outbound.call("POST", endpoint, await self._credential(), json_body=body, wait=wait)
        return await self._outbound.follow(answer, endpoint, self._credential, on_pending=bounded, wait=wait)

    def _read(self, recipient: str, answer: Answer) -> Outcome:
        """The outcome that a terminal answer says (draft-11 §11.12.3)."""
        if answer.status == 200:
            try:
                downstream: tuple[Downstream, ...] = read_report(answer, self._loopback)
            except MalformedReport as error:
                return _unavailable(recipient, f"it answered {error}")
            return Outcome(recipient, "recorded", "", downstream)
        code = _code(answer)
        status: Status = "revocation_unavailable"
        if answer.status == 403 and code == "unsupported_iss":
            status = "revocation_unsupported"
        named = answer.values("retry-after")
        after = parse_retry_after(named) if named and answer.status in (429, 503) else None
        return Outcome(recipient, status, f"it answered {answer.status} {code}".rstrip(), (), after)


def _unavailable(recipient: str, reason: str, retry_after: int | None = None) -> Outcome:
    return Outcome(recipient, "revocation_unavailable", reason, (), retry_after)


def _code(answer: Answer) -> str:
    """The error code of an answer, if it is one of the protocol's: a stranger's text is not repeated."""
    try:
        code = parse_json(answer.body).get("error") if answer.body else None
    except JoseError:
        return ""
    return code if isinstance(code, str) and code in _KNOWN_ERRORS else ""
