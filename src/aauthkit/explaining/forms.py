"""How a signer may have written the base, its parameters or the signature otherwise than the documents have it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ..protocol.jose import PublicKey
from ..protocol.structured import FieldError, Item, serialize_inner_list
from .scene import Change, Scene, as_specified, hashed

Rows = Sequence[tuple[str, str]]

OLDER: Final = "an older dialect's form: "


def form_changes(scene: Scene, key: PublicKey) -> list[Change]:
    """Changes of parameters, base and signature, the likely ones first."""
    return [*_params(scene), *_forms(), *_signatures(scene, key)]


def _params(scene: Scene) -> Iterator[Change]:
    seen = {scene.entry.text}
    for text, what in _texts(scene):
        if text not in seen and text.isascii():
            seen.add(text)
            yield Change("params", "base.parameters", what, params=text)


def _texts(scene: Scene) -> Iterator[tuple[str, str]]:
    entry = scene.entry
    items: list[Item] = [(item.name, dict(item.params)) for item in entry.components]
    yield scene.raw_params, "@signature-params was signed as it was typed, not as it is serialized (RFC 9651 §4.1)"
    yield f"{entry.label}={entry.text}", "@signature-params was signed with its label in front"
    try:
        for name in entry.params:
            rest = {key: value for key, value in entry.params.items() if key != name}
            yield serialize_inner_list((items, rest)), f"@signature-params was signed without its parameter {name[:32]}"
        yield serialize_inner_list((items, {})), "@signature-params was signed without any parameter"
        ordered = dict(sorted(entry.params.items()))
        yield serialize_inner_list((items, ordered)), "@signature-params was signed with its parameters sorted"
        backwards = dict(reversed(entry.params.items()))
        yield (
            serialize_inner_list((items, backwards)),
            "@signature-params was signed with its parameters backwards",
        )
        for alg in ("ed25519", "ecdsa-p256-sha256"):
            added = {**entry.params, "alg": alg}
            yield (
                serialize_inner_list((items, added)),
                f'@signature-params was signed with alg="{alg}" in it',
            )
        sorted_items = sorted(items, key=lambda item: str(item[0]))
        yield (
            serialize_inner_list((sorted_items, entry.params)),
            "@signature-params was signed with sorted components",
        )
    except FieldError:
        return
    yield entry.text.replace('"', ""), "@signature-params was signed without quotation marks"


def _written(lines: Sequence[str]) -> bytes:
    return "\n".join(lines).encode("ascii")


def _params_line(params: str) -> str:
    return f'"@signature-params": {params}'


def _forms() -> Iterator[Change]:
    for what, form in (
        ("the base was signed with a line feed at its end", lambda rows, params: as_specified(rows, params) + b"\n"),
        (
            "the base was signed with CRLF between its lines",
            lambda rows, params: as_specified(rows, params).replace(b"\n", b"\r\n"),
        ),
        (
            "the base was signed without quotation marks around the names",
            lambda rows, params: _written([*(f"{_bare(n)}: {v}" for n, v in rows), f"@signature-params: {params}"]),
        ),
        (
            OLDER + "names without quotation marks, and without a line for @signature-params",
            lambda rows, params: _written([f"{_bare(n)}: {v}" for n, v in rows]),
        ),
        (
            "the base was signed without its last line, @signature-params",
            lambda rows, params: _written([f"{n}: {v}" for n, v in rows]),
        ),
        (
            "the base was signed without the space after each colon",
            lambda rows, params: as_specified(rows, params).replace(b'": ', b'":'),
        ),
        (
            "the lines of the base were signed in the order of their names",
            lambda rows, params: as_specified(sorted(rows), params),
        ),
        (
            "the values alone were signed, without their names",
            lambda rows, params: _written([*(v for _, v in rows), params]),
        ),
        ("the last line alone was signed", lambda rows, params: _written([_params_line(params)])),
    ):
        yield Change("form", "base.form", what, form=form)
    for name in ("sha256", "sha512"):
        what = f"the base was hashed ({name}) before it was signed"
        yield Change("form", "signature.form", what, form=hashed(name))


def _bare(name: str) -> str:
    return name.replace('"', "")


def _signatures(scene: Scene, key: PublicKey) -> Iterator[Change]:
    raw = scene.signature
    for signature, what in _readings(raw):
        if len(signature) == 64 and signature != raw:
            yield Change("signature", "signature.form", what, signature=signature)
    if key.alg == "ES256" and raw[:1] == b"\x30":
        try:
            r, s = decode_dss_signature(raw)
            joined = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        except (ValueError, OverflowError):
            return
        what = "the signature is DER, as a library makes it; r and s are wanted, 32 bytes each (RFC 9421 §3.3.4)"
        yield Change("signature", "signature.form", what, signature=joined)


def _readings(raw: bytes) -> Iterator[tuple[bytes, str]]:
    text = raw.decode("ascii", "replace").strip()
    if re.fullmatch(r"[0-9a-fA-F]{128}", text):
        yield bytes.fromhex(text), "the signature was written in hexadecimal, and that in base64"
    if re.fullmatch(r"[A-Za-z0-9+/_-]{86}(==)?", text):
        try:
            standard = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
            yield base64.b64decode(standard + "=="), "the signature was written in base64 twice"
        except (binascii.Error, ValueError):
            return
