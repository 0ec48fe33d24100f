"""A new batch on a server: its input goes there as it is read, from a file or from standard input."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, BinaryIO, Final

from batchq.app.request import NOTHING_TO_RUN, StartRequest
from batchq.app.words import iso
from batchq.errors import InputError, ServerUnreachable, UsageError
from batchq.inputs import gather
from batchq.remote.client import Client
from batchq.spec import SourceSpec
from batchq.units import moment_of

PIECE: Final = 256 * 1024
LARGE: Final = 1 << 20
"""Bytes; what is smaller has been sent by the time that one has asked."""
OWNERS: Final = (
    *("on_finish", "out", "overwrite", "notify", "notify_at", "cache", "reuse", "reuse_changed", "work"),
    *("engine", "scheduler"),
)
"""What only the owner of a server may say: it runs commands, reads or writes files, or calls others there."""
SENT_OTHERWISE: Final = frozenset({"input", "deadline"})
TRIES: Final = 3
"""A batch whose answer was lost is asked for again under the same key, so that there is one, not two."""


@dataclass(frozen=True)
class Order:
    """A batch to be made.

    Attributes:
        request: what it is.
        source: its input, on this machine.
        priority: higher ones run first; None for the usual one.
    """

    request: StartRequest
    source: SourceSpec
    priority: int | None = None

    @classmethod
    def of(cls, request: StartRequest, priority: int | None = None) -> Order:
        """What `request` asks for, as far as a server may do it.

        Raises:
            UsageError: it names several files, or what only the owner of a server may say.
            InputError: its input cannot be read, or its name tells no format.
        """
        given = {each.name for each in fields(StartRequest) if _is_given(request, each.name, each.default)}
        for name in OWNERS:
            if name in given:
                option = f"--{request.work['kind'] if name == 'work' and request.work else name.replace('_', '-')}"
                raise UsageError(f"{option} is not for a server: only its owner may say that", f"Leave {option} out.")
        if request.func is None:
            raise UsageError(NOTHING_TO_RUN, "Name a function of the server with --func.")
        names = (request.input,) if isinstance(request.input, str) else tuple(request.input)
        source = gather(names, request.input_format)
        if source.files:
            raise UsageError(
                f"a server takes one file, not {len(source.files):,}",
                "Send them as one: cat FILE FILE | batchq start - --input-format jsonl …",
            )
        return cls(request, source, priority)

    def query(self) -> dict[str, Any]:
        """What is said of it behind the question mark: all that is not as usual."""
        request = self.request
        asked = {
            each.name: getattr(request, each.name)
            for each in fields(StartRequest)
            if each.name not in SENT_OTHERWISE and _is_given(request, each.name, each.default)
        }
        if request.deadline is not None:
            # A clock on the wall shows another time there.
            asked["deadline"] = iso(moment_of("--deadline", request.deadline))
        asked["name"] = f"stdin.{request.input_format}" if self.source.is_stdin else os.path.basename(self.source.path)
        return asked if self.priority is None else {**asked, "priority": self.priority}


def create(client: Client, order: Order, stdin: BinaryIO | None = None) -> dict[str, Any]:
    """Make a batch; how it stands then.

    Args:
        client: of the server.
        order: what to make.
        stdin: standard input, where that is the input.

    Raises:
        UsageError: the server does not take it.
        ServerUnreachable: it does not answer, or no longer.
    """
    _check(client, order)
    headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": secrets.token_hex(16)}
    for left in reversed(range(TRIES)):
        try:
            if stdin is not None:
                return client.send("/batches/upload", order.query(), headers, _pieces(stdin))
            with open(order.source.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                body = _pieces(file, size)
                return client.send("/batches/upload", order.query(), {**headers, "Content-Length": str(size)}, body)
        except ServerUnreachable as error:
            if stdin is not None and error.was_lost:
                error.hint = "Whether the batch was made, `batchq status` tells."
            if left == 0 or stdin is not None or not error.was_lost:
                raise
    raise AssertionError("the last try raises")


def _check(client: Client, order: Order) -> None:
    """Refuse what the server would refuse, before much is sent."""
    size = order.source.size
    if size is not None and size > LARGE and size > (most := client.get("/server")["max_upload"]):
        raise UsageError(f"{order.source.name} has {size:,} bytes; {client.url} takes {most:,} at most")


def _pieces(file: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """A file as it is read, no more than `size` bytes of it: it may grow meanwhile."""
    left = size
    while left is None or left > 0:
        piece = file.read(PIECE if left is None else min(PIECE, left))
        if not piece:
            break
        left = None if left is None else left - len(piece)
        yield piece
    if left:
        raise InputError(getattr(file, "name", "input"), "has become shorter while it was sent")


def _is_given(request: StartRequest, name: str, default: Any) -> bool:
    return default is MISSING or getattr(request, name) != default
