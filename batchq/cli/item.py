"""``show``: one item, with everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from batchq.cli.console import Console, common_options, complain

if TYPE_CHECKING:
    from batchq.app.items import ItemDetails

NO_RESULT = {"failed": 1}
"""What --result exits with for an item that has none; 3 where there may be one later."""


@click.command()
@click.argument("batch_id", metavar="ID")
@click.argument("item", metavar="ITEM")
@click.option("--full", is_flag=True, help="Leave nothing out of long texts and tracebacks.")
@click.option("--payload", "only", flag_value="payload", help="Print the item itself only, as one line of JSON.")
@click.option("--result", "only", flag_value="result", help="Print its result only, as one line of JSON.")
@common_options
@click.pass_obj
def show(console: Console, /, batch_id: str, item: str, full: bool, only: str | None) -> int:
    """One item: what went in, every attempt with its traceback, what came out; also while the batch runs.

    ITEM is an item's id, or its place in the input as #12 or item-12. When several items have that id, all are shown.

    \b
      batchq show batch-20261125-001 a4
      batchq show batch-20261125-001 '#12' --full | less
      batchq show batch-20261125-001 a4 --payload > a4.json
    """
    if {"--payload", "--result"} <= set(console.arguments):
        raise click.UsageError("--payload and --result exclude each other")
    if only and (console.as_json or full):
        raise click.UsageError(f"--{only} excludes {'--json' if console.as_json else '--full'}")
    found = console.batches().items(batch_id, item)
    if only == "payload":
        console.write(f"{each.payload}\n" for each in found)
        return 0
    if only == "result":
        return _write_results(console, found)
    console.write(_json(batch_id, found) if console.as_json else _text(console, batch_id, item, found, full))
    return 0


def _write_results(console: Console, found: Sequence[ItemDetails]) -> int:
    console.write(f"{each.result}\n" for each in found if each.result is not None)
    without = [each for each in found if each.result is None]
    for each in without:
        state = "it has failed" if each.status == "failed" else f"it is {each.status}"
        complain(f"item {each.item_id} (#{each.seq}) has no result: {state}")
    return max((NO_RESULT.get(each.status, 3) for each in without), default=0)


def _json(batch_id: str, found: Sequence[ItemDetails]) -> Iterator[str]:
    from batchq.app.render import SCHEMA, json_line

    yield f'{{"schema": {SCHEMA}, "batch_id": {json_line(batch_id).rstrip()}, "items": ['
    yield ", ".join(each.to_json() for each in found)
    yield "]}\n"


def _text(console: Console, batch_id: str, item: str, found: Sequence[ItemDetails], full: bool) -> Iterator[str]:
    from batchq.app.item_text import item_text
    from batchq.store.items import NAMESAKES

    for number, each in enumerate(found):
        yield ("\n" if number else "") + item_text(each, full)
    if len(found) > 1:
        most = f"The first {len(found)} items" if len(found) >= NAMESAKES else f"{len(found)} items"
        one = console.command("show", batch_id, f"#{found[0].seq}")
        console.say(f"{most} have the id {item}; show one of them with: {one}")
