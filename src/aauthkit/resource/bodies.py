"""The body as the second step: compared with the digest that the signature covers (draft-11 §11.3.3.1; RFC 9530).

A body up to a bound is here and compared before the route runs; beyond it, it is compared as it streams, and what does
not match never comes to its end.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..asgi import Message, Receive
from ..protocol.httpsig import DigestCheck, DigestMismatch
from ..protocol.problems import SignatureFailure
from ..serving import Request
from ..verification import Verified

BUFFERED_BODY: Final = 1024 * 1024
"""Bytes of a body that are held, so that nothing of it reaches the route before it was compared."""


class CheckedBody:
    """An ASGI `receive` that fails where the body is not the one that was signed.

    `failure` is set once it has, so that whatever the application made of it, the answer says what happened.
    """

    def __init__(self, receive: Receive, check: DigestCheck | None) -> None:
        self._receive = receive
        self._check = check
        self._held: deque[Message] = deque()
        self._ended = False
        self.failure: SignatureFailure | None = None

    async def hold(self, declared: str | None) -> bool:
        """Read the body ahead and compare it, if it stays within the bound. False where the client has gone away.

        `declared` is its Content-Length. Raises `SignatureFailure`.
        """
        if declared is not None and declared.isdecimal() and int(declared[:12]) > BUFFERED_BODY:
            return True
        size = 0
        while not self._ended and size <= BUFFERED_BODY:
            message = await self._next()
            if message["type"] == "http.disconnect":
                return False
            size += len(message.get("body", b""))
            self._held.append(message)
        return True

    async def receive(self) -> Message:
        """The next message for the application. Raises `SignatureFailure` in place of the body's end."""
        return self._held.popleft() if self._held else await self._next()

    async def _next(self) -> Message:
        if self.failure is not None:
            raise self.failure
        message = await self._receive()
        if message["type"] == "http.request" and not self._ended:
            self._ended = not message.get("more_body", False)
            try:
                self._compare(message.get("body", b""))
            except DigestMismatch as error:
                self.failure = SignatureFailure("invalid_signature", str(error))
                raise self.failure from error
        return message

    def _compare(self, chunk: bytes) -> None:
        if self._check is None:
            if chunk:
                raise DigestMismatch("a body came with a request that says it has none")
            return
        self._check.update(chunk)
        if self._ended:
            self._check.finish()


def checked_body(verified: Verified, request: Request, receive: Receive, *, required: bool) -> CheckedBody | None:
    """What the body of `request` must pass, or `None` where the signature says nothing of it and need not.

    Raises `SignatureFailure` where Content-Digest itself is malformed. With `required`, a body that shows up although
    the message announced none was not covered, and fails.
    """
    check = verified.digest()
    if check is None and (request.has_body or not required):
        return None
    return CheckedBody(receive, check)
