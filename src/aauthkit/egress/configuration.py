"""Egress as a file: which names, networks and loopback origins a deployment admits.

JSON, every member optional, none other accepted:

    {"loopback": ["http://person.localhost:8702"], "names": {"api.example": "127.0.0.1:8443"}, "ca_file": "ca.pem",
     "networks": ["10.0.0.0/8"], "hosts": ["intranet.example"], "jwks_hosts": {"https://a.example": ["cdn.example"]},
     "proxy": "http://proxy.example:3128", "older_forms": {"old.example": ["base64url-signature"]}}

A relative `ca_file` is looked for beside the file. The environment variable `AAUTHKIT_EGRESS` names a process's file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from ..compatibility import OlderForm, older_forms
from ..protocol.identifiers import LoopbackProfile, check_server_identifier
from ..protocol.jose import parse_json
from .admission import Egress

log = logging.getLogger("aauthkit.egress")

VARIABLE: Final = "AAUTHKIT_EGRESS"
_MEMBERS: Final = frozenset({"loopback", "names", "ca_file", "networks", "hosts", "jwks_hosts", "proxy", "older_forms"})


class EgressFileError(ValueError):
    """An egress file that cannot be used; the message says where and why."""


def read_egress(path: str | Path) -> Egress:
    """The egress that the file at `path` describes. Raises `EgressFileError`."""
    file = Path(path)
    try:
        return _egress(parse_json(file.read_bytes()), file.parent)
    except OSError as error:
        raise EgressFileError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise EgressFileError(f"{file}: {error}") from error


def _egress(document: Mapping[str, Any], beside: Path) -> Egress:
    unknown = sorted(set(document) - _MEMBERS)
    if unknown:
        raise ValueError(f"unknown member {unknown[0]!r}; known are {', '.join(sorted(_MEMBERS))}")
    loopback = LoopbackProfile(frozenset(_texts(document, "loopback")))
    return Egress(
        names={host: _endpoint(value) for host, value in _object(document, "names").items()},
        ca_file=_ca_file(document, beside),
        loopback=loopback,
        networks=tuple(ip_network(network) for network in _texts(document, "networks")),
        hosts=frozenset(_host(host, "hosts") for host in _texts(document, "hosts")),
        jwks_hosts=_jwks_hosts(document, loopback),
        proxy=_text(document, "proxy"),
        older_forms=_older_forms(document),
    )


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if name in document and not (isinstance(value, str) and value):
        raise ValueError(f"{name} is not a string")
    return value


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    """A member that must be a list of strings: one string alone would be taken for its characters."""
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} is not a list of strings")
    return value


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not an object")
    return value


def _host(host: str, name: str, *, port: bool = False) -> str:
    """A host as it is compared; one that is written otherwise would never be met."""
    if not host or host != host.lower() or "/" in host or (host.count(":") == 1 and not port):
        raise ValueError(
            f"{name}: {host!r} is not a host, in lower case and without scheme{'' if port else ' and port'}"
        )
    return host


def _ca_file(document: Mapping[str, Any], beside: Path) -> Path | None:
    named = _text(document, "ca_file")
    if named is None:
        return None
    file = beside / named
    if not file.is_file():
        raise ValueError(f"ca_file: there is no file {file}")
    return file


def _jwks_hosts(document: Mapping[str, Any], loopback: LoopbackProfile) -> Mapping[str, frozenset[str]]:
    members = _object(document, "jwks_hosts")
    return {
        check_server_identifier(issuer, loopback): frozenset(
            _host(host, "jwks_hosts", port=True) for host in _texts(members, issuer)
        )
        for issuer in members
    }


def _older_forms(document: Mapping[str, Any]) -> Mapping[str, frozenset[OlderForm]]:
    members = _object(document, "older_forms")
    return {host: older_forms(_texts(members, host)) for host in members}


def _endpoint(value: object) -> tuple[str, int]:
    address, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not address or not (port.isascii() and port.isdecimal()):
        raise ValueError(f"names: {value!r} is not address:port")
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
