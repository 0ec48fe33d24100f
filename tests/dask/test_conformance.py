"""Both engines keep the same promises: a process pool here, and a Dask cluster."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import Bench, ended
from waiting import wait_until

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

HANDLERS = """
import asyncio, contextlib, os, signal, time

@contextlib.asynccontextmanager
async def shop():
    yield {"price": 3}

async def mixed(item, ctx):
    n = item["n"]
    ctx.log.info("looks at %d", n)
    await ctx.spend(cents=1)
    await asyncio.sleep(0.01)
    if n == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 63 and ctx.attempt == 1:
        time.sleep(1e6)
    if n % 10 == 0 and ctx.attempt == 1:
        raise ConnectionError("reset")
    if n % 25 == 0:
        raise ValueError("cannot be sold")
    return n * ctx.resource["price"]

async def held(item):
    with open("begun", "a") as file:
        file.write("x")
    while not os.path.exists("gate"):
        await asyncio.sleep(0.02)
    return item["n"]
"""


class Shop:
    """A bench whose batch runs on one of the engines."""

    def __init__(self, folder: Path, engine: tuple[str, ...]) -> None:
        (folder / "shop.py").write_text(HANDLERS)
        self.bench = Bench(folder)
        self.bench.write_input(100)
        self._engine = engine

    def begin(self, handler: str, *options: str) -> subprocess.Popen[str]:
        """Start batch b1."""
        usual = ("--id", "b1", "-c", "6", "-w", "2", "--retry-delay", "0.05", "--no-breaker", "--json", "-q")
        target = ("--func", f"shop.py:{handler}")
        return self.bench.begin("start", "input.jsonl", *target, *usual, *self._engine, *options)

    def run(self, handler: str, *options: str) -> dict[str, Any]:
        """Run batch b1 to its end; its report."""
        process = self.begin(handler, *options)
        stdout, stderr = process.communicate(timeout=120)
        assert stdout, stderr
        report: dict[str, Any] = json.loads(stdout)
        assert self.bench.broken_invariants() == []
        assert {count for count, _ in self.bench.outcomes().values()} == {1}, "recorded once"
        return report

    @property
    def begun(self) -> int:
        """Items that `held` has begun."""
        file = self.bench.folder / "begun"
        return len(file.read_text()) if file.exists() else 0


@pytest.fixture(params=["local", "dask"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "local":
        return Shop(tmp_path, ())
    return Shop(tmp_path, ("--scheduler", request.getfixturevalue("scheduler")))


def test_what_fails_kills_or_blocks_is_recorded_once_and_its_neighbours_lose_nothing(shop: Shop) -> None:
    report = shop.run("mixed", "--setup", "shop.py:shop", "--budget", "cents=1000", "--timeout", "1")
    assert (report["success_count"], report["failure_count"]) == (95, 5)
    failures = {failure["seq"]: failure["error_type"] for failure in report["failures"]}
    assert failures == {7: "WorkerCrashed"} | dict.fromkeys((25, 50, 75, 100), "ValueError")
    # On a busy machine one more may take longer than its second.
    assert report["retries"] >= 10 + 2 * 4 - 2 + 1, "three attempts of what fails for good, two of what blocked"
    results = shop.bench.outcomes()
    assert all(results[n] == (1, 3 * n) for n in range(1, 101) if n not in failures)
    assert report["spent"]["cents"] >= 100 + report["retries"]
    assert "looks at 42" in (shop.bench.home / "b1" / "batch.log").read_text()


def test_limits_pause_and_interruption_hold_and_what_is_left_goes_on_with_the_local_engine(shop: Shop) -> None:
    process = shop.begin("held", "--grace", "0.5")
    wait_until(lambda: shop.begun == 6)
    assert shop.bench.run("set", "b1", "-c", "9").returncode == 0
    wait_until(lambda: shop.begun == 9)
    process.send_signal(signal.SIGINT)
    assert ended(process) == -signal.SIGINT
    assert shop.bench.outcomes() == {}
    process = shop.bench.begin("resume", "b1", "-q")
    wait_until(lambda: shop.begun == 18)
    assert shop.bench.run("pause", "b1").returncode == 0
    (shop.bench.folder / "gate").touch()
    assert ended(process) == 3
    assert 9 <= shop.begun - 9 == len(shop.bench.outcomes()) < 91, "what had begun has ended, and nothing else began"
    done = shop.bench.run("resume", "b1", "--engine", "local", "-q")
    assert done.returncode == 0, done.stderr
    assert set(shop.bench.outcomes()) == set(range(1, 101))
    assert shop.bench.broken_invariants() == []
