"""The page of a report in a real browser: it stands alone, runs nothing, and can be read by everybody."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from batches import make_batch
from reported import make_reported, set_state

from batchq.app.report_html import report_html
from batchq.app.stored import build_report
from batchq.store.home import BatchFolder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the pages; none are taken without."""
AXE = Path(__file__).parent / "axe" / "axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
CHARTS = ["Throughput over time", "Handler time", "Attempts", "Failures by error"]
CONTRAST = """() => {
    const light = color => {
        const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const card = light(getComputedStyle(document.querySelector('.card')).backgroundColor);
    const least = (where, needed) => [...document.querySelectorAll(where)].map(each => {
        const ink = light(getComputedStyle(each).fill);
        return [needed, (Math.max(card, ink) + 0.05) / (Math.min(card, ink) + 0.05), each.outerHTML.slice(0, 80)];
    });
    return [...least('svg text', 4.5), ...least('svg rect.good, svg rect.bad', 3)].filter(each => each[1] < each[0]);
}"""
"""Texts and columns of the charts that are too near to their background; axe looks at HTML only."""


@dataclass
class Shown:
    """A page, and what it did while it was opened."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def widths(self) -> tuple[int, int]:
        """What the page takes, and what there is."""
        taken, there = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return taken, there

    def shoot(self, name: str) -> None:
        """A picture of it, for whoever wants to look."""
        if SCREENSHOTS:
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)

    def tree(self) -> list[dict[str, Any]]:
        """What the browser tells a screen reader."""
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]

    def complaints(self) -> list[str]:
        """What axe finds."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(f"axe.run({json.dumps(RULES)})")
        return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found["violations"]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page by name: of a batch with everything, of one that was halted, of one without items."""
    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, Path] = {}
    for name, items in (("full", 800), ("halted", 60), ("empty", 0)):
        (folder / name).mkdir()
        database = make_reported(folder / name, items) if items else make_batch(folder / name, [])
        if name == "halted":
            set_state(database, "failed", "more than 5% of the items have failed")
        made[name] = folder / f"{name}.html"
        made[name].write_text("".join(report_html(build_report(BatchFolder(database.parent)), 20)), encoding="utf-8")
    return made


@pytest.fixture
def show(browser: Browser, files: dict[str, Path]) -> Iterator[Any]:
    """Opens a page by name."""
    contexts = []

    def opened(name: str, width: int = 1280, dark: bool = False) -> Shown:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        shown = Shown(context.new_page())
        shown.page.on("console", lambda message: shown.said.append(message.text))
        shown.page.on("pageerror", lambda error: shown.said.append(str(error)))
        shown.page.on("request", lambda request: shown.asked.append(request.url))
        shown.page.goto(files[name].as_uri())
        return shown

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", ["full", "halted", "empty"])
def test_page_says_nothing_asks_for_nothing_and_runs_nothing(show: Any, files: dict[str, Path], name: str) -> None:
    shown = show(name)
    assert shown.said == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [files[name].as_uri()]
    assert shown.page.title().startswith("b1: "), "markup in an id or an error would have changed it"
    assert shown.page.evaluate("document.scripts.length + document.images.length") == 0
    if name == "full":
        assert "<script>document.title='ran'</script>" in shown.page.inner_text("#failures")
    shown.shoot(name)


@pytest.mark.parametrize("name, dark", [("full", True), ("halted", False), ("empty", True)])
def test_nobody_is_kept_out_by_colours_or_structure(show: Any, name: str, dark: bool) -> None:
    shown = show(name, dark=dark)
    assert shown.complaints() == []
    if name != "empty":
        assert shown.page.evaluate(CONTRAST) == []


def test_screen_reader_finds_landmarks_headings_and_charts_by_name(show: Any) -> None:
    shown = show("full")
    named: dict[str, list[str]] = {}
    described = {}
    for node in shown.tree():
        name = node.get("name", {}).get("value", "")
        named.setdefault(node["role"]["value"], []).append(name)
        if node["role"]["value"] == "image":
            described[name] = node.get("description", {}).get("value", "")
    assert [len(named[role]) for role in ("banner", "main", "contentinfo")] == [1, 1, 1]
    assert named["heading"][:3] == ["b1", "Summary", "How it went"]
    assert [name for name in named["image"] if name in CHARTS] == CHARTS
    assert all(len(described[name]) > 20 for name in CHARTS)
    assert "Items by the time" in described["Handler time"]


@pytest.mark.parametrize("width, dark", [(360, False), (360, True), (768, False), (2560, True)])
def test_page_fits_every_width_in_light_and_dark(show: Any, width: int, dark: bool) -> None:
    shown = show("full", width, dark)
    taken, there = shown.widths()
    assert taken <= there
    background = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == dark
    shown.shoot(f"{width}{'-dark' if dark else ''}")


def test_numbers_behind_a_chart_open_with_the_keyboard(show: Any) -> None:
    page = show("full").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the summary"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert not page.locator("#throughput table").is_visible()
    page.keyboard.press("Enter")
    assert page.locator("#throughput table").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "scroll", "and they scroll with it"


def test_paper_is_white_in_the_dark_too_and_no_table_is_cut_off(show: Any) -> None:
    page = show("full", dark=True).page
    pdf = page.pdf(path=SCREENSHOTS and f"{SCREENSHOTS}/full.pdf", format="A4", print_background=True)
    assert pdf.startswith(b"%PDF-") and pdf.count(b"/Type /Page\n") >= 2
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 less its margins
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    wide = page.evaluate("[...document.querySelectorAll('.scroll')].map(each => each.scrollWidth)")
    assert max(wide) <= 690
