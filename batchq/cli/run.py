"""``batchq``, and the verbs that run a batch: ``start`` and ``resume``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from batchq.cli.completion import complete_by_name, completion
from batchq.cli.config import config
from batchq.cli.console import Console, common_options, complain, run_command
from batchq.cli.control import cancel, check, pause, prune, rm, wait
from batchq.cli.detach import begin_detached, detach_option, is_child, is_quiet_child, tell_ready
from batchq.cli.doctor import doctor, warn_of_descriptors
from batchq.cli.engine_options import resume_engine, settle_engine, start_engine
from batchq.cli.group import Verbs
from batchq.cli.input_options import start_inputs
from batchq.cli.item import show
from batchq.cli.limit_options import start_limits
from batchq.cli.limits import set_
from batchq.cli.notify import send_owed, start_notices
from batchq.cli.options import option
from batchq.cli.queue import enqueue, queue_options
from batchq.cli.remote import resume_there, retry_there, start_there
from batchq.cli.report import report
from batchq.cli.result_options import start_results
from batchq.cli.results import results
from batchq.cli.retry_options import start_retries
from batchq.cli.reuse_options import start_reuse
from batchq.cli.serve import serve
from batchq.cli.settings import blamed
from batchq.cli.show import log, status
from batchq.cli.signals import obeyed
from batchq.cli.tryout import try_command
from batchq.cli.work_options import from_stage_option, gather_work, other_stages, start_work
from batchq.config import MAX_CONCURRENCY
from batchq.spec import LOCAL

if TYPE_CHECKING:
    from batchq.app.status import BatchStatus
    from batchq.app.verbs import Session
    from batchq.engine.hooks import Ending
    from batchq.engine.local import LocalEngine


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
    started; 3 not finished; 69 a server does not answer; 70 a fault of batchq; 74 disk; 75 another process
    supervises that batch; 129, 130 and 143 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command()
@click.argument("input", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "--func",
    metavar="TARGET",
    help="The function to run, async or not: package.module:function or path/file.py:function. "
    "It takes the item, or the item and a context.",
)
@click.option("--id", "batch_id", metavar="ID", help="Your own id of the batch.  [default: batch-YYYYMMDD-NNN]")
@option(
    "--concurrency",
    "-c",
    type=int,
    default=5,
    show_default=True,
    metavar="N",
    help=f"Items in flight in the whole batch, whatever the number of workers; at most {MAX_CONCURRENCY:,}.",
)
@option("--workers", "-w", type=int, metavar="N", help="Processes.  [default: one a core, at most -c]")
@option(
    "--timeout",
    type=float,
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Limit of one attempt; 0 for none.",
)
@option(
    "--chunk-size",
    type=int,
    default=50,
    show_default=True,
    metavar="N",
    help="Items that are stored and handed out together.",
)
@click.option(
    "--setup",
    metavar="TARGET",
    help="A context manager that each worker enters once, say an HTTP client; handlers find its value as ctx.resource.",
)
@start_work
@start_reuse
@start_engine
@start_inputs
@start_retries
@start_results
@option(
    "--no-breaker",
    is_flag=True,
    help="Go on when the first 20 items all fail, or 50 in a row fail alike; otherwise the batch pauses then.",
)
@option(
    "--durability",
    type=click.Choice(["normal", "full"]),
    default="normal",
    show_default=True,
    help="normal survives every crash of a process; full a power cut too, and is slower.",
)
@option(
    "--grace",
    type=float,
    default=8.0,
    show_default=True,
    metavar="SECONDS",
    help="After Ctrl-C, items in flight have so long to finish.",
)
@option(
    "--max-uncommitted",
    type=int,
    default=1000,
    show_default=True,
    metavar="N",
    help="Advanced: outcomes in memory at most; so many items can run twice after a crash. More on Dask.",
)
@start_limits
@start_notices
@detach_option
@queue_options
@common_options
@click.pass_obj
def start(console: Console, /, detach: bool, queue: bool, priority: int | None, **options: Any) -> int:
    """Read INPUT, run the function over each record, wait, and report.

    INPUT is a .jsonl, .json, .csv, .tsv or .txt file, each also with .gz, .bz2 or .zst; a .parquet, .arrow or .feather
    file; several files or 'patterns/*.csv'; or - for standard input. Records are chosen by where, unique, skip, sample
    and shuffle, limit, and shard, in this order. Nothing is lost when this command is interrupted or killed: `batchq
    resume ID` goes on.

    \b
      batchq start ideas.jsonl --func pipeline:make_title
      batchq start ideas.csv --func pipeline.py:make_title -c 50 --timeout 30 --retry-attempts 5
      batchq start 'ideas/*.jsonl.gz' more.csv --func pipeline:make_title --where "lang == 'en'" --unique id
      curl -s https://example.org/ideas | batchq start - --input-format jsonl --func pipeline:make_title
    """
    if queue and detach:
        raise click.UsageError("--queue and --detach exclude each other: a server runs it, or this machine at once")
    gather_work(options)
    settle_engine(options)
    if console.server is not None:
        return start_there(console, options, priority, detach or queue)

    if queue:
        return enqueue(console, priority, options)
    if priority is not None:
        raise click.UsageError("--priority is of use with --queue only: what is not queued begins at once")
    if detach and not is_quiet_child(console):
        return begin_detached(console, reads_stdin="-" in options["input"])

    from batchq.engine.local import LocalEngine

    elsewhere = options["scheduler"] or options["engine"] not in (None, LOCAL)
    if console.engine is None and not is_child() and not elsewhere:
        console.engine = LocalEngine.warmed_up()
    return _begin(console, console.engine, options)


def _begin(console: Console, engine: LocalEngine | None, options: dict[str, Any]) -> int:
    from batchq.app import verbs
    from batchq.app.progress import open_display
    from batchq.app.request import StartRequest
    from batchq.app.text import at_a_time
    from batchq.engine.hooks import Hooks

    request = StartRequest(**options)
    stdin = sys.stdin.buffer if "-" in request.input else None
    with open_display(console.quiet) as display:
        with blamed(click.get_current_context()), _handlers_print_to_stderr():
            session = verbs.start(console.home(), request, Hooks(display.show, display.note), stdin, engine)
        source = "standard input" if stdin else session.spec.source.name
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
@click.option(
    "--all",
    "read_all",
    is_flag=True,
    help="Read the input on that --limit cut off, also where the batch has completed.",
)
@click.option(
    "--no-strict",
    is_flag=True,
    help="Undo `start --strict`: from here on, a record that cannot be read fails alone.",
)
@click.option("--input-ended", is_flag=True, help="Read nothing more: go on with what is stored of the input.")
@click.option(
    "--func",
    metavar="TARGET",
    help="Another function for what is left; needed for a batch that was copied from elsewhere.",
)
@click.option("--setup", metavar="TARGET", help='Another setup for what is left; "" for none.')
@other_stages
@resume_engine
@click.option("--served", is_flag=True, hidden=True)  # a server says it, of whose turn has come
@detach_option
@common_options
@click.pass_obj
def resume(console: Console, /, batch_id: str, detach: bool, **options: Any) -> int:
    """Go on with a batch that was interrupted, paused or halted.

    What has an outcome does not run again; only items that were in flight do. A function that has changed meanwhile is
    run as it is now; the log and the report say since when.

    \b
      batchq resume batch-20261125-001
      batchq resume batch-20261125-001 --all      after a trial run with --limit
    """
    if console.server is not None:
        return resume_there(console, batch_id, detach, options)
    if detach and not is_quiet_child(console):
        return begin_detached(console)
    return _go_on(console, batch_id, **options)


def _go_on(console: Console, batch_id: str, served: bool = False, then: Sequence[str] = (), **options: Any) -> int:
    from batchq.app import verbs
    from batchq.app.progress import open_display
    from batchq.app.render import report_json
    from batchq.app.status import BatchStatus, status
    from batchq.app.stored import build_report
    from batchq.app.text import at_a_time, progress_words
    from batchq.app.words import count
    from batchq.engine.hooks import Hooks
    from batchq.model import ENDED

    home = console.home()
    with open_display(console.quiet) as display:
        hooks = Hooks(display.show, display.note)
        with _handlers_print_to_stderr():
            stages = [target for target in then if target] if then else None
            session = verbs.resume(home, batch_id, hooks, served=served, then=stages, **options)
        if isinstance(session, BatchStatus):
            goes_on = f"{session.holder} goes on with it" if session.holder else "it is left so"
            nothing = "there is nothing left to do" if session.state in ENDED else goes_on
            tell = complain if is_child() else console.say
            tell(f"{batch_id} is {session.state}; {nothing}")
            if session.state in ENDED and (sent := send_owed(console, batch_id, served)):
                tell(f"{batch_id}: {count(sent, 'notification')} sent")
            if console.as_json and session.state in ENDED:
                console.write(report_json(build_report(home.find(batch_id))))
            return 0
        now = status(home, batch_id)
        far = progress_words(now.tally, now.input_done)
        opening = f"{batch_id}: going on at {far}; {at_a_time(session.spec.concurrency, session.spec.workers)}"
        ending = _supervise(console, session, opening)
    return _finish(console, batch_id, ending, served)


@click.command()
@click.argument("batch_id", metavar="ID")
@click.option("--error", metavar="REGEX", help="Only items whose error, written as `type: text`, contains this.")
@click.option("--item", "items", multiple=True, metavar="ITEM", help="Only this item, an id or #12; may be repeated.")
@click.option("--timed-out", is_flag=True, help="Only items that have timed out.")
@from_stage_option
@common_options
@click.pass_obj
def retry(
    console: Console,
    /,
    batch_id: str,
    error: str | None,
    items: tuple[str, ...],
    timed_out: bool,
    from_stage: int | None,
) -> int:
    """Run failed items again, in the same batch; their earlier attempts stay in the history.

    All items of an id run again; #12 is the one at that place in the input.

    \b
      batchq retry batch-20261125-001
      batchq retry batch-20261125-001 --error "HTTP 5.." --item a4 --item '#12'
    """
    from batchq.app import verbs
    from batchq.app.render import report_json
    from batchq.app.stored import build_report
    from batchq.app.words import count

    if timed_out and error is not None:
        raise click.UsageError("--timed-out and --error exclude each other")
    if console.server is not None:
        return retry_there(console, batch_id, error, items, timed_out, from_stage)
    error = "^ItemTimeout: " if timed_out else error
    chosen = verbs.retry(console.home(), batch_id, error, items, from_stage=from_stage)
    if not chosen:
        console.say(f"{batch_id}: no failed item is to run again")
        if console.as_json:
            console.write(report_json(build_report(console.home().find(batch_id))))
        return 0
    console.say(f"{batch_id}: {count(chosen, 'item')} to run again")
    return _go_on(console, batch_id)


def _supervise(console: Console, session: Session, opening: str) -> Ending:
    """Run the batch to its end, or until a signal asks it to stop."""
    console.log = console.home().find(session.batch_id).log
    warn_of_descriptors(console, session.spec)
    if is_child():
        tell_ready(console, session.batch_id)

    with obeyed(console, session.supervisor, session.spec.grace):
        console.say(opening)
        return session.supervisor.run()


def _finish(console: Console, batch_id: str, ending: Ending, served: bool = False) -> int:
    """Report, or say how to go on; the exit code."""
    from batchq.app.finish import run_on_finish
    from batchq.app.status import status
    from batchq.app.text import interrupted_line
    from batchq.app.verbs import exit_code

    home = console.home()
    now = status(home, batch_id)
    code = exit_code(ending, now.tally)
    if ending.stopped:
        complain(interrupted_line(now, console.command))
        return code
    console.died_of = None  # the signal came when all was done
    try:
        return _tell_end(console, now, ending, code)
    finally:
        send_owed(console, batch_id, served)
        if now.spec.on_finish:
            run_on_finish(home, now, code)


def _tell_end(console: Console, now: BatchStatus, ending: Ending, code: int) -> int:
    from batchq.app.render import report_json
    from batchq.app.stored import build_report
    from batchq.app.text import go_on_line, report_text
    from batchq.model import COMPLETED

    batch_id = now.batch_id
    if console.as_json or not console.quiet:
        made = build_report(console.home().find(batch_id))
        with contextlib.suppress(click.exceptions.Exit):  # nobody reads it: what the batch came to still counts
            console.write(report_json(made) if console.as_json else [report_text(made, console.command)])
    if ending.state != COMPLETED:
        why = f": {ending.reason}" if ending.reason else ""
        hint = console.with_home(ending.hint) or go_on_line(now, console.command)
        complain(f"{batch_id} is {now.state}{why}", hint)
    return code


@contextlib.contextmanager
def _handlers_print_to_stderr() -> Iterator[None]:
    """Importing the user's module may print; stdout is for data."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


_STEERING = (start, try_command(start), pause, resume, cancel, retry, set_)
_LOOKING = (status, wait, show, results, report, log, check, rm, prune, config, doctor, completion, serve)
for _command in (*_STEERING, *_LOOKING):
    cli.add_command(_command)
complete_by_name(cli)


def run(argv: list[str] | None = None, engine: LocalEngine | None = None) -> int:
    """The command line; answers with the exit codes that ``batchq --help`` lists.

    Args:
        argv: arguments instead of those of the process.
        engine: one whose first worker is starting already.
    """
    return run_command(cli, argv, engine)
