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

from batchq.cli.place import PLACES, Place, server_options
from batchq.errors import BatchqError, UsageError

if TYPE_CHECKING:
    from batchq.app.batches import Batches
    from batchq.engine.local import LocalEngine
    from batchq.remote.batches import ServerBatches
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
        engine: what runs a batch of this process, where that has begun to start.
        died_of: number of the signal that this process is to die of, once everything is in order.
    """

    def __init__(self, arguments: Sequence[str] = (), engine: LocalEngine | None = None) -> None:
        self.arguments = list(arguments)
        self.engine = engine
        self.as_json = False
        self.quiet = False
        self.log: Path | None = None
        self.died_of: int | None = None
        self._place = Place()
        self._there: ServerBatches | None = None

    def batches(self) -> Batches:
        """The batches that this command is about: those of its home, or of the server that it names."""
        if self.server is not None:
            return self.server_batches()
        from batchq.app.home_batches import HomeBatches

        return HomeBatches(self.home())

    def server_batches(self) -> ServerBatches:
        """Those of the server; only where there is a `server`."""
        if self._there is None:
            from batchq.remote.address import address_of, token_of
            from batchq.remote.batches import ServerBatches
            from batchq.remote.client import Client

            assert self.server is not None
            address = address_of(self.server)
            self._there = ServerBatches(Client(address, token_of(address, self._place.token_file, self.home().path)))
        return self._there

    def close(self) -> None:
        """Leave the server, where there is one, and end a worker that was started for nothing."""
        if self.engine is not None:
            self.engine.close()
        if self._there is not None:
            self._there.client.close()

    def home(self) -> Home:
        """The home of this command: --home, else $BATCHQ_HOME, else the user's state folder."""
        from batchq.store.home import Home

        return Home.at(self._place.value("home"))

    @property
    def server(self) -> str | None:
        """The URL of --server or $BATCHQ_SERVER; None where this command is about batches of this machine."""
        return self._place.server

    def only_here(self, what: str, by_variable: bool = True) -> None:
        """Refuse to do with a server what can be done on this machine alone.

        Args:
            what: it is, in words: "a batch is checked where its file is".
            by_variable: $BATCHQ_SERVER names one too; else that is not about this command.

        Raises:
            UsageError: a server is named.
        """
        if self.server is not None and (by_variable or self._place.is_named("server")):
            raise UsageError(f"{what}, not on a server", "Leave --server out, or name a home with --home.")

    def take_place(self, name: str, value: str, named: bool) -> None:
        """Take note of an option that says where the batches are (`named`), or of its variable."""
        self._place.take(name, value, named)

    def command(self, *words: str) -> str:
        """A command to recommend: with --home or --server, where this one needed it."""
        return shlex.join(["batchq", *words]) + self._place.words

    def with_home(self, hint: str) -> str:
        """`hint`, whose commands work where this one does: they stand in backticks or behind the last colon."""
        commands = r"`batchq (?!serve)[^`]+(?=`)|(?<=: )batchq .+$"
        return re.sub(commands, lambda found: found[0] + self._place.words, hint)

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
    return server_options(_everywhere(command), _take)


def local_options(command: F) -> F:
    """The same of a command that is about this machine: it takes --server to say why not, or to ignore it."""
    return hidden_server(_everywhere(command))


def hidden_server(command: F) -> F:
    """--server for a command that does not offer it."""
    return click.option("--server", hidden=True, expose_value=False, callback=_take)(command)


def _everywhere(command: F) -> F:
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


def run_command(group: click.Group, arguments: list[str] | None, engine: LocalEngine | None = None) -> int:
    """Run `group` and answer with the exit code; errors are told in one line, without a traceback."""
    console = Console(sys.argv[1:] if arguments is None else arguments, engine)
    try:
        code = group.main(arguments, "batchq", standalone_mode=False, obj=console)
        sys.stdout.flush()
    except BatchqError as error:
        complain(str(error) or type(error).__name__, console.with_home(error.hint))
        return error.exit_code
    except click.UsageError as error:
        # click's parser does not say at which command it found an option without its value.
        verbs = [word for word in console.arguments if word in group.commands]
        path = error.ctx.command_path if error.ctx else " ".join(["batchq", *verbs[:1]])
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
    finally:
        console.close()
    if console.died_of is not None:
        # A shell loop around us goes on unless we die of the very signal.
        signal.signal(console.died_of, signal.SIG_DFL)
        os.kill(os.getpid(), console.died_of)
    return code if isinstance(code, int) else 0


def _take(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    console = context.ensure_object(Console)
    if not value:
        return
    name = str(parameter.name)
    if name in PLACES:
        source = context.get_parameter_source(name)
        named = source is click.core.ParameterSource.COMMANDLINE
        if named or context.parent is None:  # after the verb only what is really there
            console.take_place(name, value, named)
    else:
        setattr(console, name, True)


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
