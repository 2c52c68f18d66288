"""What may be connected to, and how: decided from configuration, before any byte leaves (Signature-Keys §7.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from ..compatibility import OlderForm, written_to
from ..protocol.identifiers import NO_LOOPBACK, LoopbackProfile, origin_of
from .addresses import Address, Network, may_reach
from .resolving import Resolver, system_resolver

if TYPE_CHECKING:
    import ssl

    from .transports import AsyncTransport, SyncTransport

Kind = Literal["refused", "unreachable", "timeout", "too_large", "malformed"]

MAX_URL: Final = 8192
"""Longest URL that is looked at, in characters."""
MAX_ADDRESSES: Final = 8
"""Most addresses of one name that are tried."""

_URL = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?([/?][!-~]*)?\Z", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


class EgressError(Exception):
    """A request that was not sent or got no usable answer. The text holds no word of the target's answer.

    `kind`: `refused` (not admitted, nothing was sent), `unreachable` (no connection, or it broke), `timeout`,
    `too_large` (the answer exceeds its limit), `malformed` (the answer comes in an encoding that was not asked for).
    """

    def __init__(self, reason: str, kind: Kind) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind: Kind = kind

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in ("unreachable", "timeout")


@dataclass(frozen=True, slots=True)
class Target:
    """An absolute URL taken apart without a change: `target` is path and query exactly as they stand in it."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the Host field says: lower case, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.authority}"


def read_url(url: str, loopback: LoopbackProfile = NO_LOOPBACK) -> Target:
    """`url` taken apart, if it is `https`, or `http` of a listed origin. Raises `EgressError` (`refused`)."""
    match = _URL.match(url) if len(url) <= MAX_URL else None
    if match is None or "#" in url:
        raise EgressError("not an absolute https URL in proper form", "refused")
    scheme, host = match[1].lower(), match[2].lower().strip("[]")
    port = _DEFAULT_PORTS[scheme] if match[3] is None else int(match[3])
    if not 0 < port < 65536:
        raise EgressError("the URL has no proper port", "refused")
    rest = match[4] or "/"
    found = Target(scheme, host, port, rest if rest.startswith("/") else f"/{rest}")
    if scheme != "https" and found.origin not in loopback.origins:
        raise EgressError("the URL does not use the https scheme", "refused")
    return found


@dataclass(frozen=True)
class Egress:
    """What may be connected to, and how. The default admits public addresses over https and nothing else.

    Every exception stands here, by configuration; the environment is not asked for a proxy. With `proxy`, names are
    looked up by that proxy, and keeping them from private addresses is its task; an address written into a URL is
    still checked here, and mapped names and the loopback profile do not go through it.
    """

    names: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Host to the one address and port that it is reached at, whatever a resolver says."""
    ca_file: Path | None = None
    """Certificates trusted beside the system's own, in PEM."""
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    """Used instead of one made here; must check certificates and names, from TLS 1.2 up."""
    loopback: LoopbackProfile = NO_LOOPBACK
    """`http` origins on this machine, reached at 127.0.0.1 without a look-up."""
    networks: tuple[Network, ...] = ()
    """Private networks that may be reached."""
    hosts: frozenset[str] = frozenset()
    """Hosts that may be reached although their address is private."""
    jwks_hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Issuer to the hosts (with `:port` unless 443), other than its own, at which its keys may stand."""
    proxy: str | None = field(default=None, repr=False)
    """The URL (`http` or `https`) of the proxy for everything that is neither mapped nor loopback."""
    older_forms: Mapping[str, frozenset[OlderForm]] = field(default_factory=dict)
    """Host to the older forms that are written to it (`aauthkit.compatibility`)."""

    def __post_init__(self) -> None:
        for host, (address, port) in self.names.items():
            ip_address(address)
            if host != host.lower() or not 0 < port < 65536:
                raise ValueError(f"the mapping of {host!r} is not lower-case host -> address, port")
        object.__setattr__(self, "older_forms", written_to(self.older_forms))
        if self.proxy is not None and urlsplit(self.proxy).scheme not in ("http", "https"):
            raise ValueError("a proxy is named by an http or https URL")

    @classmethod
    def from_file(cls, path: str | Path) -> Egress:
        """The egress that a JSON file describes (`aauthkit.egress.configuration`). Raises `EgressFileError`."""
        from .configuration import read_egress

        return read_egress(path)

    @classmethod
    def from_environment(cls) -> Egress:
        """The egress of this process: the file that `AAUTHKIT_EGRESS` names, or the default."""
        from .configuration import egress_from_environment

        return egress_from_environment()

    def fixed(self, host: str, port: int) -> tuple[str, int] | None:
        """Where configuration itself says that a host is: a mapped name, or a listed loopback origin."""
        if host in self.names:
            return self.names[host]
        return ("127.0.0.1", port) if f"http://{host}:{port}" in self.loopback.origins else None

    def admit(self, host: str, found: Sequence[str]) -> list[str]:
        """The addresses of `host` that were found, if every one may be reached. Raises `EgressError` (`refused`).

        One that may not refuses them all: a public name has no business with a private address.
        """
        for text in found:
            kind = may_reach(_address(text), self.networks, private=host in self.hosts)
            if kind is not None:
                raise EgressError(f"{host} leads to a {kind} address, which is not admitted", "refused")
        return list(found[:MAX_ADDRESSES])

    def check_literal(self, host: str) -> None:
        """Return unless `host` is, on its face, an address or a name that may not be reached. Raises `EgressError`.

        All that can be said of a name which a proxy will look up.
        """
        try:
            self.admit(host, [str(ip_address(host))])
        except ValueError:
            name = host.rstrip(".")
            if host not in self.hosts and (name == "localhost" or name.endswith(".localhost") or _numeric(name)):
                raise EgressError(f"{host} is not a name of the public internet", "refused") from None

    def admits_jwks(self, issuer: str, url: str) -> bool:
        """Whether the keys of `issuer` may stand at `url`: on its own origin, or at a host admitted for it.

        draft-11 §11.4; Signature-Keys §7.3, sixth point.
        """
        origin = origin_of(url)
        return origin == issuer or origin.removeprefix("https://") in self.jwks_hosts.get(issuer, frozenset())

    def tls(self) -> ssl.SSLContext:
        """The context of every outgoing connection: system certificates and `ca_file`, TLS 1.2 or later."""
        from .network import tls_context

        return tls_context(self)

    def async_transport(self, *, guarded: bool = False, resolver: Resolver = system_resolver) -> AsyncTransport:
        """A transport for `httpx2.AsyncClient` with these names and this CA; its errors are httpx2's own.

        `guarded=False` leaves out the check of addresses, for URLs that the agent's own user chose.
        """
        from .transports import AsyncTransport

        return AsyncTransport(self, guarded=guarded, resolver=resolver)

    def sync_transport(self, *, guarded: bool = False, resolver: Resolver = system_resolver) -> SyncTransport:
        """The same as `async_transport`, for `httpx2.Client`."""
        from .transports import SyncTransport

        return SyncTransport(self, guarded=guarded, resolver=resolver)


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise EgressError("the resolver gave something that is no address", "refused") from error


def _numeric(name: str) -> bool:
    """Whether a resolver might read a name as an address: its last label is a number (`0x7f.1`, `2130706433`)."""
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]) is not None


DEFAULT_EGRESS: Final = Egress()
"""Public addresses over https, and nothing else."""
