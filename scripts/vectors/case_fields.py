"""Cases of `request`: the three fields, and the signature itself (§11.3.4 steps 1 and 7)."""

from __future__ import annotations

import base64

from .keys import KEYS
from .messages import BASE, NOW, Message, Signing, base, parameters, with_body
from .pack import Pack, Requests, request_input, server, unsigned
from .world import AP, PS, hwk, presents, token

GET = Message()
POST = with_body(Message("POST", "/token"), b'{"resource_token":"eyJ"}')
MISSING = unsigned("invalid_signature")


def fields() -> Pack:
    pack = Pack(
        "fields", "Step 1 of §11.3.4: Signature, Signature-Input and Signature-Key, and what they must look like."
    )
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
        add(
            f"missing-{low}",
            f"{name} is missing",
            "11.3.4, SK 5.4.4",
            MISSING,
            by=agent,
            changes=[("drop", low)],
            live=True,
        )
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
    _bytes_1(requests)
    _bytes_2(requests)


def _bytes_given(value: bytes) -> list[tuple[str, ...]]:
    return [("set", "signature", f"sig=:{base64.b64encode(value).decode()}:")]


def _bytes_1(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    sent = Signing(KEYS["agent-1"], presents(agent)).sign(GET)
    raw = base64.b64decode(sent.lines("signature")[0][5:-1])
    given = _bytes_given
    add(
        "flipped-first",
        "One bit of R is flipped",
        "11.3.4",
        MISSING,
        by=agent,
        changes=given(bytes([raw[0] ^ 1]) + raw[1:]),
    )
    add(
        "flipped-last",
        "One bit of S is flipped",
        "11.3.4",
        MISSING,
        by=agent,
        changes=given(raw[:-1] + bytes([raw[-1] ^ 1])),
    )
    add("too-short", "63 bytes", "11.3.4", MISSING, by=agent, changes=given(raw[:-1]))
    add("too-long", "65 bytes", "11.3.4", MISSING, by=agent, changes=given(raw + b"\0"))
    order = 2**252 + 27742317777372353535851937790883648493
    big = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    add(
        "s-not-reduced",
        "S with the group order added verifies nowhere",
        "11.3.4, 11.3.1",
        MISSING,
        by=agent,
        changes=given(big),
    )
    add(
        "other-key",
        "Signed by another key than the token's",
        "11.3.4, 5.3.3",
        MISSING,
        by=agent,
        key="agent-2",
        live=True,
    )
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


def _bytes_2(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    given = _bytes_given
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
        changes=[
            ("set", "signature-input", f'sig=("@method" "@authority" "@path" "signature-key");created={NOW};x="\xe9"')
        ],
    )
