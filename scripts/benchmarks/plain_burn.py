"""A process that computes what the handler `burn` does, and nothing else. Argument: the number of items."""

from __future__ import annotations

import sys

from benchmarks.handlers import burn

if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        burn({})
