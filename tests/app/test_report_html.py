"""The page of a report, as a parser of HTML reads it: whole, self-contained, and with no markup from outside."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from batches import make_batch
from reported import NASTY, make_reported, set_state

from batchq import BatchReport, ReportGenerator
from batchq.app.charts import nice_top
from batchq.app.markup import VOID, element, join
from batchq.app.report_html import report_html
from batchq.app.stored import build_report
from batchq.store.home import BatchFolder


class Page(HTMLParser):
    """A page in pieces; an element that is not closed, or closed twice, is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def names(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def text(self) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if tag != "style").split())


def page_of(database: Path, failures: int | None = None) -> Page:
    return Page("".join(report_html(build_report(BatchFolder(database.parent)), failures)))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reported(tmp_path_factory.mktemp("batch"), 1200)


def test_nothing_from_outside_is_markup_and_nothing_is_fetched(database: Path) -> None:
    page = page_of(database)
    assert not page.names & {"script", "img", "iframe", "object", "form", "input", "base"}
    assert "<script>document.title='ran'</script><img src=x onerror=" in page.text, "it stays text"
    assert not [each for _, attrs in page.elements for each in attrs if each.startswith("on") or each == "style"]
    links = [attrs[key] for _, attrs in page.elements for key in ("src", "href") if key in attrs]
    assert sorted(set(filter(None, links))) == ["#summary", "data:,"]


def test_policy_allows_the_styles_of_the_page_alone(database: Path) -> None:
    page = page_of(database)
    (css,) = [data for tag, data in page.texts if tag == "style"]
    policy = next(attrs["content"] for _, attrs in page.elements if attrs.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy is not None and f"style-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not re.findall(r"url\(|@import|http", css)


def test_each_chart_has_a_title_a_description_and_a_table_with_the_same_numbers(database: Path) -> None:
    page = page_of(database)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    charts = [attrs for tag, attrs in page.elements if tag == "svg" and "aria-labelledby" in attrs]
    assert len(charts) == 4
    for attrs in charts:
        assert attrs["role"] == "img"
        assert {attrs["aria-labelledby"], attrs["aria-describedby"]} <= set(ids)
        assert str(attrs["aria-labelledby"]).replace("-title", "-numbers") in ids


def test_page_lists_the_first_failures_and_says_how_to_see_the_others(database: Path) -> None:
    failed = build_report(BatchFolder(database.parent)).failure_count
    assert "The first 5 failed items" in page_of(database, 5).text
    assert f"And {failed - 5} more: batchq results b1 --only failed" in page_of(database, 5).text
    assert "more:" not in page_of(database, failed).text
    assert "Not listed here; all of them: batchq results b1" in page_of(database, 0).text


@pytest.mark.parametrize(
    "state, words",
    [
        ("paused", "It is paused"),
        ("running", "no process works on it"),
        ("cancelled", "what had not begun never ran"),
        ("failed", f"Reason: {NASTY[:30]}"),
    ],
)
def test_state_is_explained_with_the_command_that_goes_on(tmp_path: Path, state: str, words: str) -> None:
    database = make_reported(tmp_path, 20)
    set_state(database, state, NASTY)
    page = page_of(database)
    assert words in page.text
    assert ("Next: batchq resume b1" in page.text) == (state != "cancelled")


def test_pages_of_no_items_and_of_items_that_have_not_run_yet_have_no_empty_charts(tmp_path: Path) -> None:
    for items in (0, 3):
        folder = tmp_path / str(items)
        folder.mkdir()
        page = page_of(make_batch(folder, ["1"] * items))
        assert f"{items} items" in page.text and "nan" not in page.text.lower()
        assert "figure" not in page.names and "How it went" not in page.text


def test_report_made_from_results_has_a_page_too() -> None:
    report = BatchReport("<b>", 2, 2, 1, 1, 0.5, 0.2, "2026-11-25T07:00:00+00:00", None, [], {"mode": "parallel"})
    assert "<b> completed 2 items: 1 succeeded, 1 failed" in Page(ReportGenerator().to_html(report)).text


def test_elements_escape_texts_and_attributes_and_replace_what_no_page_may_hold() -> None:
    made = element("p", "<&\x00\ud83d\x1b", title='">')
    assert str(made) == '<p title="&quot;&gt;">&lt;&amp;\ufffd\ufffd\ufffd</p>'
    assert join([made, made[:2], None, 5]) == f"{made}&lt;p5", "a part of markup is a text again"


@pytest.mark.parametrize("value", [1e-9, 0.3, 1, 2, 7, 99, 100, 101, 12345, 10**9])
def test_axis_reaches_the_value_in_few_round_steps(value: float) -> None:
    top, lines = nice_top(value)
    assert value <= top * 1.0001 and top <= 2.5 * value
    assert lines[0] == 0 and lines[-1] == top and 3 <= len(lines) <= 6
