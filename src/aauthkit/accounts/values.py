"""What the room gives out: an account, a session, and the one error a person can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

Kind = Literal[
    "closed",
    "invite",
    "name",
    "taken",
    "weak",
    "credentials",
    "disabled",
    "throttled",
    "unknown",
]
"""Why an account could not be made or used.

`closed`: sign-up needs an invitation; `invite`: it is not one, or was used; `name`, `weak`: the name or password breaks
the rules; `taken`: the name is another's; `credentials`: name or password is wrong, and which is not said; `disabled`:
the password was right, the account is switched off; `throttled`: too many attempts; `unknown`: nobody has this name.
"""

NO_DATA: Final[Mapping[str, Any]] = MappingProxyType({})


class AccountError(Exception):
    """A person's request about an account that is refused; its text is a sentence for that person.

    `retry_after` is in seconds and set where the kind is `throttled`.
    """

    def __init__(self, kind: Kind, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Account:
    """A person as this server knows them. `id` is theirs for good; `created` is in epoch seconds."""

    id: str
    name: str
    created: int
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """One browser. `account` is there once the person has signed in; times are epoch seconds.

    `id` is the secret in the cookie and `csrf` the one in every form. `handle` is no secret: it names the browser in
    records, and stays when `id` changes at sign-in. A `fresh` session is not in the browser yet, so `Accounts.cookies`
    must go out with the answer.
    """

    id: str = field(repr=False)
    csrf: str = field(repr=False)
    handle: str
    account: Account | None
    data: Mapping[str, Any] = field(repr=False)
    created: int
    expires: int
    fresh: bool = False

    @property
    def signed_in(self) -> bool:
        """Whether a person has signed in in this browser."""
        return self.account is not None
