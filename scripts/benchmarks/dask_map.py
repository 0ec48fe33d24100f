"""One Dask task for each item, as people write it with `client.map`; prints the seconds that it took."""

from __future__ import annotations

import json
import sys
import time

from distributed import Client


def noop(number: int) -> int:
    """Nothing."""
    return number


def main(address: str, count: int) -> None:
    """Map, and gather."""
    with Client(address) as client:
        began = time.perf_counter()
        client.gather(client.map(noop, range(count)))
        print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
