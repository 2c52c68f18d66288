"""How discovery fails."""

from __future__ import annotations

from typing import Literal

Code = Literal["unknown_key", "issuer_missing", "issuer_mismatch", "invalid_key", "unsupported_algorithm"]
"""The Signature-Error that says so (draft-11 §11.3.4 steps 5 and 6)."""


class DiscoveryFailed(Exception):
    """No usable key, or no usable metadata. `reason` may be shown to the caller: it repeats nothing that was fetched.

    `unreachable` says that the issuer could not be asked, so that the answer may be another later; `retry_after` is
    then the least number of seconds until it is asked again. `older` says that the issuer speaks an older draft, for
    whoever called it by their own choice.
    """

    def __init__(
        self, code: Code, reason: str, *, unreachable: bool = False, retry_after: int | None = None, older: str = ""
    ) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.reason = reason
        self.unreachable = unreachable
        self.retry_after = retry_after
        self.older = older
