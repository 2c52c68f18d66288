"""Which resource a URL belongs to: a resource identifier is a host and nothing more (draft-11 §11.1.1)."""

from __future__ import annotations

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, check_server_identifier, origin_of
from .errors import NoResourceIdentifier


def resource_of(url: str, loopback: LoopbackProfile) -> str:
    """The identifier of the resource that answers at `url`. Raises `NoResourceIdentifier`.

    `https` without a port, or an origin that the loopback profile lists.
    """
    try:
        return check_server_identifier(origin_of(url), loopback)
    except InvalidIdentifier as error:
        raise NoResourceIdentifier(_reason(url)) from error


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
