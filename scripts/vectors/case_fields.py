"""Cases of `request`: the three fields, what is covered, freshness, and the signature itself (§11.3.3, §11.3.4)."""

from __future__ import annotations

import base64
from dataclasses import replace

from .keys import KEYS
from .messages import BASE, NOW, Message, Signing, base, digest, parameters, with_body
from .pack import Pack, Requests, refused, request_input, server, unsigned
from .world import AP, PS, hwk, presents, token

GET = Message()
POST = with_body(Message("POST", "/token"), b'{"resource_token":"eyJ"}')
BODY = (*BASE, "content-digest", "content-type")
MISSING = unsigned("invalid_signature")


def _required(*names: str) -> dict[str, object]:
    outcome = unsigned("invalid_input")
    listed = " ".join(f'"{name}"' for name in names)
    outcome["error"]["headers"]["signature-error"] = f"error=invalid_input, required_input=({listed})"
    return outcome


def fields() -> Pack:
    pack = Pack("fields", "Step 1 of §11.3.4: Signature, Signature-Input and Signature-Key, and what they must look like.")
    add = Requests(pack).add
    agent = token("agent")
    add("agent-get", "A GET with an agent token", "11.3.4, 5.3.3, 11.3.3.1", by=agent, live=True)
    add(
        "label-other",
        "Any label will do, as long as all three fields have it",
        "SK 3, SK 3.1",
        by=agent,
        label="my-sig.1",
        live=True,
    )
    for name in ("Signature", "Signature-Input", "Signature-Key"):
        low = name.lower()
        add(f"missing-{low}", f"{name} is missing", "11.3.4, SK 5.4.4", MISSING, by=agent, changes=[("drop", low)], live=True)
        sent = Signing(KEYS["agent-1"], presents(agent)).sign(GET)
        value = sent.lines(low)[0]
        add(
            f"twice-{low}",
            f"{name} has its label twice: one key, two meanings",
            "11.3.4, SK 3",
            MISSING,
            by=agent,
            changes=[("add", name, value)],
            stricter="RFC 9651 §4.2.2 lets the last of two equal keys win; here two are refused",
        )
        for number, junk in enumerate(("", "sig", "sig=1", "sig=(", "sig=:%%:", "sig=:AAAA", "sig=?0"), 1):
            add(
                f"junk-{low}-{number}",
                f"{name} is {junk!r}",
                "11.3.4, SK 3",
                MISSING,
                by=agent,
                changes=[("set", low, junk)],
                live=number == 3,
            )
    plain = Requests(pack)
    _all_missing(plain)
    _labels(plain)
    _bytes(plain)
    _bounds(plain)
    return pack


def _all_missing(requests: Requests) -> None:
    drop = [("drop", name) for name in ("signature", "signature-input", "signature-key")]
    requests.add(
        "missing-all", "An unsigned request", "11.3.4, SK 5.4.4", MISSING, by=token("agent"), changes=drop, live=True
    )


