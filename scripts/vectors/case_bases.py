"""Cases of `base` and `sign`: what is signed, bytes in and bytes out."""

from __future__ import annotations

import base64
from functools import partial

from .keys import KEYS
from .messages import BASE, NOW, Message, base, parameters
from .pack import Pack, accepted, refused

REFUSED = refused("no_base")


def bases() -> Pack:
    pack = Pack("base", "The signature base of a request (RFC 9421 §2), as §11.3.3.1 uses it.")
    _bases_1(pack)
    _bases_2(pack)
    _bases_3(pack)
    _bases_4(pack)
    _bases_5(pack)
    return pack


def _bases_add(
    pack: Pack,
    id: str,
    title: str,
    sections: str,
    message: Message,
    covered: str,
    lines: str | None,
    params: str = f";created={NOW}",
    stricter: str | None = None,
) -> None:
    given = {
        "authority": message.authority,
        "request": message.wire(),
        "signature_input": f"sig=({covered}){params}",
    }
    whole = f'{lines}"@signature-params": ({covered}){params}' if lines is not None else ""
    pack.add(
        f"base-{id}",
        title,
        "base",
        sections,
        given,
        accepted(base=whole) if lines is not None else REFUSED,
        stricter=stricter,
    )


def _bases_1(pack: Pack) -> None:
    add = partial(_bases_add, pack)
    get = Message(
        "GET", "/orders?page=2&q=a%20b", headers=(("Host", "api.example"), ("X-A", " one "), ("X-B", "1"), ("X-B", "2"))
    )
    sections = "11.3.3.1, RFC 9421 2.2"
    for name, value in (
        ("@method", "GET"),
        ("@authority", "api.example"),
        ("@scheme", "https"),
        ("@path", "/orders"),
        ("@query", "?page=2&q=a%20b"),
        ("@target-uri", "https://api.example/orders?page=2&q=a%20b"),
        ("@request-target", "/orders?page=2&q=a%20b"),
        ("x-a", "one"),
        ("x-b", "1, 2"),
    ):
        add(
            name.removeprefix("@"),
            f"{name}",
            sections if name[0] == "@" else "RFC 9421 2.1",
            get,
            f'"{name}"',
            f'"{name}": {value}\n',
        )
    simple = Message("POST", "", authority="API.Example:443")
    add("path-empty", "An empty path is a slash", sections, simple, '"@path"', '"@path": /\n')
    add(
        "authority-port",
        "The default port is left out",
        sections,
        simple,
        '"@authority"',
        '"@authority": api.example\n',
    )
    add(
        "authority-other-port",
        "Another port stays",
        sections,
        Message(authority="api.example:8443"),
        '"@authority"',
        '"@authority": api.example:8443\n',
    )
    add("query-none", "No query is a lone question mark", "RFC 9421 2.2.7", Message(), '"@query"', '"@query": ?\n')
    add("none", "Nothing is covered", "RFC 9421 2.5", get, "", "")


def _bases_2(pack: Pack) -> None:
    add = partial(_bases_add, pack)
    get = Message(
        "GET", "/orders?page=2&q=a%20b", headers=(("Host", "api.example"), ("X-A", " one "), ("X-B", "1"), ("X-B", "2"))
    )
    add(
        "params-whole",
        "Every parameter is signed",
        "11.3.3.2, RFC 9421 2.3",
        get,
        '"@method"',
        '"@method": GET\n',
        f';created={NOW};expires={NOW + 60};nonce="n";tag="t"',
    )
    add(
        "params-order",
        "Parameters keep their order",
        "RFC 9421 2.3",
        get,
        '"@method"',
        '"@method": GET\n',
        f';nonce="n";created={NOW}',
    )
    fold = Message(headers=(("X-A", "one\r\n  two\r\n\tthree"),))
    add("fold", "A fold is one space", "RFC 9421 2.1", fold, '"x-a"', '"x-a": one two three\n')
    add(
        "line-break",
        "A line break that is no fold",
        "RFC 9421 7.5.5",
        Message(headers=(("X-A", "one\r\ntwo"),)),
        '"x-a"',
        None,
    )
    add("field-empty", "An empty field", "RFC 9421 2.1", Message(headers=(("X-A", ""),)), '"x-a"', '"x-a": \n')
    add("field-absent", "A field that is not there", "RFC 9421 2.5", Message(), '"x-a"', None)
    add(
        "field-latin",
        "A field with a byte outside ASCII",
        "RFC 9421 2.5",
        Message(headers=(("X-A", "\xe9"),)),
        '"x-a"',
        None,
    )
    add(
        "field-latin-bs",
        "The same, byte-wrapped",
        "RFC 9421 2.1.3",
        Message(headers=(("X-A", "\xe9"),)),
        '"x-a";bs',
        '"x-a";bs: :6Q==:\n',
    )
    add("bs-lines", "Two lines, byte-wrapped", "RFC 9421 2.1.3", get, '"x-b";bs', '"x-b";bs: :MQ==:, :Mg==:\n')


