"""The dashboard of a server as somebody has it in front of him, and what the browser says meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, ViewportSize

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the pages; none are taken without."""
AXE = Path(__file__).parents[1] / "browser" / "axe" / "axe.min.js"
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
    "preload": False,
}
PATIENCE_MS = 30_000
FOCUSED = """() => {
    const at = document.activeElement;
    if (at === document.body) return "the page";  // whose text changes while one looks
    return at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.textContent.trim();
}"""

ZOOMED: ViewportSize = {"width": 640, "height": 450}
"""What a window of 1280 by 900 has for a page at 200%."""
CUT = """() => {
    const found = [], covers = document.querySelector("dialog[open]") ?? document.body;
    const look = node => {
        const style = getComputedStyle(node), box = node.getBoundingClientRect();
        const isForScreenReaders = style.clipPath !== "none";
        if (!node.checkVisibility() || isForScreenReaders || node.matches("svg, canvas, input, textarea")) return;
        const hides = [style.overflowX, style.overflowY];
        const wide = hides[0] !== "visible" && node.scrollWidth > node.clientWidth + 1;
        const high = /hidden|clip/.test(hides[1]) && node.scrollHeight > node.clientHeight + 1;
        const outside = box.left < -1 || box.right > innerWidth + 1;
        if (wide || high || outside) found.push(node.outerHTML.slice(0, 120));
        else [...node.children].forEach(look);
    };
    look(covers);
    for (const canvas of document.querySelectorAll("canvas")) found.push(...canvas.cut ?? []);
    if (covers.matches("dialog")) {
        const box = covers.getBoundingClientRect();
        if (box.top < 0 || box.bottom > innerHeight) found.push("the dialog is higher than the window");
    }
    return found;
}"""
"""Elements that are cut off, stand outside of the window, or have to be scrolled sideways; and words of charts."""
DRAWN = """
const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
Object.assign(CanvasRenderingContext2D.prototype, {
    clearRect(...area) {
        this.canvas.cut = [];
        clearRect.apply(this, area);
    },
    fillText(text, x, y) {
        const { width } = this.measureText(text), left = { right: 1, end: 1, center: 0.5 }[this.textAlign] ?? 0;
        const from = this.getTransform().transformPoint({ x, y }).x - left * width;
        if (from < -1 || from + width > this.canvas.width + 1) (this.canvas.cut ??= []).push(`in a chart: ${text}`);
        fillText.call(this, text, x, y);
    },
});
"""
"""Has each canvas know which of its words are not within it."""

DRAWN_ANEW = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
"""Until the page has had an occasion to fit itself, and its charts, into another window."""


class Dashboard:
    """A page of a server's dashboard.

    Args:
        browser: which.
        server: whose.
        width: of the window.
        dark: what the system prefers.
        timezone: of whoever looks; None for that of this machine.

    Attributes:
        page: Playwright's.
        refusals: statuses of answers that a test provokes; any other one that the browser complains of is an error.
    """

    def __init__(
        self, browser: Browser, server: Served, width: int = 1280, dark: bool = False, timezone: str | None = None
    ) -> None:
        self.server = server
        self.refusals: set[str] = set()
        self._said: list[str] = []
        self._context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
            timezone_id=timezone,
        )
        self._context.set_default_timeout(PATIENCE_MS)
        self._context.add_init_script(DRAWN)
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self._said.append(f"{message.text} ({message.location.get('url')})"))
        self.page.on("pageerror", lambda error: self._said.append(str(error)))

    def log_in(self) -> None:
        """By a one-time link, to the page that was shown or the first one."""
        self.page.goto(self.server.client.post("/api/v1/login-links").json()["url"])
        self.page.wait_for_selector("h1")

    def open(self, hash_: str = "#/") -> None:
        """A page by what stands behind the server's address."""
        self.page.goto(f"{self.server.url}/{hash_}")
        self.page.wait_for_selector("h1")

    def button(self, name: str) -> Locator:
        """A button that can be seen, by its name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        """A field, or another part, by its label."""
        return self.page.get_by_label(name, exact=True)

    @property
    def state(self) -> Locator:
        """The state of the batch whose page this is."""
        return self.page.locator("main .head .badge")

    @contextmanager
    def slow_uploads(self, speed: int) -> Iterator[None]:
        """So many bytes a second may be sent, for a block."""
        session = self._context.new_cdp_session(self.page)
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": speed}
        session.send("Network.emulateNetworkConditions", limits)
        yield
        session.detach()

    def tab_to(self, name: str, most: int = 80) -> None:
        """Press Tab until what bears that name has the focus."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.focused() == name:
                return
        raise AssertionError(f"{name!r} is not reached with the keyboard; the last one was {self.focused()!r}")

    def focused(self) -> str:
        """The name of what has the focus."""
        name: str = self.page.evaluate(FOCUSED)
        return name

    def complaints(self, name: str) -> list[str]:
        """What axe finds on this page in a wide light window and in a narrow dark one, and what is cut off at 200%."""
        found = []
        if not self.page.evaluate("typeof axe !== 'undefined'"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        for width, scheme in ((1280, "light"), (360, "dark")):
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            result: dict[str, Any] = self.page.evaluate(f"axe.run({json.dumps(RULES)})")
            found += [
                f"{name} {width} {scheme}: {each['id']}: {each['nodes'][0]['html'][:200]}"
                for each in result["violations"]
            ]
            found += self._cut(f"{name}-{width}-{scheme}", width < 1280)
        self.page.set_viewport_size(ZOOMED)
        found += self._cut(f"{name}-zoomed")
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.emulate_media(color_scheme="light")
        return found

    def _cut(self, name: str, is_narrow: bool = True) -> list[str]:
        self.page.evaluate(DRAWN_ANEW)
        if SCREENSHOTS:
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)
        taken, there = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        wide = [f"{name}: {taken} px wide in {there}"] if taken > there else []
        return wide + [f"{name}: cut off: {each}" for each in (self.page.evaluate(CUT) if is_narrow else [])]

    def close(self) -> None:
        """Close it, and fail where the browser had something to say: an error, or a breach of the page's policy."""
        self._context.close()
        refused = [f"status of {status} " for status in self.refusals]
        kept = [each for each in self._said if not any(known in each for known in refused)]
        if "gone" in self.refusals:
            kept = [each for each in kept if "net::ERR_" not in each]
        assert kept == [], kept


@contextmanager
def opened(browser: Browser, server: Served, timezone: str | None = None) -> Iterator[Dashboard]:
    """A dashboard in which somebody has logged in, for a block."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    made = Dashboard(browser, server, timezone=timezone)
    made.log_in()
    yield made
    made.close()
