"""Results written by hand: a plain loop of `json.dumps` over the rows of SQLite. Arguments: batch.db and the file."""

from __future__ import annotations

import json
import sqlite3
import sys

ROWS = """
SELECT i.seq, coalesce(i.item_id, 'item-' || i.seq), i.line, o.success, o.result, o.error_type, o.error,
       o.attempts, o.duration_us
FROM items i JOIN outcomes o ON o.seq = i.seq AND o.run = i.run ORDER BY i.seq
"""


def main(database: str, target: str) -> None:
    """Write every outcome as a line of JSON."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    with open(target, "w", encoding="utf-8") as out:
        for seq, item_id, line, success, result, error_type, error, attempts, duration_us in connection.execute(ROWS):
            row = {"seq": seq, "id": item_id, "line": line, "status": "success" if success else "failed"}
            row |= {"result": json.loads(result)} if success else {"error_type": error_type, "error": error}
            row |= {"attempts": attempts, "duration": duration_us / 1e6}
            out.write(json.dumps(row) + "\n")
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