def _bases_3(pack: Pack) -> None:
    add = partial(_bases_add, pack)
    structured = Message(
        headers=(
            ("Priority", " u=1,   i "),
            ("Example-Dict", "a=1,  b=2;x=1;y=2,  c=(a   b   c)"),
            ("Accept-Language", "en,  fr"),
        )
    )
    add(
        "sf-dictionary",
        "A Dictionary, strictly written",
        "RFC 9421 2.1.1",
        structured,
        '"priority";sf',
        '"priority";sf: u=1, i\n',
    )
    add("sf-unknown", "A type that is not known", "RFC 9421 2.1.1", structured, '"example-dict";sf', None)
    for name, value in (("a", "1"), ("b", "2;x=1;y=2"), ("c", "(a b c)")):
        add(
            f"key-{name}",
            "A member of a Dictionary",
            "RFC 9421 2.1.2",
            structured,
            f'"example-dict";key="{name}"',
            f'"example-dict";key="{name}": {value}\n',
        )
    add("key-absent", "A member that is not there", "RFC 9421 2.1.2", structured, '"example-dict";key="z"', None)
    add("key-not-string", "A member named by a Token", "RFC 9421 2.1.2", structured, '"example-dict";key=a', None)
    add(
        "key-of-list",
        "A member of a field that is a List",
        "RFC 9421 2.1.2",
        structured,
        '"accept-language";key="en"',
        None,
    )
    add(
        "sf-list",
        "A List, strictly written",
        "RFC 9421 2.1.1",
        structured,
        '"accept-language";sf',
        '"accept-language";sf: en, fr\n',
    )
    add(
        "sf-item",
        "An Item, strictly written",
        "RFC 9421 2.1.1",
        Message(headers=(("Age", " 7 "),)),
        '"age";sf',
        '"age";sf: 7\n',
    )


def _bases_4(pack: Pack) -> None:
    add = partial(_bases_add, pack)
    get = Message(
        "GET", "/orders?page=2&q=a%20b", headers=(("Host", "api.example"), ("X-A", " one "), ("X-B", "1"), ("X-B", "2"))
    )
    structured = Message(
        headers=(
            ("Priority", " u=1,   i "),
            ("Example-Dict", "a=1,  b=2;x=1;y=2,  c=(a   b   c)"),
            ("Accept-Language", "en,  fr"),
        )
    )
    add(
        "sf-malformed",
        "A Dictionary that is none",
        "RFC 9421 2.1.1",
        Message(headers=(("Priority", "u=="),)),
        '"priority";sf',
        None,
    )
    add("bs-and-sf", "bs with sf", "RFC 9421 2.1", structured, '"priority";bs;sf', None)
    add("sf-value", "sf with a value", "RFC 9421 2.1", structured, '"priority";sf=?0', None)
    add("parameter-unknown", "A parameter that is not known", "RFC 9421 2.5", structured, '"priority";zz', None)
    add(
        "tr",
        "A trailer",
        "RFC 9421 2.1.4",
        structured,
        '"priority";tr',
        None,
        stricter="no trailers are signed in this profile",
    )
    add("req", "The request of a response", "RFC 9421 2.4", get, '"@method";req', None)
    add("status", "The status of a request", "RFC 9421 2.2.9", get, '"@status"', None)
    add("unknown", "A derived component that is not known", "RFC 9421 2.5", get, '"@moon"', None)
    add("upper", "A field named in capitals", "RFC 9421 2.1", get, '"X-A"', None)


