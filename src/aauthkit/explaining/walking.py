"""The walk of a verifier over a captured request, which does not stop at the first fault (draft-11 §11.3.4).

`explain` is pure: no network, no clock, no private key. What it cannot see (whether the issuer signed the token, whom
the server trusts, what was revoked) it says it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..protocol.evidence import SIGNATURE_FIELDS
from ..protocol.headers import HeaderError, parse_authorization, parse_signature_error
from ..protocol.httpsig import (
    BASE_COMPONENTS,
    BODY_COMPONENTS,
    DigestMismatch,
    SignatureInput,
    SignatureSyntaxError,
    check_content_digest,
    parse_signature_input,
    parse_signatures,
)
from ..protocol.jose import PublicKey
from ..protocol.problems import CORRELATION, SignatureFailure
from ..protocol.signature_key import SchemeMember, select_label
from .belief import Belief
from .captured import Captured
from .causes import Cause, cause
from .comparing import Line, compare
from .dialects import older_answer
from .differing import differences
from .explanation import Explanation
from .keyholding import Held, dialect_of, hold, members_of, older_cause
from .scene import Change, Scene, scene_of
from .searching import BUDGET, search, verifies
from .wording import lasting, moment, plain, relative, shortened, shown


def explain(
    captured: Captured,
    belief: Belief,
    *,
    signer_base: bytes | None = None,
    keys: Sequence[PublicKey] = (),
    resolved: PublicKey | None = None,
    budget: int = BUDGET,
) -> Explanation:
    """Why the server with this `belief` refuses `captured`, or that the signature verifies.

    - `signer_base`: the base that the signer says it signed.
    - `keys`: public keys that may have signed, besides the one presented. `resolved`: the one the verifier used.
    - `budget`: how many altered bases are verified at most.
    """
    return _Walk(captured, belief, signer_base, tuple(keys), resolved, budget).explanation()


@dataclass
class _Walk:
    captured: Captured
    belief: Belief
    signer_base: bytes | None
    keys: tuple[PublicKey, ...]
    resolved: PublicKey | None
    budget: int
    causes: list[Cause] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rows: tuple[tuple[str, str], ...] = ()
    signed: tuple[tuple[str, str], ...] = ()
    comparison: tuple[Line, ...] = ()
    tried: int = 0
    exhausted: bool = True
    decided: bool = False
    """Whether it is known that the signature verifies, or why it does not."""

    def explanation(self) -> Explanation:
        """Walk, and say what was found."""
        self._request()
        selected = self._extract()
        if selected is not None:
            entry, signature, member = selected
            self._coverage(entry)
            self._freshness(entry)
            held = hold(member, self.belief, self.keys, self.resolved)
            older = any(each.name == "dialect" for each in self.causes)
            self.causes += [each for each in held.causes if not older or each.code not in _OF_KEYS]
            self.facts += held.facts
            self.unchecked += held.unchecked
            self._keyid(entry, held)
            self._signature(entry, signature, held)
        self._session()
        self._body()
        verdict = False if self.causes else True if self.decided else None
        if not self.causes:
            self.causes += self._refused_all_the_same()
        return Explanation(
            verdict,
            tuple(self.causes),
            tuple(self.facts),
            self.rows,
            self.signed,
            self.comparison,
            self.tried,
            self.exhausted,
            tuple(self.unchecked),
            tuple(self.remarks),
        )

    # What the request is, and in which form it speaks

    def _request(self) -> None:
        captured, belief = self.captured, self.belief
        target = f"{belief.scheme}://{plain(shortened(belief.authority))}{shown('@path', belief.target)}"
        self.facts.append(("request", f"{plain(captured.method[:16])} {target}"))
        self.remarks += [plain(note) for note in captured.notes]
        for part in belief.assumed:
            if part != "clock":
                self.remarks.append(f"the {part} is the request's own, for want of the server's: --{part} says it")
        self._answered()
        olders = dialect_of(captured.headers)
        self.causes += [older_cause(older) for older in olders if older.fatal]
        self.remarks += [f"{older.said}; in -11: {older.instead}" for older in olders if not older.fatal]

    def _answered(self) -> None:
        answer = self.captured.answer
        if answer is None:
            return
        try:
            error = parse_signature_error(answer.values("signature-error"))
        except HeaderError:
            error = None
        named = f", Signature-Error {plain(error.error[:40])}" if error is not None else ""
        self.facts.append(("answered with", f"{answer.status}{named}"))
        logged = answer.header(CORRELATION)
        if logged is not None:
            self.facts.append(("in their log", plain(logged[:64])))
        if error is not None and error.required_input:
            wanted = tuple(name for name in error.required_input if name not in BASE_COMPONENTS)
            self.belief = replace(self.belief, components=(*self.belief.components, *wanted))
        for older in older_answer(answer):
            self.remarks.append(f"the answer: {older.said}; in -11: {older.instead}")

    def _refused_all_the_same(self) -> Iterator[Cause]:
        """What the answer tells of a request in which bytes show nothing wrong."""
        answer = self.captured.answer
        if answer is None or answer.status != 401:
            return
        try:
            error = parse_signature_error(answer.values("signature-error"))
        except HeaderError:
            return
        if error is not None:
            name, what = UNSEEN.get(error.error, ("refused", "for a reason that the request does not show"))
            what = f"nothing is wrong with the signature, and the server answered {plain(error.error[:40])}: {what}"
            yield cause(name, what, certain=False, code=plain(error.error[:40]), section="draft-11 §11.3.4")

    # Step 1

    def _extract(self) -> tuple[SignatureInput, bytes, SchemeMember] | None:
        missing = [name for name in SIGNATURE_FIELDS if not self.captured.values(name)]
        if missing:
            self._missing(missing)
            return None
        if len(self.captured.values("authorization")) > 1:
            self._syntax("the field authorization stands twice")
        inputs, signatures = self._inputs(), self._signatures()
        members, problem = members_of(self.captured.values("signature-key"))
        if problem is not None and not any(each.name == "dialect" for each in self.causes):
            self.causes.append(problem)
        if not inputs or not signatures or not members:
            if not self.causes:
                self._syntax("Signature-Key names no scheme")
            return None
        try:
            label = select_label(inputs, signatures, members, self.belief.schemes)
        except SignatureFailure:
            names = (
                ("Signature-Input", list(inputs)),
                ("Signature", list(signatures)),
                ("Signature-Key", list(members)),
            )
            there = "; ".join(f"{name} has {plain(', '.join(labels)[:80])}" for name, labels in names)
            what = f"no label stands in all three fields: {there}"
            self.causes.append(cause("label", what, section="Signature-Keys §3"))
            return None
        return inputs[label], signatures[label], members[label]

    def _missing(self, missing: Sequence[str]) -> None:
        named = ", ".join(missing)
        if len(missing) == len(SIGNATURE_FIELDS):
            what = "the request is not signed: it has none of " + named
            self.causes.append(cause("unsigned", what, section="draft-11 §11.3.4 step 1"))
        else:
            what = f"the request lacks {named}, and has the rest of a signature"
            self.causes.append(cause("incomplete", what, section="draft-11 §11.3.4 step 1"))

    def _syntax(self, what: str, name: str = "syntax") -> None:
        self.causes.append(cause(name, plain(shortened(what)), section="RFC 9421 §4"))

    def _inputs(self) -> dict[str, SignatureInput]:
        try:
            return parse_signature_input(self.captured.values("signature-input"))
        except SignatureSyntaxError as error:
            self._syntax(str(error))
            return {}

    def _signatures(self) -> dict[str, bytes]:
        values = self.captured.values("signature")
        try:
            return parse_signatures(values, accept_base64url=self.belief.accept_base64url)
        except SignatureSyntaxError as error:
            try:
                lenient = parse_signatures(values, accept_base64url=True)
            except SignatureSyntaxError:
                self._syntax(str(error))
                return {}
            self._syntax(str(error), "base64url")
            return lenient

    # Steps 2 and 3

    def _coverage(self, entry: SignatureInput) -> None:
        covered, belief = entry.bare_names, self.belief
        required = [*BASE_COMPONENTS, *belief.components]
        if belief.body and (self.captured.values("transfer-encoding") or self._length() != 0):
            required += BODY_COMPONENTS
        if any(value.split(" ", 1)[0].lower() == "aauth" for value in self.captured.values("authorization")):
            required.append("authorization")
        missing = [name for name in dict.fromkeys(required) if name not in covered]
        query = "?" in belief.target and not covered & {"@query", "@target-uri", "@request-target"}
        if belief.query and query and "@query" not in missing:
            missing.append("@query")
        if missing:
            what = "the signature does not cover " + ", ".join(plain(name) for name in missing)
            self.causes.append(cause("coverage", what, code="invalid_input", section="draft-11 §11.3.3.1"))

    def _length(self) -> int:
        declared = next(iter(self.captured.values("content-length")), "0").strip()
        return int(declared) if declared.isascii() and declared.isdecimal() and len(declared) < 16 else 1

    def _freshness(self, entry: SignatureInput) -> None:
        now, window = self.belief.now, self.belief.window
        try:
            created, expires = entry.integer("created"), entry.integer("expires")
            entry.text_of("nonce"), entry.text_of("keyid")
        except SignatureSyntaxError as error:
            self.causes.append(cause("created.missing", str(error), section="draft-11 §11.3.3.2"))
            return
        if created is None:
            self.causes.append(cause("created.missing", "the signature has no created", section="draft-11 §11.3.3.2"))
            return
        self.facts.append(("created", moment(created)))
        if now is None:
            self.unchecked.append("whether created lies within the server's window: --at says what its clock showed")
            return
        self.facts.append(("server's clock", f"{moment(now)} (created {relative(created - now)})"))
        self.causes += _window(created, expires, now, window)

    def _keyid(self, entry: SignatureInput, held: Held) -> None:
        keyid = entry.params.get("keyid")
        if isinstance(keyid, str) and held.key is not None and keyid not in held.names:
            what = f"keyid is {plain(keyid[:64])}; the key presented is {held.key.thumbprint}"
            self.causes.append(cause("keyid", what, section="draft-11 §11.3.3.2"))

    # Step 7

    def _signature(self, entry: SignatureInput, signature: bytes, held: Held) -> None:
        scene = scene_of(self.belief.sees(self.captured), entry, signature, self.captured)
        params = ('"@signature-params"', entry.text)
        rows = [(str(item), scene.values.get(str(item))) for item in entry.components]
        self.rows = tuple(
            (name, shown(_bare(name), value) if value is not None else "(not there)") for name, value in rows
        )
        self.rows += ((params[0], shown("@signature-params", params[1])),)
        if self.signer_base is not None:
            self.comparison = compare(self.signer_base, [*((name, value or "") for name, value in rows), params])
        base = scene.base()
        if held.key is None:
            return
        if base is not None and verifies(held.key, base, signature):
            self.decided = True
            if self.causes:
                self.remarks.append("apart from that, the signature verifies under the key that is presented")
            return
        if not self.budget:
            self.causes += _missing_fields(scene)
            self.unchecked.append("why the signature does not verify: nothing was tried")
        elif not self._by_signer_base(scene, held.key):
            self._explain_signature(scene, held)

    def _by_signer_base(self, scene: Scene, key: PublicKey) -> bool:
        """Whether the signer's own base decides: a signature over it shows that the difference is the cause."""
        if self.signer_base is None:
            return False
        differing = [line for line in self.comparison if not line.same]
        if verifies(key, self.signer_base, scene.signature):
            self.causes += differences(self.signer_base, scene)
            return True
        if not differing:
            what = f"both have the same base, so the signature is by another key than {key.thumbprint}, or was altered"
            self.causes.append(cause("key.other", what, section="draft-11 §13.1"))
            return True
        self.remarks.append("the signature is not one over the signer's base either, under the key that is presented")
        return False

    def _explain_signature(self, scene: Scene, held: Held) -> None:
        assert held.key is not None
        other = self._other_key(scene, held)
        if other is not None:
            self.causes.append(other)
            return
        found = search(scene, held.key, self.budget)
        self._found(found.changes, found.tried, found.exhausted)
        if not found.changes:
            self.causes += _likely(scene, held, self.captured)

    def _other_key(self, scene: Scene, held: Held) -> Cause | None:
        base = scene.base()
        assert held.key is not None
        known = [*held.others, *self._bystanders(scene.entry.label)]
        known += [(key, "one of the keys given") for key in self.keys]
        for key, whose in known:
            if base is not None and not key.same_key(held.key) and verifies(key, base, scene.signature):
                what = f"signed by the key {key.thumbprint} ({whose}); presented is {held.key.thumbprint}"
                return cause("key.other", what, section="draft-11 §13.1")
        return None

    def _bystanders(self, label: str) -> Iterator[tuple[PublicKey, str]]:
        """Keys of further members of Signature-Key, which belong to other labels."""
        members, _ = members_of(self.captured.values("signature-key"))
        for name, member in members.items():
            key = hold(member, self.belief, (), None).key if name != label else None
            if key is not None:
                yield key, f"that of the label {plain(name[:32])}"

    def _found(self, changes: Sequence[Change], tried: int, exhausted: bool) -> None:
        self.tried, self.exhausted = tried, exhausted
        if not changes:
            return
        values = {name: value for change in changes for name, value in {**change.values, **change.literal}.items()}
        self.signed = tuple((f'"{name}"', shown(name, value)) for name, value in values.items())
        for change in changes:
            self.causes.append(cause(change.cause, change.what, mend=change.mend, section="RFC 9421 §2.5"))

    def _session(self) -> None:
        try:
            parse_authorization(self.captured.values("authorization")[:1])
        except HeaderError as error:
            self.causes.append(
                cause("syntax", plain(shortened(str(error))), code="invalid_request", section="draft-11 §6.3")
            )

    # The second step: the body

    def _body(self) -> None:
        values, body = self.captured.values("content-digest"), self.captured.body
        if not values:
            return
        if body is None:
            self.unchecked.append("whether the body is the one that was digested: the capture does not hold it")
            return
        try:
            check_content_digest(values, body)
        except DigestMismatch as error:
            what = f"{error}: {len(body)} bytes arrived"
            declared = self._length()
            if self.captured.values("content-length") and declared != len(body):
                what += f", {declared} were declared"
            self.causes.append(cause("digest", what, section="RFC 9530 §2"))


