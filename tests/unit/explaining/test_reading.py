"""The forms in which requests are captured, and what is no capture."""

from __future__ import annotations

import json

import pytest

from aauthkit.explaining import CaptureError, belief_of, read_capture, read_time, signer_base
from aauthkit.explaining.captured import MAX_CAPTURE


def test_raw_http_is_read_with_its_body_and_its_folds() -> None:
    captured = read_capture(
        b"POST /a?b=1 HTTP/1.1\r\nHost: api.example\r\nX-A: one\r\n two\r\nX-A: three\r\n\r\n{\r\n\r\n}"
    )
    assert (captured.method, captured.target, captured.authority) == ("POST", "/a?b=1", "api.example")
    assert captured.values("x-a") == ["one\r\n two", "three"]
    assert captured.body == b"{\r\n\r\n}"


def test_bare_line_feeds_an_absolute_target_and_a_fragment_are_read() -> None:
    captured = read_capture(b"GET https://api.example:8443/a#part HTTP/2\nAccept: */*\n\n")
    assert (captured.scheme, captured.authority, captured.target) == ("https", "api.example:8443", "/a")
    assert captured.body == b""


def test_pseudo_fields_stand_for_a_request_line() -> None:
    captured = read_capture(b":method: GET\n:path: /a\n:authority: api.example\n:scheme: https\naccept: */*\n\n")
    assert (captured.method, captured.target, captured.authority, captured.scheme) == (
        "GET",
        "/a",
        "api.example",
        "https",
    )


def test_of_several_requests_of_curl_the_last_that_was_signed_is_read() -> None:
    text = b"""* SSL connection using TLSv1.3
> GET /one HTTP/1.1
> Host: api.example
> Signature: sig=:AA==:
>
< HTTP/1.1 302 Found
< date: Wed, 18 Nov 2026 11:06:40 GMT
< location: /two
<
> GET /two HTTP/1.1
> Host: api.example
>
< HTTP/1.1 200 OK
<
{"a": 1}
"""
    captured = read_capture(text)
    assert (captured.target, captured.at, captured.scheme) == ("/one", 1795000000.0, "https")
    assert captured.answer is not None and captured.answer.status == 302
    assert captured.body is None
    assert captured.notes == ("the last signed of 2 requests in it",)


def test_of_a_har_file_the_signed_entry_that_was_refused_is_read() -> None:
    def entry(path: str, status: int, *fields: str) -> dict[str, object]:
        headers = [{"name": name, "value": "x"} for name in fields]
        request = {"method": "GET", "url": f"https://api.example{path}", "headers": headers}
        return {
            "startedDateTime": "2026-11-18T11:06:40Z",
            "request": request,
            "response": {"status": status, "headers": []},
        }

    entries = [entry("/a", 401, "Signature"), entry("/b", 401), entry("/c", 200, "Signature")]
    captured = read_capture(json.dumps({"log": {"entries": entries}}).encode())
    assert (captured.target, captured.at) == ("/a", 1795000000.0)


@pytest.mark.parametrize(
    "headers", [{"Host": "api.example", "X-A": ["1", "2"]}, [["host", "api.example"], ["x-a", "1"], ["x-a", "2"]]]
)
def test_json_is_read_with_fields_as_an_object_or_as_pairs(headers: object) -> None:
    document = {"method": "PUT", "target": "/a", "headers": headers, "body_base64": "e30=", "at": 1795000000}
    captured = read_capture(json.dumps(document).encode())
    assert captured.values("x-a") == ["1", "2"]
    assert (captured.body, captured.at, captured.authority) == (b"{}", 1795000000.0, "api.example")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no request line"),
        (b"hello", "no header field"),
        (b"GET /a HTTP/1.1\nnot a field\n\n", "no header field"),
        (b"GET a HTTP/1.1\n\n", "does not begin with a slash"),
        (b"{", "not JSON"),
        (b'{"method": "GET"}', "a `method` and a `url`"),
        (b'{"method": "GET", "url": "/", "headers": 1}', "neither an object nor a list"),
        (b'{"method": "GET", "url": "/", "headers": [["a"]]}', "a pair of name and value"),
        (b'{"method": "GET", "url": "/", "headers": {"a": 1}}', "both strings"),
        (b'{"method": "GET", "url": "/", "body_base64": "!"}', "not base64"),
        (b'{"log": {"entries": []}}', "no entry with a request"),
        (b"x" * (MAX_CAPTURE + 1), "longer than"),
    ],
)  # fmt: skip
def test_what_is_no_capture_is_refused_with_what_is_missing(data: bytes, said: str) -> None:
    with pytest.raises(CaptureError, match=said):
        read_capture(data)


def test_output_of_curl_without_a_request_is_refused() -> None:
    with pytest.raises(CaptureError, match="no line begins"):
        read_capture(b"* Trying", "curl")


@pytest.mark.parametrize(
    "text",
    [
        "1795000000",
        "2026-11-18T11:06:40Z",
        "2026-11-18T12:06:40+01:00",
        "2026-11-18 11:06:40",
        "Wed, 18 Nov 2026 11:06:40 GMT",
    ],
)
def test_a_time_is_read_in_the_forms_people_have_it(text: str) -> None:
    assert read_time(text) == 1795000000.0


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(CaptureError, match="is no time"):
        read_time("noon")


@pytest.mark.parametrize(
    "printed",
    [
        b'"@method": GET\n"@path": /a\n',
        b'"@method": GET\r\n"@path": /a',
        b'"@method": GET\\n"@path": /a',
        b'"\\"@method\\": GET\\n\\"@path\\": /a"',
        b"'\"@method\": GET\\n\"@path\": /a'",
    ],
)  # fmt: skip
def test_a_signers_base_is_read_however_it_was_printed(printed: bytes) -> None:
    assert signer_base(printed) == b'"@method": GET\n"@path": /a'


def test_what_was_not_said_is_the_requests_own_and_told_so() -> None:
    captured = read_capture(b"GET /a HTTP/1.1\nhost: api.example\n\n")
    belief = belief_of(captured)
    assert (belief.authority, belief.target, belief.now) == ("api.example", "/a", None)
    assert belief.assumed == ("authority", "target", "clock")
    with pytest.raises(CaptureError, match="no http or https URL"):
        belief_of(captured, identifier="api.example")
