"""The mission blob: read, written, named by its bytes (draft-11 §8.2, §8.2.1)."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aauthkit.protocol.jose import b64url_encode
from aauthkit.protocol.missions import (
    MAX_BLOB,
    MAX_DESCRIPTION,
    MissionRejected,
    Tool,
    format_time,
    is_mission_s256,
    mission_s256,
    parse_time,
    read_blob,
    read_resources,
    read_tools,
    write_blob,
)

AGENT = "aauth:planner@agents.example"
BLOB: dict[str, Any] = {"agent": AGENT, "approved_at": "2026-04-07T14:30:00Z", "description": "# Trip"}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def blob(**members: Any) -> bytes:
    document = {**BLOB, **members}
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def test_the_name_is_the_digest_of_the_very_bytes() -> None:
    """PS-82, §8.2.1: other white space is another mission."""
    raw = blob()
    assert mission_s256(raw) == b64url_encode(hashlib.sha256(raw).digest()) and len(mission_s256(raw)) == 43
    assert mission_s256(raw) != mission_s256(raw + b" ")
    assert read_blob(raw, s256=mission_s256(raw)).s256 == mission_s256(raw)
    with pytest.raises(MissionRejected):
        read_blob(raw + b" ", s256=mission_s256(raw))


def test_what_is_written_is_what_is_read() -> None:
    """PS-83, §8.2: required members always, optional ones where they say something, never an approver."""
    raw = write_blob(
        agent=AGENT,
        approved_at=1_775_000_000.25,
        description="Grüße 東京",
        expires_at=1_775_003_600,
        approved_tools=[Tool("Search", "looks *around*")],
        approved_resources=["https://a.example"],
        further={"limits": {"tokens": 3}, "agent": "aauth:evil@agents.example", "description": "other"},
    )
    read = read_blob(raw, s256=mission_s256(raw))
    assert (read.agent, read.description) == (AGENT, "Grüße 東京")
    assert (read.approved_at, read.expires_at) == (1_775_000_000.25, 1_775_003_600)
    assert read.approved_tools == (Tool("Search", "looks *around*"),) and read.approves_tool("Search")
    assert not read.approves_tool("search")
    assert read.approved_resources == ("https://a.example",) and read.members["limits"] == {"tokens": 3}
    assert set(json.loads(write_blob(agent=AGENT, approved_at=1, description="x"))) == {
        "agent",
        "approved_at",
        "description",
    }


def test_members_nobody_knows_are_ignored_and_kept_in_the_bytes() -> None:
    """PS-83, §8.2."""
    read = read_blob(blob(companion={"x": 1}, capabilities=["payment"]))
    assert read.members["companion"] == {"x": 1}


@pytest.mark.parametrize(
    "members",
    [
        {"agent": None},
        {"agent": 7},
        {"agent": "planner@agents.example"},
        {"approved_at": None},
        {"approved_at": "2026-04-07"},
        {"approved_at": "2026-13-07T14:30:00Z"},
        {"approved_at": "2026-04-07T14:30:00"},
        {"approved_at": 1775000000},
        {"description": None},
        {"description": ""},
        {"description": "x" * (MAX_DESCRIPTION + 1)},
        {"expires_at": "soon"},
        {"approved_tools": {}},
        {"approved_tools": [{"description": "nameless"}]},
        {"approved_tools": [{"name": "a"}, {"name": "a"}]},
        {"approved_tools": [{"name": "a\n"}]},
        {"approved_resources": ["http://a.example"]},
        {"approved_resources": ["https://a.example/x"]},
        {"approved_resources": "https://a.example"},
    ],
)
def test_a_blob_out_of_form_is_rejected(members: dict[str, Any]) -> None:
    with pytest.raises(MissionRejected):
        read_blob(blob(**members))


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"{", b'{"agent":1,"agent":2}', b"\xff", b"x" * (MAX_BLOB + 1)])
def test_what_is_no_object_is_rejected(raw: bytes) -> None:
    with pytest.raises(MissionRejected):
        read_blob(raw)


@pytest.mark.parametrize("value", [None, 7, "", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "B", "A" * 42 + "\n"])
def test_only_the_encoding_of_32_bytes_names_a_mission(value: object) -> None:
    """§8.2.1: unpadded, and of one spelling."""
    assert not is_mission_s256(value)
    assert is_mission_s256(mission_s256(b"{}")) and is_mission_s256("A" * 43)


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_times_come_back(seconds: int) -> None:
    assert parse_time(format_time(seconds)) == seconds
    assert format_time(seconds).endswith("Z")


def test_zones_are_read() -> None:
    assert parse_time("2026-04-07T16:30:00+02:00") == parse_time("2026-04-07T14:30:00Z")


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_a_fault(raw: bytes) -> None:
    """§13.3: refused in its own words, and nothing else is raised."""
    with pytest.raises(MissionRejected):
        read_blob(raw)


@settings(max_examples=200)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys((*BLOB, "expires_at", "approved_tools", "approved_resources"), anything)
    )
)
def test_no_members_are_a_fault(members: dict[str, Any]) -> None:
    raw = json.dumps({**BLOB, **members}).encode()
    with contextlib.suppress(MissionRejected):
        read_blob(raw)


@settings(max_examples=200)
@given(anything)
def test_no_tools_and_resources_are_a_fault(value: object) -> None:
    for read in (read_tools, lambda one: read_resources(one, None)):
        with contextlib.suppress(MissionRejected):
            read(value)
