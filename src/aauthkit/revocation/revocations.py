"""The revocation endpoint of any server: records, answers, cascades (draft-11 §11.12)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from typing import Final

from ..callers import Server
from ..discovery import Discovery
from ..pacing import Pace
from ..protocol.httpsig import BODY_COMPONENTS
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile
from ..protocol.messages import Answer
from ..protocol.problems import Problem
from ..protocol.tokens import SIGNATURE_WINDOW
from ..serving import Request, Route
from ..store import Database
from ..trust import ANY, Trust
from ..verification import Accepts, Verified, Verifier
from .cascades import Cascade, Cascades
from .limits import DEFAULT_LIMITS, RevocationLimits
from .outcomes import Revocation, finished, read_revocation
from .revoked import Effect, RevokedTokens

PATH: Final = "/revoke"
MAX_BODY: Final = 8192
"""Largest revocation request that is read, in bytes."""
_ANYBODY: Final = Trust(agent_providers=ANY, person_servers=ANY, access_servers=ANY, resources=ANY)


class Revocations:
    """The revocations that reach `server`: its endpoint, and the question "is it revoked?".

    - `database`: where they are recorded; without one they are forgotten when the process ends.
    - `dwks`: the roles that revoke here, by metadata document. `trust`: who of them is accepted; a verified caller
      outside it gets `unsupported_iss`, which is safe to learn, since a caller revokes its own tokens only.
    - `longest`: the longest lifetime, in seconds, of any token accepted here; an `exp` beyond it is refused.
    - `effect`: what else changes with a revocation, in the same transaction.
    - `cascade`: revokes downstream; without one there is nothing downstream, and the answer is never 202.
      `reports`: whether its outcome is told to the caller, as an access server does.
    - `path`: where the endpoint stands; `path_prefix` is what a proxy in front of this server stripped.

    `start` it before the first question, `close` it at the end. Put `routes` into the server's table of paths, and
    `endpoint` into its metadata. It belongs to the event loop of its database; `is_revoked` may be asked anywhere.
    """

    def __init__(
        self,
        server: str,
        database: Database | None,
        *,
        dwks: Collection[str],
        trust: Trust,
        discovery: Discovery,
        longest: int,
        effect: Effect | None = None,
        cascade: Cascade | None = None,
        reports: bool = False,
        path: str = PATH,
        path_prefix: str = "",
        limits: RevocationLimits = DEFAULT_LIMITS,
        loopback: LoopbackProfile = NO_LOOPBACK,
        window: int = SIGNATURE_WINDOW,
        accept_base64url: bool = False,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.server = server
        self.path = path
        self._trust = trust
        self._longest = longest
        self._window = window
        self._prefix = path_prefix
        self._clock = clock
        self._pace = Pace(limits.per_minute, clock)
        self._tokens = RevokedTokens(server, database, effect=effect, limits=limits, window=window, clock=clock)
        # A repeat is safe (§11.12.3), so nothing is kept against one; who is accepted is settled after the signature.
        self._verifier = Verifier(
            server,
            discovery=discovery,
            trust=_ANYBODY,
            loopback=loopback,
            window=window,
            replay_methods=lambda _method: False,
            accept_base64url=accept_base64url,
            clock=clock,
        )
        self._polling = Accepts(schemes=("jwks_uri",), dwks=frozenset(dwks))
        self._revoking = Accepts(schemes=("jwks_uri",), dwks=frozenset(dwks), components=BODY_COMPONENTS)
        self._cascades: Cascades | None = None
        if cascade is not None:
            if database is None:
                raise ValueError("a cascade may outlast its process: it needs a database")
            self._cascades = Cascades(
                server,
                database,
                cascade,
                path=f"{path}/pending",
                reports=reports,
                clock=clock,
                random_bytes=random_bytes,
            )

    @property
    def endpoint(self) -> str:
        """The value of `revocation_endpoint` in the server's metadata."""
        return f"{self.server}{self.path}"

    @property
    def routes(self) -> tuple[Route, ...]:
        """The paths of the endpoint, for the server's table."""
        revoke = Route("POST", self.path, self.answer)
        if self._cascades is None:
            return (revoke,)
        return (revoke, Route("GET", f"{self.path}/pending/{{pending_id}}", self.poll))

    def is_revoked(self, iss: str, jti: str) -> bool:
        """Whether the issuer revoked this token: what a `Verifier` asks. Plain; `RuntimeError` before `start`."""
        return self._tokens.is_revoked(iss, jti)

    async def start(self) -> None:
        """Read what is on record, and go on with cascades that were cut off. Raises `StoreError`."""
        await self._tokens.start()
        if self._cascades is not None:
            await self._cascades.start()

    async def close(self) -> None:
        """Let go of other processes' news, and of cascades under way: those go on at the next start."""
        if self._cascades is not None:
            await self._cascades.close()
        await self._tokens.close()

    async def record(self, revocation: Revocation) -> bool:
        """Put a revocation on record that came another way, such as one of this server's own tokens.

        No bound applies. `False` if it was on record, or its token ended long ago.
        """
        return await self._tokens.record(revocation)

    async def answer(self, request: Request) -> Answer:
        """POST to the revocation endpoint: recorded before anything else, then answered (draft-11 §11.12.3).

        Raises `SignatureFailure` 401, and `Problem` 400, 403 or 429, for the server's table to answer; never 404.
        """
        caller, verified = await self._caller(request, self._revoking)
        if not self._trust.admits_server(caller.iss, caller.dwk):
            raise Problem("unsupported_iss")
        self._pace.admit(caller.iss)
        jti, exp = read_revocation(await request.read_json(verified.digest(), limit=MAX_BODY))
        now = self._clock()
        if exp > now + self._longest + self._window:
            raise Problem("invalid_request", f"exp: no token that is accepted here lives longer than {self._longest} s")
        revocation = Revocation(caller.iss, caller.dwk, jti, exp)
        if exp + self._window <= now:
            return finished()
        self._tokens.check_room(caller.iss, jti)
        await self._tokens.record(revocation)
        if self._cascades is None:
            return finished()
        return await self._cascades.run(request, revocation)

    async def poll(self, request: Request, pending_id: str) -> Answer:
        """GET of the pending URL of a revocation, by the server that made it; 404 to any other (draft-11 §11.12.3)."""
        caller, _ = await self._caller(request, self._polling)
        if self._cascades is None:
            raise Problem("not_found")
        return await self._cascades.poll(request, pending_id, caller.iss)

    async def _caller(self, request: Request, accepts: Accepts) -> tuple[Server, Verified]:
        verified = await self._verifier.verify(request.as_signed(self.server, prefix=self._prefix), accepts)
        assert isinstance(verified.caller, Server)
        return verified.caller, verified
