"""The SQL by name: each statement compiles, and no hot one reads a whole table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import batchq.store
from batchq.store.connection import SCHEMAS, SQL, load_statements, repeat_values

STORE = Path(batchq.store.__file__).parent
ONE_ROW = {"batch", "tally", "b", "t", "d", "json_each"}
"""Tables of one row, and what is made of a parameter."""
COLD = {
    "check_items_without_message", "check_tally", "check_input", "check_stages",  # `check` reads everything on purpose
    "recount_tally", "recount_latency", "recount_intervals", "recount_groups", "recount_input",
    "recount_tries", "recount_shares", "recount_retried", "forget_stray_stages",  # so does --repair
    "read_sessions", "last_session", "read_latency", "read_intervals", "read_retried",  # bounded tables
    "has_busy", "has_stages", "read_old_intervals",  # likewise
    "read_spans", "read_tries", "read_shares", "total_shares",  # a row a session, number of attempts or process
    "read_error_groups", "count_error_groups",  # likewise
    "count_chunks",  # persist-queue's counts, not used in a run
    "has_spent", "read_pace", "read_rates", "read_spent", "read_budgets", "forget_budgets",  # a row a limit or unit
    "spend_reserved", "read_waiting", "read_waits",  # likewise
    "read_turn",  # the one row of the batch
    "find_items", "near_items",  # somebody asks for one item; an index would cost each insert
    "read_written",  # one row at most
    "has_event", "read_owed",  # a row a notification
    "list_jobs", "newest_outcomes",  # from the newest on, and they stop at their limit
}  # fmt: skip
DATABASE_SQL = load_statements("database_statements.sql")
KNOWN_SQL = load_statements("known_statements.sql")
STATEMENTS = {
    **{("known", name): statement for name, statement in KNOWN_SQL.items()},
    **{("schema.sql", name): statement for name, statement in SQL.items()},
    **{("database.sql", name): statement for name, statement in DATABASE_SQL.items()},
    # What BatchDatabase reads, it reads from the views of a batch's file too.
    **{("schema.sql", name): text for name, text in DATABASE_SQL.items() if text.startswith("SELECT")},
}
"""Every statement by the schema that it runs against and its name."""


@pytest.fixture
def schema(file: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        if file == "known":
            connection.executescript(KNOWN_SQL["create_known"] + ";" + KNOWN_SQL["index_once"])
        else:
            connection.executescript((STORE / file).read_text())
        if file == "schema.sql":
            for schema in SCHEMAS[1:]:
                connection.executescript((STORE / schema).read_text())
        yield connection


def _plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    named = set(re.findall(r":(\w+)", statement))
    numbered = {int(number) for number in re.findall(r"\?(\d+)", statement)}
    count = max(numbered) if numbered else statement.count("?")
    parameters = dict.fromkeys(named) if named and not count else [None] * count
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement, parameters)]


@pytest.mark.parametrize("file, name", sorted(STATEMENTS))
def test_each_statement_compiles_against_the_schema(schema: sqlite3.Connection, file: str, name: str) -> None:
    _plan(schema, STATEMENTS[file, name])


@pytest.mark.parametrize("file, name", sorted(case for case in STATEMENTS if case[1] not in COLD))
def test_no_hot_statement_scans_a_table(schema: sqlite3.Connection, file: str, name: str) -> None:
    scans = [
        step
        for step in _plan(schema, STATEMENTS[file, name])
        if step.startswith("SCAN ")
        and step.split()[1] not in ONE_ROW
        and "USING" not in step
        and "CONSTANT" not in step
        and "subquery" not in step
    ]
    assert scans == []


def test_every_statement_is_used_somewhere() -> None:
    code = "".join(path.read_text() for path in STORE.glob("*.py"))
    assert [name for name in [*SQL, *DATABASE_SQL, *KNOWN_SQL] if f'"{name}"' not in code] == []


def test_repeated_values_insert_that_many_rows() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute(repeat_values("INSERT INTO t VALUES (?, ?)", 3), [1, 2, 3, 4, 5, 6])
        assert connection.execute("SELECT * FROM t").fetchall() == [(1, 2), (3, 4), (5, 6)]
