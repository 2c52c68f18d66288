"""What can be wrong with a signed request, and what to do about it: every cause by its name, with its mend.

The names are part of the interface: `aauthkit explain --json` prints them, and the log of a server holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MENDS: Final[Mapping[str, str]] = {
    "unsigned": "Sign it: an agent's client does so by itself (`agent.client()`), `aauthkit fetch URL` by hand.",
    "incomplete": "Look for a hop that drops header fields: all three leave a signer together.",
    "syntax": "Write the field as RFC 9421 §4 and RFC 9651 have it.",
    "base64url": "Write standard base64 with padding between the colons (RFC 9651 §4.1.8). "
    'A server that must serve such signers can be told so: older_forms=["base64url-signature"].',
    "label": "Use one label in all of Signature-Input, Signature and Signature-Key.",
    "scheme": "Present a token under the jwt scheme, or list the scheme where the server states what it takes.",
    "coverage": "Cover every component that the server names in required_input, and sign again.",
    "created.missing": "Set created to the time of signing, as an Integer (draft-11 §11.3.3.2).",
    "clock.behind": "Set the signer's clock (NTP) and sign each request when it is sent: a retry is signed anew.",
    "clock.ahead": "Set the signer's clock, or the server's: one of them is wrong. A fresh token does not help.",
    "expired": "Sign when the request is sent, or leave expires out.",
    "key.missing": "Give the issuer's public keys with --keys FILE: its JWKS, or one JWK.",
    "key.algorithm": 'Give the key a fully specified alg: "Ed25519" or "ES256", never "EdDSA" (draft-11 §11.3.1).',
    "key.invalid": "Publish and present the key as RFC 7517 and RFC 8037 write it.",
    "key.other": "Sign with the private half of the key presented; after a rotation, get a token for the new key.",
    "keyid": "Leave keyid out (draft-11 §11.3.3.2), or let it name the key of Signature-Key.",
    "token.expired": "Get a fresh token; refresh when five minutes are left (draft-11 §7.9.1).",
    "token.ahead": "Set the issuer's clock, or the server's. A fresh token of the same issuer has the same skew.",
    "token.audience": "Get a token for this very server: tokens are for one resource. If the server goes by another "
    "name, its identifier is what must be put right.",
    "token.type": "Present the token that this endpoint takes (draft-11 §11.3.2, Table 13).",
    "token.malformed": "Have the issuer mint it as draft-11 §11.5.1 says; `aauthkit inspect` names every fault.",
    "dialect": "Bring the signer up to draft -11 and Signature-Keys -09.",
    "field.missing": "Let every hop pass this field on, or do not cover it.",
    "field.joined": "Let no hop add to or join a covered field; where one must, do not cover the field.",
    "field.changed": "Let no hop rewrite a covered field, or have it signed as the server gets it.",
    "method": "Sign the method as it is sent, in upper case.",
    "authority": "Give the server the identifier that clients call it by, or call it by that name. The authority is "
    "configured, never taken from the request.",
    "authority.port": "Sign the authority as RFC 9421 §2.2.3 has it: with its port, unless that is the scheme's own.",
    "authority.form": "Sign the authority in lower case and without the default port (RFC 9421 §2.2.3).",
    "target.scheme": "Give the server the identifier with the scheme clients use: a proxy that ends TLS changes it.",
    "path": "Give the server the path as it was sent: configure path_prefix, or let the proxy pass it on unchanged.",
    "path.prefix": "Tell the server the prefix that its proxy strips (path_prefix=), or let the proxy pass it on.",
    "path.normalised": "Sign the path as it is sent and let no hop normalise it (RFC 9421 §2.2.6).",
    "path.encoding": "Sign the path as it is sent, percent-encoding and all; let no hop decode it (RFC 9421 §2.2.6).",
    "path.query": "Sign @path without the query; @query covers that (RFC 9421 §2.2.6).",
    "path.parameters": "Sign the whole path, what follows a semicolon included (RFC 9421 §2.2.6).",
    "query": "Give the server the query as it was sent.",
    "query.mark": "Sign @query with its leading question mark (RFC 9421 §2.2.7).",
    "query.order": "Let no hop sort or rebuild the query: its bytes are what is signed (RFC 9421 §2.2.7).",
    "query.dropped": "Let every hop pass the whole query on.",
    "query.added": "Let no hop add to the query, or have it added before the request is signed.",
    "query.encoding": "Sign the query as it is sent, byte for byte, and let no hop encode it anew (RFC 9421 §2.2.7).",
    "base.parameters": "Write @signature-params as it stands in Signature-Input, serialized as RFC 9651 §4.1 has it.",
    "base.form": "Build the signature base as RFC 9421 §2.5 has it.",
    "signature.form": "Send the signature as RFC 9421 §3.3 has it: 64 bytes, over the base itself.",
    "signer.base": "The two bases above differ in the marked line: make the signer and the server see the same.",
    "digest": "Let no hop change the body (compress, reformat, re-encode), and digest the very bytes that are sent.",
    "replayed": "Sign every request anew, also a retry; a nonce keeps two alike within a second apart.",
    "trust": "Add the issuer to those the server trusts, or use an agent and person server that it does trust.",
    "key.unknown": "Publish the key in the issuer's JWKS before signing with it, and leave caches a minute.",
    "issuer": "Put the issuer's metadata right: `aauthkit doctor` on it says what is wrong there.",
    "revoked": "Begin anew: a fresh token, after whatever it rests on.",
    "another.view": "Say what the server itself saw (--target, --authority, --at), from its log; sign a retry anew.",
    "refused": "See the section that is named, and the server's log.",
    "unknown": "Have the signer print its signature base and compare: aauthkit explain … --signer-base FILE.",
}
"""What to do, by cause. A cause below another (`path.prefix`) has its own; a dialect's mend is in `dialects`."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong. `certain` where bytes prove it, otherwise it is what is likely.

    `code` is the Signature-Error that it leads to, `section` the place in the documents.
    """

    name: str
    what: str
    mend: str
    certain: bool = True
    code: str = "invalid_signature"
    section: str = ""

    def as_json(self) -> dict[str, object]:
        """The cause for a program."""
        return {
            "cause": self.name,
            "certain": self.certain,
            "what": self.what,
            "mend": self.mend,
            "error": self.code,
            "section": self.section,
        }


def cause(
    name: str, what: str, *, mend: str = "", certain: bool = True, code: str = "invalid_signature", section: str = ""
) -> Cause:
    """A cause with the mend that its name has, unless it has one of its own."""
    return Cause(name, what, mend or MENDS[name], certain, code, section)
