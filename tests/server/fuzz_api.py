"""A long run of made-up calls: `scripts/fuzz-api --examples 200`; exits 1 where an answer is not as described."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from fuzzed import Fuzzer
from served import serving

HANDLERS = """
async def title(item):
    return {"title": item}

def fails(item):
    raise ValueError("no")
"""


def main() -> int:
    """Call each operation, and tell how that went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="right calls of each operation, and as many wrong")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="operations with that in their name, such as 'POST /api/v1/batches'")
    asked = parser.parse_args()
    wrong = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pipe.py").write_text(HANDLERS)
        with serving(folder, "--allow", "pipe:*", "--max-batches", "1") as server:
            fuzzer = Fuzzer(server, "pipe:title", asked.seed)
            for operation in fuzzer.operations:
                if asked.only not in operation.label:
                    continue
                before = fuzzer.answers.copy()
                ids = [server.create("pipe:title", [1, 2, 3]), server.create("pipe:fails", [1], retry_attempts=1)]
                try:
                    fuzzer.run(operation, asked.examples, ids)
                except BaseException as error:  # groups of failures are no Exception before Python 3.11
                    if isinstance(error, (KeyboardInterrupt, SystemExit)):
                        raise
                    wrong += 1
                    for each in getattr(error, "exceptions", [error]):
                        print(f"{operation.label}: {each}")
                print(operation.label, dict(sorted((fuzzer.answers - before).items())), flush=True)
    total = sum(fuzzer.answers.values())
    print(f"{total:,} calls in {time.monotonic() - began:.0f} s, the slowest {fuzzer.slowest:.1f} s")
    print("answers by status:", dict(sorted(fuzzer.answers.items())))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