def _bare(identifier: str) -> str:
    return identifier.partition(";")[0].strip('"')


def _window(created: int, expires: int | None, now: float, window: int) -> Iterator[Cause]:
    where = "draft-11 §11.3.4 step 3"
    if created < now - window:
        what = f"created is {lasting(now - created)} behind the server's clock, and {window} s are allowed"
        yield cause("clock.behind", what, section=where)
    elif created > now + window:
        what = f"created is {lasting(created - now)} ahead of the server's clock, and {window} s are allowed"
        yield cause("clock.ahead", what, code="clock_skew", section=where)
    elif expires is not None and expires <= now:
        yield cause("expired", f"the signature expired {lasting(now - expires)} before", section="draft-11 §11.3.4.2")


def _missing_fields(scene: Scene) -> Iterator[Cause]:
    for item in scene.missing:
        what = f"the signature covers {plain(shortened(str(item)))}, which the request does not have"
        yield cause("field.missing", what, section="RFC 9421 §2.5")


def _likely(scene: Scene, held: Held, captured: Captured) -> Iterator[Cause]:
    """What may be the cause, where no candidate verifies."""
    assert held.key is not None
    if scene.missing:
        yield from _missing_fields(scene)
        return
    if len(scene.signature) != 64:
        what = f"the signature has {len(scene.signature)} bytes; {held.key.alg} has 64"
        yield cause("signature.form", what, section="RFC 9421 §3.3")
        return
    if scene.covers("@query") and scene.request.query is None:
        what = "the signature covers @query, and the server saw no query: it may have been cut off on the way"
        yield cause("query.dropped", what, certain=False, section="RFC 9421 §2.2.7")
        return
    proxied = sorted({name for name, _ in captured.headers if name in _OF_PROXIES})
    if proxied:
        what = f"a proxy stands between ({', '.join(proxied)}) and may have changed what is covered in another way"
        yield cause("unknown", what, certain=False, section="RFC 9421 §2.5")
    what = f"the signature may be by another key than the one presented, whose thumbprint is {held.key.thumbprint}"
    yield cause("key.other", what, certain=False, section="draft-11 §13.1")


UNSEEN: Final = {
    "unknown_key": ("key.unknown", "it could not find the key that signed the token, or of the signer"),
    "invalid_key": ("trust", "it does not trust the issuer, most likely"),
    "revoked_jwt": ("revoked", "the token was withdrawn by its issuer"),
    "issuer_missing": ("issuer", "the metadata of the issuer names none"),
    "issuer_mismatch": ("issuer", "the metadata of the issuer names another"),
    "invalid_jwt": ("token.malformed", "the issuer's signature on the token does not verify, most likely"),
    "expired_jwt": ("token.expired", "by its own clock the token has expired"),
    "clock_skew": ("clock.ahead", "by its own clock the request or the token is from the future"),
    "invalid_signature": ("another.view", "it saw another request than this one, or it saw this one before"),
}
"""Why a server refuses what verifies here, by its answer: cause and sentence."""
_OF_KEYS: Final = frozenset({"unsupported_algorithm", "unsupported_scheme", "invalid_key"})
"""What is wrong with a key that is presented in an older form follows from that, and is not told twice."""
_OF_PROXIES: Final = frozenset(
    {
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-envoy-original-path",
    }
)
