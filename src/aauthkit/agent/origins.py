"""Which resource a URL belongs to: a resource identifier is a host and nothing more (draft-11 §11.1.1)."""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_server_identifier, origin_of
from .errors import NoResourceIdentifier, OutsideOrigins


def resource_of(url: str, loopback: LoopbackProfile, allowed: frozenset[str] | None = None) -> str:
    """The identifier of the resource that answers at `url`. Raises `NoResourceIdentifier`, `OutsideOrigins`.

    `https` without a port, or an origin that the loopback profile lists. `allowed`: the only ones, if there are any.
    """
    try:
        resource = check_server_identifier(origin_of(url), loopback)
    except InvalidIdentifier as error:
        raise NoResourceIdentifier(_reason(url)) from error
    if allowed is not None and resource not in allowed:
        raise OutsideOrigins(resource)
    return resource


def origins_of(urls: Iterable[str], loopback: LoopbackProfile) -> frozenset[str]:
    """The resource identifiers that a client is limited to. Raises `NoResourceIdentifier` for one that is none."""
    return frozenset(resource_of(url, loopback) for url in urls)


def _reason(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority = rest.split("/", 1)[0].split("?", 1)[0].rpartition("@")[2][:255]
    if scheme.lower() == "http":
        return (
            f"http://{authority} cannot be an AAuth resource: use https, or list the origin in the loopback profile "
            "if it stands on this machine"
        )
    if ":" in authority.rpartition("]")[2]:
        return (
            f"{authority} names a port, and a resource identifier has none: serve the resource at port 443, "
            "or map its name to the port in the egress configuration"
        )
    return f"{authority or 'a relative URL'} is not the name of a resource: use https:// and a host name"
