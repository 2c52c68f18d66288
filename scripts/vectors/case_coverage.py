"""Cases of `request`: what is covered, and that it is what came (§11.3.3.1, §11.3.4 step 2)."""

from __future__ import annotations

import base64
from dataclasses import replace

from .messages import BASE, Message, digest, with_body
from .pack import Pack, Requests, refused, server, unsigned
from .world import presents, token

POST = with_body(Message("POST", "/token"), b'{"resource_token":"eyJ"}')
BODY = (*BASE, "content-digest", "content-type")
MISSING = unsigned("invalid_signature")


def _required(*names: str) -> dict[str, object]:
    outcome = unsigned("invalid_input")
    listed = " ".join(f'"{name}"' for name in names)
    outcome["error"]["headers"]["signature-error"] = f"error=invalid_input, required_input=({listed})"
    return outcome


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
    add(
        "body-uncovered-at-resource",
        "A resource need not ask for the digest",
        "11.3.3.1",
        by=agent,
        message=POST,
        at=at,
    )
    empty = Message("POST", "/token", headers=(("Content-Length", "0"),))
    add("body-empty", "Content-Length 0 is no body", "11.3.3.1", by=agent, message=empty, live=False)
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
    requests.add(
        "declared-covered",
        "What the metadata declares is covered",
        "11.2.4, 11.3.3.1",
        by=agent,
        message=message,
        covered=covered,
        at=at,
    )
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
    add(
        "session-covered",
        "A session token is covered",
        "6.3, 11.3.3.1",
        by=agent,
        message=session,
        covered=covered,
        live=True,
    )
    add(
        "session-uncovered",
        "A session token that is not covered",
        "6.3",
        _required(*covered),
        by=agent,
        message=session,
        live=True,
    )
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
    _query_1(requests)
    _query_2(requests)


def _query_1(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    asked = Message(target="/orders?page=2")
    wider = (*BASE, "@query")
    stricter = "§11.3.3.1 lets a server require more; this one wants a query that is there to be covered"
    add(
        "query-uncovered",
        "A query that is not covered",
        "11.3.3.1",
        _required(*wider),
        by=agent,
        message=asked,
        stricter=stricter,
        live=True,
    )
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
    add(
        "query-free",
        "A server that does not ask for the query",
        "11.3.3.1",
        by=agent,
        message=asked,
        at=server(query=False),
    )
    changed_query = [("target", "/orders?page=3")]
    add(
        "query-changed",
        "The query is another",
        "11.3.4",
        MISSING,
        by=agent,
        message=asked,
        covered=wider,
        changes=changed_query,
        live=True,
    )


def _query_2(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    asked = Message(target="/orders?page=2")
    wider = (*BASE, "@query")
    wrong = {"@query": "page=2"}
    add(
        "query-no-mark",
        "@query signed without its question mark",
        "11.3.4",
        MISSING,
        by=agent,
        message=asked,
        covered=wider,
        values=wrong,
    )
    whole = {"@path": "/orders?page=2"}
    add(
        "path-with-query",
        "@path signed with the query in it",
        "11.3.4",
        MISSING,
        by=agent,
        message=asked,
        covered=wider,
        values=whole,
    )
    add(
        "query-empty",
        "A lone question mark is an empty query",
        "11.3.4",
        by=agent,
        message=Message(target="/orders?"),
        covered=wider,
    )


def _tampered(requests: Requests) -> None:
    _tampered_1(requests)
    _tampered_2(requests)


def _tampered_1(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    add(
        "method-changed",
        "The method is another",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("method", "DELETE")],
        live=False,
    )
    add(
        "path-changed",
        "The path is another",
        "11.3.4",
        MISSING,
        by=agent,
        changes=[("target", "/orders/17")],
        live=True,
    )
    for name, target in (("path-encoded", "/%6Frders"), ("path-slash", "/orders/"), ("path-dots", "/x/../orders")):
        add(name, "The path is compared as it is written", "11.3.4", MISSING, by=agent, changes=[("target", target)])
    relayed = Message(authority="other.example")
    add(
        "authority-other",
        "Signed for another server, and relayed",
        "11.3.3.1, 11.3.4",
        MISSING,
        by=agent,
        message=relayed,
    )
    add(
        "authority-forged",
        "The Host field names the server it was signed for; the server knows its own name",
        "11.3.3.1",
        MISSING,
        by=agent,
        message=replace(relayed, headers=(("Host", "other.example"),)),
    )
    upper = Message(authority="API.example:443")
    add(
        "authority-normal", "@authority is lower case and without the default port", "11.3.3.1", by=agent, message=upper
    )
    swapped = f"sig={presents(token('agent', sub='aauth:other@agents.example'))}"
    add(
        "key-swapped",
        "Another token of the same key in Signature-Key",
        "SK 7.8",
        MISSING,
        by=agent,
        changes=[("set", "signature-key", swapped)],
    )


def _tampered_2(requests: Requests) -> None:
    agent, add = token("agent"), requests.add
    typed = [("set", "content-type", "text/plain")]
    add(
        "type-changed",
        "A covered field is another",
        "11.3.4",
        MISSING,
        by=agent,
        message=POST,
        covered=BODY,
        changes=typed,
    )
    other = digest(b"{}")
    add(
        "digest-changed",
        "Content-Digest is another",
        "11.3.4",
        MISSING,
        by=agent,
        message=POST,
        covered=BODY,
        changes=[("set", "content-digest", other)],
    )
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
    add(
        "field-folded",
        "A folded field line is covered as one",
        "11.3.4",
        by=agent,
        message=folded,
        covered=(*BASE, "x-note"),
    )
