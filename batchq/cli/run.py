"""``batchq``, and the verbs that run a batch: ``start`` and ``resume``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batchq.cli.console import Console, common_options, complain, run_command
from batchq.cli.control import cancel, check, pause, prune, rm, wait
from batchq.cli.detach import begin_detached, detach_option, is_child, is_quiet_child, tell_ready
from batchq.cli.show import log, report, results, status
from batchq.config import MAX_CONCURRENCY

if TYPE_CHECKING:
    from batchq.app.verbs import Session
    from batchq.engine.hooks import Ending


class Verbs(click.Group):
    """Lists its commands in the order in which one needs them, and knows the nearest to a mistyped one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or an error that names the nearest one."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.commands, 1)
            raise click.UsageError(f"no command {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="batchq", prog_name="batchq")
@common_options
@click.pass_context
def cli(context: click.Context) -> None:
    """Run a function over many items, lose nothing, and learn what happened to each of them.

    \b
      batchq start ideas.jsonl --func pipeline:make_title
      batchq status
      batchq resume batch-20261125-001      after Ctrl-C, a crash or a reboot
      batchq results batch-20261125-001 > titles.jsonl

    Exit codes: 0 every item succeeded; 1 finished, some items failed; 2 wrong usage or input, nothing was
    started; 3 not finished; 70 a fault of batchq; 74 disk; 75 another process supervises that batch; 130 and
    143 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _option(name: str, *short: str, **settings: Any) -> Callable[[Any], Any]:
    """An option of `start` that the environment may set too: --chunk-size by BATCHQ_CHUNK_SIZE."""
    variable = "BATCHQ_" + name.lstrip("-").replace("-", "_").upper()
    return click.option(name, *short, envvar=variable, show_envvar=True, **settings)


@click.command()
@click.argument("input", metavar="INPUT")
@click.option(
    "--func",
    required=True,
    metavar="TARGET",
    help="The function to run, async or not: package.module:function or path/file.py:function. "
    "It takes the item, or the item and a context.",
)
@_option("--id", "batch_id", metavar="ID", help="Your own id of the batch.  [default: batch-YYYYMMDD-NNN]")
@_option(
    "--concurrency",
    "-c",
    type=int,
    default=5,
    show_default=True,
    metavar="N",
    help=f"Items in flight in the whole batch, whatever the number of workers; at most {MAX_CONCURRENCY:,}.",
)
@_option("--workers", "-w", type=int, metavar="N", help="Processes.  [default: one a core, at most -c]")
@_option(
    "--retry-attempts",
    type=int,
    default=3,
    show_default=True,
    metavar="N",
    help="Run an item so often at most; 1 never runs it again.",
)
@_option(
    "--retry-delay",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long before the second attempt.",
)
@_option(
    "--retry-backoff",
    type=float,
    default=2.0,
    show_default=True,
    metavar="FACTOR",
    help="Each further wait is so many times as long (60 s at most): 1, 2, 4 …",
)
@_option(
    "--timeout",
    type=float,
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Limit of one attempt; 0 for none.",
)
@_option(
    "--chunk-size",
    type=int,
    default=50,
    show_default=True,
    metavar="N",
    help="Items that are stored and handed out together.",
)
@_option("--retry-max-delay", type=float, default=60.0, show_default=True, metavar="SECONDS", help="No wait is longer.")
@_option(
    "--retry-jitter",
    type=float,
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Share of a wait that is added at random, so that items do not all come back at once.",
)
@_option(
    "--retry-budget",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Share of the attempts that may be retries, so that an outage does not become a storm; 1 for no such limit.",
)
@click.option(
    "--no-retry", multiple=True, metavar="ERROR", help="Name of an exception that is not tried again; may be repeated."
)
@click.option(
    "--retry-on",
    multiple=True,
    metavar="ERROR",
    help="Name of one that is, although it would not be: TypeError, say. May be repeated.",
)
@_option(
    "--halt",
    metavar="LIMIT",
    help="Stop the batch at so many failed items (100), or at such a share of them once 50 are done (20%).",
)
@_option(
    "--no-breaker",
    is_flag=True,
    help="Go on when the first 20 items all fail, or 50 in a row fail alike; otherwise the batch pauses then.",
)
@_option("--limit", type=int, metavar="N", help="Read the first N records only: --limit 10 for a trial run.")
@_option(
    "--durability",
    type=click.Choice(["normal", "full"]),
    default="normal",
    show_default=True,
    help="normal survives every crash of a process; full a power cut too, and is slower.",
)
@click.option(
    "--setup",
    metavar="TARGET",
    help="A context manager that each worker enters once, say an HTTP client; handlers find its value as ctx.resource.",
)
@_option(
    "--input-format",
    type=click.Choice(["jsonl", "json", "csv", "tsv", "txt"]),
    help="Needed for standard input.  [default: by the file's name]",
)
@_option(
    "--grace",
    type=float,
    default=8.0,
    show_default=True,
    metavar="SECONDS",
    help="After Ctrl-C, items in flight have so long to finish.",
)
@_option(
    "--max-uncommitted",
    type=int,
    default=1000,
    show_default=True,
    metavar="N",
    help="Advanced: outcomes in memory at most; so many items can run twice after a crash.",
)
@_option(
    "--fail-empty",
    is_flag=True,
    help='Count an empty result (null, "", [], {}) as a failure: an outage that the function swallows looks like that.',
)
@detach_option
@common_options
@click.pass_obj
def start(console: Console, /, detach: bool, **options: Any) -> int:
    """Read INPUT, run the function over each record, wait, and report.

    INPUT is a .jsonl, .json, .csv, .tsv or .txt file, or - for standard input. Nothing is lost when this command is
    interrupted or killed: `batchq resume ID` goes on.

    \b
      batchq start ideas.jsonl --func pipeline:make_title
      batchq start ideas.csv --func pipeline.py:make_title -c 50 --timeout 30 --retry-attempts 5
      curl -s https://example.org/ideas | batchq start - --input-format jsonl --func pipeline:make_title
    """
    from batchq.app import verbs
    from batchq.app.progress import open_display
    from batchq.app.text import at_a_time
    from batchq.engine.hooks import Hooks

    if detach and not is_quiet_child(console):
        return begin_detached(console, reads_stdin=options["input"] == "-")
    request = verbs.StartRequest(**options)
    stdin = sys.stdin.buffer if request.input == "-" else None
    with open_display(console.quiet) as display:
        with _handlers_print_to_stderr():
            session = verbs.start(console.home(), request, Hooks(display.show, display.note), stdin)
        source = "standard input" if stdin else request.input
        opening = f"{session.batch_id}: reading {source}, {at_a_time(session.spec.concurrency, session.spec.workers)}"
        ending = _supervise(console, session, opening)
    return _finish(console, session.batch_id, ending)


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option(
    "--ignore-changed-input",
    is_flag=True,
    help="Read on although the input is not the one that the batch began with.",
)
@click.option("--input-ended", is_flag=True, help="Read nothing more: go on with what is stored of the input.")
@click.option(
    "--func",
    metavar="TARGET",
    help="Another function for what is left; needed for a batch that was copied from elsewhere.",
)
@click.option("--setup", metavar="TARGET", help='Another setup for what is left; "" for none.')
@detach_option
@common_options
@click.pass_obj
def resume(console: Console, /, batch_id: str, detach: bool, **options: Any) -> int:
    """Go on with a batch that was interrupted, paused or halted.

    What has an outcome does not run again; only items that were in flight do.

    \b
      batchq resume batch-20261125-001
    """
    if detach and not is_quiet_child(console):
        return begin_detached(console)
    return _go_on(console, batch_id, **options)


def _go_on(console: Console, batch_id: str, **options: Any) -> int:
    from batchq.app import verbs
    from batchq.app.progress import open_display
    from batchq.app.status import BatchStatus, status
    from batchq.app.text import at_a_time, progress_words
    from batchq.engine.hooks import Hooks
    from batchq.model import ENDED

    home = console.home()
    with open_display(console.quiet) as display:
        hooks = Hooks(display.show, display.note)
        with _handlers_print_to_stderr():
            session = verbs.resume(home, batch_id, hooks, **options)
        if isinstance(session, BatchStatus):
            nothing = "there is nothing left to do" if session.state in ENDED else f"{session.holder} goes on with it"
            tell = complain if is_child() else console.say
            tell(f"{batch_id} is {session.state}; {nothing}")
            return 0
        now = status(home, batch_id)
        far = progress_words(now.tally, now.input_done)
        opening = f"{batch_id}: going on at {far}; {at_a_time(session.spec.concurrency, session.spec.workers)}"
        ending = _supervise(console, session, opening)
    return _finish(console, batch_id, ending)


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("--error", metavar="REGEX", help="Only items whose error, written as `type: text`, contains this.")
@click.option("--item", "items", multiple=True, metavar="ITEM", help="Only the item of this id; may be repeated.")
@click.option("--timed-out", is_flag=True, help="Only items that have timed out.")
@common_options
@click.pass_obj
def retry(console: Console, /, batch_id: str, error: str | None, items: tuple[str, ...], timed_out: bool) -> int:
    """Run failed items again, in the same batch; their earlier attempts stay in the history.

    
      batchq retry batch-20261125-001
      batchq retry batch-20261125-001 --error "HTTP 5.." --item a4
    """
    from batchq.app import verbs
    from batchq.app.words import count

    if timed_out and error is not None:
        raise click.UsageError("--timed-out and --error exclude each other")
    chosen = verbs.retry(console.home(), batch_id, "^ItemTimeout: " if timed_out else error, items)
    if not chosen:
        console.say(f"{batch_id}: no failed item is to run again")
        return 0
    console.say(f"{batch_id}: {count(chosen, 'item')} to run again")
    return _go_on(console, batch_id)


def _supervise(console: Console, session: Session, opening: str) -> Ending:
    """Run the batch to its end, or until SIGINT or SIGTERM asks it to stop."""
    console.log = console.home().find(session.batch_id).log
    if is_child():
        tell_ready(console, session.batch_id)

    def stop(number: int, frame: FrameType | None) -> None:
        words = "abandoning what is in flight" if console.died_of else _stopping(session.spec.grace)
        console.died_of = console.died_of or number
        session.supervisor.stop()
        if not console.quiet:
            # Not by print: the signal may have come in the middle of another one.
            line_end = b"\n" if os.isatty(2) else b""
            with contextlib.suppress(OSError):
                os.write(2, line_end + f"batchq: {words}\n".encode())

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    console.say(opening)
    ending = session.supervisor.run()
    for number, handler in before.items():
        signal.signal(number, handler)
    return ending


def _finish(console: Console, batch_id: str, ending: Ending) -> int:
    """Report, or say how to go on; the exit code."""
    from batchq.app.render import report_json
    from batchq.app.status import status
    from batchq.app.stored import build_report
    from batchq.app.text import go_on_line, interrupted_line, report_text
    from batchq.app.verbs import exit_code
    from batchq.model import COMPLETED

    home = console.home()
    now = status(home, batch_id)
    code = exit_code(ending, now.tally)
    if ending.stopped:
        complain(interrupted_line(now, console.command))
        return code
    console.died_of = None  # the signal came when all was done
    if console.as_json or not console.quiet:
        made = build_report(home.find(batch_id))
        console.write(report_json(made) if console.as_json else [report_text(made, console.command)])
    if ending.state != COMPLETED:
        why = f": {ending.reason}" if ending.reason else ""
        complain(f"{batch_id} is {ending.state}{why}", go_on_line(now, console.command))
    return code


def _stopping(grace: float) -> str:
    return f"stopping; what is in flight has {grace:g} s to finish (once more: abandon it)"


@contextlib.contextmanager
def _handlers_print_to_stderr() -> Iterator[None]:
    """Importing the user's module may print; stdout is for data."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


for _command in (start, pause, resume, cancel, retry, status, wait, results, report, log, check, rm, prune):
    cli.add_command(_command)


def main(argv: list[str] | None = None) -> NoReturn:
    """The command line; exits with the codes that ``batchq --help`` lists.

    Args:
        argv: arguments instead of those of the process.
    """
    sys.exit(run_command(cli, argv))
