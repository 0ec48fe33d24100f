"""The kind ``exec``: a command for each item.

item ──▶ arguments, standard input (JSON), environment ──▶ command ──▶ standard output: the result
                                                                   ──▶ standard error: log, and end of an error
                                                                   ──▶ exit code: whether it has failed
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import os
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Final, NoReturn

from batchq.config import check_choice
from batchq.context import Context
from batchq.errors import CommandFailed, ConfigError, UsageError
from batchq.handlers import Handler
from batchq.leftovers import KEY
from batchq.ready import Work
from batchq.ready.arguments import OPTION, CommandLine, shown
from batchq.ready.process import Process, Processes
from batchq.ready.said import Said
from batchq.units import bytes_of

MOST_OUTPUT: Final = "16M"
AUTO: Final = "auto"
JSON: Final = "json"
TEXT: Final = "text"
OUTPUTS: Final = (AUTO, JSON, TEXT)
"""What standard output is taken for; ``auto``: JSON if it is, else text."""
NOT_RUN: Final = (126, 127)
"""Exit codes of a shell that could not run, or not find, what it was to run."""
TOO_MUCH: Final = "the arguments are longer than the system allows; hand large fields over on standard input"
OWN_SECRETS: Final = ("BATCHQ_TOKEN", "BATCHQ_TOKEN_FILE", "BATCHQ_NOTIFY_SECRET")
"""Variables that are none of a command's business."""


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of the options; see `ready.Kind.check`.

    Args:
        options: ``exec``, the command; ``shell``, whether it is for one; ``max_output``, a size; ``stdout``, one of
            `OUTPUTS`; ``no_retry_exit``, exit codes such as ``2`` and ``64-78``, after which no other attempt
            follows.

    Example:
        >>> check({"exec": "true {id}", "no_retry_exit": ["2", "64-78"]})["no_retry_exit"]
        [[2, 2], [64, 78]]
    """
    command = str(options["exec"])
    shell = bool(options.get("shell"))
    line = CommandLine(command, shell)
    if line.program is not None and shutil.which(line.program) is None:
        raise _no_command(line.program)
    stdout = options.get("stdout") or AUTO
    check_choice("--stdout", stdout, OUTPUTS)
    return {
        "title": command,
        "command": command,
        "shell": shell,
        "stdout": stdout,
        "max_output": bytes_of("--max-output", options.get("max_output") or MOST_OUTPUT),
        "no_retry_exit": [_codes_of(text) for text in options.get("no_retry_exit") or ()],
    }


def make(work: Mapping[str, Any]) -> Work:
    """The handler that runs the command; see `ready.Kind.make`."""
    command = Command(work)
    handler = Handler(command.run, True, True, work["title"], stays=True)
    return Work(handler, command.ready, command.preview, command.processes.kill)


class Command:
    """Runs a command for each item.

    Args:
        work: what `check` returned.
    """

    def __init__(self, work: Mapping[str, Any]) -> None:
        self.processes = Processes()
        self._line = CommandLine(work["command"], work["shell"])
        self._stdout: str = work["stdout"]
        self._most: int = work["max_output"]
        self._no_retry: Sequence[Sequence[int]] = work["no_retry_exit"]
        self._environment = {name: value for name, value in os.environ.items() if name not in OWN_SECRETS}

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Once in each worker, before the first item."""
        # What a worker ignores, its commands would ignore too; what it handles, they do not.
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, _ignore)
        yield

    async def run(self, item: Any, ctx: Context) -> Any:
        """The result of the command for one item.

        Raises:
            TemplateFailed: the item has no such field, or its value cannot be an argument.
            CommandFailed: it cannot be run, has failed, or has written what cannot be stored.
        """
        arguments = self._line.arguments(item)
        said = Said(ctx.log)
        given = json.dumps(item, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        environment: dict[str, str | bytes] = {
            **self._environment,
            "BATCHQ_BATCH_ID": ctx.batch_id,
            "BATCHQ_ITEM_ID": str(ctx.item_id).replace("\0", "").encode(errors="backslashreplace"),
            KEY: ctx.idempotency_key,
            "BATCHQ_ATTEMPT": str(ctx.attempt),
        }
        try:
            process = await self.processes.run(arguments, given, environment, self._most, said.hear)
        except OSError as error:
            _not_begun(arguments[0], error)
        except asyncio.CancelledError:
            raise asyncio.CancelledError(said.tail) from None  # which a timeout tells
        finally:
            said.end()
        self._check(process, said)
        return _result(process.stdout, self._stdout)

    def preview(self, item: Any, ctx: Context) -> str:
        """The command line, as one would type it."""
        return shown(self._line.arguments(item))

    def _check(self, process: Process, said: Said) -> None:
        code = process.code
        if process.is_too_long:
            reason = f"it has written more than {self._most:,} bytes on standard output (--max-output)"
            raise CommandFailed(reason, said.tail, retryable=False)
        if code is None:
            raise CommandFailed("it was ended, and nobody knows how", said.tail)
        if code < 0:
            raise CommandFailed(f"killed by {_signal(-code)}", said.tail)
        if code:
            is_final = code in NOT_RUN or any(first <= code <= last for first, last in self._no_retry)
            raise CommandFailed(f"exit code {code}", said.tail, retryable=not is_final)


def _no_command(program: str) -> UsageError:
    if "/" in program and os.path.isfile(program):
        hint = f"Make it so with `chmod +x {shlex.quote(program)}`, or name what runs it: --exec 'python3 {program} …'."
        return UsageError(f"{OPTION}: {program!r} is not executable", hint)
    hint = "Is it installed? What a shell knows by itself, its aliases and functions included, needs --shell."
    return UsageError(f"{OPTION}: there is no command {program!r}", hint)


def _not_begun(program: bytes, error: OSError) -> NoReturn:
    if error.errno == errno.E2BIG:
        raise CommandFailed(TOO_MUCH, retryable=False) from None
    if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EISDIR):
        reason = f"cannot run {shown([program])}: {os.strerror(error.errno)}"
        raise CommandFailed(reason, retryable=False) from None
    raise error


def _result(stdout: bytearray, kind: str) -> Any:
    """What a command has written on standard output.

    Example:
        >>> _result(bytearray(b'{"n": 1}'), AUTO), _result(bytearray(b"tea\\n"), AUTO), _result(bytearray(), AUTO)
        ({'n': 1}, 'tea', None)
    """
    try:
        text = stdout.decode()
    except UnicodeDecodeError as error:
        reason = f"standard output is not UTF-8 text, from byte {error.start + 1:,} on"
        hint = "; what is no text can go through `base64`"
        raise CommandFailed(reason + hint, retryable=False) from None
    if kind != TEXT:
        try:
            return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            if kind == JSON:
                raise CommandFailed(f"standard output is not JSON: {error}") from None
    return text.removesuffix("\n") if text else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    # What looks like a number of that size is the hash of a commit, 7e12345, and no float could give it back.
    value = float(number)
    return value if math.isfinite(value) else _no_constant(number)


def _codes_of(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    try:
        codes = [int(first), int(last if dash else first)]
    except ValueError:
        codes = [0, 0]
    if not 1 <= codes[0] <= codes[1] <= 255:
        raise ConfigError("--no-retry-exit", text, "an exit code from 1 to 255, or a range such as 64-78")
    return codes


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _ignore(number: int, frame: FrameType | None) -> None:
    pass
