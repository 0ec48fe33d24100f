"""Rates, budgets and shares of the concurrency: the rules, apart from processes and files."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchq.context
from batchq.context import BEGIN_SECONDS, Spending
from batchq.engine.limits import Stake, settle, shares
from batchq.errors import ConfigError
from batchq.pace import LEASE_SECONDS, Book, Booking, Charge, Rate, budgets_of, charge, grant, rates_of
from batchq.units import bytes_of, moment_of, seconds_of

SECOND = 10**9


def starts_of(rates: Sequence[Rate], pauses: Sequence[float], wanted: int) -> list[int]:
    """When attempts begin that are asked for `wanted` at a time, after pauses of so many seconds."""
    paid: dict[str, int] = {}
    now = 10**15
    starts: list[int] = []
    for pause in pauses:
        now += int(pause * SECOND)
        granted, after = grant(rates, paid, wanted, now)
        paid |= after
        starts += [max(now, granted.first_ns + int(n * granted.step_ns)) for n in range(granted.starts)]
    return sorted(starts)


@settings(deadline=None)
@given(
    st.lists(st.floats(0.1, 5000), min_size=1, max_size=3),
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
    st.integers(1, 500),
)
def test_no_window_has_more_starts_than_its_rate_and_what_is_made_up_for(
    per_second: list[float], pauses: list[float], wanted: int
) -> None:
    rates = [Rate("items", amount, float(number)) for number, amount in enumerate(per_second, 1)]
    starts = starts_of(rates, pauses, wanted)
    for rate in rates:
        # A lease that is taken up late is made in one go.
        spare = rate.amount / rate.seconds * LEASE_SECONDS + 2
        for first, start in enumerate(starts):
            window = sum(start <= other < start + SECOND for other in starts[first:])
            assert window <= rate.amount / rate.seconds + spare


@settings(deadline=None)
@given(st.floats(0.5, 1000), st.integers(1, 50))
def test_rate_that_is_always_wanted_is_reached(per_second: float, wanted: int) -> None:
    rate = Rate("items", per_second, 1.0)
    paid: dict[str, int] = {}
    now = first = 10**15
    begun = 0
    while now < first + 20 * SECOND:
        granted, paid = grant([rate], paid, wanted, now)
        begun += granted.starts
        now = max(now, granted.first_ns + int((granted.starts - 1) * granted.step_ns))
    assert begun >= per_second * 20 * 0.99 - 1


def test_what_nothing_limits_need_not_wait_and_is_spent_when_it_is_charged() -> None:
    book = Book(rates_of(["tokens=1/m"]), {"usd": 20.0})
    assert not book.charge({"calls": 1.0}, may_wait=True).waits and book.spent == {"calls": 1.0}
    book.charge({"tokens": 5.0})
    assert book.charge({"tokens": 1.0}, may_wait=True).waits and book.spent["tokens"] == 5.0


class Booked:
    """A till that notes what it is told, and lets everybody wait for so long."""

    pace, limits_spending = 0, True

    def __init__(self, seconds: float) -> None:
        self._start_ns = time.monotonic_ns() + int(seconds * 1e9)
        self.said: list[str] = []

    def charge(self, booking: Booking) -> Future[Charge]:
        self.said.append(booking.name)
        future: Future[Charge] = Future()
        future.set_result(Charge(self._start_ns, waits=True))
        return future

    def begin_wait(self) -> None: ...
    def end_wait(self) -> None: ...
    def hold(self, seconds: float) -> None: ...
    def held(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("shortly", "said"),
    # An hour, so that its turn does not come while this process is stopped.
    [(3600.0, ["charge", "begin", "charge"]), (BEGIN_SECONDS, ["charge", "give_up"])],
)
def test_call_is_counted_shortly_before_its_turn_since_the_news_of_it_may_be_lost(
    monkeypatch: pytest.MonkeyPatch, shortly: float, said: list[str]
) -> None:
    monkeypatch.setattr(batchq.context, "BEGIN_SECONDS", shortly)

    async def ask() -> list[str]:
        till = Booked(1000.0)

        async def turn() -> None:
            await Spending(till, {"calls": 1.0})

        waiting = asyncio.create_task(turn())
        for _ in range(10):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return till.said

    assert asyncio.run(ask()) == said


def test_what_was_charged_too_much_is_given_back() -> None:
    rates = [Rate.of("tokens=10/s")]
    _, paid = charge(rates, {}, 100, 10**15)
    _, settled = charge(rates, paid, -90, 10**15)
    assert settled["tokens/1"] - 10**15 == pytest.approx(SECOND, abs=10)


@pytest.mark.parametrize(
    "text",
    ["", "10", "10/", "/s", "x/s", "-1/s", "0/s", "10/y", "=5/s", "a b=5/s", "10/0s", "inf/s", "10/ms", "5/month"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="rate must be such as"):
        Rate.of(text)


@pytest.mark.parametrize(
    "text, rate",
    [
        ("10/s", Rate("items", 10, 1)),
        ("600/min", Rate("items", 600, 60)),
        ("1.5k/h", Rate("items", 1500, 3600)),
        ("5/10s", Rate("items", 5, 10)),
        ("tokens=90k/m", Rate("tokens", 90_000, 60)),
        ("2/day", Rate("items", 2, 86_400)),
        ("7/hour", Rate("items", 7, 3600)),
        ("7/2 hours", Rate("items", 7, 7200)),
        ("7/seconds", Rate("items", 7, 1)),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, rate: Rate) -> None:
    assert Rate.of(text) == rate


def test_of_two_rates_for_the_same_the_last_one_counts() -> None:
    assert [rate.amount for rate in rates_of(["10/s", "20/s", "5/m"])] == [20, 5]
    assert budgets_of(["usd=1", "usd=2"]) == {"usd": 2}


@pytest.mark.parametrize("text", ["", "5", "2024-01-01", "99:99", "-3h", "tomorrow"])
def test_moment_that_is_none_or_has_passed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--deadline must be a time to come"):
        moment_of("--deadline", text)


def test_times_and_sizes_are_read_as_people_write_them() -> None:
    noon = 1_764_072_000.0
    assert moment_of("--deadline", "90m", noon) == noon + 5400
    assert 0 < moment_of("--deadline", "18:30", noon) - noon <= 86_400
    assert moment_of("--deadline", "2030-01-01T00:00:00Z", noon) == 1_893_456_000
    assert (bytes_of("--memfree", "512M"), bytes_of("--memfree", "1.5gb")) == (512 << 20, 3 << 29)
    assert seconds_of("--older-than", "2 H") == 7200


@dataclass
class Seat:
    """Where a worker reads its share."""

    slots: int = 0

    def allow(self, slots: int) -> None:
        self.slots = slots


def test_worker_begins_nothing_for_what_it_ends_while_another_has_more_in_flight_than_all_may() -> None:
    stays, leaves = Seat(1), Seat(0)
    stakes = [
        Stake(stays, target=1, allowed=1, obeyed=1, busy=1, entered=True),
        Stake(leaves, target=0, allowed=0, obeyed=0, busy=5, entered=True),
    ]
    assert not settle(stakes, 1)
    assert (stays.slots, leaves.slots) == (0, 0)
    stakes[0].obeyed = stakes[0].busy = stakes[1].busy = 0
    assert settle(stakes, 1)
    assert stays.slots == 1


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 8)), min_size=2, max_size=6),
    st.randoms(use_true_random=False),
)
def test_concurrency_is_never_exceeded_while_it_and_the_workers_change(
    changes: list[tuple[int, int]], draw: random.Random
) -> None:
    seats = [Seat() for _ in range(8)]
    obeyed = [0] * 8
    busy = [0] * 8
    for concurrency, workers in changes:
        parts = shares(concurrency, workers) + [0] * 8
        at_rest = False
        for _ in range(200):
            stakes = [
                Stake(seat, parts[n], seat.slots if parts[n] else 0, obeyed[n], busy[n], True)
                for n, seat in enumerate(seats)
            ]
            held = sum(stake.held for stake in stakes)
            if at_rest := settle(stakes, concurrency):
                break
            assert sum(stake.held for stake in stakes) <= max(concurrency, held), "nobody may begin what is too much"
            for n, seat in enumerate(seats):
                seat.slots = seat.slots if parts[n] else 0
                obeyed[n] = draw.choice([obeyed[n], seat.slots])
                # What is in flight ends now and then; what may begin does.
                busy[n] = max(0, busy[n] - draw.randint(0, 2))
                busy[n] = max(busy[n], min(obeyed[n], busy[n] + draw.randint(0, 9)))
        assert at_rest, "sooner or later each has its share"
        given = [seat.slots for seat, part in zip(seats, parts, strict=False) if part]
        assert given == [part for part in parts if part]
