"""The report as one HTML page that needs nothing else: no network, no script, no second file.

Everything in it that comes from outside goes through `markup.element`, which escapes it; the page's policy forbids
whatever is not in the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from batchq.app.charts import Table, data_table, scrolled
from batchq.app.markup import Html, element, join, style
from batchq.app.merged_text import HEADER, batch_cells, failed_of
from batchq.app.report import BatchReport
from batchq.app.report_charts import attempts_chart, errors_chart, latency_chart, throughput_chart
from batchq.app.status import RESUMABLE
from batchq.app.text import CUT_OFF, Command, changed_words, items_line, left_out_words, next_command, plain_command
from batchq.app.words import count, duration, rate, shorten
from batchq.model import CANCELLED, COMPLETED, ENDED, EXPIRED, HALTED, INTERRUPTED, PAUSED
from batchq.units import amount_words

FAILURES: Final = 100
"""Failed items in the page, unless another number is asked for; a page of all of them would be too large to open."""
ERROR_LENGTH: Final = 1000
"""Characters of an error's text in the list of failures."""
GROUP_LENGTH: Final = 300
WORKERS: Final = 20
MEANING: Final[Mapping[str, str]] = {
    INTERRUPTED: "It should run, but no process works on it.",
    PAUSED: "It is paused, and no process works on it.",
    HALTED: "It was halted before its end.",
    CANCELLED: "It was cancelled: what had not begun never ran.",
    EXPIRED: "Its deadline has passed: what had not begun by then never ran.",
}
"""What a state amounts to, where its name does not say it."""
SETTINGS: Final[Mapping[str, str]] = {
    "func": "Function",
    "then": "Then",
    "setup": "Set-up",
    "input": "Input",
    "input_format": "Format of the input",
    "limit": "Records read at most",
    "mode": "Mode",
    "max_concurrent": "Items at a time",
    "workers": "Worker processes at most",
    "timeout_per_item": "Timeout of an attempt (s)",
    "retry_attempts": "Attempts at most",
    "retry_delay": "Wait before the second attempt (s)",
    "retry_backoff": "Factor from one wait to the next",
    "chunk_size": "Items in a chunk",
    "durability": "Durability",
}
"""What the settings are called, in the order in which they are shown; others come behind, by their own names."""


def report_html(report: BatchReport, failures: int | None = None, command: Command = plain_command) -> Iterator[str]:
    """The report as a page, in pieces.

    Args:
        report: the report.
        failures: how many failed items are listed; None for `FAILURES`.
        command: makes the commands that it recommends.

    Example:
        >>> report = BatchReport("b1", 0, 0, 0, 0, 0.0, 0.0, "2026-11-25T07:00:00+00:00", None, [], {})
        >>> next(report_html(report))[:15]
        '<!doctype html>'
    """
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    yield f'<!doctype html>\n<html lang="en">\n{_head(report, css)}\n<body>\n'
    yield _hatch()
    yield element("a", "Skip to the summary", href="#summary", class_="skip")
    yield _header(report, command) + "\n<main>\n"
    yield _summary(report) + "\n"
    charts = [throughput_chart(report), latency_chart(report), attempts_chart(report)]
    if any(charts):
        yield _section("charts", "How it went", element("div", *charts, class_="charts")) + "\n"
    if report.batches:
        yield _batches(report) + "\n"
    yield _failures(report, FAILURES if failures is None else failures, command) + "\n"
    if report.workers:
        yield _workers(report) + "\n"
    if report.config:
        yield _config(report.config) + "\n"
    yield "</main>\n" + _footer(report) + "\n</body>\n</html>\n"


def _head(report: BatchReport, css: str) -> Html:
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content="batchq"),
        element("title", f"{report.batch_id}: {report.state} - batchq report"),
        element("link", rel="icon", href="data:,"),  # else the browser asks whoever has sent the page for one
        style(css),
    )


def _hatch() -> Html:
    lines = element("path", d="M0 6 L6 0", class_="hatch")
    pattern = element("pattern", lines, id="hatch", width="6", height="6", patternUnits="userSpaceOnUse")
    return element("svg", element("defs", pattern), width="0", height="0", class_="hidden", aria_hidden="true")


