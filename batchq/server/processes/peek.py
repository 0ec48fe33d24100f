"""Reads the first items of a file in a process of its own, which may take so much time and memory and no more.

server ── {"path", "name", "cut", "options"} ──▶ this ── {"items", "format", "problems", "cut"} ──▶ server

An item stays the text that it is: it may be nested as deeply as Python can just read it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from batchq.app.request import StartRequest
from batchq.app.source import source_of
from batchq.app.wording import as_fields
from batchq.errors import BatchqError, InputError
from batchq.inputs import open_reader
from batchq.inputs.files import BINARY
from batchq.model import Record
from batchq.server.processes.child import Json, answering
from batchq.server.told import told
from batchq.spec import SourceSpec

ITEMS: Final = 10
PROBLEMS: Final = 10
LARGEST: Final = 1024 * 1024
"""Bytes of an item that is shown; of a compressed file they may come from very few."""
MEMORY: Final = 4 << 30
"""Bytes of address space, most of which pyarrow only reserves."""
CPU_SECONDS: Final = 15


def peek(asked: Json) -> Json:
    """The first items of a file; what is wrong with it, in words."""
    try:
        source = source_of(StartRequest(input=asked["path"], func="", **asked["options"]))
    except BatchqError as error:
        return {**told(error)}
    source = replace(source, name=asked["name"], max_item_size=min(source.max_item_size or LARGEST, LARGEST))
    found: list[Json] = []
    problems: list[str] = []
    if asked["cut"] and source.format.partition(".")[0] in BINARY:
        problems.append(f"a {source.format} file can be previewed as a whole only: its index is at its end")
    else:
        try:
            _read(source, asked["cut"], found, problems)
        except InputError as error:
            if not (asked["cut"] and found):  # the end of what was sent, most likely
                problems.append(told(error)["detail"])
        except BatchqError as error:
            return {**told(error)}
    return {"items": found, "format": source.format, "problems": problems, "cut": asked["cut"]}


def _read(source: SourceSpec, cut: bool, found: list[Json], problems: list[str]) -> None:
    reader = open_reader(source)
    try:
        records = _with_ends(iter(reader))
        for number, (record, is_last) in enumerate(records, 1):
            if record.error is not None:
                if not (cut and is_last):
                    problems.append(as_fields(record.error))
            elif not (cut and is_last and found):  # of the last one there may be more
                shown = f"item-{number}" if record.item_id is None else record.item_id
                found.append({"line": record.line, "id": shown, "payload": record.payload})
            if len(found) >= ITEMS or len(problems) >= PROBLEMS:
                return
    finally:
        reader.close()


def _with_ends(records: Iterator[Any]) -> Iterator[tuple[Record, bool]]:
    """Each record, and whether it is the last one."""
    before: Record | None = None
    try:
        for record in records:
            if record is None:
                continue
            if before is not None:
                yield before, False
            before = record
    except InputError:
        if before is not None:
            yield before, True
        raise
    if before is not None:
        yield before, True


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    answering(peek)
