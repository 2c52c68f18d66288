"""Older forms of the wire, each by its name: none is read or written unless somebody says so, and the log says it then.

A server reads them (`Resource(older_forms=...)`, `PersonServer(older_forms=...)`), whatever peer sends them; a party
writes them to the hosts that are listed for it (`Egress(older_forms=...)`, or `older_forms` in the egress file). Both
are for as long as a peer has not caught up.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

log = logging.getLogger("aauthkit.compatibility")


class OlderForm(StrEnum):
    """What there is to admit. docs/compatibility.md says which peers need which."""

    BASE64URL_SIGNATURE = "base64url-signature"
    """The bytes of `Signature` in base64url and without padding; RFC 9421 §4.2 has standard base64, with padding."""


NONE: Final[frozenset[OlderForm]] = frozenset()


def older_forms(names: Iterable[str]) -> frozenset[OlderForm]:
    """The forms of these names. Raises `ValueError` for one that does not exist, `TypeError` for one bare string."""
    if isinstance(names, str):
        raise TypeError("older forms are a collection of names, not one string")
    found = list(names)
    unknown = sorted({name for name in found if name not in set(OlderForm)})
    if unknown:
        raise ValueError(f"there is no older form {unknown[0]!r}; there are {', '.join(OlderForm)}")
    return frozenset(OlderForm(name) for name in found)


def read_by(identifier: str, names: Iterable[str]) -> frozenset[OlderForm]:
    """The forms that the server `identifier` reads; where there are any, the log says so."""
    forms = older_forms(names)
    if forms:
        log.warning("%s takes older forms from its peers: %s", identifier, ", ".join(sorted(forms)))
    return forms


def written_to(hosts: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[OlderForm]]:
    """The forms that are written to each host; where there are any, the log says so."""
    found = {host: older_forms(names) for host, names in hosts.items()}
    for host, forms in found.items():
        if host != host.lower() or not host or any(mark in host for mark in "/: "):
            raise ValueError(f"older forms are written to a host, in lower case and without scheme and port: {host!r}")
        if forms:
            log.warning("older forms are written to %s: %s", host, ", ".join(sorted(forms)))
    return {host: forms for host, forms in found.items() if forms}


_MEMBER: Final = re.compile(r"=:([A-Za-z0-9+/]+=*):")


def _base64url(found: re.Match[str]) -> str:
    try:
        data = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return found[0]
    return f"=:{base64.urlsafe_b64encode(data).decode().rstrip('=')}:"


def in_older_form(name: str, value: str, forms: frozenset[OlderForm]) -> str:
    """A field of an outgoing message, as a peer wants it that knows only the older form. Signatures hold as before."""
    if OlderForm.BASE64URL_SIGNATURE in forms and name.lower() == "signature":
        return _MEMBER.sub(_base64url, value)
    return value
