"""The dashboard without colours, a mouse or much room, with markup in the data, very much of it, or no server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batches import fill, make_batch, make_records
from dashboard import Dashboard, opened
from reported import end, made_at
from served import Served, serving

import batchq.server
from batchq.engine.failures import plain_failure
from batchq.model import FailedAttempt, Outcome
from batchq.store.connection import open_writer, transaction
from batchq.store.outcomes import OutcomeWriter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

STATIC = Path(batchq.server.__file__).with_name("static")
MARKUP = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"
HANDLERS = f'''
import asyncio, pathlib

GATE = pathlib.Path(__file__).with_name("gate")

async def odd(item):
    """{IMAGE} is what this says of itself."""
    if item["n"] == 2:
        raise ValueError("{IMAGE}")
    return "{MARKUP}"

async def held(item, ctx):
    ctx.hold(600)
    return item

async def waits(item):
    while not GATE.exists():
        await asyncio.sleep(0.02)
    return item
'''
MANY = 100_000
UNBROKEN = "an-id-without-a-space-" * 3
BIG = 2**63 + 1
"""A browser's numbers have 53 bits."""
INJECTED = "document.querySelectorAll('main script, main img, main b, dialog script, dialog img, dialog b').length"
"""Elements that nothing but an item's text could have made."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("served")
    (folder / "pipe.py").write_text(HANDLERS)
    make_failed(folder / "home" / "b1", MANY)
    with serving(folder, "--allow", "pipe:*") as made:
        made.create(
            "pipe:odd",
            [{"id": "<b>x</b>", "n": 1, "big": BIG}, {"id": '"><i>', "n": 2}],
            batch_id="odd",
            retry_attempts=1,
        )
        made.wait_for("odd", "completed")
        yield made
        (folder / "gate").touch()


@pytest.fixture(scope="module")
def dashboard(browser: Browser, server: Served) -> Iterator[Dashboard]:
    with opened(browser, server) as made:
        yield made


def make_failed(folder: Path, items: int) -> None:
    """A batch of so many items, all of which have failed, in two ways."""
    folder.mkdir(parents=True)
    database = make_batch(folder, [])
    for start in range(0, items, 20_000):
        fill(database, make_records(['{"topic": "tea"}'] * min(20_000, items - start), start + 1), 5000, start)
    kinds = [
        plain_failure("TimeoutError", "no answer within 30 s", "Traceback: late"),
        plain_failure("KeyError", "'topic'", "t"),
    ]
    with closing(open_writer(database)) as connection, transaction(connection):
        writer = OutcomeWriter(connection)
        for start in range(1, items + 1, 5000):
            seqs = range(start, min(start + 5000, items + 1))
            ended = 1_795_762_800_000 + start
            writer.record([Outcome(seq, 1, 1, 30_000_000, ended, 1, None, kinds[seq % 10 == 0]) for seq in seqs], [])
        overcome = plain_failure("ConnectionError", "try again", "t")
        writer.record([], [FailedAttempt(1, 1, 1, ended, 1000, 1, 1000, overcome)])
        connection.execute("DELETE FROM ack_queue_chunks")
        end(connection, "completed")


def test_scripts_make_no_markup_and_pages_name_no_other_server() -> None:
    ours = [
        path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".html") and "vendor" not in path.parts
    ]
    assert len(ours) > 20
    for path in ours:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        assert not re.search(r"<style|<script(?! [^>]*src=)|\sstyle=|\son\w+=", text) or path.suffix != ".html", path
        assert len(text.splitlines()) < 400, path
    assert (STATIC / "vendor" / "uplot" / "LICENSE").is_file()


def test_markup_in_items_errors_and_results_stays_text(dashboard: Dashboard) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    dashboard.open("#/batches/odd")
    expect(page.locator("table.items")).to_contain_text("<b>x</b>")
    expect(page.locator("table.items")).to_contain_text(IMAGE)
    expect(page.locator(".groups")).to_contain_text(IMAGE)
    assert page.evaluate(INJECTED) == 0
    page.get_by_role("link", name="<b>x</b>").click()
    expect(dashboard.field("The result")).to_have_text(MARKUP)
    expect(dashboard.field("The item")).to_contain_text(f'"big": {BIG}')
    assert page.evaluate(INJECTED) == 0
    dashboard.open("#/batches/odd/items/2")
    expect(dashboard.field("Traceback of attempt 1")).to_contain_text(IMAGE)
    expect(page.get_by_role("dialog", name='"><i> (#2)')).to_be_visible()
    assert page.evaluate(INJECTED) == 0
    page.keyboard.press("Escape")
    page.get_by_text("Log", exact=True).click()
    expect(dashboard.field("Log")).not_to_be_empty()
    dashboard.open(f"#/batches/{IMAGE.replace(' ', '%20')}")
    dashboard.refusals.add("404")
    expect(page.get_by_role("heading", name="There is no such batch")).to_be_visible()
    dashboard.open("#/new")
    dashboard.field("Which function runs over each item").select_option("pipe:odd")
    expect(page.locator(".summary")).to_contain_text(IMAGE)
    dashboard.field("Paste items").check()
    dashboard.field("Pasted items").fill(f'{{"id": "<b>p</b>", "t": "{MARKUP}"}}')
    expect(page.locator(".preview")).to_contain_text(MARKUP)
    assert page.evaluate(INJECTED) == 0
    dashboard.open("#/")
    expect(page.get_by_role("link", name="odd")).to_be_visible()
    assert page.evaluate(INJECTED) == 0


def test_nobody_is_kept_out_of_any_page(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page, found = dashboard.page, list[str]()
    items = [{"id": f"{UNBROKEN}{n}", "n": n} for n in range(40)]
    server.create("pipe:waits", items, batch_id="waiting", priority=2)
    dashboard.open("#/")
    expect(page.locator(".batch", has_text="waiting").locator(".badge")).to_have_text("running")
    found += dashboard.complaints("list")
    dashboard.open("#/batches/waiting")
    expect(page.locator(".flight code")).to_have_count(5)
    expect(page.locator("table.items tbody tr")).to_have_count(25)
    found += dashboard.complaints("running")
    for name in ("Limits", "Cancel", "Download"):
        dashboard.button(name).click()
        found += dashboard.complaints(name.lower())
        page.keyboard.press("Escape")
    dashboard.open("#/batches/odd")
    expect(page.locator(".charts canvas").first).to_be_visible()
    page.locator(".card summary").first.click()
    found += dashboard.complaints("failures")
    for name in ("Retry failed", "Delete"):
        dashboard.button(name).click()
        expect(page.locator("dialog")).to_be_visible()
        found += dashboard.complaints(name.lower())
        page.keyboard.press("Escape")
    page.get_by_role("link", name='"><i>').click()
    expect(dashboard.field("Traceback of attempt 1")).to_be_visible()
    found += dashboard.complaints("item")
    dashboard.open("#/new")
    expect(dashboard.field("Which function runs over each item")).to_be_visible()
    found += dashboard.complaints("file")
    dashboard.field("Paste items").check()
    dashboard.field("Pasted items").fill("tea\nrain")
    expect(page.locator(".preview tbody tr")).to_have_count(2)
    dashboard.button("Start the batch").click()
    expect(page.locator(".wrong:visible")).to_have_text("Choose a function.")
    found += dashboard.complaints("new")
    dashboard.refusals.add("404")
    for hash_, heading in (("#/batches/none-such", "There is no such batch"), ("#/none-such", "There is no such page")):
        dashboard.open(hash_)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        found += dashboard.complaints(heading)
    assert found == []


def test_colours_are_chosen_and_kept_and_nothing_moves_for_who_wants_that(dashboard: Dashboard) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    dashboard.open("#/")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(244, 246, 249)"
    dashboard.field("Colours").select_option("dark")
    assert page.evaluate(background) == "rgb(16, 20, 26)"
    page.reload()
    assert page.evaluate(background) == "rgb(16, 20, 26)"
    dashboard.field("Colours").select_option("")
    page.emulate_media(reduced_motion="reduce")
    expect(page.locator(".whole span").first).to_be_attached()
    assert page.evaluate("getComputedStyle(document.querySelector('.whole span')).transitionDuration") == "0s"
    page.emulate_media(reduced_motion="no-preference")


def test_hundred_thousand_failed_items_make_the_page_no_larger(dashboard: Dashboard) -> None:
    from playwright.sync_api import expect

    page, rows = dashboard.page, dashboard.page.locator("table.items tbody tr")
    count = "document.querySelectorAll('*').length"
    dashboard.open("#/batches/b1?status=failed")
    expect(rows).to_have_count(25)
    expect(page.get_by_role("heading", name="100,000 failures")).to_be_visible()
    expect(page.locator(".groups li")).to_have_count(2)  # and not the kind that a retry has overcome
    expect(page.locator(".charts canvas").first).to_be_visible()
    expect(page.locator(".charts canvas")).to_have_count(6)
    expect(dashboard.state).to_have_text("completed")
    before = page.evaluate(count)
    assert before < 1200
    for number in (26, 51):
        dashboard.button("Next").click()
        expect(rows.first).to_contain_text(f"#{number}")
    assert page.evaluate(count) <= before
    page.get_by_role("button", name="Show the 10,000 items that failed with KeyError").click()
    expect(rows.first).to_contain_text("#10")
    expect(rows.nth(1)).to_contain_text("#20")
    dashboard.button("Show all kinds").click()
    expect(rows.first).to_contain_text("#1")
    dashboard.field("Search items by id or text").fill("#99999")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("item-99999")
    dashboard.field("Search items by id or text").fill("nowhere to be found")
    expect(page.locator(".all-items")).to_contain_text("No item is like that.")
    assert page.evaluate(count) <= before


@pytest.mark.parametrize("zone, hours", [("Asia/Tokyo", 9), ("America/Phoenix", -7)])
def test_deadline_is_told_and_set_by_the_clock_of_who_looks(
    browser: Browser, server: Served, zone: str, hours: int
) -> None:
    from playwright.sync_api import expect

    def set_to(text: str) -> datetime:
        dashboard.button("Limits").click()
        dashboard.field("Deadline").fill(text)
        dashboard.button("Change limits").click()
        expect(dashboard.page.locator("dialog")).to_have_count(0)
        return deadline()

    def deadline() -> datetime:
        return datetime.fromtimestamp(server.batch(name)["spec"]["deadline"], timezone(timedelta(hours=hours)))

    with opened(browser, server, zone) as dashboard:
        dashboard.open("#/new")
        dashboard.field("Paste items").check()
        dashboard.field("Pasted items").fill('{"n": 1}')
        dashboard.field("Which function runs over each item").select_option("pipe:waits")
        dashboard.page.get_by_text("More options").click()
        dashboard.field("Deadline").fill("2099-12-01 07:00")
        dashboard.field("Id of the batch").fill(name := zone.partition("/")[2].lower())
        dashboard.button("Start the batch").click()
        expect(dashboard.page.get_by_role("heading", name=name, exact=True)).to_be_focused()
        assert deadline().isoformat() == f"2099-12-01T07:00:00{hours:+03}:00"
        assert set_to("2099-12-01 18:30").isoformat() == f"2099-12-01T18:30:00{hours:+03}:00"
        dashboard.button("Limits").click()
        expect(dashboard.field("Deadline")).to_have_value("2099-12-01 18:30:00")
        dashboard.page.keyboard.press("Escape")
        later = datetime.now(timezone(timedelta(hours=hours))) + timedelta(hours=6)
        near = set_to(f"{later:%H:%M}")
        assert (near.hour, near.minute) == (later.hour, later.minute)
        assert near - datetime.now(timezone.utc) < timedelta(days=1)
        assert set_to("2099-12-01T18:30Z") == datetime(2099, 12, 1, 18, 30, tzinfo=timezone.utc)
    server.client.post(f"/api/v1/batches/{name}/cancel").raise_for_status()


def test_stages_run_in_the_order_of_the_form_and_a_server_that_asks_to_wait_is_told_of(
    dashboard: Dashboard, server: Served
) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    dashboard.open("#/new")
    dashboard.field("Paste items").check()
    dashboard.field("Pasted items").fill('{"n": 1}\n{"n": 3}')
    dashboard.field("Which function runs over each item").select_option("pipe:held")
    dashboard.field("Items at a time").fill("1")
    dashboard.field("Id of the batch").fill("staged")
    page.get_by_text("More options").click()
    expect(dashboard.field("Stage 3")).to_have_count(0)
    dashboard.field("Stage 2").select_option("pipe:odd")
    dashboard.field("Stage 3").select_option("Another one …")
    dashboard.field("Function of stage 3").fill("other:f")
    found = dashboard.complaints("stages")
    page.get_by_text("More options").click()
    dashboard.refusals.add("403")
    dashboard.button("Start the batch").click()
    expect(dashboard.field("Function of stage 3")).to_be_focused()
    expect(page.locator(".stages .wrong:visible")).to_contain_text("has not allowed 'other:f'")
    dashboard.field("Stage 3").select_option("pipe:waits")
    dashboard.button("Start the batch").click()

    expect(page.get_by_role("heading", name="staged", exact=True)).to_be_focused()
    asks = "The server that items call asks to wait until "
    expect(page.locator(".overview .waits")).to_contain_text(asks)
    expect(page.locator("#polite")).to_contain_text(asks)
    found += dashboard.complaints("held")
    page.get_by_text("Settings", exact=True).click()
    expect(page.locator(".settings tr", has_text="Further stages").locator("td")).to_have_text("pipe:odd, pipe:waits")
    dashboard.open("#/")
    expect(page.locator(".batch", has_text="staged").locator(".pace")).to_contain_text("waits until ")
    server.client.post("/api/v1/batches/staged/cancel").raise_for_status()
    assert found == []


def test_list_says_which_of_many_batches_it_shows(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    found, rows = dashboard.page.locator(".found"), dashboard.page.locator(".batch .name")
    made_at(server.home, {f"old-{nth:02}": 1000 + nth for nth in range(1, 61)})
    dashboard.open("#/?q=old-")
    expect(found).to_have_text("1 to 25 of 60")
    expect(dashboard.button("Newer")).to_be_disabled()
    for words, first, count in (("26 to 50 of 60", "old-26", 25), ("51 to 60 of 60", "old-51", 10)):
        dashboard.button("Older").click()
        expect(found).to_have_text(words)
        expect(rows.first).to_have_text(first)
        expect(rows).to_have_count(count)
    expect(dashboard.button("Older")).to_be_disabled()
    for words, first in (("26 to 50 of 60", "old-26"), ("1 to 25 of 60", "old-01")):
        dashboard.button("Newer").click()
        expect(found).to_have_text(words)
        expect(rows.first).to_have_text(first)


def test_large_download_is_whole_and_one_that_cannot_be_says_why(
    dashboard: Dashboard, server: Served, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    dashboard.open("#/batches/b1")
    dashboard.button("Download").click()
    with page.expect_download() as large:
        dashboard.button("Download results").click()
    large.value.save_as(tmp_path / "results")
    assert large.value.suggested_filename == "b1-results.jsonl"
    assert (tmp_path / "results").stat().st_size > 8 * 2**20, "more than the page takes into its memory"
    assert (tmp_path / "results").read_bytes().count(b"\n") == MANY
    page.route("**/report?*", lambda route: route.continue_(url=f"{server.url}/api/v1/batches/none/report"))
    dashboard.refusals.add("404")
    dashboard.button("Download report").click()
    expect(page.locator("dialog")).to_contain_text("No batch 'none'")
    page.unroute("**/report?*")
    page.keyboard.press("Escape")


def test_page_says_that_it_is_old_while_nobody_answers(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page, bar = dashboard.page, dashboard.page.locator("#disconnected")
    dashboard.open("#/batches/odd")
    expect(page.locator("#light")).to_have_text("Live")
    dashboard.refusals.add("gone")
    server.kill()
    expect(bar).to_contain_text("Disconnected")
    expect(bar).to_contain_text(re.compile(r"Trying again .*What is shown is \d+ s old\."))
    expect(page.locator("#polite")).to_contain_text("Disconnected from the server, trying again.")
    expect(page.get_by_role("heading", name="odd", exact=True)).to_be_visible()
    assert dashboard.complaints("disconnected") == []
    page.evaluate("location.hash = '#/batches/b1'")
    expect(page.get_by_text("The batch could not be read")).to_be_visible()
    assert dashboard.complaints("error") == []

    server.options = (*server.options, "--port", server.url.rpartition(":")[2])
    server.start()
    dashboard.button("Try again").click()
    expect(page.get_by_text("100,000 of 100,000 done, 100%")).to_be_visible()
    expect(bar).to_be_hidden()
    expect(page.locator("#light")).to_have_text("Live")
