"""Rate limits and budgets in a batch's file, from which all workers lease."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchq.pace import Book, Rate, budgets_of, rates_of
from batchq.store import connection as db
from batchq.store.connection import SQL
from batchq.store.rows import Wait

HOLD: Final = "hold"
"""The row of the batch-wide wait after an overload."""
TOLD_SECONDS: Final = 2.0
"""A rate that lets the next begin sooner is nothing that people wait for."""


class StoredBook(Book):
    """The book in a batch's file; each call belongs into a transaction of the caller's.

    Args:
        connection: one that may write.
    """

    def __init__(self, connection: db.Connection) -> None:
        super().__init__()
        self._connection = connection
        self._boot = boot_id()

    def hold(self, seconds: float) -> None:
        """Remember that nothing may begin for so long."""
        self._connection.execute(SQL["insert_pace"], (HOLD, HOLD, 0, 0))
        self.pay({HOLD: time.monotonic_ns() + int(seconds * 1e9)})

    def held_seconds(self) -> float:
        """For how long nothing may begin."""
        now_ns = time.monotonic_ns()
        return max(0, self._paid_of([HOLD]).get(HOLD, now_ns) - now_ns) / 1e9

    def limit(self, rates: Iterable[str], budgets: Iterable[str]) -> None:
        """Set the limits; what was started under one whose rate changes is paid off by now."""
        wanted = rates_of(rates)
        known = {rate.name: rate for rate in self.rates()}
        for name in known.keys() - {rate.name for rate in wanted}:
            self._connection.execute(SQL["delete_pace"], (name,))
        for rate in wanted:
            if known.get(rate.name) != rate:
                self._connection.execute(SQL["insert_pace"], (rate.name, rate.unit, rate.amount, rate.seconds))
        self._connection.execute(SQL["forget_budgets"])
        self._connection.executemany(SQL["set_budget"], budgets_of(budgets).items())

    def rates(self) -> Sequence[Rate]:
        """The limits that hold now."""
        return [Rate(*row) for row in self._connection.execute(SQL["read_rates"], (HOLD,)).fetchall()]

    def budgets(self) -> Mapping[str, float]:
        """By unit, how much may be spent."""
        return dict(self._connection.execute(SQL["read_budgets"]).fetchall())

    def paid(self, rates: Sequence[Rate]) -> dict[str, int]:
        """By name, when what was started is paid off (monotonic clock, nanoseconds)."""
        return self._paid_of([rate.name for rate in rates])

    def _paid_of(self, names: Sequence[str]) -> dict[str, int]:
        now_ns, now_ms = time.monotonic_ns(), int(time.time() * 1000)
        paid = {}
        for name, until_ns, boot, until_ms, ahead_ns in self._connection.execute(SQL["read_pace"]).fetchall():
            if name not in names:
                continue
            if boot != self._boot:
                # The monotonic clock began anew: the wall clock tells, which somebody may have set meanwhile.
                until_ns = now_ns + min(ahead_ns, max(0, (until_ms - now_ms) * 1_000_000))
            paid[name] = until_ns
        return paid

    def pay(self, paid: Mapping[str, int]) -> None:
        """Keep the times that `paid` tells from now on."""
        now_ns, now_ms = time.monotonic_ns(), int(time.time() * 1000)
        for name, until_ns in paid.items():
            ahead_ns = max(0, until_ns - now_ns)
            values = (until_ns, self._boot, now_ms + ahead_ns // 1_000_000, ahead_ns, name)
            self._connection.execute(SQL["pay"], values)

    def reserve(self, amounts: Mapping[str, float]) -> None:
        """Keep so much more, or with negative amounts less, for what is in flight."""
        self._connection.executemany(SQL["reserve_spent"], amounts.items())

    def wait(self, amounts: Mapping[str, float]) -> None:
        """So much more, or with negative amounts less, waits for its turn."""
        self._connection.executemany(SQL["wait_to_spend"], amounts.items())

    def bury(self) -> None:
        """All who have spent are dead: what they had in flight is spent, and what only waited is for others."""
        for unit, amount in self._connection.execute(SQL["read_waiting"]).fetchall():
            self._charge(unit, -amount)
        self._connection.execute(SQL["spend_reserved"])

    def add_spent(self, amounts: Mapping[str, float]) -> Mapping[str, float]:
        """Add to what was spent; all of it then."""
        self._connection.executemany(SQL["add_spent"], amounts.items())
        return dict(self._connection.execute(SQL["read_spent"]).fetchall())


def read_wait(connection: db.Connection) -> Wait | None:
    """What nothing of a batch begins for, where that takes long enough to be told."""
    now = time.time()
    waits: list[Wait] = []
    for name, unit, amount, seconds, until_ms, ahead_ns in connection.execute(SQL["read_waits"]).fetchall():
        until = until_ms / 1000
        if not 0 < until - now <= ahead_ns / 1e9 + 1:  # over; or somebody has set the clock
            continue
        if name == HOLD:
            return Wait(until)
        if until - now >= TOLD_SECONDS:
            waits.append(Wait(until, str(Rate(unit, amount, seconds))))
    return max(waits, default=None)


def boot_id() -> str:
    """Tells this run of the machine from others: its monotonic clock began anew with it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # not on Linux
        import psutil

        return str(round(psutil.boot_time()))
