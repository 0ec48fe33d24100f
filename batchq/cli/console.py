"""What all commands share: the options that stand anywhere, output, errors in one line, exit codes.

At the top this module, like all of ``cli``, imports click, ``batchq.config`` and ``batchq.errors`` only.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO, TypeVar

import click

from batchq.errors import BatchqError

if TYPE_CHECKING:
    from batchq.store.home import Home

FAULT: Final = 70
DISK: Final = 74
BROKEN_PIPE: Final = 128 + signal.SIGPIPE

F = TypeVar("F", bound=Callable[..., Any])


class Console:
    """Where a command writes, and what the options say that may stand before or after the verb.

    Attributes:
        as_json: ``--json``.
        quiet: ``-q``.
        arguments: of this command.
        log: where a traceback goes: the batch's log, once there is a batch; None for a file of its own.
        died_of: number of the signal that this process is to die of, once everything is in order.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = list(arguments)
        self.as_json = False
        self.quiet = False
        self.log: Path | None = None
        self.died_of: int | None = None
        self._home: str | None = None
        self._home_named = False

    def home(self) -> Home:
        """The home of this command: --home, else $BATCHQ_HOME, else the user's state folder."""
        from batchq.store.home import Home

        return Home.at(self._home)

    def set_home(self, path: str, named: bool) -> None:
        """Take note of --home (`named`) or $BATCHQ_HOME."""
        self._home = path
        self._home_named = named

    def command(self, *words: str) -> str:
        """A command to recommend: with --home, where this one needed it."""
        return shlex.join(["batchq", *words]) + self._home_option

    def with_home(self, hint: str) -> str:
        """`hint`, whose commands work in the home of this one: they stand in backticks or behind the last colon."""
        return re.sub(r"`batchq [^`]+(?=`)|(?<=: )batchq .+$", lambda found: found[0] + self._home_option, hint)

    @property
    def _home_option(self) -> str:
        return f" --home {shlex.quote(self._home)}" if self._home and self._home_named else ""

    def say(self, text: str) -> None:
        """A message on stderr, not with -q."""
        if not self.quiet:
            complain(text)

    def write(self, pieces: Iterable[str], stream: TextIO | None = None) -> None:
        """Data on stdout, in UTF-8 unless it is a terminal; a reader that has left (`| head`) ends the command.

        Args:
            pieces: what to write.
            stream: what stdout was before it was redirected; None where it is not.
        """
        stream = whole(stream or sys.stdout)
        if not stream.isatty():
            # Half a surrogate pair becomes \ud83d, which in JSON is the right way to write it.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")  # type: ignore[attr-defined]
        with _until_nobody_reads(stream):
            for piece in pieces:
                stream.write(piece)
            stream.flush()

    def write_bytes(self, write: Callable[[BinaryIO], None]) -> None:
        """Data that is no text on stdout, written by `write`; ends as `write` does."""
        stream = whole(sys.stdout)
        with _until_nobody_reads(stream):
            write(stream.buffer)
            stream.flush()

    def write_json(self, value: dict[str, Any]) -> None:
        """One JSON object on stdout, with the version of batchq's JSON in front."""
        from batchq.app.render import SCHEMA, json_text

        self.write([json_text({"schema": SCHEMA, **value})])

    def write_json_line(self, value: dict[str, Any]) -> None:
        """The same on a single line, for who reads one object after the other."""
        from batchq.app.render import SCHEMA, json_line

        self.write([json_line({"schema": SCHEMA, **value})])


@contextlib.contextmanager
def _until_nobody_reads(stream: TextIO) -> Iterator[None]:
    """End the command where the reader of `stream` has left."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise click.exceptions.Exit(BROKEN_PIPE) from None


def whole(stream: TextIO) -> TextIO:
    """`stream`, buffered: with PYTHONUNBUFFERED, Python drops what a pipe does not take in one go."""
    if isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        return open(stream.fileno(), "w", closefd=False)
    return stream


def common_options(command: F) -> F:
    """The options that may stand before or after the verb; a command finds them in its `Console`."""
    for option in (
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_take,
            help="No progress, no report; errors only.",
        ),
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            expose_value=False,
            callback=_take,
            help='Print JSON ("schema": 1).',
        ),
        click.option(
            "--home",
            metavar="FOLDER",
            expose_value=False,
            callback=_take,
            envvar="BATCHQ_HOME",
            show_envvar=True,
            help="Where the batches are.  [default: your state folder, on Linux ~/.local/state/batchq]",
        ),
    ):
        command = option(command)
    return command


def complain(text: str, hint: str = "") -> None:
    """``batchq: text`` on stderr, and the hint on a line of its own."""
    try:
        sys.stderr.write(f"batchq: {one_line(text)}\n" + (f"  {one_line(hint)}\n" if hint else ""))
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens; the exit code still tells


def one_line(text: str) -> str:
    """`text` without line ends and control characters, which could forge or hide output on a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def run_command(group: click.Group, arguments: list[str] | None) -> int:
    """Run `group` and answer with the exit code; errors are told in one line, without a traceback."""
    console = Console(sys.argv[1:] if arguments is None else arguments)
    try:
        code = group.main(arguments, "batchq", standalone_mode=False, obj=console)
        sys.stdout.flush()
    except BatchqError as error:
        complain(str(error) or type(error).__name__, console.with_home(error.hint))
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "batchq"
        complain(error.format_message(), f"`{path} --help` explains it.")
        return error.exit_code
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        console.died_of = signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except OSError as error:
        from batchq.store.descriptors import too_many_files, used_up

        known = str(too_many_files()) if used_up(error) else error.strerror or str(error)
        complain(known + (f": {error.filename}" if error.filename else ""))
        return DISK
    except Exception as error:
        complain(
            f"a fault of batchq: {type(error).__name__}: {error}",
            f"The traceback is in {_keep(console.log)}.",
        )
        return FAULT
    if console.died_of is not None:
        # A shell loop around us goes on unless we die of the very signal.
        signal.signal(console.died_of, signal.SIG_DFL)
        os.kill(os.getpid(), console.died_of)
    return code if isinstance(code, int) else 0


def _take(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    console = context.ensure_object(Console)
    if not value:
        return
    if parameter.name == "home":
        source = context.get_parameter_source("home")
        named = source is click.core.ParameterSource.COMMANDLINE
        if named or context.parent is None:  # after the verb only what is really there
            console.set_home(value, named)
    else:
        setattr(console, str(parameter.name), True)


def _keep(log: Path | None) -> Path:
    """Write the traceback of the exception at hand into `log`, or a new file; returns which."""
    import tempfile
    import traceback

    try:
        if log is None:
            descriptor, name = tempfile.mkstemp(prefix="batchq-", suffix=".log")
            os.close(descriptor)
            log = Path(name)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(traceback.format_exc())
    except OSError:
        traceback.print_exc()
    return log or Path("stderr")