def _header(report: BatchReport, command: Command) -> Html:
    state = report.state
    kind = "bad" if state == HALTED else "good" if state == COMPLETED else "wait" if state in ENDED else "live"
    if state in RESUMABLE and state != HALTED:
        kind = "wait"
    words = [element("p", _items(report), class_="lead")]
    if meaning := MEANING.get(state):
        words.append(element("p", meaning))
    elif state not in ENDED:
        words.append(element("p", f"It is at work: these are the counts of {_moment(report.generated_at)}."))
    if report.reason:
        words.append(element("p", element("strong", "Reason: "), shorten(report.reason, 400)))
    if report.left_out:
        words.append(element("p", f"Left out of the input: {left_out_words(report.left_out)}."))
    if report.handler_changed:
        words.append(element("p", f"The function has {changed_words(report.handler_changed)}."))
    if report.input_cut and report.input_done:
        words.append(element("p", f"Input {CUT_OFF}."))
    words += [element("p", element("strong", "Shards: "), trouble) for trouble in report.troubles]
    if step := next_command(report, command):
        words.append(element("p", "Next: ", element("code", step)))
    return element(
        "header",
        element("p", "batchq report", class_="brand"),
        element("div", element("h1", report.batch_id), element("span", state, class_=f"badge {kind}"), class_="name"),
        *words,
        _shares(report),
    )


def _items(report: BatchReport) -> str:
    words = items_line(report).replace(": ", " items: ", 1).replace("1 items", "1 item", report.total_items == 1)
    return words if report.input_done else f"{words}; its input was not read to its end"


def _shares(report: BatchReport) -> Html | None:
    """A bar of what succeeded, failed, and is still to do."""
    total = report.total_items
    if not total:
        return None
    left = total - report.processed_items
    parts = (("good", report.success_count, "succeeded"), ("bad", report.failure_count, "failed"), ("rest", left, ""))
    x = 0.0
    shapes = []
    for kind, number, _ in parts:
        if number:
            width = 100 * number / total
            shapes.append(element("rect", x=f"{x:.4g}%", width=f"{width:.4g}%", height="100%", class_=kind))
            x += width
    said = ", ".join(f"{number:,} {words or 'to do'}" for _, number, words in parts)
    return element("svg", *shapes, width="100%", height=10, class_="whole", role="img", aria_label=said)


def _summary(report: BatchReport) -> Html:
    return _section("summary", "Summary", element("dl", *_tiles(report), class_="tiles"))


def _tiles(report: BatchReport) -> Iterator[Html]:
    done = report.processed_items
    more = "" if report.input_done else "+"
    yield _tile("Items", f"{report.total_items:,}{more}", _done(report))
    yield _tile("Succeeded", f"{report.success_count:,}", _percent(report.success_count, done))
    yield _tile("Failed", f"{report.failure_count:,}", _percent(report.failure_count, done), bool(report.failure_count))
    stopped = f"{duration(report.paused_time)} not running" if report.paused_time >= 1 else ""
    yield _tile("Time at work", duration(report.total_duration), stopped)
    if report.items_per_second:
        number, _, unit = rate(report.items_per_second).partition(" ")
        faster = f"{report.speedup:.1f} times as fast as one by one" if (report.speedup or 0) >= 1.05 else ""
        yield _tile("Rate", number, f"{unit}; {faster}" if faster else unit)
    if report.latency_p50 is not None and report.latency_p95 is not None and report.latency_p99 is not None:
        slow = f"95% within {duration(report.latency_p95)}, 99% within {duration(report.latency_p99)}"
        yield _tile("Handler, median", duration(report.latency_p50), slow)
    if report.attempts:
        again = f"{count(report.retries, 'retry', 'retries')}, {report.recovered:,} succeeded after failing"
        yield _tile("Attempts", f"{report.attempts:,}", again)
    if report.reused:
        yield _tile("Reused", f"{report.reused:,}", "results of items that were done before")
    if report.interruptions:
        yield _tile("Interrupted", f"{report.interruptions:,}", "runs cut short by a crash, and run again")
    for unit, amount in report.spent.items():
        yield _tile(f"Spent, {unit}", amount_words(amount), "")


def _done(report: BatchReport) -> str:
    if not report.total_items:
        return ""
    left = report.processed_items < report.total_items or not report.input_done
    return f"{report.processed_items:,} done" if left else "all done"


def _tile(name: str, value: str, note: str, is_bad: bool = False) -> Html:
    below = element("dd", note, class_="note") if note else None
    return element("div", element("dt", name), element("dd", value, class_="bad-text" if is_bad else None), below)


def _batches(report: BatchReport) -> Html:
    table = Table([name.capitalize() for name in HEADER], [batch_cells(batch) for batch in report.batches])
    return _section("batches", "Batches", scrolled("Batches", data_table(table, "Batches")))


def _failures(report: BatchReport, most: int, command: Command) -> Html:
    if not report.failure_count:
        words = "No item has failed." if report.total_items else "There were no items."
        return _section("failures", "Failures", element("p", words))
    return _section("failures", "Failures", errors_chart(report), _kinds(report), _listed(report, most, command))


def _kinds(report: BatchReport) -> Html:
    """The groups of failures, each with where and when it came, and a few items."""
    header = ("Items", "Error", "For example", "First and last (UTC)")
    lines = [_kind(group) for group in report.failure_groups if group["failed"]]
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in header)))
    caption = element("caption", "Kinds of failure, the most frequent first", class_="hidden")
    table = element("table", caption, head, element("tbody", *lines), class_="kinds")
    return join((element("h3", "Kinds of failure"), scrolled("Kinds of failure", table)))


