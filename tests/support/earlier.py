"""A batch's file as an earlier batchq would have left it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from batchq.store.connection import SCHEMAS, read_sql


def make_earlier(database: Path, version: int = 1) -> None:
    """Take away what later versions of the schema have added to a file."""
    added = "".join(map(read_sql, SCHEMAS[version:]))
    with closing(sqlite3.connect(database)) as connection:
        for table, column in re.findall(r"^ALTER TABLE (\w+) ADD COLUMN (\w+)", added, re.MULTILINE):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in re.findall(r"^CREATE TABLE (\w+)", added, re.MULTILINE):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {version}")