def _labels(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    sent = Signing(KEYS["agent-1"], presents(agent)).sign(GET)
    key, entry, made = (sent.lines(name)[0] for name in ("signature-key", "signature-input", "signature"))
    for name, value in (("signature-key", key), ("signature-input", entry), ("signature", made)):
        add(
            f"label-lost-{name}",
            f"{name} has another label than the other two",
            "SK 3, SK 3.1",
            MISSING,
            by=agent,
            changes=[("set", name, value.replace("sig=", "other=", 1))],
            live=True,
        )
    extra = [
        ("signature-key-unused", 'x=carrier-pigeon;ring="7"', "A member nobody uses names an unknown scheme"),
        ("signature-key-item", "x=17", "A member nobody uses is no Token"),
    ]
    for name, more, title in extra:
        keyed = f"sig={presents(agent)}, {more}"
        signed = _resigned(keyed)
        requests.pack.add(
            name,
            title,
            "request",
            "SK 3, SK 3.1",
            _given(signed),
            {"result": {"level": "agent", "sub": agent.claims["sub"]}},
        )
    two = _two_signatures()
    requests.pack.add(
        "two-signatures",
        "Two signatures, one under a scheme that is not served: the other counts",
        "request",
        "SK 3, SK 3.2",
        _given(two),
        {"result": {"level": "agent", "sub": agent.claims["sub"]}},
    )


def _given(message: Message, **more: object) -> dict[str, object]:
    return request_input(message, server(), (AP, PS), **more)


def _resigned(signature_key: str, key: str = "agent-1", covered: tuple[str, ...] = BASE) -> Message:
    """A request whose whole Signature-Key field is given, signed over it."""
    keyed = GET.adding(("Signature-Key", signature_key))
    text = parameters(covered, (("created", NOW),))
    made = base64.b64encode(KEYS[key].sign(base(keyed, covered, text))).decode()
    return keyed.adding(("Signature-Input", f"sig={text}"), ("Signature", f"sig=:{made}:"))


def _two_signatures() -> Message:
    field = f"first={hwk('agent-2')}, second={presents(token('agent'))}"
    keyed = GET.adding(("Signature-Key", field))
    text = parameters(BASE, (("created", NOW),))
    over = base(keyed, BASE, text)
    made = {"first": KEYS["agent-2"].sign(over), "second": KEYS["agent-1"].sign(over)}
    inputs = ", ".join(f"{label}={text}" for label in made)
    signatures = ", ".join(f"{label}=:{base64.b64encode(raw).decode()}:" for label, raw in made.items())
    return keyed.adding(("Signature-Input", inputs), ("Signature", signatures))


def _bytes(requests: Requests) -> None:
    """The signature's own bytes."""
    agent, add = token("agent"), requests.add
    sent = Signing(KEYS["agent-1"], presents(agent)).sign(GET)
    raw = base64.b64decode(sent.lines("signature")[0][5:-1])

    def given(value: bytes) -> list[tuple[str, ...]]:
        return [("set", "signature", f"sig=:{base64.b64encode(value).decode()}:")]

    add("flipped-first", "One bit of R is flipped", "11.3.4", MISSING, by=agent, changes=given(bytes([raw[0] ^ 1]) + raw[1:]))
    add("flipped-last", "One bit of S is flipped", "11.3.4", MISSING, by=agent, changes=given(raw[:-1] + bytes([raw[-1] ^ 1])))
    add("too-short", "63 bytes", "11.3.4", MISSING, by=agent, changes=given(raw[:-1]))
    add("too-long", "65 bytes", "11.3.4", MISSING, by=agent, changes=given(raw + b"\0"))
    order = 2**252 + 27742317777372353535851937790883648493
    big = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    add("s-not-reduced", "S with the group order added verifies nowhere", "11.3.4, 11.3.1", MISSING, by=agent, changes=given(big))
    add("other-key", "Signed by another key than the token's", "11.3.4, 5.3.3", MISSING, by=agent, key="agent-2", live=True)
    with_params = [("set", "signature", sent.lines("signature")[0] + ";q=1")]
    add(
        "signature-with-parameter",
        "A member of Signature has a parameter",
        "11.3.4",
        MISSING,
        by=agent,
        changes=with_params,
        stricter="RFC 9421 §4.2 speaks of a Byte Sequence and of no parameters",
    )
    for number in range(1, 200):  # until the signature holds a symbol in which the two alphabets differ
        params = (("created", NOW), ("nonce", f"n{number}"))
        signed = Signing(KEYS["agent-1"], presents(agent), params=params).sign(GET)
        value = signed.lines("signature")[0]
        if "+" in value and "/" in value:
            break
    url_safe = value.replace("+", "-").replace("/", "_")
    add(
        "signature-base64url",
        "Signature in the URL-safe alphabet is no Byte Sequence",
        "11.3.4",
        MISSING,
        by=agent,
        params=params,
        changes=[("set", "signature", url_safe)],
    )
    es = token("agent", bound="agent-es")
    add("es256", "An ES256 key signs", "11.3.1, 11.3.4", by=es, key="agent-es", live=True)
    signed = Signing(KEYS["agent-es"], presents(es)).sign(GET)
    made = base64.b64decode(signed.lines("signature")[0][5:-1])
    for name, forged in (
        ("es256-der", b"\x30\x44\x02\x20" + made[:32] + b"\x02\x20" + made[32:]),
        ("es256-zero-r", bytes(32) + made[32:]),
        ("es256-zero-s", made[:32] + bytes(32)),
        ("es256-big-r", b"\xff" * 32 + made[32:]),
        ("es256-flipped", made[:-1] + bytes([made[-1] ^ 1])),
    ):
        add(name, f"ES256: {name[6:]}", "11.3.1, 11.3.4", MISSING, by=es, key="agent-es", changes=given(forged))


def _bounds(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    many = ", ".join(f'x{n}=("@method");created={NOW}' for n in range(40))
    add(
        "many-labels",
        "Forty signatures",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("add", "Signature-Input", many)],
        stricter="a bound of ours; RFC 9421 §7.5.6 asks for bounds",
    )
    wide = " ".join(f'"x-{n}"' for n in range(80))
    add(
        "many-components",
        "Eighty components",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("set", "signature-input", f"sig=({wide});created={NOW}")],
        stricter="a bound of ours; RFC 9421 §7.5.6 asks for bounds",
    )
    add(
        "component-token",
        "A component is named by a Token and not by a String",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("set", "signature-input", f'sig=("@method" @authority "@path" "signature-key");created={NOW}')],
    )
    add(
        "component-twice",
        "A component is covered twice",
        "11.3.4",
        MISSING,
        by=agent,
        covered=(*BASE, "@method"),
    )
    add(
        "long-field",
        "A Signature-Input of 40 000 characters",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("set", "signature-input", f'sig=("@method");created={NOW};nonce="{"a" * 40_000}"')],
        stricter="a bound of ours",
    )
    add(
        "not-ascii",
        "Signature-Input holds a byte outside ASCII",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("set", "signature-input", f'sig=("@method" "@authority" "@path" "signature-key");created={NOW};x="\xe9"')],
    )


