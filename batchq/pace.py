"""Rate limits and budgets: how they are written, and when the next start is due.

The rule is the generic cell rate algorithm (ITU-T I.371): of each limit one number is kept, the time at which all that
was started so far is paid off.  A start may be made at that time, and moves it by its own cost.  So starts are spread
evenly, and the number is all that has to be shared and remembered.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from batchq.errors import ConfigError
from batchq.units import SECONDS, amount_of, amount_words

ITEMS: Final = "items"
"""The unit of a limit that names none: each attempt costs one."""
LEASE_SECONDS: Final = 0.1
"""A worker takes the starts of so long at once, so that a rate of thousands a second costs few transactions."""

AHEAD_NS: Final = 10**9
"""No start is handed out that lies further ahead: of a slow rate, a crash would lose hours."""
FAR_NS: Final = 10 * 365 * 86_400 * 10**9
"""Ten years: nobody waits for longer, and a file can hold it."""

PACES_STARTS: Final = 1
"""What begins is limited…"""
PACES_SPENDING: Final = 2
"""… or what is spent, by a rate or a budget."""

_PERIOD: Final = re.compile(
    r"\s*(\d*)\s*(s|m|h|d)(?:(?<=s)ec(?:onds?)?|(?<=m)in(?:utes?)?|(?<=h)(?:our)?s?|(?<=d)ays?)?\s*", re.IGNORECASE
)
_UNIT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RATE_EXPECTED: Final = "such as 10/s, 600/m or tokens=90k/m"
_BUDGET_EXPECTED: Final = "such as usd=20 or tokens=1.5m"


@dataclass(frozen=True)
class Rate:
    """So much of a unit in so long.

    Attributes:
        unit: what is counted; ``items`` counts attempts.
        amount: so much.
        seconds: in so long.

    Example:
        >>> Rate.of("tokens=90k/m")
        Rate(unit='tokens', amount=90000.0, seconds=60.0)
    """

    unit: str
    amount: float
    seconds: float

    @classmethod
    def of(cls, text: str) -> Rate:
        """What ``--rate`` says; raises `ConfigError`."""
        unit, named, rest = text.rpartition("=")
        amount, slash, period = rest.partition("/")
        number = _PERIOD.fullmatch(period)
        if not slash or number is None or number[1] == "0":
            raise ConfigError("rate", text, _RATE_EXPECTED)
        seconds = int(number[1] or 1) * SECONDS[number[2].lower()]
        try:
            return cls(_unit_of("rate", text, unit) if named else ITEMS, amount_of("rate", amount, ""), seconds)
        except ConfigError:
            raise ConfigError("rate", text, _RATE_EXPECTED) from None

    def __str__(self) -> str:
        unit = "" if self.unit == ITEMS else f"{self.unit}="
        period = {seconds: name for name, seconds in SECONDS.items()}.get(self.seconds, f"{self.seconds:g}s")
        return f"{unit}{amount_words(self.amount)}/{period}"

    @property
    def name(self) -> str:
        """Tells this limit from others of its batch: one for each unit and period."""
        return f"{self.unit}/{self.seconds:g}"

    @property
    def step_ns(self) -> float:
        """Nanoseconds that one of the unit costs."""
        return self.seconds * 1e9 / self.amount


class Grant(NamedTuple):
    """Starts that may be made: the first at `first_ns` (monotonic clock), each further one `step_ns` later.

    Where there are none yet, `first_ns` is when to ask again.
    """

    first_ns: int
    step_ns: float
    starts: int


def rates_of(texts: Iterable[str]) -> tuple[Rate, ...]:
    """Several ``--rate``; of two with the same unit and period the last one counts.

    Raises:
        ConfigError: one is no rate.

    Example:
        >>> [rate.name for rate in rates_of(["600/m", "tokens=90k/m", "300/m"])]
        ['items/60', 'tokens/60']
    """
    return tuple({rate.name: rate for rate in map(Rate.of, texts)}.values())


def budgets_of(texts: Iterable[str]) -> dict[str, float]:
    """Several ``--budget`` by their units; raises `ConfigError`.

    Example:
        >>> budgets_of(["usd=20", "tokens=1.5m"])
        {'usd': 20.0, 'tokens': 1500000.0}
    """
    budgets = {}
    for text in texts:
        unit, equals, amount = text.partition("=")
        if not equals:
            raise ConfigError("budget", text, _BUDGET_EXPECTED)
        unit = _unit_of("budget", text, unit)
        try:
            budgets[unit] = amount_of("budget", amount, "")
        except ConfigError:
            raise ConfigError("budget", text, _BUDGET_EXPECTED) from None
    return budgets


def paced_by(rates: Sequence[Rate], budgets: Mapping[str, float]) -> int:
    """What these limits limit, as bits.

    Example:
        >>> paced_by(rates_of(["600/m"]), {"usd": 20.0}) == PACES_STARTS | PACES_SPENDING
        True
    """
    starts = any(rate.unit == ITEMS for rate in rates)
    spending = budgets or any(rate.unit != ITEMS for rate in rates)
    return (PACES_STARTS if starts else 0) | (PACES_SPENDING if spending else 0)


def _unit_of(name: str, text: str, unit: str) -> str:
    unit = unit.strip()
    if not _UNIT.fullmatch(unit):
        raise ConfigError(name, text, _RATE_EXPECTED if name == "rate" else _BUDGET_EXPECTED)
    return unit


def grant(rates: Sequence[Rate], paid: Mapping[str, int], wanted: int, now_ns: int) -> tuple[Grant, dict[str, int]]:
    """Starts for a worker that could make `wanted`, and the times until which all is then paid off.

    Args:
        rates: the limits on attempts; at least one.
        paid: by the name of each limit, when what was started is paid off (monotonic clock); 0 for never used.
        wanted: starts, at least 1.
        now_ns: monotonic clock.

    Example:
        >>> one, paid = grant([Rate.of("10/s")], {}, wanted=5, now_ns=10**12)
        >>> one.starts, round((paid["items/1"] - one.first_ns) / 1e9, 3)
        (1, 0.1)
    """
    step = max(rate.step_ns for rate in rates)
    starts = max(1, min(wanted, int(LEASE_SECONDS * 1e9 / step)))
    first = max(_earliest(rate, paid, now_ns) for rate in rates)
    after = {rate.name: _earliest(rate, paid, now_ns) + math.ceil(min(starts * rate.step_ns, FAR_NS)) for rate in rates}
    # The slowest limit spaces the starts: none of the others may be ahead of it by what it did not get.
    after = {name: max(until, first) for name, until in after.items()}
    return Grant(first, step, starts), after


def charge(rates: Sequence[Rate], paid: Mapping[str, int], amount: float, now_ns: int) -> tuple[int, dict[str, int]]:
    """When `amount` of the unit of `rates` may be used, and the times until which all is then paid off.

    A negative amount gives back what was charged too much.

    Example:
        >>> charge([Rate.of("tokens=60/m")], {"tokens/60": 5 * 10**9}, 2, now_ns=10**9)
        (5000000000, {'tokens/60': 7000000000})
    """
    start = max((_earliest(rate, paid, now_ns) for rate in rates), default=now_ns)
    after = {}
    for rate in rates:
        until = paid.get(rate.name, 0) if amount < 0 else _earliest(rate, paid, now_ns)
        after[rate.name] = max(0, until + math.ceil(max(-FAR_NS, min(amount * rate.step_ns, FAR_NS))))
    return start, after


def _earliest(rate: Rate, paid: Mapping[str, int], now_ns: int) -> int:
    # One start that came late is made up for, so that the rate is reached; what was not used for longer is gone.
    until = min(paid.get(rate.name, now_ns), now_ns + FAR_NS)
    return max(until, now_ns - int(min(rate.step_ns, FAR_NS)))


@dataclass(frozen=True)
class Charge:
    """What came of a charge.

    Attributes:
        start_ns: when what was charged may be used (monotonic clock).
        over: the budget that is used up now, in words; None while none is.
        waits: it is not spent yet, since its time has not come.
    """

    start_ns: int
    over: str | None = None
    waits: bool = False


BOOKINGS: Final = frozenset({"lease", "give_back", "charge", "begin", "give_up", "again", "hold"})
"""What a worker does with a book."""


@dataclass(frozen=True)
class Booking:
    """Something to do with a book, in a form that can be sent to where it is kept.

    Attributes:
        name: of the method.
        what: its arguments.

    Example:
        >>> Booking("lease", (5,))(Book()) is None
        True
    """

    name: str
    what: tuple[Any, ...]

    def __call__(self, book: Any) -> Any:
        """Do it."""
        if self.name not in BOOKINGS:
            raise ValueError(f"a book has no {self.name!r}")
        return getattr(book, self.name)(*self.what)


class Book:
    """Keeps what was started and spent; this one in memory, for one process.

    Args:
        rates: the limits.
        budgets: by unit, how much may be spent.

    Example:
        >>> book = Book(rates_of(["tokens=60/m"]), {})
        >>> later = book.charge({"tokens": 120}), book.charge({"tokens": 1})
        >>> round((later[1].start_ns - later[0].start_ns) / 1e9)
        120
    """

    def __init__(self, rates: Sequence[Rate] = (), budgets: Mapping[str, float] | None = None) -> None:
        self._rates = tuple(rates)
        self._budgets = dict(budgets or {})
        self._paid: dict[str, int] = {}
        self._spent: dict[str, float] = {}

    @property
    def spent(self) -> Mapping[str, float]:
        """By unit, what was spent."""
        return dict(self._spent)

    @property
    def paced(self) -> int:
        """What is limited; see `paced_by`."""
        return paced_by(self.rates(), self.budgets())

    def lease(self, wanted: int) -> Grant | None:
        """Starts for a worker that could make `wanted`; None where nothing limits them."""
        rates = [rate for rate in self.rates() if rate.unit == ITEMS]
        if not rates:
            return None
        now_ns = time.monotonic_ns()
        granted, paid = grant(rates, self.paid(rates), wanted, now_ns)
        if granted.first_ns > now_ns + AHEAD_NS:
            # Not yet: whoever took it would lose it in a crash, or keep it from a worker that has something to begin.
            return Grant(granted.first_ns - AHEAD_NS, 0.0, 0)
        self.pay(paid)
        return granted

    def give_back(self, starts: int) -> None:
        """Starts that were leased and not made: others may make them."""
        self._charge(ITEMS, -starts)

    def charge(
        self, amounts: Mapping[str, float], reserved: Mapping[str, float] | None = None, may_wait: bool = False
    ) -> Charge:
        """Spend, or with negative amounts get back, so much of each unit.

        Args:
            amounts: by unit.
            reserved: by unit, what counts as spent where this process dies before it is given back.
            may_wait: whoever spends it waits until it may be used; nothing is spent before `begin`.
        """
        start = max((self._charge(unit, amount) for unit, amount in amounts.items()), default=time.monotonic_ns())
        if may_wait and start > time.monotonic_ns():
            self.wait(amounts)
            return Charge(start, waits=True)
        return self._spend(start, amounts, reserved or {})

    def begin(self, amounts: Mapping[str, float], reserved: Mapping[str, float]) -> Charge:
        """Spend what has waited for its turn until now."""
        self.wait(_negative(amounts))
        return self._spend(time.monotonic_ns(), amounts, reserved)

    def give_up(self, amounts: Mapping[str, float]) -> Charge:
        """Do not spend what waits for its turn: others may use it."""
        self.wait(_negative(amounts))
        return Charge(max(self._charge(unit, -amount) for unit, amount in amounts.items()))

    def _spend(self, start: int, amounts: Mapping[str, float], reserved: Mapping[str, float]) -> Charge:
        self.reserve(reserved)
        return Charge(start, over_budget(self.budgets(), self.add_spent(amounts)))

    def again(self, amounts: Mapping[str, float]) -> Charge:
        """When an amount that is charged already may be used, now that other limits hold."""
        return Charge(max(self._charge(unit, amount) for unit, amount in amounts.items()))

    def _charge(self, unit: str, amount: float) -> int:
        rates = [rate for rate in self.rates() if rate.unit == unit]
        start, paid = charge(rates, self.paid(rates), amount, time.monotonic_ns())
        self.pay(paid)
        return start

    # Where it is kept ----------------------------------------------------------------------------------------

    def rates(self) -> Sequence[Rate]:
        """The limits that hold now."""
        return self._rates

    def budgets(self) -> Mapping[str, float]:
        """By unit, how much may be spent."""
        return self._budgets

    def paid(self, rates: Sequence[Rate]) -> dict[str, int]:
        """By name, when what was started is paid off (monotonic clock, nanoseconds)."""
        return {rate.name: self._paid[rate.name] for rate in rates if rate.name in self._paid}

    def pay(self, paid: Mapping[str, int]) -> None:
        """Keep the times that `paid` tells from now on."""
        self._paid.update(paid)

    # What is in flight matters only where it outlives the process, as it does in a file.

    def reserve(self, amounts: Mapping[str, float]) -> None:
        """Keep so much more, or with negative amounts less, for what is in flight."""

    def wait(self, amounts: Mapping[str, float]) -> None:
        """So much more, or with negative amounts less, waits for its turn."""

    def add_spent(self, amounts: Mapping[str, float]) -> Mapping[str, float]:
        """Add to what was spent; all of it then."""
        for unit, amount in amounts.items():
            self._spent[unit] = self._spent.get(unit, 0.0) + amount
        return self._spent


def _negative(amounts: Mapping[str, float]) -> dict[str, float]:
    return {unit: -amount for unit, amount in amounts.items()}


def over_budget(budgets: Mapping[str, float], spent: Mapping[str, float]) -> str | None:
    """Which budget is used up, in words; None while none is.

    Example:
        >>> over_budget({"usd": 20.0}, {"usd": 20.13})
        'the budget of 20 usd is used up (20.13 spent)'
        >>> over_budget({"usd": 4e-05}, {"usd": 5.13e-05})
        'the budget of 0.00004 usd is used up (0.0000513 spent)'
    """
    for unit, most in budgets.items():
        if spent.get(unit, 0.0) >= most:
            return f"the budget of {amount_words(most)} {unit} is used up ({amount_words(spent[unit])} spent)"
    return None