def _kind(group: Mapping[str, Any]) -> Html:
    frame = element("div", "at ", element("code", group["frame"]), class_="note") if group.get("frame") else None
    error = shorten(str(group["error"]), GROUP_LENGTH)
    words = element("td", _type(group["error_type"], error), error, frame, class_="error")
    when = join((_moment(group.get("first")), element("br"), _moment(group.get("last"))))
    examples = ", ".join(shorten(str(example), 60) for example in group["examples"])
    items = element("th", f"{group['failed']:,}", scope="row", class_="count")
    return element("tr", items, words, element("td", examples, class_="ids"), element("td", when, class_="when"))


def _listed(report: BatchReport, most: int, command: Command) -> Html:
    """The first failed items, how many more there are, and the command that lists them all."""
    shown = list(islice(report.failures, most))
    listing = element("code", command("results", *failed_of(report), "--only", "failed"))
    left = report.failure_count - len(shown)
    if not shown:
        return element("p", "Not listed here; all of them: ", listing)
    lines = [_failure(failure) for failure in shown]
    names = ("Item", "Error", "Attempts", "Line")
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in names)))
    title = f"The first {len(shown):,} failed items" if left > 0 else "Failed items"
    table = element("table", element("caption", title, class_="hidden"), head, element("tbody", *lines), class_="items")
    after = element("p", f"And {left:,} more: ", listing) if left > 0 else None
    return join((element("h3", title), scrolled(title, table), after))


def _failure(failure: Mapping[str, Any]) -> Html:
    error = str(failure.get("error"))
    text = error if len(error) <= ERROR_LENGTH else f"{error[:ERROR_LENGTH]}…"
    return element(
        "tr",
        element("th", shorten(str(failure.get("idea_id")), 200), scope="row"),
        element("td", _stage(failure.get("stage")), _type(failure.get("error_type"), error), text, class_="error"),
        element("td", _cell(failure.get("attempts")), class_="count"),
        element("td", _cell(failure.get("line")), class_="count"),
    )


def _stage(stage: int | None) -> str:
    return "" if stage is None else f"Stage {stage}: "


def _type(kind: str | None, error: str) -> Html | None:
    """The type of an error in front of its text, unless that, as its repr, begins with it."""
    return element("strong", kind, " ") if kind and not error.startswith(f"{kind}(") else None


def _workers(report: BatchReport) -> Html:
    header = ("Process", "Items", "Share", "Handler time")
    rows = [
        (_worker(each), f"{each['items']:,}", f"{100 * each['share']:.1f}%", duration(each["busy_seconds"]))
        for each in report.workers[:WORKERS]
    ]
    words = "What each process has recorded; handler time is that of all the items it ran side by side."
    if report.worker_count > len(rows):
        words += f" These are the {len(rows)} of {count(report.worker_count, 'process', 'processes')} that did most."
    table = scrolled("Workers", data_table(Table(header, rows), "Workers"))
    return _section("workers", "Workers", element("p", words), table)


def _worker(each: Mapping[str, Any]) -> str:
    whose = f" of {each['batch_id']}" if "batch_id" in each else ""
    if not each["worker"]:
        return f"Supervisor{whose}"
    return f"Worker {each['worker']}{whose}" + (f", session {each['session']}" if each["session"] > 1 else "")


def _config(config: Mapping[str, Any]) -> Html:
    keys = [key for key in SETTINGS if key in config] + [key for key in config if key not in SETTINGS]
    rows = [(SETTINGS.get(key, key), shorten(_cell(config[key]), 500)) for key in keys]
    table = data_table(Table(("Setting", "Value"), rows), "Configuration", "settings")
    return _section("configuration", "Configuration", scrolled("Configuration", table))


def _footer(report: BatchReport) -> Html:
    ended = f", ended {_moment(report.completed_at)}" if report.completed_at else ""
    words = f"Started {_moment(report.started_at)}{ended}; counted {_moment(report.generated_at)}. Times are UTC."
    return element("footer", element("p", words))


def _section(key: str, title: str, *children: Html | None) -> Html:
    heading = element("h2", title, id=f"{key}-heading")
    return element("section", heading, *children, id=key, aria_labelledby=f"{key}-heading")


def _moment(stamp: str | None) -> str:
    return stamp[:19].replace("T", " ") if stamp else "-"


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _percent(part: int, whole: int) -> str:
    """Of what is done; all and nothing are said only where it is so."""
    if not whole:
        return ""
    tenths = int(1000 * part / whole)
    if part and not tenths:
        return "less than 0.1%"
    return f"{tenths / 10:g}%"
