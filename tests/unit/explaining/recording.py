"""Makes the captured requests in `captured/`, each with one thing wrong, by a signer of their own.

    python -m tests.unit.explaining.recording        # writes them anew

Keys are made from fixed seeds, so that the files say the same each time (signatures of ES256 apart).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from aauthkit.protocol.jose import SigningKey
from tests.plugins.signing import Issuer

FOLDER = Path(__file__).parent / "captured"
NOW = 1_795_000_000
API = "https://api.example"


def seeded(number: int) -> SigningKey:
    return SigningKey.generate(lambda length: bytes([number]) * length)


AGENT_KEY, OTHER_KEY, DURABLE = seeded(1), seeded(2), seeded(3)
EC_KEY = SigningKey.from_jwk(
    {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "d": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
        "x": "b_A7lJJBzh2t1DUZ5pYOCoW0GmmgXDKBA6orzhWUyhY",
        "y": "PE91OlW_AdxT9sCwx-7ni0DG_30lqW4igrmJzvccFEo",
    }
)
PROVIDER = Issuer("https://agents.example", seeded(4))
PERSON_SERVER = Issuer("https://ps.example", seeded(5))

BASE = ("@method", "@authority", "@path", "signature-key")
Pairs = Sequence[tuple[str, str]]


def agent_token(key: SigningKey = AGENT_KEY, **claims: Any) -> str:
    return PROVIDER.agent_token(key.public, now=NOW, **{"jti": "j-1", **claims})


def presenting(token: str) -> str:
    return f'sig=jwt;jwt="{token}"'


def hwk(key: SigningKey = AGENT_KEY, alg: str | None = "Ed25519") -> str:
    named = f';alg="{alg}"' if alg else ""
    return f'sig=hwk;kty="OKP";crv="Ed25519"{named};x="{key.public.jwk["x"]}"'


@dataclass
class Sent:
    """A request and how it is signed. `lines` are values in the base that are not those of the request."""

    method: str = "GET"
    authority: str = "api.example"
    target: str = "/orders"
    headers: Pairs = ()
    body: bytes = b""
    key: SigningKey = AGENT_KEY
    signature_key: str = field(default_factory=lambda: presenting(agent_token()))
    covered: Sequence[str] = BASE
    created: int = NOW
    more: str = ""
    lines: Mapping[str, str] = field(default_factory=dict)
    params: str | None = None
    written: str | None = None
    form: Callable[[list[tuple[str, str]], str], bytes] | None = None
    encode: Callable[[bytes], str] = lambda raw: base64.b64encode(raw).decode()
    message: Callable[[bytes], bytes] = lambda base: base

    def fields(self) -> list[tuple[str, str]]:
        found = [("host", self.authority), *self.headers]
        if self.body:
            digest = base64.b64encode(hashlib.sha256(self.body).digest()).decode()
            found += [("content-type", "application/json"), ("content-length", str(len(self.body)))]
            found += [("content-digest", f"sha-256=:{digest}:")]
        return [*found, ("signature-key", self.signature_key)]

    def value(self, name: str) -> str:
        path, _, query = self.target.partition("?")
        derived = {
            "@method": self.method,
            "@authority": self.authority,
            "@path": path,
            "@query": f"?{query}",
            "@target-uri": f"https://{self.authority}{self.target}",
        }
        if name in self.lines:
            return self.lines[name]
        if name in derived:
            return derived[name]
        return ", ".join(value for key, value in self.fields() if key == name)

    def base(self) -> bytes:
        names = " ".join(f'"{name}"' for name in self.covered)
        params = self.params if self.params is not None else f"({names});created={self.created}{self.more}"
        rows = [(f'"{name}"', self.value(name)) for name in self.covered]
        if self.form is not None:
            return self.form(rows, params)
        return "\n".join([*(f"{name}: {value}" for name, value in rows), f'"@signature-params": {params}']).encode()

    def signed(self) -> list[tuple[str, str]]:
        names = " ".join(f'"{name}"' for name in self.covered)
        written = self.written or f"({names});created={self.created}{self.more}"
        signature = self.encode(self.key.sign(self.message(self.base())))
        return [
            *self.fields(),
            ("signature-input", f"sig={written}"),
            ("signature", f"sig=:{signature}:"),
        ]


def raw(sent: Sent, *, target: str | None = None, headers: Pairs | None = None, body: bytes | None = None) -> bytes:
    """As a server logs it: `target`, `headers` and `body` are what arrived, where that is not what was sent."""
    lines = [f"{sent.method} {target or sent.target} HTTP/1.1"]
    lines += [f"{name.title()}: {value}" for name, value in (headers if headers is not None else sent.signed())]
    return "\r\n".join([*lines, "", ""]).encode() + (sent.body if body is None else body)


def without(name: str, fields: Pairs) -> list[tuple[str, str]]:
    return [pair for pair in fields if pair[0] != name]


def replaced(name: str, value: str, fields: Pairs) -> list[tuple[str, str]]:
    return [(key, value if key == name else old) for key, old in fields]


def curl(sent: Sent, status: int, answer: Pairs, *, before: str = "") -> bytes:
    lines = ["*   Trying 192.0.2.1:443...", "* SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384", "* using HTTP/2"]
    lines += [f"> {sent.method} {sent.target} HTTP/2", *(f"> {n.title()}: {v}" for n, v in sent.signed()), "> "]
    lines += ["* Request completely sent off", f"< HTTP/2 {status} ", *(f"< {n}: {v}" for n, v in answer), "< "]
    return (before + "\n".join(lines) + "\n").encode()


def har(sent: Sent, status: int, answer: Pairs, started: str, *, whole: bool = False) -> bytes:
    request: dict[str, Any] = {
        "method": sent.method,
        "url": f"https://{sent.authority}{sent.target}",
        "httpVersion": "h2",
        "headers": [{"name": name, "value": value} for name, value in sent.signed()],
    }
    if sent.body:
        request["postData"] = {"mimeType": "application/json", "text": sent.body.decode()}
    response = {"status": status, "headers": [{"name": n, "value": v} for n, v in answer], "content": {"text": ""}}
    entry = {"startedDateTime": started, "request": request, "response": response}
    plain = {"request": {"method": "GET", "url": f"{API}/", "headers": []}, "response": {"status": 200, "headers": []}}
    document = {"log": {"version": "1.2", "entries": [plain, entry]}} if whole else entry
    return json.dumps(document, indent=1).encode() + b"\n"


def as_json(sent: Sent, **more: Any) -> bytes:
    document = {"method": sent.method, "target": sent.target, "headers": [list(pair) for pair in sent.signed()], **more}
    return json.dumps(document, indent=1).encode() + b"\n"


@dataclass(frozen=True)
class Case:
    """A file, what the server believes, and what the explanation must name: causes in order, and how sure it is."""

    file: str
    data: bytes
    causes: tuple[str, ...]
    believes: Mapping[str, Any] = field(default_factory=dict)
    certain: bool = True
    says: str = ""
    """Words that the text must hold."""
    signer_base: str | None = None
    keys: tuple[str, ...] = ()
    verdict: bool | None = None
    """Whether the signature verifies, where something is wrong all the same."""


def write(cases: Sequence[Case]) -> None:
    """Write every capture, and the table of what each must be explained as."""
    table: dict[str, Any] = {}
    for case in cases:
        (FOLDER / case.file).write_bytes(case.data)
        row: dict[str, Any] = {"causes": list(case.causes), "certain": case.certain, "believes": dict(case.believes)}
        if case.says:
            row["says"] = case.says
        if case.verdict is not None:
            row["verdict"] = case.verdict
        if case.keys:
            row["keys"] = list(case.keys)
        if case.signer_base is not None:
            name = f"{case.file.rpartition('.')[0]}.base"
            (FOLDER / name).write_text(case.signer_base)
            row["signer_base"] = name
        table[case.file] = row
    (FOLDER / "cases.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


def der(raw_signature: bytes) -> str:
    r, s = int.from_bytes(raw_signature[:32], "big"), int.from_bytes(raw_signature[32:], "big")
    return base64.b64encode(encode_dss_signature(r, s)).decode()


if __name__ == "__main__":
    from tests.unit.explaining.wrongs import CASES

    FOLDER.mkdir(exist_ok=True)
    write(CASES)
