"""Cases of `request`: the signature's parameters, its age, and repetition (§11.3.3.2, §11.3.4.2)."""

from __future__ import annotations

import base64

from .keys import KEYS
from .messages import NOW, Message, Signing, with_body
from .pack import Pack, Requests, server, unsigned
from .world import presents, token

GET = Message()
POST = with_body(Message("POST", "/token"), b'{"resource_token":"eyJ"}')
MISSING = unsigned("invalid_signature")


def freshness() -> Pack:
    pack = Pack("freshness", "Step 3 of §11.3.4, and the signature's parameters (§11.3.3.2, §11.3.4.2).")
    _freshness_1(pack)
    _freshness_2(pack)
    return pack


def _freshness_at(offset: int, **more: object) -> tuple[tuple[str, object], ...]:
    return (("created", NOW + offset), *more.items())


def _freshness_1(pack: Pack) -> None:
    add = Requests(pack).add
    agent = token("agent")
    at = _freshness_at
    ahead = unsigned("clock_skew")
    for name, offset, outcome in (
        ("old-60", -60, None),
        ("old-61", -61, MISSING),
        ("old-day", -86400, MISSING),
        ("ahead-60", 60, None),
        ("ahead-61", 61, ahead),
    ):
        add(
            f"created-{name}",
            f"created is {offset} s off",
            "11.3.4",
            outcome,
            by=agent,
            params=at(offset),
            live=name in ("old-day",),
        )
    skewed = token("agent", iat={"now": -5})
    add(
        "created-ahead-live",
        "created is an hour ahead",
        "11.3.4, SK 5.4.14",
        ahead,
        by=skewed,
        params=at(3600),
        live=True,
    )
    add("created-missing", "There is no created", "11.3.3.2, 11.3.4", MISSING, by=agent, params=(), live=True)
    for name, value in (("string", str(NOW)), ("decimal", "X"), ("negative", -1)):
        params = (("created", value),)
        changes = (
            []
            if value != "X"
            else [("set", "signature-input", f'sig=("@method" "@authority" "@path" "signature-key");created={NOW}.5')]
        )
        add(f"created-{name}", f"created is a {name}", "11.3.3.2", MISSING, by=agent, params=params, changes=changes)
    add("expires-future", "expires is to come", "11.3.4.2", by=agent, params=at(0, expires=NOW + 30), live=True)
    add("expires-past", "expires is past", "11.3.4.2", MISSING, by=agent, params=at(-10, expires=NOW - 1), live=True)
    add("expires-now", "expires is now", "11.3.4.2", MISSING, by=agent, params=at(0, expires=NOW))
    add("expires-string", "expires is a String", "11.3.4.2", MISSING, by=agent, params=at(0, expires="soon"))


def _freshness_2(pack: Pack) -> None:
    add = Requests(pack).add
    agent = token("agent")
    at = _freshness_at
    for window in (5, 600):
        add(
            f"window-{window}",
            f"A window of {window} s",
            "11.2.4, 11.3.4",
            None if window == 600 else MISSING,
            by=agent,
            params=at(-100),
            at=server(window=window),
        )
    add(
        "alg-ignored",
        "alg is ignored, whatever it says",
        "11.3.3.2, SK 7.4",
        by=agent,
        params=at(0, alg="hmac-sha256"),
        live=True,
    )
    add(
        "alg-ignored-ed25519",
        "alg is ignored, also where it is right",
        "11.3.3.2, SK 7.4",
        by=agent,
        params=at(0, alg="ed25519"),
    )
    kid = KEYS["agent-1"].thumbprint
    add("keyid-same", "keyid names the same key", "11.3.3.2, SK 4.3", by=agent, params=at(0, keyid=kid), live=True)
    add(
        "keyid-other",
        "keyid names another key",
        "11.3.3.2, SK 4.3",
        MISSING,
        by=agent,
        params=at(0, keyid=KEYS["agent-2"].thumbprint),
        live=True,
    )
    add("keyid-integer", "keyid is an Integer", "11.3.3.2", MISSING, by=agent, params=at(0, keyid=7))
    add("nonce", "A nonce is covered like any parameter", "11.3.4.2", by=agent, params=at(0, nonce="abc"), live=True)
    add(
        "nonce-integer",
        "nonce is an Integer",
        "11.3.4.2",
        MISSING,
        by=agent,
        params=at(0, nonce=7),
        stricter="RFC 9421 §2.3 says that nonce is a String",
    )
    add("tag", "An unknown parameter is covered and otherwise ignored", "11.3.4", by=agent, params=at(0, tag="x"))
    _replayed(Requests(pack))


def _replayed(requests: Requests) -> None:
    agent = token("agent")
    delete = Message("DELETE")
    sent = Signing(KEYS["agent-1"], presents(agent)).sign(delete)
    again = "§11.3.4.2 lets a verifier keep a replay cache; this one does, for methods that change something"
    before = [{"request": sent.wire(), "time": NOW}]
    requests.add(
        "replayed",
        "The same DELETE a second time",
        "11.3.4.2",
        MISSING,
        by=agent,
        message=delete,
        before=before,
        stricter=again,
    )
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
