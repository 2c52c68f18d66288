"""Egress as a file: which names, networks and loopback origins a deployment admits.

JSON, every member optional, none other accepted:

    {"loopback": ["http://person.localhost:8702"], "names": {"api.example": "127.0.0.1:8443"}, "ca_file": "ca.pem",
     "networks": ["10.0.0.0/8"], "hosts": ["intranet.example"], "jwks_hosts": {"https://a.example": ["cdn.example"]},
     "proxy": "http://proxy.example:3128"}

A relative `ca_file` is looked for beside the file. The environment variable `AAUTHKIT_EGRESS` names a process's file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile
from ..protocol.jose import JoseError, parse_json
from .admission import Egress

log = logging.getLogger("aauthkit.egress")

VARIABLE: Final = "AAUTHKIT_EGRESS"
_MEMBERS: Final = frozenset({"loopback", "names", "ca_file", "networks", "hosts", "jwks_hosts", "proxy"})


class EgressFileError(ValueError):
    """An egress file that cannot be used; the message says where and why."""


def read_egress(path: str | Path) -> Egress:
    """The egress that the file at `path` describes. Raises `EgressFileError`."""
    file = Path(path)
    try:
        document = parse_json(file.read_bytes())
        unknown = sorted(set(document) - _MEMBERS)
        if unknown:
            raise EgressFileError(f"{file}: unknown member {unknown[0]!r}; known are {', '.join(sorted(_MEMBERS))}")
        return _egress(document, file.parent)
    except OSError as error:
        raise EgressFileError(f"{file}: {error.strerror}") from error
    except (JoseError, InvalidIdentifier, ValueError, TypeError, AttributeError) as error:
        raise EgressFileError(f"{file}: {error}") from error


def _egress(document: Mapping[str, Any], beside: Path) -> Egress:
    names = {host: _endpoint(value) for host, value in document.get("names", {}).items()}
    ca_file = document.get("ca_file")
    return Egress(
        names=names,
        ca_file=beside / ca_file if ca_file is not None else None,
        loopback=LoopbackProfile(frozenset(document.get("loopback", []))),
        networks=tuple(ip_network(network) for network in document.get("networks", [])),
        hosts=frozenset(document.get("hosts", [])),
        jwks_hosts={issuer: frozenset(hosts) for issuer, hosts in document.get("jwks_hosts", {}).items()},
        proxy=document.get("proxy"),
    )


def _endpoint(value: str) -> tuple[str, int]:
    address, _, port = value.rpartition(":")
    if not address or not port.isdecimal():
        raise EgressFileError(f"{value!r} is not address:port")
    return address.strip("[]"), int(port)


def egress_from_environment(environment: Mapping[str, str] = os.environ) -> Egress:
    """The egress of this process: the file that `AAUTHKIT_EGRESS` names, or the default, which admits https alone.

    A loopback profile is announced in the log. Raises `EgressFileError`.
    """
    path = environment.get(VARIABLE)
    if not path:
        return Egress()
    egress = read_egress(path)
    if egress.loopback.origins:
        log.warning("loopback profile on: %s are accepted over http", ", ".join(sorted(egress.loopback.origins)))
    return egress
