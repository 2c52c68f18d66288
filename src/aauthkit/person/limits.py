"""What a machine checks of a mission beside its prose: limits, weighed before anybody is asked (draft-11 §8.2).

They stand in the blob as its member `limits`, so that the mission's identifier covers them. Each is about what this
server is asked for: a token asked for at most so often, an amount an agent *says* it is about to spend. What happens
at a resource with a token that is out, this server does not see (draft-11 §C.3.5). Pure: counts come in, words go out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ..protocol.identifiers import InvalidIdentifier, LoopbackProfile, format_scope, parse_scope
from ..protocol.missions import MissionRejected, read_resources

MEMBER: Final = "limits"
"""The blob's member they stand in."""
MAX_NAMES: Final = 64
MAX_COUNT: Final = 1_000_000
MAX_AMOUNTS: Final = 8
MAX_AMOUNT: Final = 1_000_000_000_000
TOKENS: Final = "tokens"
PERMISSIONS: Final = "permissions"
_KNOWN: Final = frozenset({"resources", "scopes", "tools", "hours", TOKENS, PERMISSIONS, "amounts"})


@dataclass(frozen=True, slots=True)
class Amount:
    """A limit on a number that an agent names in a permission's parameters: `each` time, and in `total`."""

    each: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Hours:
    """Of the day in UTC, `start` to `end` in whole hours; past midnight where `end` is not later than `start`."""

    start: int
    end: int

    def holds(self, now: float) -> bool:
        """Whether `now`, in seconds since the epoch, falls into them."""
        hour = datetime.fromtimestamp(now, UTC).hour
        if self.start < self.end:
            return self.start <= hour < self.end
        return hour >= self.start or hour < self.end


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one mission; `None` where a dimension has none."""

    resources: tuple[str, ...] | None = None
    scopes: frozenset[str] | None = None
    tools: tuple[str, ...] | None = None
    hours: Hours | None = None
    tokens: int | None = None
    permissions: int | None = None
    amounts: Mapping[str, Amount] = field(default_factory=dict)

    def token(self, resource: str, scope: frozenset[str], used: Mapping[str, float], now: float) -> str | None:
        """Why a token for `resource` with `scope` may not be asked for; `None` where no limit speaks against it.

        An identity request names no scope.
        """
        if self.resources is not None and resource not in self.resources:
            return f"resources: {resource} is not among those of this mission"
        beyond = sorted(scope - self.scopes) if self.scopes is not None else []
        if beyond:
            return "scopes: this mission leaves out " + " ".join(beyond)
        if self.hours is not None and not self.hours.holds(now):
            return f"hours: this mission runs from {self.hours.start} to {self.hours.end} o'clock UTC"
        return _count(TOKENS, self.tokens, used)

    def permission(
        self, action: str, parameters: Mapping[str, Any], used: Mapping[str, float], now: float
    ) -> str | None:
        """Why an action may not be permitted; `None` where no limit speaks against it."""
        if self.tools is not None and action not in self.tools:
            return f"tools: {action} is not among those of this mission"
        if self.hours is not None and not self.hours.holds(now):
            return f"hours: this mission runs from {self.hours.start} to {self.hours.end} o'clock UTC"
        for name, amount in self.amounts.items():
            if name in parameters:
                reason = _amount(name, amount, parameters[name], used.get(counter_of(name), 0.0))
                if reason is not None:
                    return reason
        return _count(PERMISSIONS, self.permissions, used)

    def counted(self, parameters: Mapping[str, Any]) -> dict[str, float]:
        """What a permission adds to the counts, by counter."""
        spent = {counter_of(name): float(parameters[name]) for name in self.amounts if name in parameters}
        return {PERMISSIONS: 1.0, **spent}

    def document(self) -> dict[str, Any]:
        """As the blob's member; empty where there is no limit."""
        kept: dict[str, Any] = {}
        if self.resources is not None:
            kept["resources"] = list(self.resources)
        if self.scopes is not None:
            kept["scopes"] = format_scope(self.scopes)
        if self.tools is not None:
            kept["tools"] = list(self.tools)
        if self.hours is not None:
            kept["hours"] = {"from": self.hours.start, "to": self.hours.end}
        if self.tokens is not None:
            kept[TOKENS] = self.tokens
        if self.permissions is not None:
            kept[PERMISSIONS] = self.permissions
        if self.amounts:
            kept["amounts"] = {
                name: {key: value for key, value in (("each", one.each), ("total", one.total)) if value is not None}
                for name, one in self.amounts.items()
            }
        return kept


