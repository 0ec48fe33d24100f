"""Reports, status and progress in words, for people: short lines, aligned, with what to do next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from batchq.app.groups import group_dict, group_lines
from batchq.app.merged_text import batches_text, next_of_several, table_text
from batchq.app.status import RESUMABLE, BatchStatus
from batchq.app.words import count, duration, moment, rate, shorten
from batchq.model import COMPLETED, QUEUED, Tally
from batchq.pace import budgets_of, over_budget
from batchq.spec import DASK, BatchSpec
from batchq.store.rows import Wait
from batchq.units import amount_words

if TYPE_CHECKING:
    from batchq.app.report import BatchReport

CUT_OFF: Final = "cut off: the batch went on with what was stored of it (--input-ended)"

Command = Callable[..., str]
"""Makes the command line to recommend from its words, with --home where it is needed."""


def plain_command(*words: str) -> str:
    """A command to recommend, where no --home is needed.

    Example:
        >>> plain_command("resume", "b1")
        'batchq resume b1'
    """
    return " ".join(["batchq", *words])


def report_text(report: BatchReport, command: Command = plain_command) -> str:
    """The report for people: what happened, how fast, what failed and why, what to do next."""
    lines = [("items", items_line(report))]
    lines += [("left out", left_out_words(report.left_out))] if report.left_out else []
    shard = report.config.get("shard")
    lines += [("shards", trouble) for trouble in report.troubles]
    lines += [("shard", f"{shard} of {shorten(str(report.config.get('input')))}")] if shard else []
    lines += [("input", CUT_OFF)] if report.input_cut and report.input_done else []
    lines += [("limit", _limit_words(report, command))] if _is_limited(report) else []
    if report.processed_items:
        lines += [("time", _time_line(report)), ("handler", _handler_line(report))]
    lines += [("attempts", _attempts_line(report))] if report.attempts or report.reused else []
    lines += [("spent", spent_words(report.spent))] if report.spent else []
    lines += [("reason", shorten(report.reason, 400))] if report.reason else []
    lines += [("function", changed_words(report.handler_changed))] if report.handler_changed else []
    lines += [("started", report.started_at[:19].replace("T", " ") + " UTC")]
    text = _aligned(f"{report.batch_id}: {report.state}", lines)
    failed = [group for group in report.failure_groups if group["failed"]]
    text += batches_text(report) + "".join(group_lines(failed))
    next_step = next_command(report, command)
    return text + (f"\nNext: {next_step}\n" if next_step else "")


def next_command(report: BatchReport, command: Command) -> str:
    """The command that most people want next; empty where there is none."""
    if report.batches:
        return next_of_several(report, RESUMABLE, command)
    cut = report.input_cut and not report.input_done
    return advice(report.batch_id, report.state, report.failure_count, report.processed_items, cut, command)


def _is_limited(report: BatchReport) -> bool:
    limit = report.config.get("limit")
    read = report.total_items + report.left_out.get("shard", 0)  # the limit holds for all shards together
    return isinstance(limit, int) and not report.batches and report.input_done and read >= limit


def _limit_words(report: BatchReport, command: Command) -> str:
    return f"no more were to be read; on with the rest: {command('resume', report.batch_id, '--all')}"


def items_line(report: BatchReport) -> str:
    """How many items there were and what became of them.

    Example:
        120: 117 succeeded, 3 failed (97.5% success)
    """
    if not report.total_items:
        return "0 items"
    parts = [f"{report.success_count:,} succeeded", f"{report.failure_count:,} failed"]
    left = report.total_items - report.processed_items
    if left:
        parts.append(f"{left:,} to do")
    share = f" ({_percent(report.success_rate)} success)" if report.success_rate is not None else ""
    return f"{report.total_items:,}: {', '.join(parts)}{share}"


def status_text(
    status: BatchStatus,
    command: Command = plain_command,
    more: Sequence[tuple[str, str]] = (),
    has_server: bool = False,
) -> str:
    """One batch in a few aligned lines, and what to do next.

    Args:
        status: how it stands.
        command: makes the commands to recommend.
        more: lines (name and value) where somebody watches it.
        has_server: a server runs on its home.
    """
    waits = has_server and status.is_wanted and status.holder is None
    lines = [("items", progress_words(status.tally, status.input_done))]
    lines += [("left out", left_out_words(status.skipped))] if status.skipped else []
    if status.rate:
        left = "" if status.remaining_seconds is None else f", {duration(status.remaining_seconds)} left"
        lines.append(("rate", rate(status.rate) + left))
    lines += [("waits", wait_words(status.wait))] if status.wait else []
    if status.reason:
        lines.append(("reason", shorten(status.reason, 400)))
    if status.holder:
        lines.append(("run by", status.holder))
    elif waits:
        lines.append(("run by", "the server, when its turn comes"))
    if status.state == QUEUED:
        lines.append(("priority", str(status.turn.priority)))
    lines += _input_lines(status)
    if status.spec.out is not None:
        lines.append(("output", shorten(status.spec.out)))
    lines += _limits_lines(status.spec)
    if status.spent:
        lines.append(("spent", spent_words(status.spent)))
    lines += more
    lines.append(("started", moment(status.started_at or status.created_at)))
    if status.ended_at:
        lines.append(("ended", moment(status.ended_at)))
    text = _aligned(f"{status.batch_id}: {status.state}", lines)
    text += "".join(group_lines([group_dict(group, status.names) for group in status.groups]))
    tally = status.tally
    if waits:
        next_step = command("wait", status.batch_id)
    else:
        next_step = advice(status.batch_id, status.state, tally.failed, tally.done, status.input_cut, command)
    return text + (f"\nNext: {next_step}\n" if next_step else "")


def _input_lines(status: BatchStatus) -> list[tuple[str, str]]:
    source = status.spec.source
    lines = [("input", shorten(source.name) + (f"; {CUT_OFF}" if status.without_rest else ""))]
    return lines if source.shard is None else [*lines, ("shard", f"{source.shard} of it")]


def _limits_lines(spec: BatchSpec) -> list[tuple[str, str]]:
    lines = [("limits", limits_words(spec))]
    if spec.engine == DASK:
        lines.append(("cluster", shorten(spec.scheduler or "Dask, on its supervisor's machine")))
    return lines


def status_table(batches: Iterable[BatchStatus]) -> str:
    """A line a batch."""
    rows = [("BATCH", "STATE", "DONE", "FAILED", "RATE", "LEFT", "STARTED")]
    for status in batches:
        tally = status.tally
        total = f"{tally.items:,}" if status.input_done else f"{tally.items:,}+"
        rows.append(
            (
                status.batch_id,
                status.state,
                f"{tally.done:,}/{total}",
                f"{tally.failed:,}",
                rate(status.rate) if status.rate else "",
                "" if status.remaining_seconds is None else duration(status.remaining_seconds),
                moment(status.started_at or status.created_at),
            )
        )
    return table_text(rows, frozenset({2, 3}))


def progress_words(tally: Tally, input_done: bool) -> str:
    """How far a batch is, in words; the total has a plus while the input is not read to its end.

    Example:
        >>> progress_words(Tally(items=120, success=35, failed=2, retries=5), True)
        '37 of 120 done (30%), 2 failed, 5 retried'
        >>> progress_words(Tally(), True)
        '0 items'
    """
    if input_done and not tally.items:
        return "0 items"
    words = f"{tally.done:,} of {tally.items:,}"
    # Rounded down: 100% is said only of what is done.
    words += f" done ({100 * tally.done // tally.items}%)" if input_done else "+ done (input not read to its end)"
    if tally.failed:
        words += f", {tally.failed:,} failed"
    if tally.retries:
        words += f", {tally.retries:,} retried"
    if tally.reused:
        words += f", {tally.reused:,} reused"
    return words


def interrupted_line(status: BatchStatus, command: Command) -> str:
    """What is said after Ctrl-C: nothing is lost, and how to go on."""
    tally = status.tally
    total = f"{tally.items:,}" if status.input_done else f"{tally.items:,}+"
    return f"interrupted; {tally.done:,} of {total} done. {go_on_line(status, command)}"


def go_on_line(status: BatchStatus, command: Command) -> str:
    """How to go on with a batch that has not ended; empty of one that was cancelled."""
    if status.state not in RESUMABLE:
        return ""
    if over_budget(budgets_of(status.spec.budgets), status.spent):
        return f"Raise it first: {command('set', status.batch_id, '--budget', 'UNIT=N')}; then resume."
    return f"Go on with: {_resume(status.batch_id, status.input_cut, command)}"


def _resume(batch_id: str, input_cut: bool, command: Command) -> str:
    return command("resume", batch_id, *(["--input-ended"] if input_cut else []))


def _aligned(title: str, lines: Sequence[tuple[str, str]]) -> str:
    return "".join([f"{title}\n", *(f"  {name:<9} {value}\n" for name, value in lines)])


def _time_line(report: BatchReport) -> str:
    words = duration(report.total_duration)
    if report.paused_time >= 1:
        words += f" at work, {duration(report.paused_time)} not running"
    if report.items_per_second:
        words += f", {rate(report.items_per_second)}"
    if report.speedup and report.speedup >= 1.05:
        words += f", {report.speedup:.1f} times as fast as one by one"
    return words


def _handler_line(report: BatchReport) -> str:
    words = f"{duration(report.avg_processing_time)} an item on average"
    if report.latency_p50 is not None and report.latency_p95 is not None and report.latency_p99 is not None:
        words += f"; half within {duration(report.latency_p50)}, 95% within {duration(report.latency_p95)}"
        words += f", 99% within {duration(report.latency_p99)}"
    return words


def _attempts_line(report: BatchReport) -> str:
    words = f"{report.attempts:,}"
    if report.retries:
        words += f", {count(report.retries, 'retry', 'retries')}"
    if report.reused:
        words += f"; {count(report.reused, 'item')} reused, which needed none"
    if report.recovered:
        words += f"; {count(report.recovered, 'item')} succeeded after failing at first"
    if report.interruptions:
        words += f"; {count(report.interruptions, 'run')} cut short by a crash and run again"
    return words


def changed_words(moments: Sequence[str]) -> str:
    """Since when another function has run than the one that the batch began with; ISO 8601.

    Example:
        >>> changed_words(["2026-11-26T07:02:41+00:00"])
        'changed while the batch was stopped; the new one runs since 2026-11-26 07:02:41 UTC'
    """
    times = [moment[:19].replace("T", " ") for moment in moments]
    return f"changed while the batch was stopped; the new one runs since {', '.join(times)} UTC"


def advice(batch_id: str, state: str, failed: int, done: int, input_cut: bool, command: Command) -> str:
    """The command that most people want next; empty where there is none."""
    if state in RESUMABLE:
        return _resume(batch_id, input_cut, command)
    if state == COMPLETED and failed:
        return command("results", batch_id, "--only", "failed")
    return command("results", batch_id) if state == COMPLETED and done else ""


def _percent(share: float | None) -> str:
    """Cut to a tenth rather than rounded: 100% is said only where nothing failed."""
    return "-" if share is None else f"{int(share * 1000) / 10:g}%"


def limits_words(spec: BatchSpec) -> str:
    """The limits of a batch that can be changed while it runs.

    Example:
        5 at a time in 2 workers, 300 s a try, 3 tries, at most 600/m
    """
    in_all = f"{spec.concurrency:,} at a time in all workers of the cluster"
    parts = [in_all if spec.all_workers else at_a_time(spec.concurrency, min(spec.workers, spec.concurrency))]
    parts.append("no timeout" if spec.timeout is None else f"{spec.timeout:g} s a try")
    parts.append(count(spec.retry_attempts, "try", "tries"))
    if spec.rates:
        parts.append("at most " + " and ".join(spec.rates))
    if spec.budgets:
        parts.append("budget " + " and ".join(spec.budgets))
    if spec.adaptive:
        parts.append("adaptive")
    if spec.halt:
        parts.append(f"halt at {spec.halt} failed")
    if spec.deadline is not None:
        parts.append(f"until {moment(spec.deadline)}")
    if spec.memfree is not None:
        parts.append(f"{spec.memfree / 2**30:.3g} GiB of memory left free")
    return ", ".join(parts)


def spent_words(spent: Mapping[str, float]) -> str:
    """What handlers have spent.

    Example:
        >>> spent_words({"tokens": 81200.0, "usd": 0.4225})
        '81,200 tokens, 0.4225 usd'
        >>> spent_words({"tokens": 12_345_678_901, "usd": 8.55e-06})
        '12,345,678,901 tokens, 0.00000855 usd'
    """
    return ", ".join(f"{amount_words(amount)} {unit}" for unit, amount in spent.items())


def wait_words(wait: Wait) -> str:
    """What nothing begins for, such as ``the server asks to wait 2.0 s more``."""
    left = duration(max(0.0, wait.until - time.time()))
    if wait.rate is None:
        return f"the server asks to wait {left} more"
    if "=" in wait.rate:
        return f"{wait.rate} is used up for {left} more"
    return f"{wait.rate} lets the next begin in {left}"


def left_out_words(skipped: Mapping[str, int]) -> str:
    """Records of the input that became no items, by the option that left them out.

    Example:
        >>> left_out_words({"unique": 3, "where": 1200})
        '3 by --unique, 1,200 by --where'
    """
    return ", ".join(f"{records:,} by --{option}" for option, records in skipped.items())


def at_a_time(concurrency: int, workers: int) -> str:
    """The limit that really holds, in the whole batch.

    Example:
        >>> at_a_time(5, 2)
        '5 at a time in 2 workers'
    """
    return f"{concurrency:,} at a time in {count(workers, 'worker')}"
