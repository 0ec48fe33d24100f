"""What somebody does in the dashboard, from a file on his disk to its results: a real server, a real browser."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dashboard import Dashboard, opened
from served import Served, serving
from waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

HANDLERS = '''
"""Handlers that go as far as a file says."""
import asyncio, pathlib, time

HERE = pathlib.Path(__file__).parent
while (HERE / "hold").exists():
    time.sleep(0.02)

async def paced(item):
    """Take an item once it is its turn."""
    while int((HERE / "upto").read_text()) < int(item["n"]):
        await asyncio.sleep(0.02)
    if int(item["n"]) % 4 == 1 and not (HERE / "mended").exists():
        raise ValueError(f"no topic in {item['topic']}")
    return {"title": item["topic"].upper()}
'''
ROWS = "".join(f'a{n},{n},"tea no. {n}"\n' for n in range(1, 13))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("served")
    (folder / "pipe.py").write_text(HANDLERS)
    (folder / "ideas.csv").write_text("id,n,topic\n" + ROWS)
    go_to(folder, 0)
    with serving(folder, "--allow", "pipe:*") as made:
        yield made
        (folder / "hold").unlink(missing_ok=True)
        go_to(folder, 99)  # what a failed test has left waiting


@pytest.fixture
def dashboard(browser: Browser, server: Served) -> Iterator[Dashboard]:
    with opened(browser, server) as made:
        yield made


def go_to(folder: Path, number: int) -> None:
    """Let the items up to this one end; in one step, as handlers read the file at any time."""
    (folder / "next").write_text(str(number))
    (folder / "next").replace(folder / "upto")


def test_batch_from_a_file_to_its_results(dashboard: Dashboard, server: Served, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page, folder = dashboard.page, server.folder
    expect(page.get_by_text("No batches yet")).to_be_visible()
    expect(page.locator("pre").first).to_contain_text("--func pipe:paced")
    assert dashboard.complaints("empty") == []

    page.get_by_role("link", name="Submit a file").click()
    page.locator("input[type=file]").set_input_files(folder / "ideas.csv")
    expect(page.locator(".preview tbody tr")).to_have_count(10)
    expect(page.locator(".preview tbody tr").first).to_contain_text('"topic":"tea no. 1"')
    expect(page.get_by_text("Take an item once it is its turn.")).to_be_visible()
    dashboard.field("Id of the batch").fill("no good id")
    dashboard.field("Items at a time").fill("2")
    dashboard.field("Attempts of an item").fill("1")
    dashboard.refusals.add("422")
    dashboard.button("Start the batch").click()
    expect(dashboard.field("Id of the batch")).to_have_attribute("aria-invalid", "true")
    expect(dashboard.field("Id of the batch")).to_be_focused()
    dashboard.field("Id of the batch").fill("teas")
    dashboard.button("Start the batch").click()

    expect(page.get_by_role("heading", name="teas", exact=True)).to_be_focused()
    go_to(folder, 6)
    expect(page.get_by_text("6 of 12 done, 50%")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Progress of teas")).to_have_attribute("aria-valuenow", "50")
    expect(page).to_have_title("50% · teas · batchq")
    expect(page.locator(".flight")).to_contain_text("a7")

    dashboard.button("Limits").click()
    dashboard.field("Items at a time").fill("0")
    dashboard.button("Change limits").click()
    expect(page.locator("dialog .wrong:visible")).to_contain_text("Must be a whole number from 1")
    dashboard.field("Items at a time").fill("3")
    dashboard.button("Change limits").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.get_by_text("of 3 at a time")).to_be_visible()
    assert server.batch("teas")["spec"]["concurrency"] == 3

    dashboard.button("Pause").click()
    expect(dashboard.state).to_have_text("pausing")
    go_to(folder, 9)
    expect(dashboard.state).to_have_text("paused")
    dashboard.button("Resume").click()
    expect(dashboard.state).to_have_text("running")
    go_to(folder, 12)
    expect(dashboard.state).to_have_text("completed")
    expect(page.get_by_text("12 of 12 done, 100%")).to_be_visible()
    expect(page.locator("#polite")).to_contain_text("teas is completed: 12 of 12 done, 3 failed.")

    page.get_by_role("button", name="Show the 3 items that failed with ValueError: no topic in tea no.").click()
    expect(page.locator("table.items tbody tr")).to_have_count(3)
    page.get_by_role("link", name="a5", exact=True).click()
    expect(page.get_by_role("dialog", name="a5 (#5)")).to_be_visible()
    expect(dashboard.field("Traceback of attempt 1")).to_contain_text('pipe.py", line 14, in paced')
    expect(dashboard.field("Traceback of attempt 1")).to_contain_text("ValueError: no topic in tea no. 5")
    address = page.url
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="a5", exact=True)).to_be_focused()
    page.goto(address)
    expect(page.get_by_role("dialog", name="a5 (#5)")).to_be_visible()
    page.go_back()
    expect(page.locator("dialog")).to_have_count(0)

    (folder / "mended").touch()
    dashboard.button("Retry failed").click()
    expect(page.get_by_text("All 3 failed items run again.")).to_be_visible()
    dashboard.button("Retry 3").click()
    expect(page.locator("[data-tile=Succeeded] dd").first).to_have_text("12")
    expect(dashboard.state).to_have_text("completed")

    dashboard.button("Download").click()
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_download() as results:
        dashboard.field("With the items themselves").check()
        dashboard.button("Download results").click()
    results.value.save_as(tmp_path / "results")
    lines = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]
    assert len(lines) == 12
    assert {line["result"]["title"] for line in lines} == {f"TEA NO. {n}" for n in range(1, 13)}
    with page.expect_download() as report:
        dashboard.button("Download report").click()
    report.value.save_as(tmp_path / "report.html")
    assert "<title>teas: completed" in (tmp_path / "report.html").read_text()
    assert report.value.suggested_filename == "teas-report.html"
    assert results.value.suggested_filename == "teas-results.jsonl"
    for made in ("/results?", "/report?"):
        assert len([url for url in asked if made in url and not url.startswith("blob:")]) == 1, "made once"


def test_main_way_with_the_keyboard_alone(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page, press = dashboard.page, dashboard.page.keyboard.press
    go_to(server.folder, 0)
    page.reload()
    page.wait_for_selector("h1")
    press("Tab")
    assert dashboard.focused() == "Skip to the content"
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    dashboard.tab_to("New batch")
    press("Enter")
    expect(page.get_by_role("heading", name="New batch")).to_be_focused()
    dashboard.tab_to("A file")
    press("ArrowDown")
    dashboard.tab_to("Pasted items")
    page.keyboard.insert_text("\n".join(json.dumps({"id": f"k{n}", "n": n, "topic": "oats"}) for n in range(1, 5)))
    expect(page.locator(".preview tbody tr")).to_have_count(4)
    expect(page.get_by_text("Take an item once it is its turn.")).to_be_visible()
    dashboard.tab_to("Id of the batch")
    page.keyboard.insert_text("by-keyboard")
    press("Enter")
    expect(page.get_by_role("heading", name="by-keyboard")).to_be_focused()
    expect(dashboard.state).to_have_text("running")

    dashboard.tab_to("Cancel")
    press("Enter")
    assert dashboard.focused() == "Keep it as it is"
    names = set()
    for _ in range(6):
        press("Tab")
        names.add(dashboard.focused())
    assert names <= {"Keep it as it is", "Cancel the batch", "Close", "the page"}
    press("Escape")
    assert dashboard.focused() == "Cancel"
    assert server.batch("by-keyboard")["state"] == "running"
    press("Enter")
    dashboard.tab_to("Cancel the batch")
    press("Enter")
    expect(dashboard.state).to_have_text("cancelling")
    go_to(server.folder, 12)
    expect(dashboard.state).to_have_text("cancelled")
    assert page.evaluate("document.activeElement.closest('.actions, h1') !== null"), "the focus is not lost"

    expect(dashboard.button("Delete")).to_be_visible()
    dashboard.tab_to("Delete")
    press("Enter")
    dashboard.tab_to("Delete the batch")
    press("Enter")
    expect(page.get_by_role("link", name="by-keyboard")).to_have_count(0)
    expect(page.get_by_role("heading", name="Batches", exact=True)).to_be_visible()
    assert server.client.get("/api/v1/batches/by-keyboard").status_code == 404


def test_list_is_filtered_and_moves_by_itself(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    go_to(server.folder, 1)
    for name in ("first", "second"):
        server.create("pipe:paced", [{"n": n, "topic": "x"} for n in (1, 2)], batch_id=name)
    expect(page.get_by_role("progressbar", name="Progress of first")).to_have_attribute("aria-valuenow", "50")
    page.get_by_role("button", name="running 2").click()
    expect(page.locator(".batch")).to_have_count(2)
    dashboard.field("Search by id or function").fill("FIRST")
    expect(page.locator(".batch .name")).to_have_text(["first"])
    assert page.url.endswith("#/?state=running&q=FIRST")
    page.reload()
    expect(page.locator(".batch .name")).to_have_text(["first"])
    go_to(server.folder, 2)
    expect(page.get_by_text("No batch is like that.")).to_be_visible()
    dashboard.button("Show all").click()
    expect(page.locator(".batch", has_text="first").locator(".badge")).to_have_text("completed")


def test_one_kind_of_failure_is_retried(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page, folder = dashboard.page, server.folder
    (folder / "mended").unlink(missing_ok=True)
    go_to(folder, 12)
    items = [{"n": n, "topic": f"{n}"} for n in range(1, 6)]
    server.create("pipe:paced", items, batch_id="kinds", retry_attempts=2, retry_delay=0.01)
    server.wait_for("kinds", "completed")
    dashboard.open("#/batches/kinds")
    summaries = {
        "Rate": "5 outcomes, at most",
        "Latency": re.compile(r"that ended, at most [\d.]+ m?s"),
        "In flight": "that have ended since, at most ",
        "Retries": "2 retries",
    }
    for name, summary in summaries.items():
        drawn = page.get_by_role("figure", name=f"{name} over time")
        expect(drawn).to_contain_text(summary)
        drawn.get_by_text("Numbers").click()
        expect(drawn.locator("tbody td").first).to_be_visible()
    (folder / "mended").touch()
    page.get_by_role("button", name="Show the 2 items that failed with ValueError").click()
    dashboard.button("Retry these").click()
    expect(page.get_by_role("dialog")).to_contain_text("ValueError: no topic in")
    page.get_by_role("dialog").get_by_role("button", name="Retry these").click()
    expect(page.locator("[data-tile=Succeeded] dd").first).to_have_text("5")
    expect(page.locator(".all-items")).to_contain_text("No item is like that.")


def test_one_item_runs_again_and_not_its_namesake(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page, folder = dashboard.page, server.folder
    (folder / "mended").unlink(missing_ok=True)
    go_to(folder, 12)
    items = [{"id": "twin", "n": n, "topic": "x"} for n in (1, 5)]
    server.create("pipe:paced", items, batch_id="twins", retry_attempts=1)
    server.wait_for("twins", "completed")
    (folder / "mended").touch()
    dashboard.open("#/batches/twins/items/2")
    dashboard.button("Run it again").click()
    expect(page.locator("[data-tile=Succeeded] dd").first).to_have_text("1")
    assert server.wait_for("twins", "completed")["failure_count"] == 1


def test_file_that_is_dropped_is_previewed(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    dashboard.open("#/new")
    dropped = page.evaluate_handle(
        "text => { const moved = new DataTransfer(); moved.items.add(new File([text], 'dropped.csv')); return moved; }",
        "id,n,topic\n" + ROWS,
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    expect(page.locator(".preview tbody tr")).to_have_count(10)
    expect(page.locator(".preview .title")).to_have_text("The first 10 items, read as csv")
    assert page.locator("input[type=file]").evaluate("each => each.files[0].name") == "dropped.csv"


def test_table_that_is_read_from_its_end_is_previewed_up_to_a_mebibyte(dashboard: Dashboard, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = [random.Random(n).randbytes(30_000).hex() for n in range(12)]
    parquet.write_table(pa.table({"n": range(12), "text": texts}), tmp_path / "large.parquet", compression="gzip")
    assert 300 * 1024 < (tmp_path / "large.parquet").stat().st_size < 1024 * 1024
    dashboard.open("#/new")
    dashboard.page.locator("input[type=file]").set_input_files(tmp_path / "large.parquet")
    expect(dashboard.page.locator(".preview .title")).to_have_text("The first 10 items, read as parquet")


def test_who_is_logged_out_comes_back_to_where_he_was(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page = dashboard.page
    dashboard.open("#/new")
    expect(dashboard.field("Which function runs over each item")).to_be_visible()
    page.context.clear_cookies()
    dashboard.refusals.add("401")
    page.get_by_role("link", name="Batches", exact=True).click()
    page.wait_for_url("**/login?next=%2F%23%2F")
    dashboard.log_in()
    expect(page.get_by_role("heading", name="Batches", exact=True)).to_be_visible()


def test_form_tells_of_a_wrong_token_and_the_way_out_leads_back_to_it(dashboard: Dashboard, server: Served) -> None:
    from playwright.sync_api import expect

    page, token, said = dashboard.page, dashboard.field("Token of this server"), dashboard.page.get_by_role("alert")
    dashboard.open("#/new")
    dashboard.button("Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(f"{server.url}/#/new")  # a bookmark
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(token).to_be_focused()
    expect(said).to_be_empty()
    dashboard.refusals.add("401")
    page.keyboard.insert_text(server.token[:-1])
    page.keyboard.press("Enter")
    expect(said).to_have_text("That is not the token of this server.")
    expect(token).to_have_attribute("aria-invalid", "true")
    expect(token).to_be_focused()
    assert dashboard.complaints("login") == []
    page.keyboard.insert_text(server.token)  # what was wrong is selected
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New batch")).to_be_visible()
    expect(dashboard.field("Which function runs over each item")).to_be_visible()


def test_upload_that_is_stopped_leaves_nothing_and_can_be_begun_again(
    dashboard: Dashboard, server: Served, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page, large = dashboard.page, tmp_path / "large.jsonl"
    go_to(server.folder, 99)
    large.write_text('{"n": 2, "topic": "tea"}\n' + (" " * 99_999 + "\n") * 240)
    dashboard.open("#/new")
    page.locator("input[type=file]").set_input_files(large)
    expect(page.locator(".preview tbody tr")).to_have_count(1)
    expect(page.get_by_text("Take an item once it is its turn.")).to_be_visible()
    dashboard.field("Id of the batch").fill("large")
    with dashboard.slow_uploads(2_000_000):
        dashboard.button("Start the batch").click()
        wait_until(lambda: any(path.stat().st_size for path in server.home.glob("large/input/*")))
        dashboard.button("Stop the upload").focus()
        page.keyboard.press("Enter")
        expect(page.locator("main").get_by_text("The upload is stopped. Nothing of it is kept")).to_be_visible()
        expect(page.locator("#polite")).to_contain_text("The upload is stopped.")
        expect(dashboard.button("Start the batch")).to_be_focused()
        wait_until(lambda: not (server.home / "large").exists())
    (server.folder / "hold").touch()
    page.keyboard.press("Enter")
    expect(page.get_by_text("sent, the batch is being made")).to_be_visible()
    expect(page.locator("main").get_by_text("The upload is stopped.")).to_be_hidden()
    expect(dashboard.button("Stop the upload")).to_be_hidden()
    (server.folder / "hold").unlink()
    expect(page.get_by_role("heading", name="large", exact=True)).to_be_focused()
    expect(dashboard.state).to_have_text("completed")
