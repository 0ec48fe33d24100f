"""Sending what is owed to addresses, in a bounded time, whatever they answer.

    the caller's thread ──▶ a thread for each address: POST, wait, POST again
            ▲ settles, logs         │
            └──── what came of it ──┘

The caller alone writes to the batch's file. It leaves when its time is over, also where a receiver or the name service
does not answer at all; the threads end with the process, if not before.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from batchq.app.post import post, words_of
from batchq.app.signature import headers_of
from batchq.app.words import iso
from batchq.config import RetryConfig
from batchq.engine.logs import log_line
from batchq.engine.retry import RetryHandler
from batchq.probe import reach
from batchq.store.home import BatchFolder
from batchq.store.outbox import Owed, settle
from batchq.urls import shown

ATTEMPT_SECONDS: Final = 10.0
AGAIN: Final = RetryConfig(max_attempts=1000, initial_delay=1.0, max_delay=15.0, jitter=0.1)
"""The time is what bounds the attempts."""

Note = Callable[[str], None]


class _Came(NamedTuple):
    """What came of an attempt: it was taken, or there was an error, which another attempt follows or not."""

    owed: Owed
    error: BaseException | None = None
    again: bool = False


_Tell = Callable[["_Came | None"], None]
"""None: nothing more comes from this address."""


def deliver(folder: BatchFolder, owed: Sequence[Owed], key: bytes, deadline: float, note: Note) -> list[str]:
    """Send what is owed, to all addresses side by side: one that does not answer holds up no other.

    Returns a line for each that was not taken.

    Args:
        folder: the batch, in whose file and log it is noted.
        owed: what to send, the oldest first.
        key: for the signatures.
        deadline: when to leave, on the monotonic clock.
        note: told once of each address that does not take it at once.

    Raises:
        StorageFailed: the batch's file cannot be written.
    """
    came: SimpleQueue[_Came | None] = SimpleQueue()
    given_up = threading.Event()
    posts = _by_address(owed)
    for events in posts:
        post_all = (events, key, deadline, given_up, came.put)
        threading.Thread(target=_post_all, args=post_all, name="batchq-post", daemon=True).start()
    try:
        failed = _settle(folder, owed, len(posts), came, deadline, note)
    finally:
        given_up.set()
    for line in failed:
        log_line(folder.log, "notify", line)
    return failed


def _by_address(owed: Sequence[Owed]) -> list[list[Owed]]:
    found: dict[str, list[Owed]] = {}
    for each in owed:
        found.setdefault(each.url, []).append(each)
    return list(found.values())


def _settle(
    folder: BatchFolder,
    owed: Sequence[Owed],
    threads: int,
    came: SimpleQueue[_Came | None],
    deadline: float,
    note: Note,
) -> list[str]:
    """Note what comes of the attempts until nothing more does, or the time is over; what is left, in words."""
    left = {each.number: each for each in owed}
    errors: dict[str, str] = {}
    while threads:
        try:
            one = came.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if one is None:
            threads -= 1
        elif one.error is None:
            reach("sent")
            settle(folder.database, one.owed.number)
            del left[one.owed.number]
            log_line(folder.log, "notify", f"{one.owed.type} is delivered to {shown(one.owed.url)}")
        else:
            url = one.owed.url
            if one.again and url not in errors:
                seconds = max(0.0, deadline - time.monotonic())
                note(f"{shown(url)} does not take a notification ({words_of(one.error)}); trying for {seconds:.0f} s")
            errors[url] = words_of(one.error)
    return [_failed(each, errors.get(each.url, "no answer")) for each in left.values()]


def _failed(owed: Owed, why: str) -> str:
    return f"{owed.type} is not delivered to {shown(owed.url)}: {why}"


def _post_all(events: Sequence[Owed], key: bytes, deadline: float, given_up: threading.Event, tell: _Tell) -> None:
    """Tell one address all that it is to know, the oldest first."""
    try:
        for owed in events:
            if not _post_one(owed, key, deadline, given_up, tell):
                return
    finally:
        tell(None)


def _post_one(owed: Owed, key: bytes, deadline: float, given_up: threading.Event, tell: _Tell) -> bool:
    """Tell one event, again where that helps; False where the address should be left alone for now."""
    retry = RetryHandler(AGAIN)
    body = body_of(owed)
    attempt = 0
    while True:
        attempt += 1
        try:
            post(owed.url, body, headers_of(key, owed.event, time.time(), body), ATTEMPT_SECONDS)
        except Exception as error:  # whatever an address leads to: it must not end the thread in silence
            delay = retry.delay_after(error, attempt)
            in_time = delay is not None and time.monotonic() + delay < deadline
            tell(_Came(owed, error, in_time))
            if delay is None:
                return True
            if not in_time or given_up.wait(delay):
                return False
        else:
            tell(_Came(owed))
            return True


def body_of(owed: Owed) -> bytes:
    """What is sent, the same in each attempt.

    Example:
        >>> body_of(Owed(1, "msg_1", "batch.completed", "http://localhost", 0.0, '{"batch_id": "b1"}'))
        b'{"type": "batch.completed", "timestamp": "1970-01-01T00:00:00+00:00", "data": {"batch_id": "b1"}}'
    """
    told = {"type": owed.type, "timestamp": iso(owed.at), "data": json.loads(owed.data)}
    return json.dumps(told, ensure_ascii=False).encode()