NO_LIMITS: Final = Limits()


def counter_of(amount: str) -> str:
    """The name of the count that an amount's total is kept under."""
    return f"amount {amount}"


def _count(name: str, limit: int | None, used: Mapping[str, float]) -> str | None:
    if limit is not None and used.get(name, 0) >= limit:
        return f"{name}: this mission may ask for at most {limit}"
    return None


def _amount(name: str, limit: Amount, value: object, used: float) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_AMOUNT:
        return f"amounts: {name} is not a number from 0 to {MAX_AMOUNT}"
    if limit.each is not None and value > limit.each:
        return f"amounts: {name} is at most {limit.each:g} each time"
    if limit.total is not None and used + value > limit.total:
        return f"amounts: {name} is at most {limit.total:g} in all"
    return None


def read_limits(value: object, loopback: LoopbackProfile | None) -> Limits:
    """The member `limits` of a proposal or blob. Raises `MissionRejected`, also for a limit nobody here would check."""
    if not isinstance(value, Mapping):
        raise MissionRejected("limits are an object")
    unknown = sorted(set(value) - _KNOWN)
    if unknown:
        raise MissionRejected(f"limits: {unknown[0][:64]!r} is none that is checked here")
    return Limits(
        resources=read_resources(value["resources"], loopback) if "resources" in value else None,
        scopes=_scopes(value["scopes"]) if "scopes" in value else None,
        tools=_names(value["tools"]) if "tools" in value else None,
        hours=_hours(value["hours"]) if "hours" in value else None,
        tokens=_whole(TOKENS, value[TOKENS]) if TOKENS in value else None,
        permissions=_whole(PERMISSIONS, value[PERMISSIONS]) if PERMISSIONS in value else None,
        amounts=_amounts(value["amounts"]) if "amounts" in value else {},
    )


def _scopes(value: object) -> frozenset[str]:
    try:
        return parse_scope(value)
    except InvalidIdentifier as error:
        raise MissionRejected(f"limits: scopes: {error}") from error


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise MissionRejected(f"limits: tools are an array of at most {MAX_NAMES} names")
    if any(not isinstance(one, str) or not 0 < len(one) <= 128 or not one.isprintable() for one in value):
        raise MissionRejected("limits: the name of a tool is a short printable string")
    return tuple(dict.fromkeys(value))


def _whole(name: str, value: object, most: int = MAX_COUNT) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise MissionRejected(f"limits: {name} is a whole number from 0 to {most}")
    return value


def _hours(value: object) -> Hours:
    if not isinstance(value, Mapping) or set(value) != {"from", "to"}:
        raise MissionRejected("limits: hours are an object of from and to")
    hours = Hours(_whole("hours", value["from"], 24), _whole("hours", value["to"], 24))
    if hours.start == hours.end:
        raise MissionRejected("limits: hours begin and end at the same time")
    return hours


def _amounts(value: object) -> dict[str, Amount]:
    if not isinstance(value, Mapping) or not 0 < len(value) <= MAX_AMOUNTS:
        raise MissionRejected(f"limits: amounts are an object of 1 to {MAX_AMOUNTS} names")
    return {_name(name): _amount_limit(one) for name, one in value.items()}


def _name(value: str) -> str:
    if not 0 < len(value) <= 64 or not value.isprintable():
        raise MissionRejected("limits: the name of an amount is a short printable string")
    return value


def _amount_limit(value: object) -> Amount:
    if not isinstance(value, Mapping) or not value or not set(value) <= {"each", "total"}:
        raise MissionRejected("limits: an amount names each, total, or both")
    for one in value.values():
        if isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one <= MAX_AMOUNT:
            raise MissionRejected(f"limits: each and total are numbers from 0 to {MAX_AMOUNT}")
    return Amount(value.get("each"), value.get("total"))