def coverage() -> Pack:
    pack = Pack("coverage", "Step 2 of §11.3.4: what the signature must cover, and that what it covers is what came.")
    add = Requests(pack).add
    agent = token("agent")
    for name in BASE:
        left = tuple(each for each in BASE if each != name)
        add(
            f"uncovered-{name.removeprefix('@')}",
            f"{name} is not covered",
            "11.3.3.1, 11.3.4" + (", SK 7.8" if name == "signature-key" else ""),
            _required(*BASE),
            by=agent,
            covered=left,
            live=True,
        )
    add("uncovered-all", "Nothing is covered", "11.3.3.1, 11.3.4", _required(*BASE), by=agent, covered=(), live=True)
    only = ("signature-key",)
    add("uncovered-request", "Only the key is covered", "11.3.3.1", _required(*BASE), by=agent, covered=only, live=True)
    wrapped = base64.b64encode(presents(agent).join(["sig=", ""]).encode()).decode()
    add(
        "covered-not-bare",
        "signature-key is covered with a parameter, which is not the component that is required",
        "11.3.3.1",
        _required(*BASE),
        by=agent,
        covered=("@method", "@authority", "@path", '"signature-key";bs'),
        values={'"signature-key";bs': f":{wrapped}:"},
    )
    for name, left in (("content-digest", (*BASE, "content-type")), ("content-type", (*BASE, "content-digest"))):
        add(
            f"uncovered-{name}",
            f"A body, and {name} is not covered",
            "11.3.3.1, 11.12.1",
            _required(*BODY),
            by=agent,
            message=POST,
            covered=left,
        )
    add("body-covered", "A body with its digest covered", "11.3.3.1", by=agent, message=POST, covered=BODY)
    chunked = POST.without("content-length").adding(("Transfer-Encoding", "chunked"))
    add("body-chunked", "A chunked body is a body", "11.3.3.1", _required(*BODY), by=agent, message=chunked)
    at = server(body=False)
    add("body-uncovered-at-resource", "A resource need not ask for the digest", "11.3.3.1", by=agent, message=POST, at=at)
    empty = Message("POST", "/token", headers=(("Content-Length", "0"),))
    add("body-empty", "Content-Length 0 is no body", "11.3.3.1", by=agent, message=empty, live=True)
    _declared(Requests(pack))
    _authorization(Requests(pack))
    _query(Requests(pack))
    _tampered(Requests(pack))
    _absent(Requests(pack))
    return pack


def _declared(requests: Requests) -> None:
    agent = token("agent")
    at = server(components=["content-type", "x-request-id"])
    message = Message(headers=(("Content-Type", "text/plain"), ("X-Request-Id", "r-17")))
    covered = (*BASE, "content-type", "x-request-id")
    requests.add("declared-covered", "What the metadata declares is covered", "11.2.4, 11.3.3.1", by=agent, message=message, covered=covered, at=at)
    requests.add(
        "declared-uncovered",
        "What the metadata declares is not covered",
        "11.2.4, 11.3.3.1",
        _required(*covered),
        by=agent,
        message=message,
        at=at,
    )