def _bases_5(pack: Pack) -> None:
    add = partial(_bases_add, pack)
    get = Message(
        "GET", "/orders?page=2&q=a%20b", headers=(("Host", "api.example"), ("X-A", " one "), ("X-B", "1"), ("X-B", "2"))
    )
    asked = Message(target="/a?x=1&y=a%20b&y2=a+b&z=&n%20m=%C3%A9&t=%7E&bad=%FF&two=1&two=2")
    for id, name, value in (
        ("plain", "x", "1"),
        ("space", "y", "a%20b"),
        ("plus", "y2", "a%20b"),
        ("empty", "z", ""),
        ("name", "n%20m", "%C3%A9"),
        ("tilde", "t", "%7E"),
    ):
        clean = Message(target=asked.target.replace("&bad=%FF", ""))
        add(
            f"query-param-{id}",
            "One parameter of the query, encoded anew",
            "RFC 9421 2.2.8",
            clean,
            f'"@query-param";name="{name}"',
            f'"@query-param";name="{name}": {value}\n',
        )
    for id, item in (
        ("absent", '"@query-param";name="q"'),
        ("twice", '"@query-param";name="two"'),
        ("no-name", '"@query-param"'),
        ("more", '"@query-param";name="x";sf'),
    ):
        add(
            f"query-param-{id}",
            "A parameter that is not one",
            "RFC 9421 2.2.8",
            Message(target="/a?x=1&two=1&two=2"),
            item,
            None,
        )
    add(
        "query-param-bytes",
        "A parameter that is no UTF-8",
        "RFC 9421 2.2.8",
        asked,
        '"@query-param";name="x"',
        None,
        stricter="RFC 9421 §2.2.8 decodes with replacement; then two queries had one value",
    )
    for id, field in (("twice", '"@method" "@method"'), ("token", "@method"), ("number", "7")):
        add(f"input-{id}", "Signature-Input that is not in form", "RFC 9421 2.5, RFC 9421 4.1", get, field, None)
    _signed(pack)


def _signed(pack: Pack) -> None:
    """Ed25519 gives the same bytes to everybody."""
    _signed_1(pack)
    _signed_2(pack)


def _signed_1(pack: Pack) -> None:
    key = KEYS["agent-1"]
    shown = "hwk" + "".join(f';{name}="{value}"' for name, value in key.jwk.items())
    session = Message(headers=(("Authorization", "AAuth abc"),))
    for id, message, covered, more in (
        ("get", Message(), BASE, ()),
        ("session", session, (*BASE, "authorization"), ()),
        ("query", Message(target="/orders?page=2"), (*BASE, "@query"), (("expires", NOW + 60), ("nonce", "n-1"))),
    ):
        keyed = message.adding(("Signature-Key", f"sig={shown}"))
        params = parameters(covered, (("created", NOW), *more))
        made = base64.b64encode(key.sign(base(keyed, covered, params))).decode()
        given = {
            "authority": message.authority,
            "request": message.wire(),
            "key": "agent-1",
            "signature_key": shown,
            "label": "sig",
            "covered": list(covered),
            "created": NOW,
            **dict(more),
        }
        fields = {"signature-key": f"sig={shown}", "signature-input": f"sig={params}", "signature": f"sig=:{made}:"}
        pack.add(
            f"sign-{id}",
            "Signing a request with Ed25519",
            "sign",
            "11.3.3, 11.3.3.1, 11.3.3.2",
            given,
            accepted(fields=fields),
        )
    quoted = parameters(BASE, (("created", NOW),)) + ';nonce="a\\"b"'
    keyed = Message().adding(("Signature-Key", f"sig={shown}"))
    made = base64.b64encode(key.sign(base(keyed, BASE, quoted))).decode()
    fields = {"signature-input": f"sig={quoted}", "signature": f"sig=:{made}:"}
    given = {
        "authority": "api.example",
        "request": Message().wire(),
        "key": "agent-1",
        "signature_key": shown,
        "label": "sig",
        "covered": list(BASE),
        "created": NOW,
        "nonce": 'a"b',
    }
    pack.add(
        "sign-quoted-nonce",
        "A nonce with a quotation mark is escaped",
        "sign",
        "RFC 9421 2.3, RFC 9651 4.1.6",
        given,
        accepted(fields=fields),
    )


def _signed_2(pack: Pack) -> None:
    key = KEYS["agent-1"]
    shown = "hwk" + "".join(f';{name}="{value}"' for name, value in key.jwk.items())
    given = {
        "authority": "api.example",
        "request": Message().wire(),
        "key": "agent-1",
        "signature_key": shown,
        "label": "sig",
        "covered": list(BASE),
        "created": NOW,
        "nonce": 'a"b',
    }
    for id, covered, values in (
        ("absent-field", (*BASE[:3], "x-absent", "signature-key"), {}),
        ("status", (*BASE[:3], "@status", "signature-key"), {}),
        ("bad-nonce", BASE, {"nonce": "\xe9"}),
        ("line-break", (*BASE[:3], "x-note", "signature-key"), {}),
    ):
        message = Message(headers=(("X-Note", "a\r\nSet-Cookie: b"),)) if id == "line-break" else Message()
        given = {
            "authority": message.authority,
            "request": message.wire(),
            "key": "agent-1",
            "signature_key": shown,
            "label": "sig",
            "covered": list(covered),
            "created": NOW,
            **values,
        }
        pack.add(
            f"sign-{id}",
            "A request that cannot be signed as it must be",
            "sign",
            "11.3.3, RFC 9421 2.5",
            given,
            refused("not_signed"),
        )
