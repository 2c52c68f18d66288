"""An answer that may be the protocol's: read up to a bound, and handed on byte for byte where it is the caller's.

Imported with the transports, since it is of httpx2.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Final

import httpx2

from ..protocol.messages import Answer, HeaderList
from .deferral import LONGEST

MAX_CHALLENGE: Final = LONGEST
"""Most bytes that are read of an answer before it is known whose it is, as they come and as they are meant."""


class Bounded:
    """A body gathered up to a bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> bool:
        """Take a piece; False if that is beyond the bound."""
        self._size += len(piece)
        self._pieces.append(piece)
        return self._size <= self._limit

    @property
    def content(self) -> bytes:
        """What was taken."""
        return b"".join(self._pieces)


class _Full(Exception):
    """More came than is read of it."""


class _AsyncTwice(httpx2.AsyncByteStream):
    """A body that is read a second time from its beginning: what came at first, then the rest."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream
        self._rest = stream.__aiter__()
        self._first: list[bytes] = []
        self._room = MAX_CHALLENGE
        self.keeping = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._first:
            yield piece
        async for piece in self._rest:
            if self.keeping:
                self._first.append(piece)
                self._room -= len(piece)
                if self._room < 0:
                    raise _Full
            yield piece

    async def aclose(self) -> None:
        if not self.keeping:
            await self.end()

    async def end(self) -> None:
        """The connection is needed no longer."""
        self.keeping = False
        if isinstance(self._rest, AsyncGenerator):
            await self._rest.aclose()
        await self._stream.aclose()


class _SyncTwice(httpx2.SyncByteStream):
    """The same, synchronous."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream
        self._rest = iter(stream)
        self._first: list[bytes] = []
        self._room = MAX_CHALLENGE
        self.keeping = True

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        for piece in self._rest:
            if self.keeping:
                self._first.append(piece)
                self._room -= len(piece)
                if self._room < 0:
                    raise _Full
            yield piece

    def close(self) -> None:
        if not self.keeping:
            self._stream.close()

    def end(self) -> None:
        """The connection is needed no longer."""
        self.keeping = False
        self._stream.close()


class Reading:
    """What was read of a response. `whole`: it ended within the bound, and its connection is free."""

    def __init__(self, response: httpx2.Response, answer: Answer, whole: bool) -> None:
        self.response = response
        self.answer = answer
        self.whole = whole

    @property
    def handed_on(self) -> httpx2.Response:
        """The response as it came, for the caller: its fields, its bytes, and what of it is not here yet."""
        came = self.response
        return httpx2.Response(
            came.status_code, headers=came.headers.raw, stream=came.stream, extensions=came.extensions
        )


async def read(response: httpx2.Response, headers: HeaderList) -> Reading:
    """Read a response up to the bound. What goes beyond it stays where it is, to be handed on or ended."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    twice = response.stream = _AsyncTwice(response.stream)
    gathered, whole = Bounded(MAX_CHALLENGE), True
    try:
        async with aclosing(response.aiter_bytes()) as pieces:
            async for piece in pieces:
                whole = gathered.add(piece)
                if not whole:
                    break
    except _Full:
        whole = False
    except BaseException:
        await twice.end()
        raise
    twice.keeping = False
    if whole:
        await twice.end()
    return Reading(response, Answer(response.status_code, headers, gathered.content), whole)


async def end(reading: Reading) -> None:
    """Let go of what was not read."""
    if isinstance(reading.response.stream, _AsyncTwice):
        await reading.response.stream.end()


def read_sync(response: httpx2.Response, headers: HeaderList) -> Reading:
    """The same, synchronous."""
    assert isinstance(response.stream, httpx2.SyncByteStream)
    twice = response.stream = _SyncTwice(response.stream)
    gathered, whole = Bounded(MAX_CHALLENGE), True
    try:
        for piece in response.iter_bytes():
            whole = gathered.add(piece)
            if not whole:
                break
    except _Full:
        whole = False
    except BaseException:
        twice.end()
        raise
    twice.keeping = False
    if whole:
        twice.end()
    return Reading(response, Answer(response.status_code, headers, gathered.content), whole)


def end_sync(reading: Reading) -> None:
    """Let go of what was not read."""
    if isinstance(reading.response.stream, _SyncTwice):
        reading.response.stream.end()
