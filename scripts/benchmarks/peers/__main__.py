"""One run of one peer; prints its seconds and what it kept as JSON.

python -m benchmarks.peers NAME INPUT.jsonl HANDLER SLOTS
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile

from benchmarks.peers.roster import BY_NAME
from benchmarks.peers.services import serve
from benchmarks.peers.work import ADDRESS, FOLDER, Done, Job


def main(name: str, source: str, handler: str, slots: str) -> None:
    """Read the input, start what the peer needs, let it work, check what it kept."""
    with open(source, encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory(prefix="batchq-peer-") as folder, serve(BY_NAME[name].program) as address:
        os.environ.update({FOLDER: folder, ADDRESS: address})
        done: Done = importlib.import_module(f"benchmarks.peers.{name}").run(Job(items, handler, int(slots)))
    if sorted(done.results) != sorted(item["id"] for item in items):
        sys.exit(f"{name} kept {len(done.results):,} outcomes of {len(items):,} items, or wrong ones")
    print(json.dumps({"seconds": done.seconds, "items": len(items)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
