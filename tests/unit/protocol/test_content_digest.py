"""Content-Digest (RFC 9530): at least one known algorithm, and every known one matches."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aauthkit.protocol.httpsig import (
    _PLAIN_DIGEST,
    DigestCheck,
    DigestMismatch,
    check_content_digest,
    content_digest,
)
from aauthkit.protocol.structured import parse_dictionary

BODY = b'{"hello": "world"}'
SHA_256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
SHA_512 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
WRONG_256 = content_digest(b"another body")

RFC_9530 = [
    (BODY, SHA_256),
    (BODY, SHA_512),
    (BODY + b"\n", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
    (b"", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
    (b'"world"}\n', "sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:"),
    (
        # The RFC prints 8B 08 as the first two bytes; its digests are those of this, which is what Brotli makes of it.
        bytes.fromhex("0B09807B2268656C6C6F223A2022776F726C64227D0A03"),
        "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:, "
        "sha-512=:db7fdBbgZMgX1Wb2MjA8zZj+rSNgfmDCEEXM8qLWfpfoNY0sCpHAzZbj09X1/7HAb7Od5Qfto4QpuBsFbUO3dQ==:",
    ),
]


def accepted(values: list[str], body: bytes = BODY) -> bool:
    try:
        check_content_digest(values, body)
    except DigestMismatch:
        return False
    return True


@pytest.mark.parametrize(("body", "field"), RFC_9530)
def test_the_rfc_s_examples_match_and_match_nothing_else(body: bytes, field: str) -> None:
    """RFC 9530 §2, appendices B and D."""
    assert accepted([field], body)
    assert not accepted([field], body + b" ")


def test_the_field_is_written_as_the_rfc_writes_it() -> None:
    assert content_digest(BODY) == SHA_256
    assert content_digest(BODY, "sha-512") == SHA_512


GOOD = [
    [f"{SHA_256}, {SHA_512}"],
    [SHA_256, SHA_512],
    [f"md5=:Sd/dVLAcvNLSq16eXua5uQ==:, {SHA_256}"],
    [f"{SHA_256}, unixsum=:GQU=:, new=1, other=(1 2), flag"],
    [f"{SHA_256};p=1"],
    ["sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE:"],
    ["sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE==:"],  # so padded in examples of RFC 9530's appendix B
]


@pytest.mark.parametrize("values", GOOD)
def test_unknown_algorithms_beside_a_known_one_are_ignored(values: list[str]) -> None:
    assert accepted(values)


BAD = {
    "no field": [],
    "an empty field": [""],
    "only unknown algorithms": ["md5=:Sd/dVLAcvNLSq16eXua5uQ==:"],
    "another body's digest": [WRONG_256],
    "one of two is wrong": [f"{WRONG_256}, {SHA_512}"],
    "the other of two is wrong": [f"{SHA_256}, {content_digest(b'x', 'sha-512')}"],
    "the same algorithm twice, the good one last": [f"{WRONG_256}, {SHA_256}"],
    "the same algorithm twice, in two lines": [SHA_256, SHA_256],
    "a string instead of bytes": ['sha-256="X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="'],
    "a list instead of bytes": ["sha-256=(:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:)"],
    "a token": [f"sha-256, {SHA_512}"],
    "a truncated digest": ["sha-256=:X48E9qOokqqrvdts8nOJRA==:"],
    "an empty digest": ["sha-256=::"],
    "another digest's length": [SHA_512.replace("sha-512", "sha-256")],
    "base64url": ["sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBP-=:"],
    "an upper-case name": [SHA_256.replace("sha", "SHA")],
    "no structured field": ["sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="],
}


@pytest.mark.parametrize("values", BAD.values(), ids=BAD)
def test_a_field_that_does_not_prove_the_body_is_refused(values: list[str]) -> None:
    assert not accepted(values)


def test_an_empty_body_has_a_digest_like_any_other() -> None:
    assert accepted([content_digest(b"")], b"")
    assert not accepted([content_digest(b"")], b"\n")


@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from(["sha-256", "sha-512"]))
def test_a_body_in_pieces_is_the_body(pieces: list[bytes], algorithm: str) -> None:
    check = DigestCheck([content_digest(b"".join(pieces), algorithm)])
    for piece in pieces:
        check.update(piece)
    check.finish()
    check.update(b"one byte more")
    with pytest.raises(DigestMismatch):
        check.finish()


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_a_mismatch(text: str) -> None:
    assert accepted([text]) in (True, False)


digests = st.binary(min_size=30, max_size=34).map(lambda raw: base64.b64encode(raw).decode())
altered = st.builds(
    lambda text, at, put: text[: at % (len(text) + 1)] + put + text[at % (len(text) + 1) :],
    digests.map(lambda digest: f"sha-256=:{digest}:"),
    st.integers(0, 80),
    st.sampled_from(["", "", "", " ", "=", ":", "A", "-", ";p", ", a", "\n"]),
)


@given(altered)
def test_the_plain_form_is_read_as_the_parser_reads_it(field: str) -> None:
    """RFC 9651 §4.2.7: whatever the pattern takes, the parser takes as the same bytes."""
    plain = _PLAIN_DIGEST.match(field)
    if plain is not None:
        assert parse_dictionary([field], duplicates=False) == {"sha-256": (base64.b64decode(plain[1]), {})}


def test_what_we_write_is_in_the_plain_form() -> None:
    assert _PLAIN_DIGEST.match(content_digest(BODY))