def _authorization(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    session = Message(headers=(("Authorization", "AAuth wrapped-session-token"),))
    covered = (*BASE, "authorization")
    add("session-covered", "A session token is covered", "6.3, 11.3.3.1", by=agent, message=session, covered=covered, live=True)
    add("session-uncovered", "A session token that is not covered", "6.3", _required(*covered), by=agent, message=session, live=True)
    lower = Message(headers=(("Authorization", "aauth wrapped-session-token"),))
    add("session-uncovered-lower", "Schemes have no case", "6.3", _required(*covered), by=agent, message=lower)
    bearer = Message(headers=(("Authorization", "Bearer abc"),))
    add("bearer-uncovered", "Another scheme need not be covered", "6.3", by=agent, message=bearer, live=True)
    add(
        "session-twice",
        "Two credentials in Authorization",
        "6.3",
        MISSING,
        by=agent,
        message=session,
        covered=covered,
        changes=[("add", "Authorization", "AAuth another")],
    )


def _query(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    asked = Message(target="/orders?page=2")
    wider = (*BASE, "@query")
    stricter = "§11.3.3.1 lets a server require more; this one wants a query that is there to be covered"
    add("query-uncovered", "A query that is not covered", "11.3.3.1", _required(*wider), by=agent, message=asked, stricter=stricter, live=True)
    for name in ("@query", "@target-uri", "@request-target"):
        add(
            f"query-{name.removeprefix('@')}",
            f"{name} covers the query",
            "11.3.3.1",
            by=agent,
            message=asked,
            covered=(*BASE, name),
            live=name == "@query",
        )
    add("query-free", "A server that does not ask for the query", "11.3.3.1", by=agent, message=asked, at=server(query=False))
    changed_query = [("target", "/orders?page=3")]
    add("query-changed", "The query is another", "11.3.4", MISSING, by=agent, message=asked, covered=wider, changes=changed_query, live=True)
    wrong = {"@query": "page=2"}
    add("query-no-mark", "@query signed without its question mark", "11.3.4", MISSING, by=agent, message=asked, covered=wider, values=wrong)
    whole = {"@path": "/orders?page=2"}
    add("path-with-query", "@path signed with the query in it", "11.3.4", MISSING, by=agent, message=asked, covered=wider, values=whole)
    add("query-empty", "A lone question mark is an empty query", "11.3.4", by=agent, message=Message(target="/orders?"), covered=wider)


def _tampered(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    add("method-changed", "The method is another", "11.3.4", MISSING, by=agent, changes=[("method", "DELETE")], live=True)
    add("path-changed", "The path is another", "11.3.4", MISSING, by=agent, changes=[("target", "/orders/17")], live=True)
    for name, target in (("path-encoded", "/%6Frders"), ("path-slash", "/orders/"), ("path-dots", "/x/../orders")):
        add(name, "The path is compared as it is written", "11.3.4", MISSING, by=agent, changes=[("target", target)])
    relayed = Message(authority="other.example")
    add("authority-other", "Signed for another server, and relayed", "11.3.3.1, 11.3.4", MISSING, by=agent, message=relayed)
    add(
        "authority-forged",
        "The Host field names the server it was signed for; the server knows its own name",
        "11.3.3.1",
        MISSING,
        by=agent,
        message=replace(relayed, headers=(("Host", "other.example"),)),
    )
    upper = Message(authority="API.example:443")
    add("authority-normal", "@authority is lower case and without the default port", "11.3.3.1", by=agent, message=upper)
    swapped = f"sig={presents(token('agent', sub='aauth:other@agents.example'))}"
    add("key-swapped", "Another token of the same key in Signature-Key", "SK 7.8", MISSING, by=agent, changes=[("set", "signature-key", swapped)])
    typed = [("set", "content-type", "text/plain")]
    add("type-changed", "A covered field is another", "11.3.4", MISSING, by=agent, message=POST, covered=BODY, changes=typed)
    other = digest(b"{}")
    add("digest-changed", "Content-Digest is another", "11.3.4", MISSING, by=agent, message=POST, covered=BODY, changes=[("set", "content-digest", other)])
    body = with_body(Message("POST", "/token"), b'{"a":1}')
    add(
        "body-changed",
        "The body is not the one that the covered Content-Digest speaks of",
        "11.3.3.1",
        refused("invalid_signature", 401, "invalid_request"),
        by=agent,
        message=replace(body, body=b'{"a":2}'),
        covered=BODY,
    )


def _absent(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    for name in ("x-absent", "@status", "@unknown", "X-Upper"):
        add(
            f"covers-{name.strip('@').lower()}",
            f"{name} is covered, and the request has none",
            "11.3.4",
            MISSING,
            by=agent,
            covered=(*BASE, name),
            values={name: "nothing"},
        )
    folded = Message(headers=(("X-Note", "one\r\n two"),))
    add("field-folded", "A folded field line is covered as one", "11.3.4", by=agent, message=folded, covered=(*BASE, "x-note"))


def freshness() -> Pack:
    pack = Pack("freshness", "Step 3 of §11.3.4, and the signature's parameters (§11.3.3.2, §11.3.4.2).")
    add = Requests(pack).add
    agent = token("agent")

    def at(offset: int, **more: object) -> tuple[tuple[str, object], ...]:
        return (("created", NOW + offset), *more.items())

    ahead = unsigned("clock_skew")
    for name, offset, outcome in (
        ("old-60", -60, None),
        ("old-61", -61, MISSING),
        ("old-day", -86400, MISSING),
        ("ahead-60", 60, None),
        ("ahead-61", 61, ahead),
    ):
        add(f"created-{name}", f"created is {offset} s off", "11.3.4", outcome, by=agent, params=at(offset), live=name in ("old-day",))
    skewed = token("agent", iat={"now": -5})
    add("created-ahead-live", "created is an hour ahead", "11.3.4, SK 5.4.14", ahead, by=skewed, params=at(3600), live=True)
    add("created-missing", "There is no created", "11.3.3.2, 11.3.4", MISSING, by=agent, params=(), live=True)
    for name, value in (("string", str(NOW)), ("decimal", "X"), ("negative", -1)):
        params = (("created", value),)
        changes = [] if value != "X" else [("set", "signature-input", f'sig=("@method" "@authority" "@path" "signature-key");created={NOW}.5')]
        add(f"created-{name}", f"created is a {name}", "11.3.3.2", MISSING, by=agent, params=params, changes=changes)
    add("expires-future", "expires is to come", "11.3.4.2", by=agent, params=at(0, expires=NOW + 30), live=True)
    add("expires-past", "expires is past", "11.3.4.2", MISSING, by=agent, params=at(-10, expires=NOW - 1), live=True)
    add("expires-now", "expires is now", "11.3.4.2", MISSING, by=agent, params=at(0, expires=NOW))
    add("expires-string", "expires is a String", "11.3.4.2", MISSING, by=agent, params=at(0, expires="soon"))
    for window in (5, 600):
        add(f"window-{window}", f"A window of {window} s", "11.2.4, 11.3.4", None if window == 600 else MISSING, by=agent, params=at(-100), at=server(window=window))
    add("alg-ignored", "alg is ignored, whatever it says", "11.3.3.2, SK 7.4", by=agent, params=at(0, alg="hmac-sha256"), live=True)
    add("alg-ignored-ed25519", "alg is ignored, also where it is right", "11.3.3.2, SK 7.4", by=agent, params=at(0, alg="ed25519"))
    kid = KEYS["agent-1"].thumbprint
    add("keyid-same", "keyid names the same key", "11.3.3.2, SK 4.3", by=agent, params=at(0, keyid=kid), live=True)
    add("keyid-other", "keyid names another key", "11.3.3.2, SK 4.3", MISSING, by=agent, params=at(0, keyid=KEYS["agent-2"].thumbprint), live=True)
    add("keyid-integer", "keyid is an Integer", "11.3.3.2", MISSING, by=agent, params=at(0, keyid=7))
    add("nonce", "A nonce is covered like any parameter", "11.3.4.2", by=agent, params=at(0, nonce="abc"), live=True)
    add("nonce-integer", "nonce is an Integer", "11.3.4.2", MISSING, by=agent, params=at(0, nonce=7), stricter="RFC 9421 §2.3 says that nonce is a String")
    add("tag", "An unknown parameter is covered and otherwise ignored", "11.3.4", by=agent, params=at(0, tag="x"))
    _replayed(Requests(pack))
    return pack


def _replayed(requests: Requests) -> None:
    agent = token("agent")
    delete = Message("DELETE")
    sent = Signing(KEYS["agent-1"], presents(agent)).sign(delete)
    again = "§11.3.4.2 lets a verifier keep a replay cache; this one does, for methods that change something"
    before = [{"request": sent.wire(), "time": NOW}]
    requests.add("replayed", "The same DELETE a second time", "11.3.4.2", MISSING, by=agent, message=delete, before=before, stricter=again)
    seen = Signing(KEYS["agent-1"], presents(agent)).sign(GET)
    once_more = [{"request": seen.wire(), "time": NOW}]
    requests.add("repeated-get", "The same GET a second time", "11.3.4.2", by=agent, before=once_more)
    es = token("agent", bound="agent-es")
    first = Signing(KEYS["agent-es"], presents(es)).sign(delete)
    raw = base64.b64decode(first.lines("signature")[0][5:-1])
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    value = f"sig=:{base64.b64encode(twin).decode()}:"
    requests.add(
        "replayed-twin",
        "The same DELETE with the other ECDSA signature over it",
        "11.3.4.2",
        MISSING,
        by=es,
        key="agent-es",
        message=delete,
        changes=[("set", "signature", value)],
        before=[{"request": first.wire(), "time": NOW}],
        stricter=again,
    )


__all__ = ["coverage", "fields", "freshness"]
