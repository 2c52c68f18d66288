"""The certificate of a server: who it names, until when, and whether the chain leads to a root that is trusted."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from ..explaining.wording import lasting
from .findings import Examination

TIMEOUT: Final = 10.0
SOON: Final = 14 * 86400
"""A certificate that lapses within this, in seconds, is told of."""
_MENDS: Final = {
    10: "renew the certificate now",
    18: "get a certificate of a public authority, or name this one in the ca_file of everybody who calls",
    19: "get a certificate of a public authority, or name its root in the ca_file of everybody who calls",
    20: "serve the whole chain (certificate and intermediates), or name a private root in ca_file",
    21: "serve the whole chain: certificate and intermediates",
    62: "get a certificate that names this host",
}
"""What to do, by OpenSSL's number of the fault."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate; times in seconds since the epoch. `fault` is why it is not trusted, if it is not."""

    names: tuple[str, ...]
    issuer: str
    begins: float
    ends: float
    fault: str = ""
    number: int = 0


def look(host: str, address: str, port: int, context: ssl.SSLContext) -> Certificate:
    """The certificate that is served at `address` for `host`, judged by `context`. Blocks; raises `OSError`."""
    fault, number = "", 0
    try:
        return _read(_served(host, address, port, context))
    except ssl.SSLCertVerificationError as error:
        fault, number = error.verify_message, error.verify_code
    open_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    open_context.check_hostname = False
    open_context.verify_mode = ssl.CERT_NONE  # to be looked at, and nothing is sent
    seen = _read(_served(host, address, port, open_context))
    return Certificate(seen.names, seen.issuer, seen.begins, seen.ends, fault, number)


def _served(host: str, address: str, port: int, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection((address, port), timeout=TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname=host) as secured,
    ):
        served = secured.getpeercert(binary_form=True)
    if served is None:
        raise OSError("no certificate was served")
    return served


def _read(der: bytes) -> Certificate:
    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        listed = tuple(str(name) for name in names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        listed = ()
    common = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    issuer = str(common[0].value) if common else certificate.issuer.rfc4514_string()
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Certificate(listed, issuer[:80], begins.timestamp(), ends.timestamp())


def judge(found: Examination, certificate: Certificate, host: str, clock: Callable[[], float]) -> None:
    """What there is to say of a certificate."""
    left = certificate.ends - clock()
    until = datetime.fromtimestamp(certificate.ends, UTC).strftime("%Y-%m-%d")
    names = ", ".join(certificate.names[:4]) or "no name at all"
    if certificate.fault:
        text = f"not trusted: {certificate.fault} (names {names}; by {certificate.issuer}; until {until})"
        found.bad("certificate", text, _MENDS.get(certificate.number, "get a certificate that clients trust"))
        return
    if left < 0:
        found.bad("certificate", f"lapsed on {until}, by this machine's clock", "renew it, or set the clock")
    elif left < SOON:
        text = f"names {host}, trusted, and lapses in {lasting(left)}"
        found.warn("certificate", text, "see why it was not renewed by itself")
    else:
        found.good("certificate", f"names {host}, trusted, by {certificate.issuer}, until {until}")
