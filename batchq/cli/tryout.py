"""``try``: a few items in the foreground, to see whether the function does what it should; stores nothing."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from batchq.cli.console import Console, hidden_server
from batchq.cli.work_options import gather_work

if TYPE_CHECKING:
    from batchq.app.items import AttemptDetails, ItemDetails

OF_A_WHOLE_BATCH: Final = frozenset(
    {
        *("batch_id", "concurrency", "workers", "chunk_size", "limit", "durability", "grace", "max_uncommitted"),
        *("retry_budget", "no_breaker", "halt", "adaptive", "deadline", "memfree", "on_finish", "detach"),
        *("notify", "notify_at", "out", "overwrite", "max_tasks_per_worker", "max_worker_memory"),
        *("reuse", "reuse_changed", "cache", "queue", "priority", "server", "token_file", "engine", "scheduler"),
    }
)
"""Options of `start` that say nothing about a single item."""
HELP: Final = """Run the function over the first few records of INPUT, here and one by one, and show all that happens.

Shown are each item, what the function prints and logs, every attempt with its whole traceback, and the result. Nothing
is stored. It takes the options of `start` that concern a single item, and says what is wrong in the same words.

\b
  batchq try ideas.jsonl --func pipeline:make_title
  batchq try ideas.jsonl --func pipeline:make_title --item 17 --retry-attempts 1

Exit codes: 0 all of them succeeded; 1 some failed; 2 wrong usage or input, nothing was run; 3 the resource that --setup
names could not be opened.
"""


def try_command(start: click.Command) -> click.Command:
    """The command; its options are those of `start` that concern a single item, and which items to try."""
    arguments = [each for each in start.params if isinstance(each, click.Argument)]
    options = [each for each in start.params if each not in arguments and each.name not in OF_A_WHOLE_BATCH]
    which = [
        click.Option(["-n", "count"], type=int, metavar="N", help="So many of the first records.  [default: 3]"),
        click.Option(
            ["--item", "seqs"],
            type=int,
            multiple=True,
            metavar="N",
            help="The record at this place, from 1, instead; may be repeated.",
        ),
    ]
    command = click.Command("try", callback=click.pass_obj(_try), params=[*arguments, *which, *options], help=HELP)
    return hidden_server(command)


def _try(console: Console, /, count: int | None, seqs: tuple[int, ...], **options: Any) -> int:
    from dataclasses import fields

    from batchq.app.request import StartRequest
    from batchq.app.tryout import ITEMS, run_tryout
    from batchq.app.words import count as counted

    console.only_here("items are tried on this machine", by_variable=False)
    if count is not None and seqs:
        raise click.UsageError("-n and --item exclude each other")
    gather_work(options)
    known = {each.name for each in fields(StartRequest)}
    request = StartRequest(**{name: value for name, value in options.items() if name in known})
    stdin = sys.stdin.buffer if "-" in request.input else None
    listener = _Collecting() if console.as_json else _Telling(console)
    with _crashes_told(), _json_alone_on_stdout() if console.as_json else contextlib.nullcontext():
        with contextlib.redirect_stdout(sys.stderr):  # importing the user's module may print
            try:
                tried = run_tryout(request, listener, ITEMS if count is None else count, seqs, stdin)
            except KeyboardInterrupt:
                console.say("interrupted; nothing is stored")
                raise
    if isinstance(listener, _Collecting):
        console.write(listener.json(tried.spent, tried.stopped))
    failed = tried.failures
    console.say(
        f"{counted(len(tried.items), 'item')} tried: {len(tried.items) - failed} succeeded, {failed} failed; nothing "
        "is stored" + (f"; the batch would stop here: {tried.stopped}" if tried.stopped else "")
    )
    return 1 if failed else 0


class _Telling:
    """Tells people what happens, as it does.

    Args:
        console: where; what stdout is now, since it is redirected while the function runs.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stdout = sys.stdout
        self._seen: dict[str, AttemptDetails] = {}
        self._first = True
        self._staged = False

    def began(self, item: ItemDetails) -> None:
        from batchq.app.item_text import indented, json_lines, plain

        self._seen, self._staged = {}, item.stages > 1
        between, self._first = [] if self._first else [""], False
        name = f"Item {plain(str(item.item_id))} (#{item.seq}, line {item.line})"
        self._write(*between, name, *indented(json_lines(item.payload)))

    def said(self, line: str) -> None:
        from batchq.app.item_text import plain

        self._write(f"  | {plain(line)}")

    def failed(self, attempt: AttemptDetails) -> None:
        from batchq.app.item_text import attempt_lines
        from batchq.app.words import duration

        self._write(*attempt_lines(attempt, 1, self._seen, full=True, staged=self._staged))
        if attempt.wait is not None:
            self._write(f"  The next attempt follows in {duration(attempt.wait)}.")

    def advanced(self, attempt: AttemptDetails) -> None:
        from batchq.app.item_text import attempt_lines

        self._write(*attempt_lines(attempt, 1, self._seen, full=True, staged=True))

    def ended(self, item: ItemDetails) -> None:
        from batchq.app.item_text import error_words, indented, json_lines
        from batchq.app.words import count, duration

        if item.result is not None:
            made = f" in {count(item.attempts, 'attempt')}" if item.attempts > 1 else ""
            self._write(f"Succeeded{made} after {duration(item.duration)}", *indented(json_lines(item.result)))
        elif item.attempts:
            self._write(f"Failed after {count(item.attempts, 'attempt')}, {duration(item.duration)}")
        else:
            self._write(f"Failed: {error_words(item.error_type, item.error)}")

    def _write(self, *lines: str) -> None:
        self._console.write((f"{line}\n" for line in lines), self._stdout)


class _Collecting:
    """Collects what happens, for one JSON object at the end."""

    def __init__(self) -> None:
        self._items: list[str] = []
        self._output: list[str] = []

    def began(self, item: ItemDetails) -> None:
        self._output = []

    def said(self, line: str) -> None:
        self._output.append(line)

    def failed(self, attempt: AttemptDetails) -> None:
        pass

    def advanced(self, attempt: AttemptDetails) -> None:
        pass

    def ended(self, item: ItemDetails) -> None:
        import json

        output = json.dumps(self._output, ensure_ascii=False)
        self._items.append(f'{item.to_json()[:-1]}, "output": {output}}}')

    def json(self, spent: dict[str, float], stopped: str | None) -> Iterator[str]:
        import json

        from batchq.app.render import SCHEMA

        rest = json.dumps({"spent": spent, "stopped": stopped}, ensure_ascii=False)[1:]
        yield f'{{"schema": {SCHEMA}, "items": [{", ".join(self._items)}], {rest}\n'


@contextlib.contextmanager
def _json_alone_on_stdout() -> Iterator[None]:
    """What C code and other processes print goes to stderr meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def _crashes_told() -> Iterator[None]:
    """A crash of the process, which is the function's here, leaves a traceback on stderr."""
    if faulthandler.is_enabled():
        yield
        return
    with contextlib.suppress(OSError, ValueError):  # there is no stderr
        faulthandler.enable(2)
    try:
        yield
    finally:
        faulthandler.disable()
