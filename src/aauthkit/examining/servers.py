"""A server seen from outside: its name, certificate, clock, metadata, keys, and what its endpoints say to strangers."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Final

import anyio.to_thread

from ..egress import Egress, EgressError, Http, read_url
from ..egress.addresses import kind_of
from ..egress.admission import Target
from ..egress.resolving import Resolver, system_resolver
from ..protocol.identifiers import InvalidIdentifier, check_server_identifier
from ..protocol.messages import Answer
from ..protocol.tokens import ACCESS_DWK, AGENT_DWK, PERSON_DWK, RESOURCE_DWK, SIGNATURE_WINDOW
from .certificates import judge, look
from .documents import examine_jwks, examine_metadata
from .endpoints import examine_endpoint, listed_endpoints
from .findings import Examination

ROLES: Final = {
    AGENT_DWK: "agent provider",
    PERSON_DWK: "person server",
    ACCESS_DWK: "access server",
    RESOURCE_DWK: "resource",
}
TIMEOUT: Final = 10.0
LIMIT: Final = 256 * 1024
TOLERATED: Final = 5.0
"""Seconds that a clock may lie off unnoticed."""


async def examine_server(
    issuer: str,
    dwk: str,
    egress: Egress,
    *,
    expected_kids: Collection[str] = (),
    resolver: Resolver = system_resolver,
    clock: Callable[[], float] = time.time,
) -> Examination:
    """The server `issuer` in the role that its metadata document `dwk` names.

    `expected_kids` are keys that must be among its published ones, `clock` is this machine's, in seconds.
    """
    visit = _Visit(issuer, dwk, egress, resolver, clock, expected_kids)
    async with Http(egress, resolver=resolver) as http:
        await visit.look(http)
    return visit.found


class _Visit:
    """One look at one server."""

    def __init__(
        self,
        issuer: str,
        dwk: str,
        egress: Egress,
        resolver: Resolver,
        clock: Callable[[], float],
        expected: Collection[str],
    ) -> None:
        self.found = Examination(f"the {ROLES[dwk]} {issuer}")
        self._issuer, self._dwk = issuer, dwk
        self._egress, self._resolver, self._clock = egress, resolver, clock
        self._expected = frozenset(expected)

    async def look(self, http: Http) -> None:
        """Look at everything, as far as one leads to the next."""
        try:
            check_server_identifier(self._issuer, self._egress.loopback)
        except InvalidIdentifier as error:
            mend = "https:// and a host in lower case, nothing more (draft-11 §11.1.1)"
            if self._issuer.startswith("http://"):
                mend += "; for a loopback profile: export AAUTHKIT_EGRESS=…/egress.json"
            self.found.bad("identifier", f"not a server identifier: {error}", mend)
            return
        self._profile()
        target = read_url(self._issuer, self._egress.loopback)
        await self._reach(target)
        await self._certificate(target)
        answer = await self._get(http, f"{self._issuer}/.well-known/{self._dwk}", "metadata")
        if answer is None:
            return
        self._date(answer)
        document = examine_metadata(self.found, self._issuer, self._dwk, answer, self._egress.loopback)
        if document is None:
            return
        jwks_uri = document.get("jwks_uri")
        if isinstance(jwks_uri, str):
            self._same_host(jwks_uri)
            keys = await self._get(http, jwks_uri, "jwks")
            if keys is not None:
                examine_jwks(self.found, keys, expected=self._expected)
        for name, url in listed_endpoints(document):
            await examine_endpoint(self.found, http, name, url, timeout=TIMEOUT)

    def _same_host(self, jwks_uri: str) -> None:
        if not jwks_uri.startswith(f"{self._issuer}/"):
            text = f"the keys are at another place than the issuer: {jwks_uri}"
            mend = "serve them below the issuer: who verifies may fetch from no other host (Signature-Keys §7.3)"
            self.found.warn("jwks", text, mend)

    def _profile(self) -> None:
        if self._issuer.startswith("http://"):
            text = "this identifier is one of the loopback profile: it is good on this machine only"
            self.found.warn("profile", text, "run it under an https identifier before others call it")
        elif self._egress.loopback.origins:
            origins = ", ".join(sorted(self._egress.loopback.origins))
            text = f"the loopback profile is on beside an https identifier: http is accepted for {origins}"
            self.found.bad("profile", text, "unset AAUTHKIT_EGRESS, or take `loopback` out of the file it names")
        else:
            self.found.good("profile", "https alone; no loopback profile")

    async def _reach(self, target: Target) -> None:
        if self._egress.fixed(target.host, target.port) is not None:
            text = f"{target.host} is mapped to an address of this machine's own configuration"
            self.found.open("reachable", text, "look from a machine without that mapping")
            return
        try:
            addresses = await anyio.to_thread.run_sync(self._resolver, target.host, target.port)
        except OSError as error:
            self.found.bad("reachable", f"{target.host} has no address: {error}", "put the name into the DNS")
            return
        inside = {address: kind for address in addresses if (kind := kind_of(ip_address(address.partition("%")[0])))}
        if len(inside) == len(addresses):
            told = ", ".join(f"{address} ({kind})" for address, kind in list(inside.items())[:4])
            mend = "give the name a public address, or admit it by name in the egress of everybody who calls"
            self.found.bad("reachable", f"nobody outside reaches {target.host}: it resolves to {told}", mend)
        elif inside:
            told = ", ".join(inside)
            self.found.warn("reachable", f"some of its addresses are not public: {told}", "take those out of the DNS")
        else:
            self.found.good("reachable", f"{target.host} resolves to {', '.join(addresses[:4])}")
            self.found.open("reachable", "whether a firewall lets others in", "look from another network")

    async def _certificate(self, target: Target) -> None:
        if target.scheme != "https":
            return
        if self._egress.proxy is not None:
            self.found.open("certificate", "this machine goes through a proxy", "look from a machine that does not")
            return
        fixed = self._egress.fixed(target.host, target.port)
        address, port = fixed if fixed is not None else (target.host, target.port)
        looking = functools.partial(look, target.host, address, port, self._egress.tls())
        try:
            seen = await anyio.to_thread.run_sync(looking)
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
            mend = "see that the server runs and ends TLS on this port"
            self.found.bad("certificate", f"no TLS connection to {address} port {port}: {reason}", mend)
            return
        judge(self.found, seen, target.host, self._clock)

    async def _get(self, http: Http, url: str, about: str) -> Answer | None:
        try:
            return await http.send("GET", url, timeout=TIMEOUT, limit=LIMIT, guarded=False)
        except EgressError as error:
            self.found.bad(
                about, f"{url} cannot be fetched: {error}", "see that the server runs, and is what you named"
            )
            return None

    def _date(self, answer: Answer) -> None:
        value = answer.header("date")
        try:
            theirs = parsedate_to_datetime(value or "").timestamp()
        except (ValueError, TypeError):
            self.found.open("clock", "its answers carry no Date", "let the server send Date (RFC 9110 §6.6.1)")
            return
        ahead = theirs - self._clock()
        if abs(ahead) <= TOLERATED:
            self.found.good("clock", f"within {TOLERATED:g} s of this machine's")
            return
        side = "ahead of" if ahead > 0 else "behind"
        text = f"its clock is {abs(ahead):.0f} s {side} this machine's; signatures live {SIGNATURE_WINDOW} s"
        mend = "set both by NTP: timedatectl set-ntp true"
        (self.found.bad if abs(ahead) > SIGNATURE_WINDOW / 2 else self.found.warn)("clock", text, mend)
